"""Two daemons, real processes, with one store: whatever dies, each change is made once, by one of them.

And a daemon whose store fails for a while, or for good: it goes on by itself, or says so and lives on.
"""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.stress.faulty_stores import FOREIGN, write
from tests.stress.invariants import check_at_rest, check_removed, check_untouched, look

from trueup.sdk.testing.memory import MemoryProvider, MemorySession
from trueup.sdk.testing.memory_world import FileWorld
from trueup.state.open import open_store

DAEMON = """
import logging, sys
from trueup.app import App, SourceSpec
from trueup.daemon import schedule
from trueup.daemon.engine import Followed
from trueup.daemon.logs import configure_logs
from trueup.daemon.metrics import Metrics
from trueup.daemon.serve import Server
from trueup.daemon.service import Service, serve_until_stopped
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import FileWorld
from trueup.state import database

folder, store, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
database.BUSY_TIMEOUT = 0.3
schedule.FIRST_BACKOFF = 0.3
configure_logs(sys.stderr, logging.INFO)
metrics = Metrics()
world = FileWorld(f"{folder}/world")
world.delay = 0.01
with App(store, catalog=MemoryCatalog(MemoryProvider(world)), parallelism=2) as app:
    source = SourceSpec(f"{folder}/stack")
    service = Service(app, [Followed("shop", source, poll=0.2, interval=0.4)], metrics)
    server = Server("127.0.0.1", 0, service, metrics)
    server.start()
    print(server.port, flush=True)
    serve_until_stopped(service, 20.0)
    server.close()
"""


class Daemon:
    """One process. Its log is in a file."""

    def __init__(self, folder: Path, store: str, name: str, crash_at: str = "") -> None:
        self.log_file = folder / f"{name}.log"
        environment = {**os.environ, **({"TRUEUP_CRASH_AT": crash_at} if crash_at else {})}
        with self.log_file.open("wb") as log:
            command = [sys.executable, "-c", DAEMON, str(folder), store, "0"]
            self.process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log
        self.port = int(line)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def get(self, path: str) -> tuple[int, str]:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(f"{name}{{")]
        return float(lines[0].rsplit(" ", 1)[1])

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert "Traceback" not in self.log, self.log


