"""Replaces an object by one of another name: both may live for a while, and none is ever lost. Pure.

Called by observe, plan, act and finish. Before the first call of such a replacement, the row of the node
loses its id and gets the old object in `replacing`, so that a run that dies in between leads the next one to
both. The one that the row names, and the one that the manifest names, is never a leftover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trueup.model.address import Address, Owner
from trueup.model.change import Action, Change
from trueup.model.observation import Failed, Observed
from trueup.model.resource import Node, OnDelete, Replace
from trueup.model.values import Document, to_record
from trueup.reconcile.diff import describe_barrier, refuse
from trueup.reconcile.situation import Knowledge, Leftover, Situation, undeclared_node
from trueup.sdk.contracts import Kind
from trueup.state.store import Record


def find_leftovers(situation: Situation, knowledge: Knowledge) -> list[Leftover]:
    """What unfinished replacements have left, and what an unfinished create made under another name."""
    found: list[Leftover] = []
    for address, record in situation.records.items():
        if (record.external_id and not record.replacing) or address not in knowledge.nodes:
            continue
        node = knowledge.nodes[address]
        found += [_read_entry(entry, node, situation) for entry in record.replacing.get("objects", ())]
        if not record.external_id and address in situation.graph.nodes:
            begun = undeclared_node(record, situation.stack)
            if _are_alike(begun, node, situation) is False:
                found.append(Leftover(begun, situation.owner(address), record.created))
    return found


def _are_alike(one: Node, other: Node, situation: Situation) -> bool | None:
    """Whether both nodes are the same object by their names; None where that cannot be told."""
    known = [situation.catalog.kind_of(node).identity(node) for node in (one, other)]
    return known[0] == known[1] if all(known) else None


def _find_heir(old: Node, situation: Situation) -> Address | None:
    """Another resource that names the object by now: what is wanted under any address is kept."""
    for address, node in situation.graph.nodes.items():
        is_near = node.kind == old.kind and node.target.name == old.target.name and address != old.address
        if is_near and _are_alike(old, node, situation):
            return address
    return None


def resume(change: Change, situation: Situation, knowledge: Knowledge) -> Change:
    """The change with what is left of the node's earlier objects, so that they go, too."""
    found = knowledge.leftovers.get(change.address, ())
    if not found or change.problem:
        return change
    node = situation.node(change.address)
    for leftover, seen in found:
        if isinstance(seen, Failed):
            which = leftover.node.external_id or "an object that it replaces"
            return refuse(node, f"{which} cannot be read: {seen.error.message}", seen.error.hint)
    wanted = knowledge.nodes[change.address]
    live: list[Observed] = []
    for leftover, seen in _living(found, knowledge.observations.get(change.address)):
        if change.address in situation.graph.nodes and _are_alike(leftover.node, wanted, situation):
            continue
        heir = _find_heir(leftover.node, situation)
        if heir is not None:
            return refuse(
                node,
                f"{seen.external_id}, which it replaces, is what {heir} names by now, so it is not deleted",
                f"set lifecycle.adopt: true on {heir.reference}, or give it another name",
            )
        live.append(seen)
    if not live:
        return change
    if change.address in situation.graph.nodes:
        what = ", ".join(seen.external_id for seen in live)
        reasons = (*change.reasons, f"{what}, which it replaces, is still there")
        if node.lifecycle.protect or node.lifecycle.replace is Replace.DENY:
            key = describe_barrier(node)
            refused = refuse(node, f"its replacement was begun, which lifecycle.{key} forbids to finish")
            return replace(refused, fields=change.fields, observed=change.observed)
        return replace(
            change,
            action=Action.REPLACE,
            reasons=reasons,
            replaced=tuple(live),
            is_drift=False,
            quarantine=None,
        )
    return _resume_undeclared(change, node, tuple(live), situation)


def _resume_undeclared(
    change: Change, node: Node, live: tuple[Observed, ...], situation: Situation
) -> Change:
    """The old objects of a node that left Git go with its row, whatever becomes of the new one."""
    if change.action is Action.NONE:
        return change
    what = ", ".join(seen.external_id for seen in live)
    if node.lifecycle.protect:
        if situation.is_destroy:
            return refuse(node, f"{what}, which it replaces, is protected (lifecycle.protect)")
        return Change(node.address, Action.NONE, reasons=(f"{what}, which it replaces, is protected",))
    is_orphaned = node.lifecycle.on_delete is OnDelete.ORPHAN
    is_gone = change.action is Action.FORGET and change.observed is None and change.moved_to is None
    action = Action.DELETE if is_gone and not is_orphaned else change.action
    fate = "is left as it is" if is_orphaned else "is deleted"
    reasons = (*change.reasons, f"{what}, which it replaces, {fate}")
    return replace(change, action=action, reasons=reasons, replaced=live)


def _living(found: Sequence[tuple[Leftover, object]], now: object) -> list[tuple[Leftover, Observed]]:
    """Those that live, carry the marker that they had, and are not the node's object of `now`."""
    current = now.external_id if isinstance(now, Observed) else None
    return [
        (leftover, seen)
        for leftover, seen in found
        if isinstance(seen, Observed)
        and seen.owner == leftover.owner
        and seen.external_id != current
        and leftover.node.external_id in ("", seen.external_id)
    ]


def is_begun_now(change: Change) -> bool:
    """Whether the replacement starts with this step: the object that lives now cannot be changed in place."""
    return (
        change.action is Action.REPLACE
        and change.observed is not None
        and any(field.immutable for field in change.fields)
    )


def refuse_new_name(seen: Observed, old: Observed, node: Node, kind: Kind, ours: Owner) -> str:
    """Why the object under the new name of a node keeps it from being replaced; empty if it does not."""
    is_free = seen.owner is None and kind.traits.shared
    if seen.external_id == old.external_id or is_free or seen.owner == ours or node.lifecycle.adopt:
        return ""
    whose = f"belongs to {seen.owner.address}" if seen.owner else "trueup does not manage"
    return f"an object that {whose} has the new name already, so the old one is not replaced"


def leave(node: Node, observed: Observed, record: Record | None, situation: Situation) -> Leftover:
    """The object that lives now, as what the new one takes the place of."""
    owner = observed.owner or situation.owner(node.address)
    is_created = record.created if record else True
    body = {key: value for key, value in observed.body.items() if key != "status"}
    return Leftover(node.with_body(body, observed.external_id), owner, is_created)


def make_entries(leftovers: Sequence[tuple[Leftover, Observed]]) -> Mapping[str, object]:
    """What the row of the node says of them; see `Record.replacing`."""
    if not leftovers:
        return {}
    return {"objects": [_make_entry(leftover) for leftover, _ in leftovers]}


def _make_entry(leftover: Leftover) -> Document:
    node = leftover.node
    return {
        "external_id": node.external_id,
        "api_version": node.api_version,
        "body": to_record(node.body),
        "address": leftover.owner.address,
        "created": leftover.is_created,
    }


def _read_entry(entry: Document, node: Node, situation: Situation) -> Leftover:
    old = Node(
        node.address,
        entry["api_version"],
        node.target,
        entry["body"],
        node.lifecycle,
        external_id=entry["external_id"],
    )
    return Leftover(old, situation.owner(Address.parse(entry["address"])), entry["created"])
