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
from trueup.model.resource import Node
from trueup.reconcile.diff import refuse
from trueup.reconcile.situation import Situation, name_only
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


def refuse_doubt(node: Node, observation: Observation, situation: Situation) -> Change | None:
    """A refusal to make what may be there already, or to forget what may have been made."""
    if not isinstance(observation, Absent) or not situation.begun:
        return None
    addresses = (node.address, *(node.former_addresses if node.lifecycle.moved_from else ()))
    begun = next((address for address in addresses if address in situation.begun), None)
    if begun is None:
        return None
    identity = situation.catalog.kind_of(node).traits.identity
    is_repeatable = begun == node.address and begun in situation.graph.nodes
    if identity == "none" or (identity == "token" and not is_repeatable):
        hint = (
            "look for it there, and delete it if it exists; then `trueup forget SOURCE --only"
            f" {begun.reference}` says that there is none"
        )
        if identity == "token":
            hint = f"declare {begun.reference} as it was, so that the create can be repeated; or {hint}"
        return refuse(
            node,
            "an earlier create was interrupted, and nothing tells whether it has made an object",
            hint,
        )
    return None
