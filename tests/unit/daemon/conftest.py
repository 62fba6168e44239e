"""An engine that a test directs, and ways to wait for what the daemon's threads do."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from trueup.app import SourceSpec
from trueup.daemon.engine import Followed
from trueup.daemon.metrics import Metrics
from trueup.errors import PinnedStack, SourceError
from trueup.model.outcome import RunStatus
from trueup.model.plan import Plan
from trueup.model.resource import Revision, Stack
from trueup.reconcile.report import RunReport

DEADLINE = 30.0


def wait_until(condition, what="the condition"):
    """Waits for what another thread does; far longer than it can take on a busy machine."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.005)


class FakeEngine:
    """Answers as the test says. `commits` maps a location to its newest commit, None: unreachable.

    `behave` is called in the run with location, commit and stop event; it gives the status or raises.
    """

    def __init__(self):
        self.commits = {}
        self.intervals = {}
        self.needs = {}
        self.runs = []
        self.triggers = []
        self.events = []
        self.decision = None
        self.pins = {}
        self.history = {}
        self.store = SimpleNamespace(
            runs=lambda stack: self.history.get(stack, ()),
            latest_decision=lambda stack: self.decision,
            pin_of=lambda stack: self.pins.get(stack),
            add_events=lambda stack, events: self.events.extend((stack, event) for event in events),
        )
        self.behave = lambda location, commit, stop: RunStatus.CONVERGED

    def latest_commit(self, source):
        commit = self.commits[source.location]
        if commit is None:
            raise SourceError(f"{source.location}: unreachable")
        if isinstance(commit, BaseException):
            raise commit
        return commit

    def follow(self, source):
        stack = Stack(name=source.location, interval=self.intervals.get(source.location, 300.0))
        needs = self.needs.get(source.location, ())
        return SimpleNamespace(stack=stack, needs=needs, pin=self.pins.get(source.location))

    def reconcile(self, source, *, trigger="once", listener=None, stop=None):
        # As the mirror does: what was fetched last, where that is allowed and the repository is down.
        commit = self.commits[source.location]
        if not isinstance(commit, str):
            assert source.is_offline_allowed
            commit = "mirrored"
        pin = self.pins.get(source.location)
        if pin is not None:
            if pin.is_suspended:
                raise PinnedStack(f"{source.location} is suspended")
            commit = pin.commit
        self.runs.append((source.location, commit))
        self.triggers.append(trigger)
        result = self.behave(source.location, commit, stop)
        plan = Plan(source.location, Revision(source.location, "", commit), changes=())
        if isinstance(result, RunReport):
            return result
        return RunReport(plan, result, run=len(self.runs))

    def runs_of(self, location):
        return [commit for name, commit in list(self.runs) if name == location]


class FakeClock:
    """A clock that the test sets; the daemon's threads are woken by `look`."""

    def __init__(self):
        self.time = 1000.0
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            return self.time

    def advance(self, seconds):
        with self._lock:
            self.time += seconds


def followed(name, **options):
    return Followed(name, SourceSpec(name), **options)


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def daemon():
    """The pieces that a test builds a daemon from."""
    return SimpleNamespace(wait_until=wait_until, followed=followed)


@pytest.fixture
def sample(metrics):
    """Reads one metric."""
    return lambda name, **labels: metrics.registry.get_sample_value(name, labels)
