"""Follows one stack for ever: looks at its source in one thread, reconciles it in another.

Two threads, so that a new commit is seen while a run waits, and supersedes it. One `Follower` per stack, so
that whatever happens to one stack happens to that one alone. Called by `service`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from trueup.collector import collect_garbage
from trueup.daemon.engine import Engine, Followed
from trueup.daemon.heed import Heed
from trueup.daemon.metrics import Metrics
from trueup.daemon.narrate import Narrator, describe_problem, tell_holds, tell_quarantines
from trueup.daemon.order import Order
from trueup.daemon.schedule import (
    CRASHED,
    LONGEST_BACKOFF,
    LONGEST_STORE_BACKOFF,
    STAND_BY,
    Schedule,
)
from trueup.errors import Interrupted, LeaseLost, PinnedStack, StackBusy, StoreError, TrueupError
from trueup.model.outcome import Result, RunStatus
from trueup.model.quarantine import Quarantine
from trueup.model.values import Value
from trueup.state.store import Event, Pin

log = structlog.get_logger("trueup.daemon")

# A run is as long as its slowest wait; one that tells nothing for this long hangs.
# Seconds that the main thread sleeps at most, so that it handles signals soon.
LONGEST_SLEEP = 0.5
SILENT_RUN = 3600.0
# What a run came to that has to wait for another stack.
WAITING = "waiting"
# What it came to that must not begin before the stack is resumed.
SUSPENDED = "suspended"
# What it came to while another process works on the stack.
BUSY = "busy"
# The interval of a stack until its own file was read.
FIRST_INTERVAL = 300.0


class Follower:
    """One stack's two threads and what they share. Thread safe."""

    def __init__(
        self,
        stack: Followed,
        engine: Engine,
        metrics: Metrics,
        order: Order,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stack = stack
        self._order = order
        self._engine = engine
        self._metrics = metrics
        self._now = now
        self._log = log.bind(stack=stack.name)
        self._changed = threading.Condition()
        self._schedule = Schedule(stack.poll, stack.interval or FIRST_INTERVAL, now())
        self._is_stopping = False
        self._run_stop: threading.Event | None = None
        self._progress_at = now()
        self._settings_of: str | None = None
        self._stack_name = ""
        self._fault = ""
        self._is_tried = False
        self._source_fault = ""
        self._store_fault = ""
        self._is_standing_by = False
        self._blocker = ""
        self._has_changed = False
        self._heed = Heed(stack.name, lambda: engine.store, metrics, self._log)
        self._outputs: Mapping[str, Value] = {}
        self._quarantines: Sequence[Quarantine] = ()
        self._threads = [
            threading.Thread(target=self._forever, args=(step,), name=f"{stack.name}/{name}", daemon=True)
            for name, step in (("poll", self._poll_step), ("run", self._run_step))
        ]
        # What was fetched last will do while the repository is down: drift goes on being corrected.
        self._source = replace(stack.source, is_offline_allowed=True)
        metrics.watch_source(stack.name, self.source_age)
        order.join(stack.name, self.wake)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def look(self) -> None:
        """Looks at the source now instead of at the next poll."""
        with self._changed:
            self._schedule.next_poll = self._now()
            self._changed.notify_all()

    def wake(self) -> None:
        """Runs soon: a stack that this one needs has changed."""
        with self._changed:
            self._schedule.woke(self._now())
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends both threads soon: the calls in flight are finished and recorded, nothing new begins."""
        with self._changed:
            self._is_stopping = True
            if self._run_stop is not None:
                self._run_stop.set()
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Waits for the run to end; whether it did. A look at the source writes nothing, so it is left."""
        runner = self._threads[1]
        deadline = time.monotonic() + seconds
        while runner.is_alive() and (left := deadline - time.monotonic()) > 0:
            # In short waits, for the sake of signals: see service.
            runner.join(min(left, LONGEST_SLEEP))
        return not runner.is_alive()

    def source_age(self) -> float:
        """Seconds since the source answered last; since the start if it never did."""
        with self._changed:
            answered_at = self._schedule.answered_at
            return self._now() - (self._schedule.started_at if answered_at is None else answered_at)

    def is_tried(self) -> bool:
        """Whether a first run ended, however it did: a stack that fails keeps the daemon from nothing."""
        with self._changed:
            return self._is_tried

    def find_store_fault(self) -> str:
        """Why the last run could not use the store, empty if it could."""
        return self._store_fault

    def _note_store_fault(self, fault: str) -> None:
        self._store_fault = fault
        self._metrics.store_usable.labels(self.stack.name).set(not fault)

    def find_fault(self) -> str:
        """Why this stack is not being looked after, empty if it is. A stack that fails is looked after."""
        with self._changed:
            now, schedule = self._now(), self._schedule
            patience = 3 * max(schedule.interval, schedule.poll)
            if not self._is_stopping and not all(thread.is_alive() for thread in self._threads):
                return "a thread ended"
            if now - schedule.next_poll > patience:
                return f"its source was not looked at for {now - schedule.next_poll:.0f} s"
            if self._run_stop is not None:
                silent = now - self._progress_at
                return (
                    f"its run tells nothing for {silent:.0f} s" if silent > max(patience, SILENT_RUN) else ""
                )
            if now - schedule.next_run > patience:
                return f"its run is overdue by {now - schedule.next_run:.0f} s"
            return ""

    # -- the threads

    def _forever(self, step: Callable[[], float]) -> None:
        """Repeats a step until the end; each says when it wants to be called again."""
        while True:
            at = step()
            with self._changed:
                # Woken early by news or by the end; a step that has nothing to do yet says so again.
                if not self._is_stopping:
                    self._changed.wait(min(max(0.0, at - self._now()), threading.TIMEOUT_MAX))
                if self._is_stopping:
                    return

    def _poll_step(self) -> float:
        with self._changed:
            if self._now() < self._schedule.next_poll:
                return self._schedule.next_poll
        is_decided = self._heed.find_decision(self._stack_name)
        before, pin = self._heed.pin, self._heed.find_pin(self._stack_name)
        commit = self._ask_source()
        # A stack that stays at a commit is run at that, whatever its source has.
        pinned = pin.commit if pin is not None else ""
        with self._changed:
            now = self._now()
            if commit:
                is_news = self._schedule.saw_commit(now, pinned or commit)
            else:
                self._schedule.missed_source(now)
                is_news = bool(pinned) and self._schedule.took_commit(now, pinned)
            if is_news:
                self._log.info("new commit", commit=self._schedule.commit)
            is_suspended = pin is not None and pin.is_suspended
            if (is_news or is_suspended) and self._run_stop is not None:
                self._run_stop.set()
            if is_decided or (pin != before and not is_suspended):
                self._schedule.woke(now)
            # Even without an answer there may be a run to start: the first one.
            self._changed.notify_all()
            return self._schedule.next_poll

    def _ask_source(self) -> str:
        """The newest commit, empty where the source does not answer."""
        try:
            commit = self._engine.latest_commit(self.stack.source)
        except TrueupError as error:
            # A repository may be down for days: each reason is told once.
            tell = self._log.debug if self._source_fault == error.message else self._log.warning
            tell("source unreachable", **describe_problem(error.problems[0]), age=round(self.source_age()))
            if self._source_fault != error.message:
                self._keep_event("source", f"the source gives no answer: {error.message}")
            self._source_fault = error.message
        except BaseException:  # noqa: BLE001 - else a fault of ours would end the thread, and the stack, silently
            self._log.exception("crashed while looking at the source")
            self._source_fault = "crashed"
        else:
            if self._source_fault:
                self._log.info("source answers again", commit=commit)
                self._keep_event("source", f"the source answers again: {commit}")
            self._source_fault = ""
            return commit
        self._metrics.source_errors.labels(self.stack.name).inc()
        return ""

    def _run_step(self) -> float:
        with self._changed:
            now = self._now()
            if self._is_stopping or not self._schedule.is_due(now):
                return self._schedule.next_run
            trigger = self._schedule.began_run()
            commit = self._schedule.commit
            stop = self._run_stop = threading.Event()
            self._progress_at = now
        status: RunStatus | str = CRASHED
        try:
            status = self._run(commit, trigger, stop)
        except BaseException:  # noqa: BLE001 - as above
            self._log.exception("crashed", commit=commit)
        if status == SUSPENDED:
            self._order.suspend(self.stack.name)
        if status in (WAITING, SUSPENDED, BUSY):
            with self._changed:
                self._run_stop = None
                # A suspended stack keeps the daemon from nothing, and so does one that another looks after.
                self._is_tried = self._is_tried or status != WAITING
                self._schedule.waits(self._now(), STAND_BY if status == BUSY else None)
                return self._schedule.next_run
        self._order.end(
            self.stack.name,
            has_converged=status == RunStatus.CONVERGED,
            has_changed=self._has_changed,
        )
        self._metrics.count_run(self.stack.name, status, self._now() - now)
        collect_garbage()
        with self._changed:
            self._run_stop = None
            self._is_tried = True
            # A store is close, so asking it costs little; and meanwhile nothing is looked after.
            longest = LONGEST_STORE_BACKOFF if self._store_fault else LONGEST_BACKOFF
            self._schedule.ended_run(self._now(), status, longest)
            pause, failures = self._schedule.next_run - self._now(), self._schedule.failures
        if failures:
            self._log.info("will retry", commit=commit, seconds=round(pause, 1), failures=failures)
            self._keep_retry(pause, failures)
        return self._now() + pause

    def _keep_retry(self, pause: float, failures: int) -> None:
        """Tells `trueup why` of the next try."""
        at = datetime.now(UTC) + timedelta(seconds=pause)
        message = f"the daemon tries again at {at:%Y-%m-%dT%H:%M:%SZ}, after {failures} without success"
        self._keep_event("retry", f"{message}: {self._fault}" if self._fault else message)

    def _keep_event(self, kind: str, message: str) -> None:
        if not self._stack_name:
            return
        try:
            self._engine.store.add_events(self._stack_name, [Event(kind, message)])
        except TrueupError as error:
            self._log.warning("could not keep an event", error=error.message)
        except Exception:  # noqa: BLE001 - the thread, and the stack, must go on without the event
            self._log.warning("could not keep an event", exc_info=True)

    def _run(self, commit: str, trigger: str, stop: threading.Event) -> RunStatus | str:
        bound = self._log.bind(commit=commit)
        self._has_changed = False
        self._fault = ""
        try:
            pin = self._find_pin(commit)
            if pin is not None and pin.is_suspended:
                return SUSPENDED
            if self._has_to_wait():
                return WAITING
            self._heed.note_begun()
            decision = self._engine.store.latest_decision(self._stack_name)
            if trigger == "commit" and pin is not None:
                trigger = "rollback"
            report = self._engine.reconcile(
                self._source, trigger=trigger, listener=Narrator(bound, self._note_progress), stop=stop
            )
        except PinnedStack:
            # Suspended in this very moment; the next look tells it.
            return SUSPENDED
        except Interrupted:
            bound.info("run interrupted")
            return RunStatus.INTERRUPTED
        except TrueupError as error:
            return self._note_failure(error, bound)
        self._is_standing_by = False
        self._note_store_fault("")
        self._metrics.note_report(self.stack.name, report)
        with self._changed:
            if not self._schedule.ran_commit(self._now(), commit, report.plan.revision.commit):
                self._settings_of = None
        counts = {result.value: count for result, count in report.counts.items() if count}
        if report.status is not RunStatus.HELD:
            # Outputs change without any node: by a variable, or by what a system reports of itself.
            self._has_changed = (
                not counts.keys() <= {Result.UNCHANGED.value} or report.outputs != self._outputs
            )
            self._outputs = report.outputs
        bound = bound.bind(
            commit=report.plan.revision.commit,
            run=report.run,
            status=report.status.value,
            seconds=round(report.seconds, 3),
        )
        tell_quarantines(bound, self._quarantines, report.quarantines)
        self._quarantines = report.quarantines
        if report.status is RunStatus.HELD:
            self._heed.note_held(decision)
            tell_holds(bound, report.plan)
        for problem in report.problems:
            bound.error("output failed", **describe_problem(problem))
        bound.info("run ended", **counts, left=len(report.left))
        return report.status

    def _note_failure(
        self, error: TrueupError, bound: structlog.typing.FilteringBoundLogger
    ) -> RunStatus | str:
        is_of_store = isinstance(error, StoreError) and not isinstance(error, LeaseLost | StackBusy)
        self._note_store_fault(error.message if is_of_store else "")
        if isinstance(error, StackBusy):
            # Its turn comes when the other one is done or has died.
            if not self._is_standing_by:
                bound.info("standing by", why=error.message)
            self._is_standing_by = True
            return BUSY
        for problem in error.problems:
            bound.error("run failed", **describe_problem(problem))
        # Where no run was begun, the history has nothing else to say of it.
        first = error.problems[0]
        where = f"{first.place}: " if first.place.file else ""
        self._fault = f"{where}{first.message}" + (f" ({first.hint})" if first.hint else "")
        return RunStatus.FAILED

    def _read_settings(self, commit: str) -> None:
        """Takes the interval from the stack's own file, once for each commit that the source told."""
        if self._settings_of == commit:
            return
        loaded = self._engine.follow(self._source)
        self._heed.note_pin(loaded.pin)
        with self._changed:
            if loaded.pin is not None and loaded.pin.commit:
                commit = self._schedule.commit = loaded.pin.commit
            self._settings_of = commit
            self._stack_name = loaded.stack.name
            self._schedule.interval = self.stack.interval or loaded.stack.interval
        past = self._engine.store.runs(loaded.stack.name)
        has_converged = any(run.status is RunStatus.CONVERGED for run in past)
        self._order.declare(self.stack.name, loaded.stack.name, loaded.needs, has_converged=has_converged)

    def _find_pin(self, commit: str) -> Pin | None:
        """The stack's pin. A stack that is known to be suspended is not read: its files may be broken."""
        pin = self._heed.find_pin(self._stack_name)
        if pin is None or not pin.is_suspended:
            self._read_settings(commit)
        return self._heed.pin

    def _has_to_wait(self) -> bool:
        """Whether a stack that this one needs has to come first; each reason is told once."""
        blocker = self._order.begin(self.stack.name)
        if blocker and blocker != self._blocker:
            self._log.info("waits", why=blocker)
            self._keep_event("waits", f"the daemon waits: {blocker}")
        self._blocker = blocker
        return bool(blocker)

    def _note_progress(self) -> None:
        with self._changed:
            self._progress_at = self._now()
