"""Finds out why a resource is not as Git says: what holds, blocks or failed it. Called by `trueup why`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.observation import Health, Readiness
from trueup.model.outcome import Result
from trueup.model.plan import Hold, Plan, Verdict
from trueup.reconcile.quarantine import is_in_force
from trueup.state.store import Event, PastStep, Pin, Quarantine, RunRecord, Store

_TROUBLE = frozenset({Result.FAILED, Result.BLOCKED})
# So many ways to what is in the way are worth reading.
MAX_PATHS = 5
_EVENTS = 100


@dataclass(frozen=True)
class NodeState:
    """One node as it is now, with its last failure. `is_over`: a later run has got past that failure."""

    address: Address
    change: Change | None
    health: Health | None
    trouble: PastStep | None = None
    is_over: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether what depends on the node has nothing to wait for."""
        change = self.change
        is_quiet = change is None or (change.action is Action.NONE and not change.problem)
        return is_quiet and (self.health is None or self.health.readiness is Readiness.READY)


@dataclass(frozen=True)
class Reasons:
    """All that keeps one node from being as Git says.

    `paths` lead from the node over what it depends on to what is in the way; the node itself stands first.
    `next_try` is the daemon's word of it, None where no daemon waits to try again.
    """

    node: NodeState
    holds: Sequence[Hold] = ()
    pin: Pin | None = None
    quarantine: Quarantine | None = None
    lease_holder: str = ""
    next_try: Event | None = None
    paths: Sequence[Sequence[NodeState]] = ()


def find_reasons(
    store: Store,
    plan: Plan,
    healths: Mapping[Address, Health | None],
    runs: Sequence[RunRecord],
    lease_holder: str,
    addresses: Sequence[Address],
    now: float,
) -> Sequence[Reasons]:
    """The reasons for each node. `runs` are the stack's latest, `now` is in seconds since the epoch."""
    changes = {change.address: change for change in plan.changes}
    quarantines = store.quarantines(plan.stack)
    is_approved = plan.decision is not None and plan.decision.verdict is Verdict.APPROVED
    holds = () if is_approved and not plan.is_final else plan.holds
    pin, next_try = store.pin_of(plan.stack), _find_next_try(store, plan.stack, runs)

    def look_up(address: Address) -> NodeState:
        node = NodeState(address, changes.get(address), healths.get(address))
        trouble = next(iter(store.past_steps(address, _TROUBLE, 1)), None)
        latest = next(iter(store.past_steps(address, frozenset(Result), 1)), None)
        is_over = trouble is not None and latest is not None and latest.run.id > trouble.run.id
        return NodeState(address, node.change, node.health, trouble, is_over)

    def describe(address: Address) -> Reasons:
        node = look_up(address)
        quarantine = quarantines.get(address)
        return Reasons(
            node,
            _find_holds(node, holds),
            pin,
            quarantine if quarantine is not None and is_in_force(quarantine, now) else None,
            lease_holder,
            next_try,
            [
                [look_up(hop) for hop in path]
                for path in _find_paths(address, plan.dependencies, changes, healths)
            ],
        )

    return [describe(address) for address in addresses]


def _find_holds(node: NodeState, holds: Sequence[Hold]) -> Sequence[Hold]:
    """Those that hold the node, or the whole plan with it."""
    if node.change is None or node.change.action is Action.NONE:
        return ()
    return [hold for hold in holds if not hold.nodes or node.address in hold.nodes]


def _find_next_try(store: Store, stack: str, runs: Sequence[RunRecord]) -> Event | None:
    """The word of the daemon that it waits or will try again, if it came after the last run began."""
    last_run = runs[0].started_at if runs else 0.0
    events = store.events(stack, limit=_EVENTS)
    event = next((each for each in events if each.kind in ("retry", "waits")), None)
    return event if event is not None and event.at >= last_run else None


def _find_paths(
    start: Address,
    dependencies: Mapping[Address, Sequence[Address]],
    changes: Mapping[Address, Change],
    healths: Mapping[Address, Health | None],
) -> Sequence[Sequence[Address]]:
    """The shortest way to each unsettled node that itself waits for nothing."""

    def unsettled_below(address: Address) -> list[Address]:
        return [
            each
            for each in dependencies.get(address, ())
            if not NodeState(each, changes.get(each), healths.get(each)).is_settled
        ]

    came_from: dict[Address, Address] = {}
    found: list[Sequence[Address]] = []
    waiting = deque([start])
    while waiting and len(found) < MAX_PATHS:
        address = waiting.popleft()
        below = unsettled_below(address)
        for each in below:
            if each not in came_from:
                came_from[each] = address
                waiting.append(each)
        if not below and address != start:
            path = [address]
            while path[-1] != start:
                path.append(came_from[path[-1]])
            found.append(path[::-1])
    return found
