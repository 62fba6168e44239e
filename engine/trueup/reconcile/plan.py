"""Makes the plan of a stack: a change for each node in dependency order. Pure.

Called by cycle with everything that was observed; `judge` is called again by act for a single node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trueup.errors import PluginError, TrueupError
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.observation import Observed
from trueup.model.plan import Plan
from trueup.model.resource import Node
from trueup.reconcile.attribute import attribute
from trueup.reconcile.boundary import PLUGIN_FAULTS, broken_plugin
from trueup.reconcile.diff import Standing, diff_node, diff_undeclared, refuse
from trueup.reconcile.doubt import forget_id, hold_doubts, note_doubt, refuse_doubt
from trueup.reconcile.drift import tell_moved
from trueup.reconcile.enforce import find_breaches, hold_breaches
from trueup.reconcile.guard import find_holds
from trueup.reconcile.lost import find_strangers, shorten_refusals
from trueup.reconcile.move import (
    find_move,
    forget_moved,
    judge_former,
    refuse_move,
    refuse_rival,
    refuse_taken,
)
from trueup.reconcile.quarantine import leave_alone
from trueup.reconcile.recheck import resolve_checked
from trueup.reconcile.replace import resume
from trueup.reconcile.resolve import keep_ignored
from trueup.reconcile.rollout import assign_batches
from trueup.reconcile.search import refuse_stray
from trueup.reconcile.situation import Knowledge, Situation
from trueup.reconcile.trigger import add_triggers, spare_readers
from trueup.reconcile.unmade import explain_unmade, was_never_made
from trueup.state.store import Record


def make_plan(situation: Situation, knowledge: Knowledge) -> Plan:
    """The plan; fills `knowledge` with the resolved nodes."""
    changes = [
        judge(situation.graph.nodes[address], situation, knowledge) for address in situation.graph.order
    ]
    changes = _refuse_doubles(changes, situation, knowledge)
    changes = [resume(change, situation, knowledge) for change in changes]
    changes = add_triggers(changes, situation, knowledge)
    changes = spare_readers(changes, situation)
    changes = assign_batches(changes, situation)
    moved = find_moves(changes, situation, knowledge)
    by_address = {change.address: change for change in changes}
    for node in _dependents_first(situation):
        change = judge_former(node, by_address, situation, knowledge)
        if change is None and node.address in moved:
            change = forget_moved(node.address, moved[node.address])
        change = change or _judge_undeclared(node, situation, knowledge)
        changes.append(resume(change, situation, knowledge))
    changes = [note_doubt(change, situation, knowledge) for change in changes]
    distrust = situation.distrust or find_strangers(situation, knowledge)
    if distrust:
        changes = list(shorten_refusals(changes, situation, knowledge))
    breaches = find_breaches(changes, situation, knowledge)
    touched = _touched(changes)
    return Plan(
        situation.stack.name,
        situation.revision,
        tuple(changes),
        (
            *distrust,
            *find_holds(changes, situation),
            *hold_breaches(breaches, situation),
            *hold_doubts(changes, situation),
        ),
        {address: situation.graph.dependencies(address) for address in situation.graph.nodes},
        situation.is_destroy,
        {target: place for target, place in knowledge.fingerprints.items() if target in touched},
        rewritten_from=situation.rewritten_from,
        breaches=breaches,
    )


def judge(node: Node, situation: Situation, knowledge: Knowledge, *, is_applied: bool = False) -> Change:
    """The change of one declared node, with its expressions resolved by what is known now.

    `is_applied`: to verify, right after the node was acted on.
    """
    address = node.address
    observation = knowledge.observations[address]
    record = forget_id(situation.records.get(address), observation, situation)
    move = find_move(node, observation, situation, knowledge)
    if move is not None and not situation.is_recorded(address):
        record = _renamed(move.record, node)
    refusal = _find_refusal(node, record, situation, knowledge)
    if not refusal and move is None and not is_applied:
        refusal = (
            refuse_doubt(node, observation, situation)
            or refuse_stray(node, knowledge)
            or refuse_move(node, observation, situation, knowledge)
        )
    if refusal:
        knowledge.know(node)
        return refusal
    try:
        kind = situation.catalog.kind_of(node)
        if address in situation.graph.expressions:
            applied = record.body if record and record.external_id else None
            knowledge.declared[address] = resolve_checked(node, knowledge, kind, applied, knowledge.texts)
        declared = knowledge.declared[address]
        external_id = observation.external_id if isinstance(observation, Observed) else node.external_id
        resolved = node.with_body(declared, external_id)
        if move is not None:
            # The same object under a new name: what the old one held is taken over, not made again.
            resolved = replace(resolved, lifecycle=replace(resolved.lifecycle, adopt=True))
        if isinstance(observation, Observed):
            resolved = keep_ignored(resolved, observation, kind, record.body if record else None)
        standing = Standing(
            kind,
            situation.owner(address),
            situation.stack.drift,
            declared,
            record,
            is_applied,
            move.address if move else None,
        )
        change = attribute(diff_node(resolved, observation, standing), kind, node.target.provider)
        change = tell_moved(change, node.with_body(declared), standing)
        change = leave_alone(change, situation, declared)
        if change.action is Action.ADOPT and change.is_drift and isinstance(observation, Observed):
            resolved, change = _keep_drift(resolved, observation, change, standing)
    except TrueupError as error:
        knowledge.know(node, is_made_anew=True)
        return refuse(node, "; ".join(str(problem) for problem in error.problems))
    except PLUGIN_FAULTS as error:  # a hostile plugin must not take the others down
        knowledge.know(node, is_made_anew=True)
        return refuse(node, broken_plugin(node.target.provider, "diff", error).message)
    knowledge.know(resolved, is_made_anew=change.action in (Action.CREATE, Action.REPLACE))
    return change


def _find_refusal(
    node: Node, record: Record | None, situation: Situation, knowledge: Knowledge
) -> Change | None:
    """Why nothing may be done to a node, whatever it is like."""
    return (
        find_moved_target(node, situation, knowledge)
        or _find_other_group(node, record)
        or refuse_rival(node, situation)
        or refuse_taken(node, knowledge.observations[node.address], situation, knowledge)
    )


def _keep_drift(node: Node, observed: Observed, change: Change, standing: Standing) -> tuple[Node, Change]:
    """Drift that is only reported stays as it lives, also while the object is taken over."""
    paths = tuple(field.path for field in change.fields)
    kept = replace(node, lifecycle=replace(node.lifecycle, ignore=paths))
    record = standing.record
    kept = keep_ignored(kept, observed, standing.kind, record.body if record else None)
    return node.with_body(kept.body), replace(change, fields=())


def _renamed(record: Record | None, node: Node) -> Record | None:
    """The row of a former address as if it had been the node's: under its name, and all else as it was."""
    metadata = record.body.get("metadata") if record else None
    if record is None or not isinstance(metadata, Mapping):
        return record
    return replace(record, body={**record.body, "metadata": {**metadata, "name": node.name}})


