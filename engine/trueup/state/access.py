"""Transactions on the store's database, with its errors and its leases. Used by sql and by its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from sqlalchemy import Connection

from trueup.model.address import Address
from trueup.state import rows
from trueup.state.commits import CommitQueue
from trueup.state.database import Database
from trueup.state.failures import corrupt_row
from trueup.state.leases import LeaseTable
from trueup.state.process import Clock
from trueup.state.store import Lease

T = TypeVar("T")


class Access:
    """Runs pieces of work in a database, each in one transaction. Raises StoreError only."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._leases = LeaseTable(clock, has_server=database.file is None)
        self._queue = CommitQueue(database) if database.file is not None else None

    def _read(self, what: str, work: Callable[[Connection], T]) -> T:
        database = self._database
        with database.errors():
            try:
                with database.reading() as connection:
                    return work(connection)
            except rows.DamagedRow as error:
                what = f"the row of {error} is not as it was written, and {what}"
                raise corrupt_row(database.name, database.file, what) from error
            except (ValueError, KeyError, TypeError) as error:
                raise corrupt_row(database.name, database.file, what) from error

    def _write(self, work: Callable[[Connection], T]) -> T:
        with self._database.errors():
            if self._queue is not None:
                return self._queue.run(work)
            with self._database.writing() as connection:
                return work(connection)

    def _write_fenced(self, lease: Lease, work: Callable[[Connection], T]) -> T:
        def write(connection: Connection) -> T:
            self._leases.check(connection, lease)
            return work(connection)

        return self._write(write)


def require_stack(lease: Lease, addresses: Iterable[Address]) -> None:
    """Refuses addresses of another stack: fencing is by stack, and their writes would go past it."""
    for address in addresses:
        if address.stack != lease.stack:
            raise ValueError(f"{address} is not of the leased stack {lease.stack!r}")
