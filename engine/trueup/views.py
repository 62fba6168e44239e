"""What App gives back of a stack: as it was read, and as it stands. Used by app, cli and daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from trueup.graph.build import Graph
from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.observation import Health, Observed
from trueup.model.plan import Pin, Plan
from trueup.model.resource import Facts, Revision, Stack
from trueup.model.values import Value
from trueup.reconcile.boundary import health_of
from trueup.reconcile.gather import find_outputs_read
from trueup.reconcile.situation import Knowledge, Situation
from trueup.sdk.contracts import Catalog
from trueup.secrets.check import NO_SECRETS, CheckedSecrets
from trueup.state.store import Record, RunRecord, Store


@dataclass(frozen=True)
class Loaded:
    """A stack read from one revision and found to be valid. `secrets` are those to read, `facts` what was.

    `answer` is what the question comes to, where one was asked. `pin` says that the stack does not follow its
    source.
    """

    stack: Stack
    revision: Revision
    graph: Graph
    secrets: CheckedSecrets = NO_SECRETS
    facts: Facts = field(default_factory=Facts)
    answer: Value = None
    pin: Pin | None = None

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The names of the stacks that come first: those of `dependsOn`, and those whose outputs are read."""
        read = {reference.stack for reference in find_outputs_read(self.stack, self.graph)}
        return tuple(sorted({*self.stack.depends_on, *read}))


@dataclass(frozen=True)
class NodeStatus:
    """One node as it stands: what a plan would do to it, its health, and its inventory row if it has one.

    `is_ours`: the object carries the marker of this very node.
    """

    change: Change
    health: Health | None
    record: Record | None
    is_ours: bool = False


@dataclass(frozen=True)
class StackStatus:
    """A stack as it stands: the plan's changes with health, the last runs, who holds its lease."""

    plan: Plan
    nodes: tuple[NodeStatus, ...]
    runs: Sequence[RunRecord]
    lease_holder: str


def view_status(
    plan: Plan, situation: Situation, knowledge: Knowledge, store: Store, catalog: Catalog
) -> StackStatus:
    """The plan's nodes as they stand, with what the store says of them and of the stack."""
    lease = store.lease(plan.stack)
    nodes = tuple(
        NodeStatus(
            change,
            _health(change.address, situation, knowledge, catalog),
            situation.records.get(change.address),
            _is_ours(change, situation),
        )
        for change in plan.changes
    )
    return StackStatus(plan, nodes, store.runs(plan.stack), lease.holder if lease else "")


def _health(address: Address, situation: Situation, knowledge: Knowledge, catalog: Catalog) -> Health | None:
    observation = knowledge.observations.get(address)
    if not isinstance(observation, Observed):
        return None
    node = situation.node(address)
    return health_of(catalog.kind_of(node), observation, node.target.provider)


def _is_ours(change: Change, situation: Situation) -> bool:
    return change.observed is not None and change.observed.owner == situation.owner(change.address)
