"""Tells what lives under a new address now, so that it is neither deleted nor made again. Pure.

Called by observe, plan and act. A node's former addresses are those that `lifecycle.movedFrom` says, and the
one on the marker of the object that it names itself, if the resource of that address has left Git.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from trueup.errors import PluginError
from trueup.graph.build import Graph
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.observation import Absent, Failed, Observation, Observed
from trueup.model.resource import Node, Stack
from trueup.reconcile.diff import refuse
from trueup.reconcile.resolve import record_config
from trueup.reconcile.situation import Former, Knowledge, Situation, undeclared_node
from trueup.sdk.contracts import Catalog
from trueup.state.store import Record


@dataclass(frozen=True)
class Move:
    """Under which address an object was managed, and its row there if there is one."""

    address: Address
    record: Record | None


def find_formers(
    graph: Graph, records: Mapping[Address, Record], stack: Stack
) -> dict[Address, tuple[Former, ...]]:
    """The former addresses of each node that are in the inventory.

    `records` are those of this stack and of the other ones that the nodes name.
    """
    formers: dict[Address, tuple[Former, ...]] = {}
    for address, node in graph.nodes.items():
        if not node.lifecycle.moved_from:
            continue
        named = [old for old in node.former_addresses if old in records and old not in graph.nodes]
        record = records.get(address)
        if not named and (record is None or not record.external_id):
            outside = node.former_addresses_outside
            named = [old for old in outside if old in records and old not in graph.nodes]
        if named:
            found = (Former(old, records[old], _former_node(records[old], node, stack)) for old in named)
            formers[address] = tuple(found)
    return formers


def find_heirs(formers: Mapping[Address, tuple[Former, ...]]) -> dict[Address, tuple[Address, ...]]:
    """The nodes that were moved from each former address: one, unless the manifests are ambiguous."""
    heirs: dict[Address, tuple[Address, ...]] = {}
    for heir, found in formers.items():
        for former in found:
            heirs[former.address] = (*heirs.get(former.address, ()), heir)
    return heirs


def find_silent_heirs(
    going: Iterable[Node], others: Iterable[Node], catalog: Catalog
) -> dict[Address, tuple[Address, ...]]:
    """Which of the `others`, no part of this run, name the very object of one that is going.

    Renamed without `movedFrom`, they find it by its marker in a run of their own, if it still lives then.
    """
    named: dict[tuple[str, str, str], list[Node]] = {}
    for node in others:
        named.setdefault(_name_of(node, catalog), []).append(node)
    heirs: dict[Address, tuple[Address, ...]] = {}
    for node in going:
        name = _name_of(node, catalog)
        found = [other.address for other in named.get(name, ()) if name[-1] and _may_share(node, other)]
        if found:
            heirs[node.address] = tuple(found)
    return heirs


def _name_of(node: Node, catalog: Catalog) -> tuple[str, str, str]:
    """What the system calls the object, as far as the manifest alone says it."""
    try:
        identity = catalog.kind_of(node).identity(node)
    except PluginError:
        identity = ""  # of a provider that is not installed: nothing of it is deleted either
    return (node.target.provider, node.kind, identity)


def _may_share(one: Node, other: Node) -> bool:
    """Whether both are on one target, or on two that lead to the same place."""
    configs = [record_config(node.target.config) for node in (one, other)]
    return one.target.name == other.target.name or configs[0] == configs[1]


def _former_node(record: Record, node: Node, stack: Stack) -> Node:
    former = undeclared_node(record, stack)
    # What another stack calls a target is nothing to us.
    return former if record.address.stack == stack.name else replace(former, target=node.target)


def inherited_id(node: Node, situation: Situation, knowledge: Knowledge) -> str:
    """By which id the object of a moved node is found, where nothing is recorded under its own address."""
    if situation.is_recorded(node.address):
        return ""
    ids = (_living_id(former, node, situation, knowledge) for former in situation.formers[node.address])
    return next(filter(None, ids), "")


def find_move(
    node: Node, observation: Observation, situation: Situation, knowledge: Knowledge
) -> Move | None:
    """Under which other address the observed object is managed until now, None where under none."""
    if not isinstance(observation, Observed):
        return None
    owner = observation.owner
    if owner is not None and owner != situation.owner(node.address):
        return _find_by_marker(node, observation, situation, knowledge)
    if situation.is_recorded(node.address):
        return None
    for former in situation.formers.get(node.address, ()):
        if observation.external_id == _living_id(former, node, situation, knowledge):
            return Move(former.address, former.record)
    return None


def _find_by_marker(
    node: Node, observed: Observed, situation: Situation, knowledge: Knowledge
) -> Move | None:
    owner = observed.owner
    said = {address.text: address for address in (*node.former_addresses, *node.former_addresses_outside)}
    address = said.get(owner.address) if owner else None
    address = address or (situation.undeclared_by_text.get(owner.address) if owner else None)
    if address is None or owner != situation.owner(address):
        return None
    record = situation.record_at(address)
    if record is None:
        return Move(address, None)
    is_same = record.external_id in ("", observed.external_id)
    return Move(address, record) if is_same and _is_same_place(record, node, knowledge) else None


def refuse_taken(
    node: Node, observation: Observation, situation: Situation, knowledge: Knowledge
) -> Change | None:
    """A refusal where the object is still that of another resource: adopting, they would take it in turn.

    Two targets of one place lead to it, or the other one has another name by now and still its old object.
    """
    owner = observation.owner if isinstance(observation, Observed) else None
    if not isinstance(observation, Observed) or owner is None or owner.key != situation.owner_key:
        return None
    if owner == situation.owner(node.address):
        return None
    other = situation.declared_by_text.get(owner.address)
    if other is None:
        return None
    seen = knowledge.observations.get(other)
    places = [knowledge.fingerprints.get(address.target) for address in (node.address, other)]
    if not isinstance(seen, Observed) or places[0] != places[1]:
        return None
    if (seen.external_id, seen.owner) != (observation.external_id, owner):
        return None
    return refuse(
        node,
        f"the object belongs to {owner.address}, which is declared as well",
        "give them different names, or keep one of them; if that one has another name by now, run again",
    )


def refuse_rival(node: Node, situation: Situation) -> Change | None:
    """A refusal where several nodes say that they were the same one: they would take the object in turn."""
    if situation.is_recorded(node.address):
        return None
    for former in situation.formers.get(node.address, ()):
        rivals = [heir for heir in situation.heirs.get(former.address, ()) if heir != node.address]
        if rivals:
            return refuse(
                node,
                f"it was {former.address} before, and so was {rivals[0]}: an object can go on as one of them"
                " only",
                "give movedFrom to one of them; in a module, by an input",
            )
    return None


def refuse_move(
    node: Node, observation: Observation, situation: Situation, knowledge: Knowledge
) -> Change | None:
    """A refusal where a former object lives on and is not the node's: it would be left over, or deleted."""
    address = node.address
    if isinstance(observation, Failed) or situation.is_recorded(address):
        return None
    if isinstance(observation, Observed) and observation.owner == situation.owner(address):
        return None
    for former in situation.formers.get(address, ()):
        seen = knowledge.observations.get(former.address)
        name = former.address
        is_here = _is_same_place(former.record, node, knowledge)
        # What another stack has was looked for here, which says nothing of another place.
        if isinstance(seen, Absent) and (is_here or name.stack == address.stack):
            continue
        if not is_here:
            return refuse(
                node,
                f"it was {name} before, which is in another place ({former.record.fingerprint}): an object"
                " cannot be moved there",
                "remove movedFrom, to make a new one here and have the old one deleted",
            )
        if isinstance(seen, Failed):
            return refuse(
                node, f"it was {name} before, which cannot be read: {seen.error.message}", seen.error.hint
            )
        external_id = _living_id(former, node, situation, knowledge)
        if external_id:
            return refuse(
                node,
                f"it was {name} before, and that is another object ({external_id}), which lives on",
                "name the object as it was named before; or remove movedFrom, to have the old one deleted and"
                " a new one made",
            )
    return None


