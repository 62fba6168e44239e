"""What happens beside the steps of runs: events, corrections of drift, and quarantines. Part of sql."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from trueup.model.address import Address
from trueup.state import rows
from trueup.state.access import Access, require_stack
from trueup.state.schema import corrections, events, quarantines
from trueup.state.store import Correction, Event, Lease, Quarantine

KEPT_EVENTS = 5000
KEPT_CORRECTIONS = 3600.0


class Journal(Access):
    """The events, quarantines and corrections of the store."""

    def add_events(self, stack: str, events: Sequence[Event]) -> None:
        for event in events:
            if event.address is not None and event.address.stack != stack:
                raise ValueError(f"{event.address} is not of the stack {stack!r}")
        if events:
            self._write(lambda connection: self._add_events(connection, stack, events))

    def _add_events(self, connection: Connection, stack: str, added: Sequence[Event]) -> None:
        now = self._leases.now(connection)
        connection.execute(events.insert(), [rows.encode_event(stack, event, now) for event in added])
        oldest = select(events.c.id).where(events.c.stack == stack).order_by(events.c.id.desc())
        first = connection.execute(oldest.offset(KEPT_EVENTS - 1).limit(1)).scalar()
        if first is not None:
            connection.execute(events.delete().where(events.c.stack == stack, events.c.id < first))

    def events(self, stack: str, address: Address | None = None, limit: int = 100) -> Sequence[Event]:
        query = select(events).where(events.c.stack == stack).order_by(events.c.id.desc()).limit(limit)
        if address is not None:
            query = query.where(events.c.address == address.text)
        return self._read(
            "the events", lambda connection: [rows.read_event(row) for row in connection.execute(query)]
        )

    def write_quarantine(self, lease: Lease, quarantine: Quarantine) -> None:
        require_stack(lease, [quarantine.address])

        def write(connection: Connection) -> None:
            _delete_quarantine(connection, quarantine.address)
            connection.execute(quarantines.insert(), rows.encode_quarantine(quarantine))

        self._write_fenced(lease, write)

    def quarantines(self, stack: str) -> Mapping[Address, Quarantine]:
        query = select(quarantines).where(quarantines.c.stack == stack).order_by(quarantines.c.address)

        def read(connection: Connection) -> Mapping[Address, Quarantine]:
            found = map(rows.read_quarantine, connection.execute(query))
            return {quarantine.address: quarantine for quarantine in found}

        return self._read("the quarantines", read)

    def clear_quarantine(self, address: Address) -> bool:
        def clear(connection: Connection) -> bool:
            of_node = (corrections.c.stack == address.stack, corrections.c.address == address.text)
            connection.execute(corrections.delete().where(*of_node))
            return _delete_quarantine(connection, address)

        return self._write(clear)

    def note_corrections(self, lease: Lease, corrections: Sequence[Correction]) -> None:
        require_stack(lease, (correction.address for correction in corrections))
        if corrections:
            self._write_fenced(lease, lambda connection: self._note(connection, lease.stack, corrections))

    def _note(self, connection: Connection, stack: str, noted: Sequence[Correction]) -> None:
        now = self._leases.now(connection)
        old = (corrections.c.stack == stack, corrections.c.at < now - KEPT_CORRECTIONS)
        connection.execute(corrections.delete().where(*old))
        connection.execute(corrections.insert(), [rows.encode_correction(each, now) for each in noted])

    def corrections(self, stack: str, since: float) -> Sequence[Correction]:
        query = (
            select(corrections)
            .where(corrections.c.stack == stack, corrections.c.at >= since)
            .order_by(corrections.c.at, corrections.c.id)
        )
        return self._read(
            "the corrections",
            lambda connection: [rows.read_correction(row) for row in connection.execute(query)],
        )


def _delete_quarantine(connection: Connection, address: Address) -> bool:
    of_node = (quarantines.c.stack == address.stack, quarantines.c.address == address.text)
    return connection.execute(quarantines.delete().where(*of_node)).rowcount > 0
