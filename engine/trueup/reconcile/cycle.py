"""One pass of the loop over one stack, from top to bottom. Called by app.

observe -> diff -> plan -> guard -> walk(act -> verify) -> record
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from trueup.collector import paused_collector
from trueup.errors import StalePlan, UsageError
from trueup.graph.build import Graph
from trueup.model.address import Address
from trueup.model.change import Action
from trueup.model.observation import Failed
from trueup.model.outcome import Outcome, RunStatus
from trueup.model.plan import Pin, Plan
from trueup.model.resource import Facts, Grants, Policy, Revision, Stack
from trueup.reconcile.approve import (
    is_approved,
    may_pass,
    name_approver,
    refuse_other_plan,
    spend_approval,
    tell_held,
    weigh_decisions,
)
from trueup.reconcile.call import Workshop
from trueup.reconcile.crew import Crew
from trueup.reconcile.doubt import MAKING, clear_doubts, find_begun, is_doubtful, without_doubt
from trueup.reconcile.finish import finish_replacements
from trueup.reconcile.hold import keep_lease
from trueup.reconcile.lost import find_strangers, forget_mark, weigh_store
from trueup.reconcile.move import find_formers, find_heirs, find_silent_heirs
from trueup.reconcile.observe import Connections, observe_stack
from trueup.reconcile.pacify import read_quarantines, settle_fights
from trueup.reconcile.pin import watch_pin
from trueup.reconcile.plan import make_plan
from trueup.reconcile.record import Recorder
from trueup.reconcile.report import EVERYTHING, Listener, RunReport, Selection
from trueup.reconcile.search import search_strays
from trueup.reconcile.situation import (
    Knowledge,
    Situation,
    exact_address,
    is_of_repository,
    undeclared_node,
)
from trueup.reconcile.walk import UNDONE, Walk
from trueup.sdk.contracts import Catalog
from trueup.state.store import OpenIntent, Record, RunRecord, Store


@dataclass(frozen=True)
class Request:
    """What one run is asked to do, and with whom it talks meanwhile.

    `claims` are the addresses of the inventory, undeclared here, that another stack takes over, with the file
    that says so. `confirm` is asked with the plan once nothing holds it. `approved` is the digest that lifts
    its holds, `approved_by` who says so; with `expected`, a plan of any other digest is refused. `facts` is
    what expressions need from outside. `trigger` is why it runs: see `RunRecord`. `descends_from` tells of a
    commit whether it is in the history of the revision: see `Tree`. `policies` are those of the installation,
    `grants` lists of the targets that may be used. `pin` is that of the stack, if it has one.
    """

    stack: Stack
    revision: Revision
    graph: Graph
    selection: Selection
    listener: Listener
    stop: threading.Event
    confirm: Callable[[Plan], bool] = lambda _plan: True
    approved: str = ""
    expected: str = ""
    is_destroy: bool = False
    claims: Mapping[Address, str] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    trigger: str = "once"
    approved_by: str = ""
    descends_from: Callable[[str], bool | None] = lambda _commit: None
    policies: tuple[Policy, ...] = ()
    grants: tuple[Grants, ...] = ()
    pin: Pin | None = None


def run_cycle(request: Request, store: Store, catalog: Catalog, parallelism: int) -> RunReport:
    """Makes the live systems as the graph says, as far as the guards let it.

    Raises StoreError, PluginError, and StalePlan where another digest was expected or approved.
    """
    started = time.monotonic()
    with (
        keep_lease(store, request.stack.name, request.stop) as keeper,
        watch_pin(store, request.stack.name, request.pin, request.revision.commit, request.stop),
        Crew(parallelism, "step") as pool,
    ):
        with paused_collector():
            situation = describe(request, store, catalog)
        lease = keeper.lease
        connections = Connections(catalog, situation.owner_key, situation.facts, request.grants)
        try:
            with paused_collector():
                situation, knowledge = _look(request, situation, store, connections, pool)
                plan = _make_plan(request, situation, knowledge, store)
                if is_approved(plan, request.approved) and any(change.doubt for change in plan.changes):
                    situation = clear_doubts(plan, situation, knowledge)
                    plan = _make_plan(request, situation, knowledge, store)
            request.listener.planned(plan)
            _refuse_stale(plan, request)
            if not may_pass(plan, request.approved):
                tell_held(plan, store)
            if _is_held(plan, request):
                standing = tuple(situation.quarantines.values())
                seconds = time.monotonic() - started
                return RunReport(plan, RunStatus.HELD, seconds=seconds, quarantines=standing)
            approver = name_approver(plan, request.approved_by) if is_approved(plan, request.approved) else ""
            recorder = Recorder(store, lease, situation, plan, trigger=request.trigger, approved_by=approver)
            recorder.settle_intents(lambda intent: _is_settled(intent, situation, knowledge))
            if not request.is_destroy:
                recorder.keep_lifecycles(request.graph.nodes)
            recorder.expect_creates(
                [knowledge.nodes[c.address] for c in plan.changes if c.action is Action.CREATE],
                knowledge.fingerprints,
            )
            shop = Workshop(situation, knowledge, connections, recorder, require_lease=keeper.require)
            walk = Walk(shop, plan, pool, parallelism, request.listener, request.stop)
            outcomes, left = walk.run()
            done = finish_replacements(shop, outcomes, pool, request.listener, request.stop)
            outcomes, left = done.outcomes, (*left, *done.left)
            spend_approval(plan, outcomes, lease, store)
            status = RunStatus.INTERRUPTED if left or walk.is_cut_short else _sum_up(outcomes)
            undone = {*left, *(outcome.address for outcome in outcomes if outcome.result in UNDONE)}
            given = recorder.keep_outputs(knowledge, undone)
            if given.problems and status is RunStatus.CONVERGED:
                status = RunStatus.FAILED
            fought = settle_fights(store, lease, shop, outcomes, time.time())
            recorder.finish(status, outcomes)
            if request.is_destroy or not (situation.records and request.graph.nodes):
                forget_mark(store, request.stack.name)
            seconds = time.monotonic() - started
            return RunReport(
                plan, status, outcomes, seconds, recorder.run, left, given.values, given.problems, fought
            )
        finally:
            connections.close()


def plan_cycle(
    request: Request, store: Store, catalog: Catalog, parallelism: int
) -> tuple[Plan, Situation, Knowledge]:
    """The first half of the loop alone: what a run would do now. Writes nothing, takes no lease."""
    with paused_collector():
        situation = describe(request, store, catalog)
        connections = Connections(catalog, situation.owner_key, situation.facts, request.grants)
        try:
            with Crew(parallelism, "observe") as pool:
                situation, knowledge = _look(request, situation, store, connections, pool)
        finally:
            connections.close()
        plan = _make_plan(request, situation, knowledge, store)
        return plan, situation, knowledge


def _look(
    request: Request, situation: Situation, store: Store, connections: Connections, pool: Executor
) -> tuple[Situation, Knowledge]:
    """What lives, and what it tells of the store."""
    knowledge = observe_stack(situation, connections, pool)
    search_strays(situation, knowledge, connections, pool)
    return _look_around(request, situation, store, connections, pool), knowledge


def _look_around(
    request: Request, situation: Situation, store: Store, connections: Connections, pool: Executor
) -> Situation:
    """Where a store knows nothing of the stack, what the whole of it shows, also where the run is about less.

    A part that is new, or what is destroyed, shows nothing of a store that was lost.
    """
    is_less = bool(request.selection) or request.is_destroy
    if not is_less or situation.records or situation.begun or situation.distrust:
        return situation
    whole = replace(request, selection=EVERYTHING, is_destroy=False)
    around = describe(whole, store, situation.catalog)
    knowledge = observe_stack(around, connections, pool)
    search_strays(around, knowledge, connections, pool)
    return replace(situation, distrust=find_strangers(around, knowledge))


def _make_plan(request: Request, situation: Situation, knowledge: Knowledge, store: Store) -> Plan:
    plan = weigh_decisions(make_plan(situation, knowledge), store)
    needed = () if request.is_destroy else request.stack.depends_on
    known = set(store.stacks()) if needed else set()
    return replace(plan, unseen=tuple(name for name in needed if name not in known), pin=request.pin)


def describe(request: Request, store: Store, catalog: Catalog) -> Situation:
    """What the run is about: the selected part of the graph, and what the inventory has beyond it."""
    intents = store.open_intents(request.stack.name)
    records = without_doubt(store.inventory(request.stack.name), intents, catalog)
    graph = request.graph if not request.is_destroy else request.graph.select(())
    chosen = graph.select(_selected(graph, request.selection)) if request.selection else graph
    elsewhere = _records_elsewhere(graph, store, catalog)
    formers = find_formers(graph, {**elsewhere, **records}, request.stack)
    heirs = find_heirs(formers)
    going = {
        address
        for address, record in records.items()
        if address not in graph.nodes
        and (
            is_selected(exact_address(record), request.selection)
            or not chosen.nodes.keys().isdisjoint(heirs.get(address, ()))
        )
    }
    if request.is_destroy:
        going = _with_users(going, records)
    undeclared = {address: undeclared_node(records[address], request.stack) for address in going}
    if chosen is not graph:
        outside = [
            node
            for address, node in graph.nodes.items()
            if address not in chosen.nodes and not (address in records and records[address].external_id)
        ]
        silent = [undeclared[address] for address in going if address not in heirs]
        heirs = {**heirs, **find_silent_heirs(silent, outside, catalog)}
    if request.selection:
        _check_selection(request.selection, {*graph.nodes, *map(exact_address, records.values())})
    last_run = next(iter(store.runs(request.stack.name, 1)), None)
    in_force, spent = read_quarantines(store, request.stack.name, time.time())
    return Situation(
        request.stack,
        request.revision,
        chosen,
        undeclared,
        records,
        store.installation,
        catalog,
        request.is_destroy,
        last_source=last_run.url if last_run else "",
        facts=request.facts,
        formers={heir: found for heir, found in formers.items() if heir in chosen.nodes},
        heirs=heirs,
        begun=find_begun(intents),
        unproven=_find_unproven(going, records, request) if request.is_destroy else frozenset(),
        claims=request.claims,
        rewritten_from=_find_rewritten(last_run, request),
        policies=request.policies,
        distrust=weigh_store(store, request.stack.name, last_run),
        quarantines=in_force,
        spent=spent,
    )


def _find_unproven(
    going: set[Address], records: Mapping[Address, Record], request: Request
) -> frozenset[Address]:
    """What a recovery has found and Git does not declare: nobody knows whether it was protected."""
    return frozenset(
        address for address in going if records[address].is_unproven and address not in request.graph.nodes
    )


def _find_rewritten(last_run: RunRecord | None, request: Request) -> str:
    """The commit of the last run, if the history of its repository does not lead from it to this revision.

    Who names a commit, to go back for example, has chosen it.
    """
    revision = request.revision
    is_chosen = bool(revision.ref) and revision.commit.startswith(revision.ref)
    if last_run is None or is_chosen or not is_of_repository(last_run.url, revision.url):
        return ""
    return last_run.commit if request.descends_from(last_run.commit) is False else ""


def find_losses(stack: Stack, graph: Graph, store: Store, *, is_destroy: bool = False) -> Sequence[Address]:
    """What a run may delete: what the inventory has and Git no longer declares. Called by app."""
    if not (stack.prune or is_destroy):
        return ()
    declared = set() if is_destroy else {address.text for address in graph.nodes}
    going = set(store.addresses(stack.name)) - declared
    if not going:
        return ()
    records = store.inventory(stack.name).values()
    return [record.address for record in records if record.address.text in going and not record.protect]


def _refuse_stale(plan: Plan, request: Request) -> None:
    if request.expected and plan.digest != request.expected:
        raise StalePlan(
            "the saved plan is stale: what it rests on has changed since it was made",
            hint="make a new plan and look at it",
        )
    refuse_other_plan(plan, request.approved)


def _is_held(plan: Plan, request: Request) -> bool:
    if not may_pass(plan, request.approved):
        return True
    return plan.has_changes and not request.confirm(plan)


def _is_settled(intent: OpenIntent, situation: Situation, knowledge: Knowledge) -> bool:
    """Whether an interrupted step's node was seen in its place: the plan then says what is left to do.

    A node that was moved on since is seen as what it is now.
    """
    observation = knowledge.observations.get(intent.address)
    node = situation.graph.nodes.get(intent.address) or situation.undeclared.get(intent.address)
    for address, heir in situation.graph.nodes.items() if observation is None else ():
        if heir.lifecycle.moved_from and intent.address in heir.former_addresses:
            observation, node = knowledge.observations.get(address), heir
    if observation is None or isinstance(observation, Failed):
        return False
    is_open = intent.action in MAKING and intent.address not in situation.cleared
    if is_open and node is not None and is_doubtful(node, observation, situation):
        return False
    return intent.fingerprint == knowledge.fingerprints.get(intent.address.target)


def _sum_up(outcomes: tuple[Outcome, ...]) -> RunStatus:
    if any(outcome.result in UNDONE for outcome in outcomes):
        return RunStatus.FAILED
    return RunStatus.CONVERGED


def _records_elsewhere(graph: Graph, store: Store, catalog: Catalog) -> dict[Address, Record]:
    """The inventories of the other stacks from which nodes of the graph were moved."""
    stacks = {
        former.stack
        for node in graph.nodes.values()
        for former in (node.former_addresses if node.lifecycle.moved_from else ())
        if former.stack != node.address.stack
    }
    records: dict[Address, Record] = {}
    for stack in sorted(stacks):
        records.update(without_doubt(store.inventory(stack), store.open_intents(stack), catalog))
    return records


def _check_selection(selection: Selection, addresses: set[Address]) -> None:
    """Refuses what selects nothing: a slip of the pen must not make a run smaller than was meant."""
    names = {address.target for address in addresses}
    unknown = [name for name in selection.targets if name not in names]
    if unknown:
        hint = f"the targets with resources are: {', '.join(sorted(names)) or 'none'}"
        raise UsageError(f"nothing in the stack is on target {', '.join(unknown)}", hint=hint)
    for only in selection.only:
        if not any(is_selected(address, Selection(only=(only,))) for address in addresses):
            raise UsageError(
                f"nothing in the stack is selected by {only}", hint="`trueup graph` shows the addresses"
            )
    if selection and not any(is_selected(address, selection) for address in addresses):
        raise UsageError("nothing in the stack is selected by these options together")


def _with_users(addresses: set[Address], records: Mapping[Address, Record]) -> set[Address]:
    """The addresses and all that depends on them by their records: nothing is left without its dependency."""
    grown = set(addresses)
    while True:
        users = {user for user, record in records.items() if not grown.isdisjoint(record.depends_on)}
        if users <= grown:
            return grown
        grown |= users


def _selected(graph: Graph, selection: Selection) -> list[Address]:
    return [address for address in graph.nodes if is_selected(address, selection)]


def is_selected(address: Address, selection: Selection) -> bool:
    """Whether the selection names the node, or a module that it is part of; an empty one names every node."""
    if selection.targets and address.target not in selection.targets:
        return False
    if not selection.only:
        return True
    forms = {
        address.text,
        address.reference,
        f"{address.stack}/{address.reference}",
        f"{address.reference}@{address.target}",
    }
    parts = address.name.split("/")
    for end in range(1, len(parts)):
        module = f"Module/{'/'.join(parts[:end])}"
        forms |= {module, f"{address.stack}/{module}", f"{module}@{address.target}"}
    return not forms.isdisjoint(selection.only)
