"""Carries out a plan: every step whose dependencies are done, at once, within the limits. Called by cycle.

A failed step blocks its dependents and nothing else. One thread, the caller's, schedules and tells the
listener; workers only advance steps.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field

from trueup.errors import StoreError
from trueup.graph.build import EdgeReason
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.observation import Readiness
from trueup.model.outcome import Outcome, Result
from trueup.model.plan import Plan
from trueup.model.values import has_unknown
from trueup.reconcile.act import Act
from trueup.reconcile.boundary import health_of
from trueup.reconcile.call import StepFlow, Wait, Workshop
from trueup.reconcile.crew import Crew
from trueup.reconcile.record import outcome_of
from trueup.reconcile.report import Listener
from trueup.reconcile.rollout import Gate, Rollouts
from trueup.reconcile.situation import Situation
from trueup.reconcile.trigger import baseline, is_left_gone, is_spared
from trueup.state.store import Record

# Seconds after the deadline of a step until a call of it that does not come back is given up. A provider's
# calls end in bounded time by contract; this is for one that breaks it.
HUNG = 900.0
UNDONE = frozenset({Result.FAILED, Result.BLOCKED})
GONE = frozenset({Result.DELETED, Result.FORGOTTEN})


@dataclass
class _Step:
    """A node on its way through the walk."""

    change: Change
    waits_for: set[Address | Gate]
    act: Act | None = None
    flow: StepFlow | None = None
    why: str = ""


@dataclass
class _Floor:
    """The scheduling state of one walk."""

    steps: dict[Address, _Step]
    followers: dict[Address | Gate, list[Address]] = field(default_factory=dict)
    ready: deque[Address] = field(default_factory=deque)
    held: dict[str, deque[Address]] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    sleeping: list[tuple[float, int, Address]] = field(default_factory=list)
    outcomes: dict[Address, Outcome] = field(default_factory=dict)
    undone: set[Address] = field(default_factory=set)
    acted: set[Address] = field(default_factory=set)


class Walk:
    """One pass over a plan. `is_cut_short`: an interruption ended steps before their time."""

    def __init__(
        self,
        shop: Workshop,
        plan: Plan,
        pool: Executor,
        parallelism: int,
        listener: Listener,
        stop: threading.Event,
    ) -> None:
        self._shop = shop
        self._pool = pool
        self._parallelism = parallelism
        self._listener = listener
        self._stop = stop
        self._answers: queue.SimpleQueue[tuple[Address, Future[Wait | Outcome]]] = queue.SimpleQueue()
        self._ticket = itertools.count()
        self._error: BaseException | None = None
        self._quiet: list[Outcome] = []
        self._outdated: list[Record] = []
        self._in_flight = 0
        # Of each step with a worker: the worker's promise, and since when.
        self._sent: dict[Address, tuple[Future[Wait | Outcome], float]] = {}
        self.is_cut_short = False
        self._users = find_users(shop.situation.records)
        self._floor = _Floor(_make_steps(shop.situation, plan, self._users))
        self._rollouts = Rollouts(plan.changes, shop.situation.graph.nodes)
        for address, step in self._floor.steps.items():
            gate = self._rollouts.gate_of(address)
            if gate is not None:
                step.waits_for.add(gate)
            for dependency in step.waits_for:
                self._floor.followers.setdefault(dependency, []).append(address)
            if not step.waits_for:
                self._floor.ready.append(address)

    def run(self) -> tuple[tuple[Outcome, ...], tuple[Address, ...]]:
        """Walks until nothing is left or `stop` is set. Outcomes in the order of their ends; what is left.

        Raises StoreError after the calls in flight have ended.
        """
        floor = self._floor
        while floor.ready or self._in_flight or floor.sleeping or self._break_knot():
            if self._is_stopping() and not self._in_flight:
                break
            self._wake_sleepers()
            self._dispatch()
            if self._in_flight or floor.sleeping:
                self._take_answer()
        if self._is_stopping():
            self._interrupt_sent()
        if self._error is not None:
            raise self._error
        self._shop.recorder.record_quiet(self._quiet, self._outdated)
        left = tuple(address for address in floor.steps if address not in floor.outcomes)
        return tuple(floor.outcomes.values()), left

    # -- scheduling

    def _is_stopping(self) -> bool:
        return self._stop.is_set() or self._error is not None

    def _dispatch(self) -> None:
        """Sends what is ready to the workers, or settles it here where there is nothing to do."""
        floor = self._floor
        while floor.ready and not self._is_stopping() and self._in_flight < self._parallelism:
            address = floor.ready.popleft()
            step = floor.steps[address]
            if step.flow is None:
                outcome = self._settle_inline(address, step)
                if outcome is not None:
                    if outcome.result is not Result.UNCHANGED:
                        self._quiet.append(outcome)
                    self._finish(outcome)
                    continue
            target = address.target
            if floor.running.get(target, 0) >= self._limit(address):
                floor.held.setdefault(target, deque()).append(address)
                continue
            self._send(address, step)

    def _limit(self, address: Address) -> int:
        node = self._shop.situation.node(address)
        return self._shop.situation.catalog.provider(node.target.provider).limits.concurrency

    def _send(self, address: Address, step: _Step) -> None:
        if step.flow is None:
            step.act = Act(self._shop, step.change, is_stale=self._is_stale(address))
            step.flow = step.act.flow()
            self._listener.started(step.change)
        self._floor.running[address.target] = self._floor.running.get(address.target, 0) + 1
        self._in_flight += 1
        future = self._pool.submit(_advance, step.flow)
        self._sent[address] = future, self._shop.clock()
        future.add_done_callback(lambda done: self._answers.put((address, done)))

    def _take_answer(self) -> None:
        """Waits for a worker, or for the first sleeper's time."""
        timeout = 0.5
        if self._floor.sleeping:
            timeout = min(timeout, max(0.0, self._floor.sleeping[0][0] - self._shop.clock()))
        try:
            address, future = self._answers.get(timeout=timeout)
        except queue.Empty:
            self._give_up_hung()
            return
        if self._sent.get(address, (None,))[0] is not future:
            return  # of a step that was given up
        self._take_back(address)
        error = future.exception()
        if error is not None:
            self._error = self._error or error
            return
        answer = future.result()
        if isinstance(answer, Outcome):
            self._finish(answer)
            return
        step = self._floor.steps[address]
        if answer.why != step.why:
            step.why = answer.why
            self._listener.waiting(address, answer.why)
        due = self._shop.clock() + answer.seconds
        heapq.heappush(self._floor.sleeping, (due, next(self._ticket), address))

    def _take_back(self, address: Address) -> None:
        """A worker is free again."""
        del self._sent[address]
        self._in_flight -= 1
        self._floor.running[address.target] -= 1
        held = self._floor.held.get(address.target)
        if held:
            self._floor.ready.appendleft(held.popleft())

    def _give_up_hung(self) -> None:
        """Ends steps whose provider does not come back: their thread is left, their intent stays open."""
        now = self._shop.clock()
        for address, (future, since) in list(self._sent.items()):
            act = self._floor.steps[address].act
            if act is None or future.done() or now < max(act.deadline, since) + HUNG:
                continue
            act.is_given_up = True
            if isinstance(self._pool, Crew):
                self._pool.leave(future)
            self._take_back(address)
            try:
                self._finish(act.interrupt(f"its provider gave no answer for {now - since:.0f} s"))
            except StoreError as error:
                self._error = self._error or error

    def _wake_sleepers(self) -> None:
        now = self._shop.clock()
        while self._floor.sleeping and self._floor.sleeping[0][0] <= now:
            self._floor.ready.append(heapq.heappop(self._floor.sleeping)[2])

    def _interrupt_sent(self) -> None:
        """Records the steps whose call was sent and that wait for its end, wherever they wait."""
        for address, step in self._floor.steps.items():
            if step.act is not None and step.act.has_called and address not in self._floor.outcomes:
                with suppress(StoreError):  # an error of the store is raised already
                    self._finish(step.act.interrupt())
                    self.is_cut_short = True

    def _break_knot(self) -> bool:
        """Deletes that wait for each other by old records: one of them has to go first."""
        if self._is_stopping():
            return False
        for address, step in self._floor.steps.items():
            if address not in self._floor.outcomes and step.waits_for:
                step.waits_for.clear()
                self._floor.ready.append(address)
                return True
        return False

    # -- outcomes

    def _finish(self, outcome: Outcome) -> None:
        address = outcome.address
        self._floor.outcomes[address] = outcome
        if outcome.result in UNDONE:
            self._floor.undone.add(address)
        elif outcome.result not in (Result.UNCHANGED, Result.SKIPPED):
            self._floor.acted.add(address)
        self._listener.finished(outcome)
        self._release(address)
        gate = self._rollouts.finish(outcome)
        if gate is not None:
            self._release(gate)

    def _release(self, done: Address | Gate) -> None:
        for follower in self._floor.followers.get(done, ()):
            step = self._floor.steps[follower]
            if done in step.waits_for:
                step.waits_for.discard(done)
                if not step.waits_for:
                    self._floor.ready.append(follower)

    def _settle_inline(self, address: Address, step: _Step) -> Outcome | None:
        """The outcome of a node to which nothing has to be done, None for one that needs a worker."""
        change = step.change
        blocker = self._find_blocker(address)
        if blocker:
            return outcome_of(change, Result.BLOCKED, blocker)
        stopped = self._rollouts.find_stop(address)
        if stopped:
            return outcome_of(change, Result.BLOCKED, *stopped)
        if change.problem:
            return outcome_of(change, Result.FAILED, change.problem, change.hint)
        if is_left_gone(change) or is_spared(change):
            return outcome_of(change, Result.SKIPPED, "; ".join(change.reasons))
        if change.action is not Action.NONE or self._is_stale(address) or self._shop.find_due(address):
            return None
        if address in self._shop.situation.undeclared or change.fields or change.quarantine:
            return outcome_of(change, Result.SKIPPED, "; ".join(change.reasons))
        return self._settle_unchanged(address, change)

    def _settle_unchanged(self, address: Address, change: Change) -> Outcome | None:
        node = self._shop.knowledge.nodes[address]
        observed = change.observed
        if observed is None:
            return None
        kind = self._shop.situation.catalog.kind_of(node)
        if health_of(kind, observed, node.target.provider).readiness is not Readiness.READY:
            return None
        record = self._shop.recorder.refresh_record(
            node,
            observed,
            self._shop.knowledge.fingerprints[node.target.name],
            self._shop.knowledge.declared[address],
            baseline(node, self._shop.recorder.seen_triggers(address), self._shop.knowledge),
        )
        if record is not None:
            self._outdated.append(record)
        return outcome_of(change, Result.UNCHANGED)

    def _is_stale(self, address: Address) -> bool:
        """Whether the node has to be judged anew, since something that it depends on was acted on by now.

        That is so where it takes values from it, and where it may have come with it (a package brings its
        service).
        """
        graph = self._shop.situation.graph
        if address not in graph.nodes:
            return False
        if any(has_unknown(field.after) for field in self._floor.steps[address].change.fields):
            # What it waited for is done, if only by being found unchanged.
            return True
        if not self._floor.acted:
            return False
        acted = self._floor.acted.intersection(graph.dependencies(address))
        if any(graph.edges[(dependency, address)] is EdgeReason.REF for dependency in acted):
            return True
        is_create = self._floor.steps[address].change.action is Action.CREATE
        node = graph.nodes[address]
        return is_create and self._shop.situation.catalog.kind_of(node).traits.shared

    def _find_blocker(self, address: Address) -> str:
        """Which node blocks this one, and why; empty if none does."""
        situation, outcomes, undone = self._shop.situation, self._floor.outcomes, self._floor.undone
        if address not in situation.undeclared:
            for dependency in situation.graph.dependencies(address) if undone else ():
                if dependency in undone:
                    return f"waits for {dependency}, which {_say_why(outcomes[dependency])}"
            return ""
        change = self._floor.steps[address].change
        if change.moved_to is not None and change.moved_to in undone:
            return f"it is to go on as {change.moved_to}, which {_say_why(outcomes[change.moved_to])}"
        if change.action is not Action.DELETE:
            return ""
        for user in self._users.get(address, ()):
            if user not in self._floor.steps:
                return f"is still used by {user}, which is not part of this run"
            if user not in outcomes:
                continue
            is_in_use = user in situation.undeclared and outcomes[user].result not in GONE
            if is_in_use or outcomes[user].result in UNDONE:
                return f"is still used by {user}, which {_say_why(outcomes[user])}"
        return ""


def _advance(flow: StepFlow) -> Wait | Outcome:
    try:
        return next(flow)
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome


def _say_why(outcome: Outcome) -> str:
    return f"{outcome.result}: {outcome.message}" if outcome.message else f"is {outcome.result}"


def find_users(records: Mapping[Address, Record]) -> dict[Address, list[Address]]:
    """For each address, the nodes that depended on it when they were recorded."""
    users: dict[Address, list[Address]] = {}
    for user, record in records.items():
        for dependency in record.depends_on:
            users.setdefault(dependency, []).append(user)
    return users


def _make_steps(
    situation: Situation, plan: Plan, users: Mapping[Address, Iterable[Address]]
) -> dict[Address, _Step]:
    """A step for each change, with what it waits for: its dependencies, for a delete its recorded users."""
    planned = {change.address for change in plan.changes}
    steps: dict[Address, _Step] = {}
    for change in plan.changes:
        address = change.address
        waits_for: set[Address | Gate]
        if address in situation.undeclared:
            waits_for = {user for user in users.get(address, ()) if user in planned and user != address}
            if change.moved_to is not None:
                waits_for = {change.moved_to}
        else:
            waits_for = set(situation.graph.dependencies(address))
        steps[address] = _Step(change, waits_for)
    return steps
