"""Who owns which field of a live object: `metadata.managedFields` as trees.

Read by `comparison` (what did we set, is this list keyed), for the version and for who wrote what. Pure.
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
# What the server puts into an identifying property that the manifest leaves out.
KEY_DEFAULTS: Mapping[str, Value] = {"protocol": "TCP"}
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


def writers_of(body: Document) -> Mapping[str, str]:
    """The pointer of each field that others set, with manager, operation and time of the last of them."""
    ours = owned_by_us(body)
    found: dict[str, str] = {}
    for entry in sorted(_entries(body), key=lambda entry: str(entry.get("time") or "")):
        if entry.get("manager") == MANAGER:
            continue
        declared = {
            key: below for key, below in (entry.get("fieldsV1") or NOTHING).items() if key != "f:status"
        }
        found.update(dict.fromkeys(_pointers(body, declared, ours, ""), _describe_entry(entry)))
    return found


def _describe_entry(entry: Mapping[str, Any]) -> str:
    operation = str(entry.get("operation") or "Update")
    if entry.get("subresource"):
        operation += f" of {entry['subresource']}"
    when = f" at {entry['time']}" if entry.get("time") else ""
    return f"{entry.get('manager') or 'an unnamed manager'} ({operation}){when}"


def _pointers(value: Value, tree: Tree, ours: Tree | None, path: str) -> Iterator[str]:
    """The pointers of the tree's leaves that live, and of list items that are not ours."""
    for key, below in tree.items():
        if key.startswith("f:") and isinstance(value, Mapping) and key[2:] in value:
            name = key[2:]
            inner = f"{path}/{_escape(name)}"
            if is_leaf(below):
                yield inner
            else:
                yield from _pointers(value[name], below, below_field(ours, name), inner)
        elif key.startswith("k:") and isinstance(value, list):
            keys = _decoded(key[2:])
            item = next(
                (each for each in value if isinstance(each, Mapping) and keys.items() <= each.items()), None
            )
            if item is None:
                continue
            inner = f"{path}/{_escape(token_of(item, tuple(sorted(keys))))}"
            owned = below_item(ours, item)
            if owned is None and ("." in below or is_leaf(below)):
                yield inner
            yield from _pointers(item, below, owned, inner)
        elif key.startswith("v:") and isinstance(value, list) and path:
            yield path


def token_of(item: Mapping[str, Value], keys: tuple[str, ...]) -> str:
    """How a keyed list's item is named in a path: `nginx`, `80,TCP`."""
    values = (item.get(key, KEY_DEFAULTS.get(key)) for key in keys)
    return ",".join(str(value) for value in values if value is not None)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _entries(body: Document) -> Sequence[Mapping[str, Any]]:
    return (body.get("metadata") or {}).get("managedFields") or ()


@lru_cache(maxsize=4096)
def _decoded(text: str) -> Mapping[str, Value]:
    decoded: Mapping[str, Value] = json.loads(text)
    return decoded