def judge_former(
    node: Node, changes: Mapping[Address, Change], situation: Situation, knowledge: Knowledge
) -> Change | None:
    """What happens to the row of a former address, None where it is judged as any that has left Git.

    `changes` are those of the graph's nodes. Never a delete: what was moved is not to be lost.
    """
    heirs = situation.heirs.get(node.address)
    if not heirs:
        return None
    heir = heirs[0]
    change, record = changes.get(heir), situation.records[node.address]
    if change is None:
        reasons = ("it is no longer in Git", f"it is to go on as {heir}, which is not part of this run")
        return Change(node.address, Action.NONE, reasons=reasons)
    if change.problem:
        return forget_moved(node.address, heir)
    old, new = knowledge.observations[node.address], knowledge.observations[heir]
    if isinstance(old, Absent):
        return forget_moved(node.address, heir, "it is gone already")
    heir_node = situation.graph.nodes[heir]
    if isinstance(new, Observed) and _is_same_place(record, heir_node, knowledge):
        ids = {record.external_id, old.external_id if isinstance(old, Observed) else ""}
        if new.external_id in ids:
            return forget_moved(node.address, heir)
    if isinstance(old, Observed) and old.external_id in {seen.external_id for seen in change.replaced}:
        # A replacement that is not finished: the row of the new object leads to it by now.
        return forget_moved(node.address, heir)
    if isinstance(old, Observed) and old.owner in (None, situation.owner(node.address)):
        return refuse(
            node,
            f"{heir} says that it was moved from here, but is another object by now, so this one is kept",
            f"remove movedFrom from {heir.reference} to have this one deleted, or declare it again",
        )
    return None


def forget_moved(old: Address, new: Address, reason: str = "") -> Change:
    """The change of an old address whose object goes on under the new one."""
    return Change(old, Action.FORGET, reasons=(reason or f"it is {new} now",), moved_to=new)


def _living_id(former: Former, node: Node, situation: Situation, knowledge: Knowledge) -> str:
    """The id of the object of a former address, empty where it is gone, in another place, or not ours."""
    if not _is_same_place(former.record, node, knowledge):
        return ""
    seen = knowledge.observations.get(former.address)
    if isinstance(seen, Failed):
        return former.record.external_id
    if not isinstance(seen, Observed):
        return ""
    before = (former.address, *node.former_addresses, *node.former_addresses_outside)
    owners = [situation.owner(address) for address in (node.address, *before)]
    is_ours = seen.owner in owners or (seen.owner is None and seen.external_id == former.record.external_id)
    return seen.external_id if is_ours else ""


def _is_same_place(record: Record, node: Node, knowledge: Knowledge) -> bool:
    return record.fingerprint in ("", knowledge.fingerprints.get(node.target.name))