class Place:
    """A stack, its world and its store."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self.store = store
        (folder / "world").mkdir()
        (folder / "stack").mkdir()
        self.world = FileWorld(folder / "world")
        for key, entry in FOREIGN.items():
            self.world.put(key, entry)
        spec = {"targets": [{"name": "here", "provider": "memory"}], "guards": {"maxDeletes": 99}}
        write(
            folder / "stack", "stack", {"apiVersion": "trueup.dev/v1", "kind": "Stack", "spec": spec}, "shop"
        )
        self.declared: dict[str, int] = {}

    def declare(self, **things: int) -> None:
        for name, size in things.items():
            whole = {"apiVersion": "memory.trueup.dev/v1", "kind": "Thing", "spec": {"size": size}}
            part = self.folder / "part"
            part.mkdir(exist_ok=True)
            write(part, name, whole, name)
            (part / f"{name}.yaml").rename(self.folder / "stack" / f"{name}.yaml")
        self.declared.update(things)

    def is_converged(self) -> bool:
        entries = {name: self.world.peek(f"Thing/{name}") for name in self.declared}
        return all(
            entry is not None and entry["spec"]["size"] == self.declared[name]
            for name, entry in entries.items()
        )

    def check(self) -> None:
        """Nothing is double or lost, and what is at rest is left alone."""
        store = open_store(self.store)
        wait_until(lambda: not store.open_intents("shop"), "no intent is open")
        # Some runs more.
        newest = store.runs("shop", 1)[0].id
        writes = self.world.count_writes()
        wait_until(lambda: store.runs("shop", 1)[0].id > newest + 3, "the daemons go on")
        assert self.world.count_writes() == writes, "I4: it writes although nothing is to be done"
        session = MemorySession(self.world, f"{store.installation}/shop")
        check_at_rest(look(MemoryProvider(self.world).kinds(), session, store, "shop"))
        check_removed(self.world, f"{store.installation}/shop", ())
        check_untouched(self.world, FOREIGN)
        store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Callable[[], str]) -> Place:
    url = postgresql() if request.param == "postgresql" else str(tmp_path / "store.db")
    return Place(tmp_path, url)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    started: list[Daemon] = []

    def start(place: Place, **options: str) -> Daemon:
        started.append(Daemon(tmp_path, place.store, f"daemon{len(started)}", **options))
        return started[-1]

    yield start
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait(30)
        assert daemon.process.stdout is not None
        daemon.process.stdout.close()


def wait_until(is_true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


def test_each_change_is_made_once_and_no_two_runs_overlap(place: Place, start: Callable[..., Daemon]) -> None:
    place.declare(a=1, b=1)
    daemons = [start(place), start(place)]
    for size in range(2, 8):
        place.declare(a=size, **{f"more{size}": size})
        wait_until(place.is_converged, f"size {size}")
    place.check()
    for daemon in daemons:
        daemon.end()
    calls = Counter((call.verb, call.key) for call in place.world.calls() if call.is_write)
    assert {count for (verb, _), count in calls.items() if verb == "create"} == {1}
    store = open_store(place.store)
    runs = sorted(store.runs("shop", 1000), key=lambda run: run.started_at)
    store.close()
    for before, after in itertools.pairwise(runs):
        assert before.finished_at <= after.started_at, f"runs {before.id} and {after.id} overlap"


@pytest.mark.parametrize("crash_at", ["after-call"])
def test_one_that_dies_in_a_run_is_followed_by_the_other(
    place: Place, start: Callable[..., Daemon], crash_at: str
) -> None:
    place.declare(a=1, b=1, c=1, d=1)
    first = start(place, crash_at=f"{crash_at}:2")
    second = start(place)
    wait_until(place.is_converged, "everything is made")
    if first.process.poll() is None:
        # The second one was faster: the first has its turn with another change.
        place.declare(e=1, f=1, g=1, h=1)
        wait_until(place.is_converged, "everything is made")
    place.check()
    creates = Counter(call.key for call in place.world.calls() if call.verb == "create")
    assert sum(creates.values()) <= len(place.declared) + 1, "more than the call in flight was repeated"
    second.end()


def test_one_that_is_stopped_is_followed_after_its_lease_is_free(
    place: Place, start: Callable[..., Daemon]
) -> None:
    place.declare(a=1)
    daemons = [start(place), start(place)]
    wait_until(place.is_converged, "the first change")
    daemons[0].process.send_signal(signal.SIGTERM)
    assert daemons[0].process.wait(30) == 0
    place.declare(a=2, b=1)
    wait_until(place.is_converged, "the change that the second one makes")
    place.check()
    daemons[1].end()


def hold(file: Path) -> subprocess.Popen[bytes]:
    script = (
        "import sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n"
        "connection.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    command = [sys.executable, "-c", script, str(file)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_daemon_whose_store_is_locked_or_away_for_a_while_goes_on(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    place = Place(tmp_path, str(tmp_path / "store.db"))
    file = Path(place.store)
    place.declare(a=1)
    daemon = start(place)
    wait_until(lambda: place.is_converged() and daemon.get("/readyz")[0] == 200, "the first change")

    def is_told(words: str) -> bool:
        status, text = daemon.get("/readyz")
        return status == 503 and words in text and daemon.metric("trueup_store_usable") == 0

    for size, fault in enumerate(("locked", "away"), 2):
        if fault == "locked":
            holder = hold(file)
        else:
            file.rename(tmp_path / "away")
        writes = place.world.count_writes()
        place.declare(a=size)
        wait_until(lambda fault=fault: is_told({"locked": "is locked", "away": "moved away"}[fault]), fault)
        assert daemon.get("/healthz")[0] == 200, "a start anew would mend nothing"
        assert place.world.count_writes() == writes
        if fault == "locked":
            holder.kill()
            holder.communicate()
        else:
            assert not file.exists(), "a new store was made"
            (tmp_path / "away").rename(file)
        wait_until(place.is_converged, "it goes on by itself")
        wait_until(lambda: daemon.get("/readyz")[0] == 200, "it tells so")
        assert daemon.metric("trueup_store_usable") == 1
    place.check()
    daemon.end()


def test_a_daemon_with_a_damaged_store_says_so_and_lives(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    place = Place(tmp_path, str(tmp_path / "store.db"))
    place.declare(a=1)
    daemon = start(place)
    # Ready is a daemon whose first run has ended, so that nothing writes the row once more.
    wait_until(lambda: place.is_converged() and daemon.get("/readyz")[0] == 200, "the first change")
    connection = sqlite3.connect(place.store, timeout=30)
    connection.execute("UPDATE inventory SET body = replace(body, '1', '2')")
    connection.commit()
    connection.close()
    writes = place.world.count_writes()
    place.declare(a=2)
    wait_until(lambda: daemon.metric("trueup_store_usable") == 0, "the damage is found")
    assert "not as it was written" in daemon.get("/readyz")[1]
    wait_until(lambda: daemon.log.count("run failed") > 2, "it tries again")
    assert place.world.count_writes() == writes
    assert daemon.process.poll() is None
    daemon.end()
