"""A process is stopped in the middle of a run, past its lease, while another takes over; then it goes on.

It makes no call and writes nothing any more, but for a call that was being made when it was stopped. Both are
real processes, on SQLite and on a real PostgreSQL; the world is files, and its log knows every call.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.stress.faulty_stores import FOREIGN, write
from tests.stress.invariants import check_at_rest, check_removed, look

from trueup.app import App, SourceSpec
from trueup.model.outcome import RunStatus
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, MemorySession
from trueup.sdk.testing.memory_world import Fault, FileWorld
from trueup.state.open import open_store

# Seconds that a lease lasts here.
TTL = 1.0
RUN = """
import os, signal, sys, threading
from trueup.app import App, SourceSpec
from trueup.errors import TrueupError
from trueup.reconcile import crash_point, hold
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import FileWorld

folder, store, point = sys.argv[1:]
hold.LEASE_TTL = float(os.environ["TTL"])
has_stopped = False
# Who is stopped while it renews its lease has the store locked, which is another matter.
gate = threading.Lock()
renew = hold.LeaseKeeper._renew

def renew_alone(keeper):
    with gate:
        renew(keeper)

hold.LeaseKeeper._renew = renew_alone

def reach(reached):
    global has_stopped
    if reached == point and not has_stopped:
        has_stopped = True
        with gate:
            # To this very thread, which would go on for a moment otherwise.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

crash_point.watch(reach)
world = FileWorld(f"{folder}/world")
with App(store, catalog=MemoryCatalog(MemoryProvider(world)), parallelism=1) as app:
    try:
        print(app.reconcile(SourceSpec(f"{folder}/stack")).status, flush=True)
    except TrueupError as error:
        print(type(error).__name__, flush=True)
        print(error, file=sys.stderr)
"""
# Where the leader is stopped, and how many calls it may still make: one where that was being made.
MOMENTS = {
    "after-run": 0,
    "after-rows": 0,
    "before-intent": 0,
    "after-intent": 0,
    "before-call": 1,
    "after-call": 0,
    "before-outcome": 0,
    "after-outcome": 0,
}


Start = Callable[["Place", str], "subprocess.Popen[str]"]


class Place:
    """A stack of two objects, the second of which depends on the first, with its world and its store."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self.store = store
        (folder / "world").mkdir()
        (folder / "stack").mkdir()
        self.world = FileWorld(folder / "world")
        for key, entry in FOREIGN.items():
            self.world.put(key, entry)
        spec = {"targets": [{"name": "here", "provider": "memory"}], "allowEmpty": True}
        write(
            folder / "stack", "stack", {"apiVersion": "trueup.dev/v1", "kind": "Stack", "spec": spec}, "shop"
        )
        self.declare("a", {"size": 1})
        self.declare("b", {"value": "${{ ref('Thing/a').status.id }}"})

    def declare(self, name: str, spec: dict[str, object]) -> None:
        whole = {"apiVersion": "memory.trueup.dev/v1", "kind": "Thing", "spec": spec}
        write(self.folder / "stack", name, whole, name)

    def start(self, point: str = "-") -> subprocess.Popen[str]:
        environment = {**os.environ, "TTL": str(TTL)}
        command = [sys.executable, "-c", RUN, str(self.folder), self.store, point]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def check(self) -> None:
        """Both objects are there once, and a run has nothing to do."""
        with App(self.store, catalog=MemoryCatalog(MemoryProvider(self.world))) as app:
            source = SourceSpec(str(self.folder / "stack"))
            deadline = time.monotonic() + 30
            while (held := app.store.lease("shop")) is not None:
                assert time.monotonic() < deadline, f"{held} was never given free"
                time.sleep(0.05)
            writes = self.world.count_writes()
            report = app.reconcile(source)
            assert (report.status, report.plan.has_changes) == (RunStatus.CONVERGED, False)
            assert self.world.count_writes() == writes, "I4: it writes although nothing is to be done"
            session = MemorySession(self.world, f"{app.store.installation}/shop")
            check_at_rest(look(MemoryProvider(self.world).kinds(), session, app.store, "shop"))
            check_removed(self.world, f"{app.store.installation}/shop", ())
        assert sorted(self.world.list_keys()) == ["Thing/a", "Thing/b", "Thing/nobody", "Thing/other"]


