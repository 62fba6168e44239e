"""Tells which rows of the inventory are of objects that were never made, since they never had a name. Pure.

Called by observe, plan and act. A row is written before a create. Where what the object is called was not
known, or no valid name, no create was ever sent, and there is nothing to look for by that name.
"""

from __future__ import annotations

from collections.abc import Mapping

from trueup.errors import PluginError
from trueup.model.resource import Node
from trueup.model.values import UNKNOWN, Value, has_unknown
from trueup.reconcile.situation import Situation
from trueup.state.store import Record


def was_never_made(node: Node, record: Record | None, situation: Situation) -> bool:
    """Whether there cannot be an object for a node that was made from a row of this stack.

    A create that was begun may have made one under a name that the row does not know.
    """
    if record is None or record.external_id or record.replacing:
        return False
    if node.address.stack != situation.stack.name or node.address in situation.begun:
        return False
    try:
        kind = situation.catalog.kind_of(node)
    except PluginError:
        return False  # of a provider that is not installed: nothing is known of it
    return kind.traits.identity == "named" and not kind.identity(node.with_body(restore(node.body)))


def explain_unmade(node: Node) -> str:
    """Why an object was never made, for the plan."""
    if has_unknown(restore(node.body)):
        return "it was never created: what it is called was never known"
    return "it was never created: it never had a valid name"


def restore(value: Value) -> Value:
    """A recorded body as the pure methods of a kind may see it: UNKNOWN for what the store does not keep."""
    if isinstance(value, Mapping):
        if value.keys() in ({"$sensitive"}, {"$unknown"}):
            return UNKNOWN
        return {key: restore(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restore(item) for item in value]
    return value
