"""A store in PostgreSQL that fails before, in the middle of and after every step of a run: a real server.

Nothing is called without an intent that lasts; the error says which store it is and what to do; once the
fault is over, the next run puts everything right.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.postgres.fixtures import PostgresServer, start_server
from tests.stress.faulty_stores import POINTS, Bench

from trueup.errors import StoreError
from trueup.reconcile import crash_point

ROLE = "keeper"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own, which is stopped now and then."""
    server = start_server()
    server.ask(f"CREATE ROLE {ROLE} LOGIN")
    yield server
    server.remove()


@pytest.fixture
def bench(tmp_path: Path, server: PostgresServer) -> Bench:
    url = server.create()
    database = url.partition("@/")[2].partition("?")[0]
    server.ask(f"ALTER DATABASE {database} OWNER TO {ROLE}")
    url = url.replace("postgres@", f"{ROLE}@") + "&options=-c lock_timeout=300ms"
    bench = Bench(tmp_path, url.replace(" ", "%20"))

    def read_intents() -> set[str]:
        host = str(server.directory)
        with psycopg.connect(host=host, user="postgres", dbname=database) as connection:
            return {address for (address,) in connection.execute("SELECT address FROM intents").fetchall()}

    bench.world.read_intents = read_intents
    bench.prepare()
    return bench


class Fault:
    """Something that happens to a database, until it is over. `pattern`: what the error says of it."""

    pattern = ""

    def __init__(self, server: PostgresServer, bench: Bench) -> None:
        self.server = server
        self.database = bench.store.partition("@/")[2].partition("?")[0]

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def cut(self) -> None:
        """Ends every session of the database, and waits for their end."""
        self.server.ask(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            f"WHERE datname = '{self.database}' AND pid <> pg_backend_pid()"
        )


class Stopped(Fault):
    pattern = "cannot be reached"

    def begin(self) -> None:
        self.server.stop()

    def end(self) -> None:
        self.server.start()


class ReadOnly(Fault):
    """As a replica is, after a failover to the wrong one."""

    pattern = "cannot be written"

    def begin(self) -> None:
        self.server.ask(f"ALTER DATABASE {self.database} SET default_transaction_read_only = on")
        self.cut()

    def end(self) -> None:
        self.server.ask(f"ALTER DATABASE {self.database} RESET default_transaction_read_only")
        self.cut()


class NoConnections(Fault):
    pattern = "no room or connections left"

    def begin(self) -> None:
        self.server.ask(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
        self.cut()

    def end(self) -> None:
        self.server.ask(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


class Locked(Fault):
    pattern = "is locked by another session"

    def begin(self) -> None:
        host = str(self.server.directory)
        self.holder = psycopg.connect(host=host, user="postgres", dbname=self.database)
        self.holder.execute("LOCK TABLE intents, steps, runs, leases IN EXCLUSIVE MODE")

    def end(self) -> None:
        self.holder.close()


class Emptied(Fault):
    """A failover to a database that has nothing in it."""

    pattern = "is not the one that was opened: its tables are missing"

    def begin(self) -> None:
        self.cut()
        self.server.ask(f"ALTER DATABASE {self.database} RENAME TO {self.database}_away")
        self.server.ask(f"CREATE DATABASE {self.database} OWNER {ROLE}")

    def end(self) -> None:
        self.cut()
        self.server.ask(f"DROP DATABASE {self.database}")
        self.server.ask(f"ALTER DATABASE {self.database}_away RENAME TO {self.database}")


class Gone(Emptied):
    pattern = "cannot be reached.*does not exist"

    def begin(self) -> None:
        self.cut()
        self.server.ask(f"ALTER DATABASE {self.database} RENAME TO {self.database}_away")

    def end(self) -> None:
        self.server.ask(f"ALTER DATABASE {self.database}_away RENAME TO {self.database}")


@pytest.mark.parametrize("kind", [Stopped, ReadOnly, NoConnections, Locked, Emptied, Gone])
def test_a_server_that_fails_in_the_middle_of_a_run(
    kind: type[Fault], bench: Bench, server: PostgresServer
) -> None:
    fault = kind(server, bench)
    intents = bench.world.read_intents
    # The fault is cut into the step itself; the engine has no thread at work meanwhile.
    bench.parallelism = 1
    for point in POINTS:
        if kind in (Emptied, Gone) and point == "after-intent":
            # The world cannot be asked for intents that are in a database under another name.
            bench.world.read_intents = None
        if kind is Stopped:
            bench.world.read_intents = None if point == "after-intent" else intents
        with bench.open() as app:
            error = bench.fail(app, point, fault.begin)
            fault.end()
            with pytest.raises(StoreError, match=f"(?s){kind.pattern}"):
                raise error
            assert "postgresql://keeper@/" in error.message
            assert error.hint
            bench.world.read_intents = intents
            bench.check(app)
            bench.recover(app)
        bench.prepare()


def test_a_session_that_is_ended_between_an_intent_and_its_outcome_costs_nothing(
    bench: Bench, server: PostgresServer
) -> None:
    """Connections are made again by themselves, since none of them is in a transaction then."""
    fault = Stopped(server, bench)
    bench.parallelism = 1
    with bench.open() as app:
        for point in POINTS:
            crash_point.watch(lambda reached, point=point: fault.cut() if reached == point else None)
            try:
                bench.recover(app)
            finally:
                crash_point.watch(None)
            bench.prepare()


def test_a_failover_to_a_copy_without_the_last_writes_ends_the_run(
    bench: Bench, server: PostgresServer
) -> None:
    """What the lease rests on is not there: the writer is refused before it calls anything more."""
    fault = Emptied(server, bench)

    def fail_over() -> None:
        fault.cut()
        server.ask(f"ALTER DATABASE {fault.database} RENAME TO {fault.database}_away")
        server.ask(f"CREATE DATABASE {fault.database} OWNER {ROLE} TEMPLATE {fault.database}_old")

    server.ask(f"CREATE DATABASE {fault.database}_old OWNER {ROLE} TEMPLATE {fault.database}")
    writes = bench.world.count_writes()
    bench.parallelism = 1
    with bench.open() as app:
        error = bench.fail(app, "before-intent", fail_over)
        assert "another process took over" in error.message
        assert bench.world.count_writes() == writes
        fault.end()
    # Nobody gave the lease free in this database; the process that had it has ended.
    server.ask("UPDATE leases SET pid_started = 1", fault.database)
    with bench.open() as app:
        bench.recover(app)


def test_a_server_that_is_down_before_a_run_calls_nothing(bench: Bench, server: PostgresServer) -> None:
    writes = bench.world.count_writes()
    server.stop()
    try:
        with bench.open() as app, pytest.raises(StoreError, match="cannot be reached"):
            app.reconcile(bench.source)
    finally:
        server.start()
    assert bench.world.count_writes() == writes
    with bench.open() as app:
        bench.recover(app)
