"""Turns a node's expressions into values, as far as the nodes that they refer to are known. Pure.

Called by plan for every node in dependency order, and by act again once the dependencies are done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trueup.manifests.expressions import Lookup, resolve
from trueup.model.observation import Observed
from trueup.model.resource import Node
from trueup.model.values import UNKNOWN, Document, PartlyKnown, Value, split_pointer


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


def keep_ignored(node: Node, observed: Observed) -> Node:
    """The node with the live value in every field of `lifecycle.ignore`, so that it is left as it is."""
    if not node.lifecycle.ignore:
        return node
    body: Value = node.body
    for pointer in node.lifecycle.ignore:
        body = _with_live(body, observed.body, split_pointer(pointer))
    return replace(node, body=body)


def _with_live(desired: Value, live: Value, path: list[str]) -> Value:
    if isinstance(desired, list) and path[0].isdigit():
        index = int(path[0])
        if index >= len(desired) or not isinstance(live, list) or index >= len(live):
            return desired
        item = live[index] if len(path) == 1 else _with_live(desired[index], live[index], path[1:])
        return [*desired[:index], item, *desired[index + 1 :]]
    if not isinstance(desired, Mapping):
        return desired
    key, rest = path[0], path[1:]
    if key not in desired:
        return desired
    has_live = isinstance(live, Mapping) and key in live
    changed = dict(desired)
    if rest:
        if has_live:
            changed[key] = _with_live(desired[key], live[key], rest)
    elif has_live:
        changed[key] = live[key]
    else:
        del changed[key]
    return changed
