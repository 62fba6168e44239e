"""The store in an SQL database: one implementation of store.Store for SQLite and PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, union

from trueup.model.address import Address
from trueup.model.outcome import Result, RunStatus
from trueup.model.values import Value
from trueup.state import rows
from trueup.state.access import require_stack
from trueup.state.database import MAX_ROW, Database, Identity
from trueup.state.decisions import Decisions
from trueup.state.failures import too_large_row
from trueup.state.inspection import Inspection
from trueup.state.process import Clock
from trueup.state.recovery import Recovery
from trueup.state.retention import fold_quiet, prune_history
from trueup.state.schema import intents, inventory, outputs, quarantines, runs, steps
from trueup.state.store import Lease, OpenIntent, PastStep, Record, RunRecord, Step

# All of a run but its plan, which can be large.
_RUN = tuple(column for column in runs.c if column.name != "plan")
_GONE = frozenset({Result.DELETED, Result.FORGOTTEN})

# Built once, because every step of a run needs them.
_PLACE = ("stack", "address", "action", "fingerprint")
_find_intent = select(intents.c.token).where(*(intents.c[name] == bindparam(name) for name in _PLACE))
_delete_intent = intents.delete().where(
    intents.c.token == bindparam("of_token"), intents.c.stack == bindparam("of_stack")
)
# SQLite has a limit of its own, see `database`.
_find_large = select(inventory.c.address).where(
    inventory.c.stack == bindparam("of_stack"), func.octet_length(inventory.c.body) > MAX_ROW
)
_delete_record = inventory.delete().where(
    inventory.c.stack == bindparam("of_stack"), inventory.c.address == bindparam("of_address")
)


class SqlStore(Decisions, Recovery):
    """See store.Store for what each method promises."""

    def __init__(self, database: Database, identity: Identity, clock: Clock, keep_runs: int) -> None:
        super().__init__(database, identity, clock)
        self._keep_runs = keep_runs
        self._inspection = Inspection(database) if database.opened is not None else None

    def inventory(self, stack: str) -> Mapping[Address, Record]:
        def read(connection: Connection) -> Mapping[Address, Record]:
            read_record = rows.record_reader(stack)
            query = select(*rows.RECORD).where(inventory.c.stack == stack)
            if self._database.file is None and connection.execute(_find_large, {"of_stack": stack}).first():
                raise too_large_row(self._database.name)
            found: Iterable[Sequence[Any]] = connection.execute(query)
            return {record.address: record for record in map(read_record, found)}

        return self._read(f"the inventory of {stack!r}", read)

    def addresses(self, stack: str) -> Sequence[str]:
        query = select(inventory.c.address).where(inventory.c.stack == stack).order_by(inventory.c.address)

        def read(connection: Connection) -> Sequence[str]:
            return list(connection.execute(query).scalars())

        return self._read(f"the inventory of {stack!r}", read)

    def stacks(self) -> Sequence[str]:
        query = union(select(inventory.c.stack), select(runs.c.stack)).order_by("stack")
        return self._read("the stacks", lambda connection: list(connection.execute(query).scalars()))

    def acquire_lease(self, stack: str, holder: str, ttl: float) -> Lease | None:
        def acquire(connection: Connection) -> Lease | None:
            self._refresh_identity(connection)
            return self._leases.acquire(connection, stack, holder, ttl)

        if not holder:
            raise ValueError("a lease needs a holder")
        if self._inspection is not None:
            self._inspection.start()
        return self._write(acquire)

    def lease(self, stack: str) -> Lease | None:
        return self._read("the lease", lambda connection: self._leases.find(connection, stack))

    def renew_lease(self, lease: Lease, ttl: float) -> Lease:
        return self._write(lambda connection: self._leases.renew(connection, lease, ttl))

    def release_lease(self, lease: Lease) -> None:
        self._write(lambda connection: self._leases.release(connection, lease))
        if self._inspection is not None:
            # A run that wrote nothing is told of what is wrong, too.
            self._inspection.wait()

    def begin_run(
        self,
        lease: Lease,
        *,
        url: str,
        commit: str,
        digest: str,
        author: str = "",
        trigger: str = "",
        approved_by: str = "",
        plan: str = "",
    ) -> int:
        def begin(connection: Connection) -> tuple[int, float]:
            started_at = self._leases.now(connection)
            values = {
                "stack": lease.stack,
                "url": rows.encode_text(url),
                "commit_id": commit,
                "digest": digest,
                "status": "",
                "started_at": started_at,
                "finished_at": 0.0,
                "counts": "{}",
                "author": rows.encode_text(author),
                "trigger": trigger,
                "approved_by": rows.encode_text(approved_by),
                "plan": rows.encode_text(plan),
            }
            run = connection.execute(runs.insert().returning(runs.c.id), values).scalar_one()
            prune_history(connection, lease.stack, self._keep_runs)
            _prune_quarantines(connection, lease.stack)
            return int(run), started_at

        if self._inspection is not None:
            self._inspection.wait()
        run, started_at = self._write_fenced(lease, begin)
        self._remember(lease.stack, run, started_at)
        return run

    def write_intent(
        self,
        lease: Lease,
        run: int,
        address: Address,
        action: str,
        *,
        fingerprint: str,
        external_id: str = "",
    ) -> str:
        require_stack(lease, [address])
        new_token = uuid.uuid4().hex
        place = dict(zip(_PLACE, (address.stack, address.text, action, fingerprint), strict=True))
        values = rows.encode_intent(place, new_token, external_id)

        def write(connection: Connection) -> str:
            open_token = connection.execute(_find_intent, place).scalar()
            if open_token is not None:
                connection.execute(intents.update().where(intents.c.token == open_token).values(run=run))
                return str(open_token)
            written_at = self._leases.now(connection)
            connection.execute(intents.insert(), {**values, "run": run, "written_at": written_at})
            return new_token

        return self._write_fenced(lease, write)

    def open_intents(self, stack: str) -> Sequence[OpenIntent]:
        query = (
            select(intents).where(intents.c.stack == stack).order_by(intents.c.written_at, intents.c.token)
        )
        return self._read(
            "the intents", lambda connection: [rows.read_intent(row) for row in connection.execute(query)]
        )

    def close_intent(self, lease: Lease, token: str) -> None:
        self._write_fenced(lease, lambda connection: _close_intent(connection, lease, token))

    def record_outcome(
        self, lease: Lease, run: int, step: Step, *, token: str = "", record: Record | None = None
    ) -> None:
        require_stack(lease, [step.address, *([record.address] if record else [])])
        values = rows.encode_step(run, step)
        records = [rows.encode_record(record)] if record else []

        def write(connection: Connection) -> None:
            connection.execute(steps.insert(), values)
            _write_records(connection, records)
            if step.result in _GONE:
                _delete_records(connection, [values], lease.stack)
            if token and step.result is not Result.FAILED:
                _close_intent(connection, lease, token)

        self._write_fenced(lease, write)

    def record_steps(self, lease: Lease, run: int, steps_: Sequence[Step], records: Sequence[Record]) -> None:
        require_stack(lease, (step.address for step in steps_))
        require_stack(lease, (record.address for record in records))
        values = [rows.encode_step(run, step) for step in steps_]
        gone = [value for value, step in zip(values, steps_, strict=True) if step.result in _GONE]
        record_values = [rows.encode_record(record) for record in records]

        def write(connection: Connection) -> None:
            if values:
                connection.execute(steps.insert(), values)
            _write_records(connection, record_values)
            _delete_records(connection, gone, lease.stack)

        self._write_fenced(lease, write)

    def write_outputs(self, lease: Lease, values: Mapping[str, Value], commit: str) -> None:
        row = {
            "stack": lease.stack,
            "values": rows.encode(dict(values)),
            "commit_id": rows.encode_text(commit),
        }

        def write(connection: Connection) -> None:
            connection.execute(outputs.delete().where(outputs.c.stack == lease.stack))
            connection.execute(outputs.insert(), {**row, "written_at": self._leases.now(connection)})

        self._write_fenced(lease, write)

    def outputs(self, stack: str) -> Mapping[str, Value] | None:
        query = select(outputs.c["values"]).where(outputs.c.stack == stack)

        def read(connection: Connection) -> Mapping[str, Value] | None:
            text = connection.execute(query).scalar()
            return None if text is None else rows.read_outputs(text)

        return self._read(f"the outputs of {stack!r}", read)

    def finish_run(self, lease: Lease, run: int, status: RunStatus, counts: Mapping[str, int]) -> None:
        def finish(connection: Connection) -> None:
            connection.execute(
                runs.update()
                .where(runs.c.id == run, runs.c.stack == lease.stack)
                .values(
                    status=status.value,
                    finished_at=self._leases.now(connection),
                    counts=rows.encode(dict(counts)),
                )
            )
            fold_quiet(connection, lease.stack, run)

        self._write_fenced(lease, finish)

    def runs(self, stack: str, limit: int = 20, *, trigger: str = "") -> Sequence[RunRecord]:
        of_stack = select(*_RUN).where(runs.c.stack == stack)
        if trigger:
            of_stack = of_stack.where(runs.c.trigger == trigger)
        query = of_stack.order_by(runs.c.id.desc()).limit(limit)
        return self._read(
            "the runs", lambda connection: [rows.read_run(row) for row in connection.execute(query)]
        )

    def run(self, run: int) -> RunRecord | None:
        query = select(*_RUN).where(runs.c.id == run)

        def read(connection: Connection) -> RunRecord | None:
            row = connection.execute(query).first()
            return None if row is None else rows.read_run(row)

        return self._read(f"run {run}", read)

    def plan_of(self, run: int) -> str:
        query = select(runs.c.plan).where(runs.c.id == run)
        return self._read(f"run {run}", lambda connection: str(connection.execute(query).scalar() or ""))

    def past_steps(
        self, address: Address, results: Collection[Result], limit: int = 20
    ) -> Sequence[PastStep]:
        of_node = select(steps).where(steps.c.address == address.text, steps.c.result.in_(results))

        def read(connection: Connection) -> Sequence[PastStep]:
            found = connection.execute(of_node.order_by(steps.c.id.desc()).limit(limit)).all()
            of_steps = select(*_RUN).where(runs.c.id.in_({row.run for row in found}))
            by_id = {row.id: rows.read_run(row) for row in connection.execute(of_steps)}
            return [PastStep(by_id[row.run], rows.read_step(row)) for row in found]

        return self._read(f"the steps of {address}", read)

    def steps(self, run: int) -> Sequence[Step]:
        query = select(steps).where(steps.c.run == run).order_by(steps.c.id)
        return self._read(
            f"run {run}", lambda connection: [rows.read_step(row) for row in connection.execute(query)]
        )

    def close(self) -> None:
        if self._inspection is not None:
            self._inspection.end()
        with self._database.errors():
            self._database.engine.dispose()


def _close_intent(connection: Connection, lease: Lease, token: str) -> None:
    connection.execute(_delete_intent, {"of_token": token, "of_stack": lease.stack})


def _write_records(connection: Connection, records: Sequence[Mapping[str, Any]]) -> None:
    # Deleting and inserting works in every dialect, and the lease makes this the only writer of the rows.
    if records:
        _delete_records(connection, records, records[0]["stack"])
        connection.execute(inventory.insert(), list(records))


def _delete_records(connection: Connection, values: Sequence[Mapping[str, Any]], stack: str) -> None:
    if values:
        connection.execute(
            _delete_record, [{"of_stack": stack, "of_address": value["address"]} for value in values]
        )


def _prune_quarantines(connection: Connection, stack: str) -> None:
    """Those of objects that are gone end with them."""
    known = select(inventory.c.address).where(inventory.c.stack == stack)
    gone = (quarantines.c.stack == stack, quarantines.c.address.not_in(known))
    connection.execute(quarantines.delete().where(*gone))
