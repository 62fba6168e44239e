"""How a store is known again, and how a lost or old one is rebuilt. Part of sql."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, func, select, text

from trueup.errors import StoreError
from trueup.model.outcome import RunStatus
from trueup.state import rows
from trueup.state.access import require_stack
from trueup.state.database import IN_MEMORY, Database, Identity
from trueup.state.journal import Journal
from trueup.state.marks import Marks
from trueup.state.process import Clock
from trueup.state.schema import intents, inventory, leases, runs, settings, steps
from trueup.state.store import Event, Lease, Mark, Rebuilt


class Recovery(Journal):
    """The installation that a store belongs to, the marks outside of it, and what makes them fit again."""

    def __init__(self, database: Database, identity: Identity, clock: Clock) -> None:
        super().__init__(database, clock)
        self._identity = identity
        self._marks = _find_marks(database)
        self._may_mark = str(database.file) != IN_MEMORY

    @property
    def installation(self) -> str:
        return self._identity.installation

    @property
    def digest_key(self) -> bytes:
        return self._identity.digest_key

    def mark(self, stack: str) -> Mark | None:
        return self._marks.read(stack) if self._marks is not None else None

    def forget_mark(self, stack: str) -> None:
        if self._marks is not None and self._may_mark:
            self._marks.forget(stack)

    def _remember(self, stack: str, run: int, at: float) -> None:
        if self._marks is not None and self._may_mark:
            self._marks.write(stack, Mark(self.installation, run, at))

    def _refresh_identity(self, connection: Connection) -> None:
        """Takes up the id that a recovery in another process gave to this store since it was opened."""
        query = select(settings.c.value).where(settings.c.name == "installation")
        installation = connection.execute(query).scalar()
        if installation and installation != self.installation:
            self._identity = replace(self._identity, installation=str(installation))

    def rebuild(self, lease: Lease, rebuilt: Rebuilt) -> int:
        require_stack(lease, (record.address for record in rebuilt.records))
        require_stack(lease, (step.address for step in rebuilt.steps))

        def write(connection: Connection) -> tuple[int, float]:
            self._take_over(connection, lease.stack, rebuilt.installation)
            now = self._leases.now(connection)
            values = {
                "stack": lease.stack,
                "url": rows.encode_text(rebuilt.url),
                "commit_id": rebuilt.commit,
                "digest": rebuilt.digest,
                "status": RunStatus.CONVERGED.value,
                "started_at": now,
                "finished_at": now,
                "counts": rows.encode(Counter(step.result.value for step in rebuilt.steps)),
                "author": rows.encode_text(rebuilt.author),
                "trigger": "recover",
            }
            run = _add_run(connection, values, self.mark(lease.stack))
            for record in rebuilt.records:
                of_record = (inventory.c.stack == lease.stack, inventory.c.address == record.address.text)
                connection.execute(inventory.delete().where(*of_record))
                connection.execute(inventory.insert(), rows.encode_record(replace(record, run=run)))
            if rebuilt.steps:
                connection.execute(steps.insert(), [rows.encode_step(run, step) for step in rebuilt.steps])
            self._add_events(connection, lease.stack, [Event("recovered", rebuilt.message, run=run)])
            return run, now

        run, started_at = self._write_fenced(lease, write)
        self._identity = replace(self._identity, installation=rebuilt.installation)
        self._remember(lease.stack, run, started_at)
        return run

    def _take_over(self, connection: Connection, stack: str, installation: str) -> None:
        """Makes an empty store that of another installation. Raises StoreError before the first write."""
        self._refresh_identity(connection)
        if installation == self.installation:
            return
        others = select(leases.c.stack).where(leases.c.holder != "", leases.c.stack != stack)
        busy = [
            name
            for name in connection.execute(others).scalars().all()
            if self._leases.find(connection, name) is not None
        ]
        known = [
            connection.execute(select(table.c.stack).limit(1)).scalar() for table in (inventory, intents)
        ]
        if busy or any(known):
            raise StoreError(
                f"the store cannot become that of installation {installation}: it is in use for"
                f" {', '.join(dict.fromkeys((*busy, *filter(None, known))))}",
                hint="recover the stack with a store of its own: trueup recover SOURCE --store FILE",
            )
        connection.execute(
            settings.update().where(settings.c.name == "installation").values(value=installation)
        )


def _find_marks(database: Database) -> Marks | None:
    """What is remembered of a store, also of one whose file is not there."""
    if str(database.file) != IN_MEMORY:
        return Marks(database.name, is_local=database.file is not None)
    return Marks(str(database.missing), is_local=True) if database.missing is not None else None


def _add_run(connection: Connection, values: Mapping[str, object], mark: Mark | None) -> int:
    """Adds a run whose id is past that of the mark: no copy of the lost store passes for a newer one."""
    insert = runs.insert().returning(runs.c.id)
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        connection.execute(text("LOCK TABLE runs IN EXCLUSIVE MODE"))  # its sequence is read, then set
    run = int(connection.execute(insert, values).scalar_one())
    if mark is None or run > mark.run:
        return run
    connection.execute(runs.delete().where(runs.c.id == run))
    run = int(connection.execute(insert, {**values, "id": mark.run + 1}).scalar_one())
    if is_postgresql:
        # SQLite counts on from the largest id by itself.
        connection.execute(select(func.setval(func.pg_get_serial_sequence("runs", "id"), run)))
    return run