@pytest.fixture(params=["sqlite", "postgresql"])
def make_place(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql: Callable[[], str]
) -> Iterator[Callable[[str], Place]]:
    def make(name: str) -> Place:
        folder = tmp_path / name
        folder.mkdir()
        url = postgresql() if request.param == "postgresql" else str(folder / "store.db")
        open_store(url).close()
        return Place(folder, url)

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts runs of which none is left over."""
    started: list[subprocess.Popen[str]] = []

    def start(place: Place, point: str) -> subprocess.Popen[str]:
        started.append(place.start(point))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until_stopped(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert process.poll() is None, f"the run ended: {process.communicate()}"
        assert time.monotonic() < deadline, "the run did not come to the point"
        time.sleep(0.01)


def follow(place: Place) -> str:
    """A successor: it tries again while the stack is not free."""
    deadline = time.monotonic() + 60
    while True:
        with place.start() as successor:
            said = successor.communicate(timeout=60)[0].strip()
        if said != "StackBusy":
            return said
        assert time.monotonic() < deadline, "nobody could take over"


def test_a_leader_that_was_stopped_past_its_lease(make_place: Callable[[str], Place], start: Start) -> None:
    places = {point: make_place(point) for point in MOMENTS}
    leaders = {point: start(place, point) for point, place in places.items()}
    for leader in leaders.values():
        wait_until_stopped(leader)
    for point, place in places.items():
        assert follow(place) == "converged", point
        calls = place.world.calls()
        store = open_store(place.store)
        runs, rows = list(store.runs("shop")), store.inventory("shop")
        store.close()
        os.kill(leaders[point].pid, signal.SIGCONT)
        said = leaders[point].communicate(timeout=60)[0].strip()
        assert said == "LeaseLost", f"{point}: {said}"
        late = [call for call in place.world.calls()[len(calls) :] if call.is_write]
        assert len(late) <= MOMENTS[point], f"{point}: {late}"
        store = open_store(place.store)
        assert (list(store.runs("shop")), store.inventory("shop")) == (runs, rows), point
        store.close()
        place.check()


def test_a_leader_that_was_stopped_between_two_tries_of_a_call_does_not_try_again(
    make_place: Callable[[str], Place], start: Start
) -> None:
    """It has its intent already, and would need the store for nothing else before it calls."""
    place = make_place("again")
    place.world.inject(Fault("create", "Transient", times=1))
    leader = start(place, "-")
    deadline = time.monotonic() + 60
    while not any(call.verb == "create" for call in place.world.calls()):
        assert time.monotonic() < deadline, "nothing was created"
        time.sleep(0.005)
    leader.send_signal(signal.SIGSTOP)
    assert [call.verb for call in place.world.calls() if call.is_write] == ["create"]
    assert follow(place) == "converged"
    calls = len(place.world.calls())
    leader.send_signal(signal.SIGCONT)
    assert leader.communicate(timeout=60)[0].strip() == "LeaseLost"
    assert not [call for call in place.world.calls()[calls:] if call.is_write]
    place.check()


def test_a_leader_that_was_stopped_and_that_nobody_followed_goes_on(
    make_place: Callable[[str], Place], start: Start
) -> None:
    place = make_place("alone")
    leader = start(place, "after-intent")
    wait_until_stopped(leader)
    time.sleep(2 * TTL)
    leader.send_signal(signal.SIGCONT)
    assert leader.communicate(timeout=60)[0].strip() == "converged"
    place.check()
