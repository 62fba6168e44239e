"""The whole daemon: a follower per stack, the HTTP port, and what signals do. Called by cli/daemon."""

from __future__ import annotations

import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import structlog

from trueup.daemon.engine import Engine, Followed
from trueup.daemon.follow import LONGEST_SLEEP, Follower
from trueup.daemon.metrics import Metrics
from trueup.daemon.order import Order
from trueup.errors import UsageError

log = structlog.get_logger("trueup.daemon")

STOP = frozenset({signal.SIGTERM, signal.SIGINT})


class Service:
    """Follows all configured stacks. Whatever happens to one of them does not touch the others."""

    def __init__(
        self,
        engine: Engine,
        stacks: Sequence[Followed],
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not stacks:
            raise UsageError(
                "there is no stack to follow",
                hint="add a [[stacks]] table to trueup.toml, see docs/daemon.md",
            )
        order = Order()
        self._followers = [Follower(stack, engine, metrics, order, now) for stack in stacks]
        self._is_draining = False
        self._now = now

    def start(self) -> None:
        for follower in self._followers:
            follower.start()

    def look(self) -> None:
        """Looks at every source now."""
        for follower in self._followers:
            follower.look()

    def drain(self, seconds: float) -> tuple[str, ...]:
        """Finishes and records the calls in flight, begins nothing new.

        Gives the names of the stacks whose run did not end in time. Its intents are in the store, so the
        next run resolves what became of its calls.
        """
        self._is_draining = True
        for follower in self._followers:
            follower.stop()
        deadline = self._now() + seconds
        return tuple(
            follower.stack.name for follower in self._followers if not follower.join(deadline - self._now())
        )

    def find_faults(self) -> Mapping[str, str]:
        """The stacks that are not looked after, with why."""
        faults = {follower.stack.name: follower.find_fault() for follower in self._followers}
        return {name: why for name, why in faults.items() if why}

    def find_unready(self) -> Mapping[str, str]:
        """The stacks that have not had their first run, or whose store fails; all of them while draining."""
        if self._is_draining:
            return {follower.stack.name: "the daemon is stopping" for follower in self._followers}
        unready = {
            follower.stack.name: "its first run has not ended yet"
            if not follower.is_tried()
            else follower.find_store_fault()
            for follower in self._followers
        }
        return {name: why for name, why in unready.items() if why}


def serve_until_stopped(service: Service, drain_timeout: float) -> bool:
    """Runs the service until SIGTERM or SIGINT, then drains; whether every run ended in time.

    SIGHUP looks at every source at once. A second SIGTERM or SIGINT ends the process on the spot: the
    intents in the store tell the next run what was under way.
    """
    with _signals() as arrived:
        service.start()
        while True:
            received = _next(arrived)
            if received in STOP:
                break
            log.info("looking at every source", signal=received.name)
            service.look()
        log.info("stopping", signal=received.name, drain_timeout=drain_timeout)
        late = service.drain(drain_timeout)
    if late:
        log.warning("stopped before these runs ended; the next run resolves their intents", stacks=list(late))
    else:
        log.info("stopped")
    return not late


@contextmanager
def _signals() -> Iterator[queue.SimpleQueue[signal.Signals]]:
    """The signals that arrive, in order.

    A SimpleQueue may be written to from a signal handler that interrupts its own reader; an Event may not.
    """
    arrived: queue.SimpleQueue[signal.Signals] = queue.SimpleQueue()
    is_stopping = False

    def receive(number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if number in STOP:
            if is_stopping:
                _end_now(number)
            is_stopping = True
        arrived.put(signal.Signals(number))

    before = {number: signal.signal(number, receive) for number in (*STOP, signal.SIGHUP)}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _next(arrived: queue.SimpleQueue[signal.Signals]) -> signal.Signals:
    """The next signal. It looks up now and then: one that comes in the very moment before a wait begins does
    not interrupt it, and its handler runs only once the main thread is awake."""
    while True:
        with suppress(queue.Empty):
            return arrived.get(timeout=LONGEST_SLEEP)


def _end_now(number: int) -> None:
    """Dies of the signal, as the one who sent it expects, without waiting for any thread."""
    sys.stderr.write("trueup: stopped at once by a second signal\n")
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
