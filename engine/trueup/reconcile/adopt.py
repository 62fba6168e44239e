"""Takes objects that live already into the inventory and puts our marker on. Called by import_objects.

Nothing else can happen here: there is no undeclared object in sight that could be deleted, and a node whose
plan would change a field is not acted on.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from trueup.graph.build import build_graph
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.outcome import Outcome, RunStatus
from trueup.model.plan import Plan
from trueup.model.resource import Lifecycle, Node, Revision, Stack
from trueup.reconcile.call import Workshop
from trueup.reconcile.observe import Connections, observe_stack
from trueup.reconcile.plan import make_plan
from trueup.reconcile.record import Recorder
from trueup.reconcile.report import Listener
from trueup.reconcile.situation import Knowledge, Situation
from trueup.reconcile.walk import UNDONE, Walk
from trueup.sdk.contracts import Catalog
from trueup.state.store import Lease, Store

# A daemon may follow a commit that does not have the new files yet, and must not prune what they declare: the
# rows are protected until a run finds the resources declared, and takes over what Git says.
IMPORTING = Lifecycle(adopt=True, protect=True)


@dataclass(frozen=True)
class Adopted:
    """What came of it. `left` are those to which nothing was done, because of an interruption."""

    outcomes: Mapping[Address, Outcome]
    left: Sequence[Address]
    run: int


class Adoption:
    """One adoption, under the stack's lease: looks first, acts later on what may be acted on."""

    def __init__(
        self,
        nodes: Sequence[Node],
        stack: Stack,
        revision: Revision,
        store: Store,
        catalog: Catalog,
        connections: Connections,
        pool: Executor,
    ) -> None:
        graph = build_graph([_alone(node) for node in nodes], catalog)
        records = store.inventory(stack.name)
        self._situation = Situation(stack, revision, graph, {}, records, store.installation, catalog)
        self._store = store
        self._connections = connections
        self._pool = pool
        self._knowledge: Knowledge = observe_stack(self._situation, connections, pool)
        self._plan: Plan = make_plan(self._situation, self._knowledge)

    @property
    def refused(self) -> Mapping[Address, Change]:
        """The nodes of which a plan says anything but that they are taken over as they are."""
        return {change.address: change for change in self._plan.changes if not _is_pure(change)}

    def begin(self, revision: Revision, lease: Lease) -> None:
        """The run in the history. Raises StoreError; until here nothing was written but the new files."""
        refused = self.refused
        graph = self._situation.graph
        kept = build_graph(
            [node for address, node in graph.nodes.items() if address not in refused],
            self._situation.catalog,
        )
        self._situation = replace(self._situation, revision=revision, graph=kept)
        changes = tuple(change for change in self._plan.changes if change.address not in refused)
        self._plan = replace(self._plan, revision=revision, changes=changes)
        self._recorder = Recorder(self._store, lease, self._situation, self._plan)

    def carry_out(self, parallelism: int, listener: Listener, stop: threading.Event) -> Adopted:
        """Puts the markers on and writes the inventory. Raises StoreError after the calls in flight."""
        listener.planned(self._plan)
        shop = Workshop(
            self._situation, self._knowledge, self._connections, self._recorder, needs_health=False
        )
        walk = Walk(shop, self._plan, self._pool, parallelism, listener, stop)
        outcomes, left = walk.run()
        status = RunStatus.FAILED if any(each.result in UNDONE for each in outcomes) else RunStatus.CONVERGED
        self._recorder.finish(RunStatus.INTERRUPTED if left or walk.is_cut_short else status, outcomes)
        return Adopted({outcome.address: outcome for outcome in outcomes}, left, self._recorder.run)


def _alone(node: Node) -> Node:
    """The node without its ties to resources that this is not about."""
    lifecycle = replace(IMPORTING, ignore=node.lifecycle.ignore)
    return replace(node, lifecycle=lifecycle, depends_on=(), rollout=None)


def _is_pure(change: Change) -> bool:
    return change.action in (Action.ADOPT, Action.NONE) and not change.fields and not change.problem
