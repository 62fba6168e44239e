"""Turns a node's expressions into values, as far as the nodes that they refer to are known. Pure.

Called by plan for every node in dependency order, and by act again once the dependencies are done.
"""

from __future__ import annotations

from collections.abc import Mapping

from trueup.manifests.expressions import Lookup, resolve
from trueup.model.observation import Observed
from trueup.model.resource import Node
from trueup.model.values import UNKNOWN, Document, PartlyKnown, Value, split_pointer
from trueup.sdk.contracts import Kind


def resolve_node(node: Node, lookup: Lookup) -> Node:
    """The node with every expression evaluated; UNKNOWN where it needs what is not known yet.

    Raises ManifestError with all problems of its expressions.
    """
    return node.with_body(resolve(node.body, lookup))


def known_document(node: Node, observed: Observed | None, *, is_made_anew: bool) -> Document:
    """What expressions of other nodes may see of a node: desired over observed, and its status.

    A node that is created or replaced has a status only afterwards.
    """
    if observed is None or is_made_anew:
        return PartlyKnown({**node.body, "status": UNKNOWN})
    document: Document = overlay(observed.body, node.body)
    return document


def overlay(below: Value, above: Value) -> Value:
    """`above` laid over `below`, maps merged key by key, all else taken from `above`."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged = {**below, **above}
        for key in below.keys() & above.keys():
            merged[key] = overlay(below[key], above[key])
        return merged
    return above


def keep_ignored(node: Node, observed: Observed, kind: Kind, recorded: Document | None = None) -> Node:
    """The node with the live value in every field of `lifecycle.ignore`, so that it is left as it is."""
    if not node.lifecycle.ignore:
        return node
    body: Value = node.body
    for pointer in node.lifecycle.ignore:
        body = _with_live(body, observed.body, (), tuple(split_pointer(pointer)), observed, kind, recorded)
    return node.with_body(body)


def _with_live(
    desired: Value,
    live: Value,
    above: tuple[str, ...],
    below: tuple[str, ...],
    observed: Observed,
    kind: Kind,
    recorded: Value,
) -> Value:
    """`desired` with the live value at the path `below`; `above` is the path to here."""
    token, rest = below[0], below[1:]
    if isinstance(desired, list) and isinstance(live, list):
        index = kind.find_item(observed, above, desired, token)
        other = kind.find_item(observed, above, live, token)
        if index is None or other is None:
            return desired
        item = live[other]
        if rest:
            item = _with_live(desired[index], item, (*above, token), rest, observed, kind, None)
        return [*desired[:index], item, *desired[index + 1 :]]
    if not isinstance(desired, Mapping):
        return desired
    has_live = isinstance(live, Mapping) and token in live
    was_ours = isinstance(recorded, Mapping) and token in recorded
    # What we set before, or a kind with a schema fills in, is sent as it lives; else we would come to own it.
    if token not in desired and (rest or not has_live or (kind.schema is None and not was_ours)):
        return desired
    changed = dict(desired)
    if rest:
        if has_live:
            last = recorded[token] if isinstance(recorded, Mapping) and token in recorded else None
            changed[token] = _with_live(
                desired[token], live[token], (*above, token), rest, observed, kind, last
            )
    elif has_live:
        changed[token] = live[token]
    else:
        del changed[token]
    return changed