def _touched(changes: Sequence[Change]) -> set[str]:
    return {change.address.target for change in changes if change.action is not Action.NONE}


def find_moves(
    changes: Sequence[Change], situation: Situation, knowledge: Knowledge
) -> dict[Address, Address]:
    """Old address to new one, for each object whose resource left Git and that another resource now names."""
    moves: dict[Address, Address] = {}
    if not situation.undeclared:
        return moves
    for change in changes:
        # Also where the new one is refused: what it would have taken over must not be deleted for that.
        node = situation.graph.nodes[change.address]
        move = find_move(node, knowledge.observations[change.address], situation, knowledge)
        if move is not None and move.address in situation.undeclared:
            moves[move.address] = change.address
    return moves


def _identity_of(node: Node, situation: Situation) -> str:
    try:
        return situation.catalog.kind_of(node).identity(node)
    except PLUGIN_FAULTS:  # what it says of the values is met again, and told, when the node is acted on
        return ""


def _refuse_doubles(changes: Sequence[Change], situation: Situation, knowledge: Knowledge) -> list[Change]:
    """The changes, with a refusal for nodes that turn out to be one object once expressions are resolved.

    Without expressions the manifests have seen to it.
    """
    if not situation.graph.expressions:
        return list(changes)
    known: dict[tuple[str, str], Address] = {}
    doubles: dict[Address, Address] = {}
    for change in changes:
        node = knowledge.nodes[change.address]
        identity = _identity_of(node, situation) if not change.problem else ""
        if not identity:
            continue
        first = known.setdefault((node.target.name, identity), change.address)
        if first != change.address:
            doubles[change.address], doubles[first] = first, change.address
    return [
        refuse(
            situation.graph.nodes[change.address],
            f"it is the same object as {doubles[change.address]}",
            "give them different names, or keep one of them",
        )
        if change.address in doubles
        else change
        for change in changes
    ]


