"""Takes the nodes of one resource in batches across targets, and stops where too many of them fail. Pure.

Called by plan, which says in which batch a node is, and by walk, which keeps to it. A batch begins when the
one before is done. Batches are cut from one order of all nodes in which dependencies come first, so that they
never wait for each other in a circle, whatever the nodes depend on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trueup.graph.build import EdgeReason
from trueup.model.address import Address
from trueup.model.change import Action, Batch, Change
from trueup.model.observation import Readiness
from trueup.model.outcome import Outcome, Result
from trueup.model.resource import Node, Rollout
from trueup.reconcile.boundary import health_of
from trueup.reconcile.situation import Situation

# What the nodes of a batch wait for: the batch of that number of a resource.
Gate = tuple[str, int]

_FAILURES = frozenset({Result.FAILED, Result.BLOCKED})
# Through these edges a node may have to do something although the plan found nothing.
_CARRIERS = frozenset({EdgeReason.REF, EdgeReason.TRIGGERS})


def assign_batches(changes: Sequence[Change], situation: Situation) -> list[Change]:
    """The changes of the graph's nodes, in dependency order, with the batches of those that roll out."""
    groups: dict[str, list[Address]] = {}
    for address, node in situation.graph.nodes.items():
        if node.rollout is not None:
            groups.setdefault(address.reference, []).append(address)
    if not groups:
        return list(changes)
    active = _find_active(changes, situation)
    order = _order_by_target(situation)
    batches: dict[Address, Batch] = {}
    for members in groups.values():
        members.sort(key=order.__getitem__)
        size = batch_size(_rollout_of(situation.graph.nodes[members[0]]).batch, len(members))
        waiting = [address for address in members if address in active]
        total = -(-len(waiting) // size)
        for index, address in enumerate(waiting):
            batches[address] = Batch(index // size + 1, total)
    return [
        replace(change, batch=batches[change.address]) if change.address in batches else change
        for change in changes
    ]


def batch_size(batch: str, size: int) -> int:
    """How many nodes are acted on at once, of a resource that is on `size` targets: at least one."""
    if batch.endswith("%"):
        return max(1, -(-size * int(batch[:-1]) // 100))
    return max(1, int(batch))


def _find_active(changes: Sequence[Change], situation: Situation) -> set[Address]:
    """The nodes to which something may have to be done; all others count as done."""
    active: set[Address] = set()
    graph = situation.graph
    for change in changes:
        address = change.address
        is_carried = any(
            dependency in active and graph.edges[(dependency, address)] in _CARRIERS
            for dependency in graph.dependencies(address)
        )
        if change.action is not Action.NONE or is_carried or not _is_ready(change, situation):
            active.add(address)
    return active


def _is_ready(change: Change, situation: Situation) -> bool:
    node = situation.graph.nodes[change.address]
    if node.rollout is None or change.observed is None or change.fields:
        return True
    health = health_of(situation.catalog.kind_of(node), change.observed, node.target.provider)
    return health.readiness is Readiness.READY


def _order_by_target(situation: Situation) -> Mapping[Address, int]:
    """The place of each node in one order: by the stack's targets, but dependencies always before."""
    graph = situation.graph
    targets = {target.name: index for index, target in enumerate(situation.stack.targets)}
    rank = {address: (targets[address.target], index) for index, address in enumerate(graph.nodes)}
    order: dict[Address, int] = {}
    for start in sorted(graph.nodes, key=rank.__getitem__):
        path = [start]
        while path:
            address = path[-1]
            missing = [each for each in graph.dependencies(address) if each not in order]
            if missing:
                path.extend(sorted(missing, key=rank.__getitem__, reverse=True))
            else:
                order.setdefault(path.pop(), len(order))
    return order


def _rollout_of(node: Node) -> Rollout:
    if node.rollout is None:
        raise ValueError(f"{node.address} has no rollout")
    return node.rollout


class Rollouts:
    """How the rollouts of a walk go: which batches are still open, and who has failed."""

    def __init__(self, changes: Sequence[Change], nodes: Mapping[Address, Node]) -> None:
        self._batch_of: dict[Address, Gate] = {}
        self._limits: dict[str, int] = {}
        self._failures: dict[str, list[Address]] = {}
        self._stopped: set[Address] = set()
        for change in changes:
            node = nodes.get(change.address)
            if node is None or node.rollout is None:
                continue
            reference = change.address.reference
            self._limits.setdefault(reference, node.rollout.max_failures)
            if change.batch is not None:
                self._batch_of[change.address] = (reference, change.batch.number)
        self._open = Counter(self._batch_of.values())

    def gate_of(self, address: Address) -> Gate | None:
        """The batch that has to be done before the node may begin."""
        reference, number = self._batch_of.get(address, ("", 0))
        return (reference, number - 1) if number > 1 else None

    def finish(self, outcome: Outcome) -> Gate | None:
        """A node has ended; the batch that is done by that, if it was the last of it."""
        address = outcome.address
        is_counted = address.reference in self._limits and address not in self._stopped
        if is_counted and outcome.result in _FAILURES:
            self._failures.setdefault(address.reference, []).append(address)
        gate = self._batch_of.get(address)
        if gate is None:
            return None
        self._open[gate] -= 1
        return gate if not self._open[gate] else None

    def find_stop(self, address: Address) -> tuple[str, str] | None:
        """Why the node is not begun any more, and what to do about it; None while it may begin."""
        if address not in self._batch_of:
            return None
        reference = address.reference
        failures, limit = self._failures.get(reference, ()), self._limits[reference]
        if len(failures) <= limit:
            return None
        self._stopped.add(address)
        names = ", ".join(each.target for each in failures[:5])
        more = f" and {len(failures) - 5} more" if len(failures) > 5 else ""
        return (
            f"the rollout of {reference} stopped: it failed on {names}{more}, and"
            f" rollout.maxFailures is {limit}",
            "mend that and run again, which goes on with what is left; or raise rollout.maxFailures",
        )
