"""Tells what an interrupted create leaves in doubt, by how objects of its kind are found again. Pure.

Called by cycle, plan, record and act. What is found by its name or its marker is in no doubt once it was
looked for. A kind without either (identity `token` or `none`) shows nothing of an object whose id did not
arrive: one with a token makes sure by repeating the create with it, the others ask a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trueup.errors import PluginError
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.observation import Absent, Observation
from trueup.model.plan import Hold, Plan
from trueup.model.resource import Node
from trueup.reconcile.diff import refuse
from trueup.reconcile.situation import Knowledge, Situation, name_only
from trueup.sdk.contracts import Catalog, Kind
from trueup.state.store import OpenIntent, Record

MAKING = frozenset({Action.CREATE.value, Action.REPLACE.value})


def find_begun(intents: Sequence[OpenIntent]) -> Mapping[Address, OpenIntent]:
    """The creates of which no end was recorded, those of replacements too."""
    return {intent.address: intent for intent in intents if intent.action in MAKING}


def is_unfindable(kind: Kind) -> bool:
    """Whether only its id leads to an object of the kind."""
    return kind.traits.identity in ("token", "none")


def without_doubt(
    records: Mapping[Address, Record], intents: Sequence[OpenIntent], catalog: Catalog
) -> Mapping[Address, Record]:
    """The records, less what an interrupted step has made doubtful.

    A create may have made another object than the recorded one, so our marker alone tells it. What was sent
    last is not known, so a difference is not taken for drift.
    """
    doubtful = dict(records)
    for intent in intents:
        record = doubtful.get(intent.address)
        is_making = intent.action in MAKING
        if record is None:
            continue
        if is_making and not record.replacing and not _is_unfindable_record(record, catalog):
            # The body says by which name it was made, and nothing is compared with it.
            doubtful[intent.address] = replace(record, external_id="")
        elif record.external_id and (is_making or intent.action == Action.UPDATE):
            doubtful[intent.address] = replace(record, body=name_only(record.body))
    return doubtful


def _is_unfindable_record(record: Record, catalog: Catalog) -> bool:
    try:
        kind = catalog.provider(record.target["provider"]).kind(record.api_version, record.address.kind)
    except PluginError:
        return False  # of a provider that is not installed: nothing is done about it
    return kind is not None and is_unfindable(kind)


def is_doubtful(node: Node, observation: Observation | None, situation: Situation) -> bool:
    """Whether a create of the node was begun that may yet show, or that nothing can show."""
    if not isinstance(observation, Absent):
        return False
    kind = situation.catalog.kind_of(node)
    return is_unfindable(kind) or (kind.traits.identity == "tagged" and kind.traits.settle > 0)


def forget_id(record: Record | None, observation: Observation, situation: Situation) -> Record | None:
    """The row of a node whose old object a replacement has removed: that is no drift."""
    if record is None or not isinstance(observation, Absent) or record.address not in situation.begun:
        return record
    return replace(record, external_id="")


def find_doubt(node: Node, observation: Observation, situation: Situation) -> OpenIntent | None:
    """The interrupted create of which nothing tells whether it has made the node's object."""
    if not isinstance(observation, Absent) or not situation.begun:
        return None
    addresses = (node.address, *(node.former_addresses if node.lifecycle.moved_from else ()))
    begun = next((address for address in addresses if address in situation.begun), None)
    if begun is None:
        return None
    identity = situation.catalog.kind_of(node).traits.identity
    is_repeatable = begun == node.address and begun in situation.graph.nodes
    is_open = identity == "none" or (identity == "token" and not is_repeatable)
    return situation.begun[begun] if is_open else None


def refuse_doubt(node: Node, observation: Observation, situation: Situation) -> Change | None:
    """A refusal to make what may be there already, or to forget what may have been made."""
    intent = find_doubt(node, observation, situation)
    if intent is None or intent.address in situation.cleared:
        return None
    hint = (
        "look for it there, and delete it if it exists; then an approval of the plan that says this (`trueup"
        f" plan` shows its digest), or `trueup forget SOURCE --only {intent.address.reference}`, says that"
        " there is none"
    )
    if situation.catalog.kind_of(node).traits.identity == "token":
        hint = f"declare {intent.address.reference} as it was, so that the create can be repeated; or {hint}"
    return refuse(
        node, "an earlier create was interrupted, and nothing tells whether it has made an object", hint
    )


def note_doubt(change: Change, situation: Situation, knowledge: Knowledge) -> Change:
    """The change with the interrupted create that it hangs on: another one later is another doubt."""
    if not situation.begun or change.address not in knowledge.observations:
        return change
    try:
        node = situation.node(change.address)
        intent = find_doubt(node, knowledge.observations[change.address], situation)
    except PluginError:
        return change  # of a provider that is not installed: the plan says so
    return change if intent is None else replace(change, doubt=f"{intent.action} in run {intent.run}")


def hold_doubts(changes: Sequence[Change], situation: Situation) -> tuple[Hold, ...]:
    """What keeps the nodes that are in doubt, and no others, until somebody has looked."""
    nodes = tuple(change.address for change in changes if change.doubt)
    if not nodes or situation.is_destroy:
        return ()
    names = ", ".join(address.text for address in nodes)
    message = (
        f"a create of {names} was interrupted, and nothing tells whether it has made an object: an approval"
        " says that somebody has looked, and that there is none"
    )
    return (Hold("ambiguous-create", message, nodes=nodes),)


def clear_doubts(plan: Plan, situation: Situation, knowledge: Knowledge) -> Situation:
    """The situation once a person has approved a plan with nodes in doubt: those can be made now."""
    doubted = [
        find_doubt(situation.node(change.address), knowledge.observations[change.address], situation)
        for change in plan.changes
        if change.doubt
    ]
    return replace(situation, cleared=frozenset(intent.address for intent in doubted if intent is not None))