def find_moved_target(node: Node, situation: Situation, knowledge: Knowledge) -> Change | None:
    """A refusal where the target's config now leads to another place than the one that was recorded.

    It holds for every node of the target: what is new must not be made in the wrong place either.
    """
    name = node.target.name
    now, recorded = knowledge.fingerprints.get(name), situation.places.get(name)
    if now is None or recorded is None or recorded == now:
        return None
    return refuse(
        node,
        f"target {name!r} is another place than the one where this stack was applied"
        f" (now {now}, recorded {recorded})",
        "correct the target's config; for a new place take a new name, and once the old one is gone for good,"
        f" `trueup forget SOURCE --target {name}`",
    )


def _find_other_group(node: Node, record: Record | None) -> Change | None:
    """A refusal where the record is of a kind of the same name in another API group: another object."""
    if record is None or not record.external_id or record.api_version == node.api_version:
        return None
    if _group(record.api_version) == _group(node.api_version):
        return None
    return refuse(
        node,
        f"under this name {node.kind} of {record.api_version} is managed, not of {node.api_version}",
        "give the new resource another name, or remove the old one first",
    )


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _judge_undeclared(node: Node, situation: Situation, knowledge: Knowledge) -> Change:
    knowledge.know(node)
    moved = find_moved_target(node, situation, knowledge)
    if moved:
        return moved
    if not situation.is_destroy and not situation.stack.prune:
        return Change(
            node.address, Action.NONE, reasons=("it is no longer in Git, and the stack's prune is off",)
        )
    try:
        kind = situation.catalog.kind_of(node)
    except PluginError as error:
        return refuse(node, error.message, error.hint)
    doubt = refuse_doubt(node, knowledge.observations[node.address], situation)
    if doubt:
        return doubt
    record = situation.records[node.address]
    if was_never_made(node, record, situation):
        return Change(node.address, Action.FORGET, reasons=(explain_unmade(node),))
    standing = Standing(kind, situation.owner(node.address), situation.stack.drift, node.body, record)
    why = "the stack is destroyed" if situation.is_destroy else "it is no longer in Git"
    observation = knowledge.observations[node.address]
    change = diff_undeclared(node, observation, standing, why)
    claim = situation.claims.get(node.address)
    if claim and isinstance(observation, Observed) and observation.owner in (None, standing.owner):
        taken = f"{claim} says that another stack takes it over (lifecycle.movedFrom): reconcile that one"
        return Change(node.address, Action.NONE, reasons=(why, taken), observed=observation)
    if situation.is_destroy and record.protect and change.action is Action.NONE:
        return refuse(
            node,
            "it is protected (lifecycle.protect)",
            "declare it without the protection and reconcile that first",
        )
    return change


def _dependents_first(situation: Situation) -> Sequence[Node]:
    """The undeclared nodes in the order in which they are deleted."""
    dependents: dict[Address, list[Address]] = {}
    for address in sorted(situation.undeclared):  # the same in each process
        for dependency in situation.records[address].depends_on:
            dependents.setdefault(dependency, []).append(address)
    ordered: dict[Address, None] = {}
    for start in sorted(situation.undeclared):
        stack, on_path = [start], set[Address]()
        while stack:
            address = stack[-1]
            waiting = [d for d in dependents.get(address, ()) if d not in ordered and d not in on_path]
            if address in ordered or not waiting:
                ordered.setdefault(stack.pop())
                on_path.discard(address)
            else:
                on_path.add(address)
                stack.append(waiting[0])
    return [situation.undeclared[address] for address in ordered]
