"""What people decide: verdicts on held plans, and stacks that do not follow their source. Part of sql.

What a person does needs no lease: a daemon may hold it meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select

from trueup.state import rows
from trueup.state.access import Access
from trueup.state.schema import approvals, pins
from trueup.state.store import Decision, Lease, Pin, PinKind, Verdict

# Of each stack.
KEPT_DECISIONS = 1000


class Decisions(Access):
    """The approvals and the pins of the store."""

    def decide(self, stack: str, digest: str, verdict: Verdict, who: str, note: str = "") -> Decision:
        def write(connection: Connection) -> Decision:
            decision = Decision(
                digest, verdict, rows.encode_text(who), rows.encode_text(note), self._leases.now(connection)
            )
            of_plan = (approvals.c.stack == stack, approvals.c.digest == digest)
            connection.execute(approvals.delete().where(*of_plan))
            connection.execute(approvals.insert(), rows.encode_decision(stack, decision))
            _prune_decisions(connection, stack)
            return decision

        return self._write(write)

    def decision(self, stack: str, digest: str) -> Decision | None:
        query = select(approvals).where(approvals.c.stack == stack, approvals.c.digest == digest)

        def read(connection: Connection) -> Decision | None:
            row = connection.execute(query).first()
            return None if row is None else rows.read_decision(row)

        return self._read("the approvals", read)

    def latest_decision(self, stack: str) -> Decision | None:
        query = (
            select(approvals)
            .where(approvals.c.stack == stack)
            .order_by(approvals.c.at.desc(), approvals.c.digest)
            .limit(1)
        )

        def read(connection: Connection) -> Decision | None:
            row = connection.execute(query).first()
            return None if row is None else rows.read_decision(row)

        return self._read("the approvals", read)

    def spend_decision(self, lease: Lease, digest: str) -> None:
        def write(connection: Connection) -> None:
            self._leases.check(connection, lease)
            of_plan = (approvals.c.stack == lease.stack, approvals.c.digest == digest)
            connection.execute(approvals.delete().where(*of_plan))

        self._write(write)

    def pin(self, stack: str, kind: PinKind, who: str, *, commit: str = "", reason: str = "") -> Pin:
        def write(connection: Connection) -> Pin:
            now = self._leases.now(connection)
            pin = Pin(stack, kind, commit, rows.encode_text(who), rows.encode_text(reason), now)
            connection.execute(pins.delete().where(pins.c.stack == stack))
            connection.execute(pins.insert(), rows.encode_pin(pin))
            return pin

        return self._write(write)

    def unpin(self, stack: str) -> Pin | None:
        def write(connection: Connection) -> Pin | None:
            row = _find_pin(connection, stack)
            connection.execute(pins.delete().where(pins.c.stack == stack))
            return None if row is None else rows.read_pin(row)

        return self._write(write)

    def pin_of(self, stack: str) -> Pin | None:
        def read(connection: Connection) -> Pin | None:
            row = _find_pin(connection, stack)
            return None if row is None else rows.read_pin(row)

        return self._read(f"the pin of {stack!r}", read)

    def pins(self) -> Mapping[str, Pin]:
        def read(connection: Connection) -> Mapping[str, Pin]:
            return {row.stack: rows.read_pin(row) for row in connection.execute(select(pins))}

        return self._read("the pins", read)


def _prune_decisions(connection: Connection, stack: str) -> None:
    """A verdict on a plan that is never made again would be kept for ever."""
    latest = (
        select(approvals.c.digest)
        .where(approvals.c.stack == stack)
        .order_by(approvals.c.at.desc(), approvals.c.digest)
        .limit(KEPT_DECISIONS)
    )
    old = (approvals.c.stack == stack, approvals.c.digest.not_in(latest))
    connection.execute(approvals.delete().where(*old))


def _find_pin(connection: Connection, stack: str) -> Row[Any] | None:
    return connection.execute(select(pins).where(pins.c.stack == stack)).first()
