"""The lease of a stack: who may write for it, and the check that every write makes. Used by sql."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.exc import IntegrityError

from trueup.errors import LeaseLost
from trueup.state.process import Clock, Process, is_dead, this_process
from trueup.state.schema import leases
from trueup.state.store import Lease

_FREE = {
    "holder": "",
    "ttl": 0.0,
    "expires_at": 0.0,
    "steady_expiry": 0.0,
    "machine": "",
    "pid": 0,
    "pid_started": 0,
}


# Built once, because every write runs it.
_fence = (
    select(leases.c.epoch)
    .where(*(leases.c[name] == bindparam(name) for name in ("stack", "epoch", "holder")))
    .with_for_update(read=True)
)


@dataclass(frozen=True)
class _Time:
    now: float
    steady: float


class LeaseTable:
    """The leases of one store. Each method works inside the caller's transaction."""

    def __init__(self, clock: Clock, *, has_server: bool) -> None:
        self._clock = clock
        self._has_server = has_server

    def now(self, connection: Connection) -> float:
        """The store's wall clock: the server's, if it has one, because the clocks of its clients differ."""
        if self._clock.now is not None:
            return self._clock.now()
        if self._has_server:
            return float(
                connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
            )
        return time.time()

    def acquire(self, connection: Connection, stack: str, holder: str, ttl: float) -> Lease | None:
        when = self._time(connection)
        row = _lock_row(connection, stack)
        if row.holder != holder:
            if self._is_held(row, when):
                self._mend_expiry(connection, row, when)
                return None
            epoch = row.epoch + 1
        else:
            epoch = row.epoch
        connection.execute(
            leases.update().where(leases.c.stack == stack).values(epoch=epoch, **_held(holder, ttl, when))
        )
        return Lease(stack, holder, epoch, when.now + ttl)

    def find(self, connection: Connection, stack: str) -> Lease | None:
        row = connection.execute(select(leases).where(leases.c.stack == stack)).first()
        if row is None or not self._is_held(row, self._time(connection)):
            return None
        return Lease(stack, row.holder, row.epoch, row.expires_at)

    def renew(self, connection: Connection, lease: Lease, ttl: float) -> Lease:
        when = self._time(connection)
        changed = connection.execute(
            leases.update().where(*_is_lease(lease)).values(**_held(lease.holder, ttl, when))
        )
        if changed.rowcount != 1:
            raise _lost(lease)
        return Lease(lease.stack, lease.holder, lease.epoch, when.now + ttl)

    def release(self, connection: Connection, lease: Lease) -> None:
        connection.execute(leases.update().where(*_is_lease(lease)).values(**_FREE))

    def check(self, connection: Connection, lease: Lease) -> None:
        """Raises LeaseLost unless the lease is still its holder's; nobody takes it over before the commit.

        An expired lease that nobody took over is good: there is no other writer.
        """
        values = {"stack": lease.stack, "epoch": lease.epoch, "holder": lease.holder}
        if connection.execute(_fence, values).first() is None:
            raise _lost(lease)

    def _time(self, connection: Connection) -> _Time:
        return _Time(self.now(connection), self._clock.steady())

    def _is_held(self, row: Row[Any], when: _Time) -> bool:
        if not row.holder:
            return False
        process = Process(row.machine, row.pid, row.pid_started)
        if is_dead(process):
            return False
        if process.machine and process.machine == this_process().machine:
            # The same boot: its steady clock knows better than a wall clock that may have been set.
            return bool(row.steady_expiry > when.steady)
        return bool(row.expires_at > when.now)

    def _mend_expiry(self, connection: Connection, row: Row[Any], when: _Time) -> None:
        # The clock was set back since the holder renewed: it waits one more ttl, not for the old future.
        if row.expires_at > when.now + row.ttl:
            connection.execute(
                leases.update().where(leases.c.stack == row.stack).values(expires_at=when.now + row.ttl)
            )


def _lock_row(connection: Connection, stack: str) -> Row[Any]:
    """The stack's row, made free if there was none, which nobody else changes before the commit."""
    query = select(leases).where(leases.c.stack == stack).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        # With PostgreSQL, another process may be making the very same row.
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(leases.insert().values(stack=stack, epoch=0, **_FREE))
        row = connection.execute(query).one()
    return row


def _held(holder: str, ttl: float, when: _Time) -> dict[str, Any]:
    process = this_process()
    return {
        "holder": holder,
        "ttl": ttl,
        "expires_at": when.now + ttl,
        "steady_expiry": when.steady + ttl,
        "machine": process.machine,
        "pid": process.pid,
        "pid_started": process.started,
    }


def _is_lease(lease: Lease) -> tuple[Any, ...]:
    return leases.c.stack == lease.stack, leases.c.epoch == lease.epoch, leases.c.holder == lease.holder


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"another process took over the stack {lease.stack!r}: this one writes nothing more for it",
        hint="it was stopped, or could not reach the store, for longer than its lease lasts",
    )
