"""Who owns which field of a live object: `metadata.managedFields` as trees.

Read by `comparison` (what did we set, is this list keyed) and for the observed version. Pure.
The server writes, for each manager, a tree whose keys are `f:<field>`, `k:<keys of a list item as JSON>`,
`v:<value of a set as JSON>`, and `.` for the item itself; an empty tree is a leaf.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from trueup.sdk import Document, Value

MANAGER = "trueup"
Tree = Mapping[str, Any]
NOTHING: Tree = {}


def owned_by_us(body: Document) -> Tree:
    """The fields that our last apply set and nobody changed since."""
    for entry in _entries(body):
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply":
            return entry.get("fieldsV1") or NOTHING
    return NOTHING


def created_entry(body: Document) -> int | None:
    """The index of the entry for what our POST set, where our apply holds what is ours by now."""
    ours = {
        entry.get("operation"): index
        for index, entry in enumerate(_entries(body))
        if entry.get("manager") == MANAGER and not entry.get("subresource")
    }
    return ours.get("Update") if "Apply" in ours else None


def owned_by_others(body: Document) -> tuple[Tree, Tree]:
    """The fields that controllers and other tools set, and those that people set by hand with kubectl."""
    tools: list[Tree] = []
    people: list[Tree] = []
    for entry in _entries(body):
        manager = str(entry.get("manager") or "")
        if manager != MANAGER:
            by_hand = manager.startswith("kubectl") and entry.get("operation") == "Update"
            by_hand = by_hand and not entry.get("subresource")
            (people if by_hand else tools).append(entry.get("fieldsV1") or NOTHING)
    return merge(tools), merge(people)


def known_structure(body: Document) -> Tree:
    """All managers' trees in one: it tells which lists are keyed, and by what."""
    return merge([entry.get("fieldsV1") or NOTHING for entry in _entries(body)])


def entry_trees(body: Document) -> Iterator[tuple[str, str, Tree]]:
    """Each entry's manager, its subresource (empty: the object itself), and the fields that it owns."""
    for entry in _entries(body):
        manager, subresource = str(entry.get("manager") or ""), str(entry.get("subresource") or "")
        yield manager, subresource, entry.get("fieldsV1") or NOTHING


def managers_of(body: Document) -> set[str]:
    """Everyone who set a field of the object itself."""
    return {manager for manager, subresource, _ in entry_trees(body) if not subresource}


def merge(trees: Sequence[Tree]) -> Tree:
    merged: dict[str, Any] = {}
    for tree in trees:
        for key, below in tree.items():
            merged[key] = merge([merged[key], below]) if key in merged else below
    return merged


def is_leaf(tree: Tree) -> bool:
    return not any(key != "." for key in tree)


def below_field(tree: Tree | None, name: str) -> Tree | None:
    """The tree of a map's field; None where the tree does not hold it."""
    below: Tree | None = None if tree is None else tree.get(f"f:{name}")
    return below


def below_item(tree: Tree | None, item: Value) -> Tree | None:
    """The tree of a keyed list's item; None where the tree does not hold it."""
    for key, wanted in item_keys(tree or NOTHING):
        if isinstance(item, Mapping) and all(item.get(name) == wanted[name] for name in wanted):
            below: Tree = (tree or NOTHING)[key]
            return below
    return None


def keys_of(*trees: Tree | None) -> tuple[str, ...]:
    """The properties that identify the items of the list at this place; empty where it is not keyed."""
    for tree in trees:
        for _, keys in item_keys(tree or NOTHING):
            return tuple(sorted(keys))
    return ()


def item_keys(tree: Tree) -> Iterator[tuple[str, Mapping[str, Value]]]:
    """Each keyed item of the tree: the tree's key, and the item's identifying properties."""
    for key in tree:
        if key.startswith("k:"):
            yield key, _decoded(key[2:])


def set_values(tree: Tree | None) -> list[Value]:
    """The elements of a set that the tree holds."""
    return [json.loads(key[2:]) for key in tree or () if key.startswith("v:")]


def project(value: Value, tree: Tree) -> Value:
    """The part of a live value that the tree owns."""
    if is_leaf(tree):
        return value
    if isinstance(value, Mapping):
        return {
            key[2:]: project(value[key[2:]], below)
            for key, below in tree.items()
            if key.startswith("f:") and key[2:] in value
        }
    if isinstance(value, list):
        kept = [
            project(item, tree[key])
            for key, wanted in item_keys(tree)
            for item in value
            if isinstance(item, Mapping) and all(item.get(name) == wanted[name] for name in wanted)
        ]
        return kept + [item for item in set_values(tree) if item in value]
    return value


def _entries(body: Document) -> Sequence[Mapping[str, Any]]:
    return (body.get("metadata") or {}).get("managedFields") or ()


@lru_cache(maxsize=4096)
def _decoded(text: str) -> Mapping[str, Value]:
    decoded: Mapping[str, Value] = json.loads(text)
    return decoded
