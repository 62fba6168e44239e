"""Desired against live as Kubernetes sees it. Called by `kinds.resource` for every plan. Pure.

Compared is what the manifest sets, plus what our last apply set and the manifest no longer does. Defaults
of the server and fields of controllers are nobody's difference. What kind of list a list is, and which
fields are ours, is read from the object's managed fields, so that it holds for custom resources too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trueup.sdk import (
    MISSING,
    UNKNOWN,
    Document,
    FieldChange,
    Sensitive,
    Value,
    has_unknown,
    is_equal,
    reveal,
)
from trueup_kubernetes.marker import ADDRESS, OWNER
from trueup_kubernetes.ownership import (
    KEY_DEFAULTS,
    NOTHING,
    Tree,
    below_field,
    below_item,
    is_leaf,
    item_keys,
    keys_of,
    known_structure,
    owned_by_others,
    owned_by_us,
    set_values,
    token_of,
)
from trueup_kubernetes.quantities import is_quantity, is_same_quantity

COMPARED_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
# The identity of list items where no managed fields tell: in the APIs that come with Kubernetes.
_USUAL_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "ownerReferences": ("uid",),
}
_USUAL_SETS = frozenset({"finalizers"})
# Keyed lists whose order still has a meaning: the sequence of start, and which variable may use which.
_ORDERED = frozenset({"initContainers", "env"})
# Atomic maps that no server fills with defaults: an entry too many is a difference.
_EXACT_MAPS = frozenset({"matchLabels", "nodeSelector", "selector"})


def compare_bodies(
    desired: Document,
    live: Document,
    recorded: Document | None,
    is_immutable: Callable[[tuple[str, ...]], bool],
    is_builtin: bool,
) -> list[FieldChange]:
    """Every field in which the live object is not as the manifest says."""
    tools, people = owned_by_others(live)
    spot = _Spot((), owned_by_us(live), tools, people, is_immutable, is_builtin)
    return list(_compare_maps(comparable(desired), comparable(live), comparable(recorded or {}), spot))


def comparable(body: Document) -> Document:
    """The parts of a document that a manifest decides."""
    parts = {
        key: value for key, value in body.items() if key not in ("apiVersion", "kind", "status", "metadata")
    }
    metadata = body.get("metadata") or {}
    kept = {key: metadata[key] for key in COMPARED_METADATA if metadata.get(key) is not None}
    return {"metadata": kept, **parts} if kept else parts


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the comparison stands.

    `ours`, `tools` and `people` are the trees of owned fields at this place: None where the place is not
    owned. `is_whole`: inside a value that is set as a whole, and was set by us. `is_foreign`: inside such a
    value that was set by others.
    """

    path: tuple[str, ...]
    ours: Tree | None
    tools: Tree | None
    people: Tree | None
    immutable: Callable[[tuple[str, ...]], bool]
    is_builtin: bool
    is_whole: bool = False
    is_foreign: bool = False

    @property
    def is_ours(self) -> bool:
        return self.is_whole or self.ours is not None

    @property
    def is_others(self) -> bool:
        return self.is_foreign or self.tools is not None

    @property
    def pointer(self) -> str:
        return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in self.path)

    def field(self, name: str) -> _Spot:
        return self._below(name, *(below_field(tree, name) for tree in (self.ours, self.tools, self.people)))

    def item(self, token: str, item: Value) -> _Spot:
        return self._below(token, *(below_item(tree, item) for tree in (self.ours, self.tools, self.people)))

    def index(self, index: int) -> _Spot:
        return self._below(str(index), None, None, None)

    def as_atomic(self) -> _Spot:
        """This place as a value that is only set as a whole."""
        return replace(
            self,
            is_whole=self.is_whole or self.ours is not None,
            is_foreign=self.is_foreign
            or (self.ours is None and (self.tools is not None or self.people is not None)),
        )

    def _below(self, token: str, ours: Tree | None, tools: Tree | None, people: Tree | None) -> _Spot:
        path = (*self.path, token)
        return replace(self, path=path, ours=ours, tools=tools, people=people)

    def change(self, before: Value, after: Value) -> FieldChange:
        hidden = _holds_sensitive(before) or _holds_sensitive(after)
        if hidden:
            before = before if before is MISSING else Sensitive(reveal(before))
            after = after if after is MISSING or after is UNKNOWN else Sensitive(reveal(after))
        return FieldChange(self.pointer, before, after, sensitive=hidden, immutable=self.immutable(self.path))


def _compare(desired: Value, live: Value, recorded: Value, spot: _Spot) -> Iterator[FieldChange]:
    if desired is UNKNOWN:
        yield spot.change(live, UNKNOWN)
    elif isinstance(desired, Mapping) and isinstance(live, Mapping):
        yield from _compare_maps(desired, live, recorded, spot)
    elif isinstance(desired, list | tuple) and isinstance(live, list | tuple):
        yield from _compare_lists(list(desired), list(live), recorded, spot)
    elif (live is MISSING or live is None) and _is_elided(desired, spot):
        return
    elif not _is_same(desired, live, spot):
        yield spot.change(live, desired)


def _is_elided(desired: Value, spot: _Spot) -> bool:
    """Whether the server leaves the value out because it says nothing: we set it, and nobody removed it."""
    if isinstance(desired, Sensitive):
        desired = reveal(desired)
    if spot.is_builtin and isinstance(desired, list | tuple) and not desired:
        return True  # the server writes no empty list, whoever sets it
    if not spot.is_ours or desired is UNKNOWN:
        return False
    if isinstance(desired, Mapping):
        return all(_is_elided(value, spot.field(key)) for key, value in desired.items())
    return desired is None or desired is False or desired in ("", 0, [], ())


def _is_same(desired: Value, live: Value, spot: _Spot) -> bool:
    if live is MISSING or has_unknown(desired):
        return False
    if is_equal(desired, live):
        return True
    if spot.is_builtin and spot.is_ours and reveal(desired) == "":
        return True  # unset in other words: what lives is the server's default
    return spot.is_builtin and is_quantity(spot.path) and is_same_quantity(reveal(desired), reveal(live))


def _compare_maps(
    desired: Mapping[str, Value], live: Mapping[str, Value], recorded: Value, spot: _Spot
) -> Iterator[FieldChange]:
    if live and spot.path and _is_atomic(spot):
        spot = spot.as_atomic()
    recorded = recorded if isinstance(recorded, Mapping) else {}
    wanted = {key: value for key, value in desired.items() if value is not None}
    for key, value in wanted.items():
        yield from _compare(value, live.get(key, MISSING), recorded.get(key), spot.field(key))
    for key, found in live.items():
        if key not in wanted and key not in (OWNER, ADDRESS) and found is not None:
            yield from _drop(found, recorded.get(key, MISSING), spot.field(key), spot)


def _is_atomic(spot: _Spot) -> bool:
    trees = [tree for tree in (spot.ours, spot.tools, spot.people) if tree is not None]
    return spot.is_whole or spot.is_foreign or (bool(trees) and all(map(is_leaf, trees)))


def _drop(live: Value, recorded: Value, spot: _Spot, parent: _Spot) -> Iterator[FieldChange]:
    """A live value that the manifest does not set: to be removed if we set it, or a person did so by hand."""
    was_set = recorded is not MISSING and recorded is not None
    if parent.is_foreign:
        yield spot.change(live, MISSING)
    elif parent.is_whole:
        if was_set or parent.path[-1] in _EXACT_MAPS:
            yield spot.change(live, MISSING)
    elif spot.ours is not None and is_leaf(spot.ours):
        if not spot.is_others:
            yield spot.change(live, MISSING)
    elif isinstance(live, Mapping) and (
        spot.ours is not None or (isinstance(recorded, Mapping) and recorded)
    ):
        yield from _compare_maps({}, live, recorded, spot)
    elif isinstance(live, list) and spot.ours is not None:
        yield from _compare_lists([], live, recorded, spot)
    elif was_set and not spot.is_others:
        yield spot.change(live, MISSING)


def _compare_lists(
    desired: list[Value], live: list[Value], recorded: Value, spot: _Spot
) -> Iterator[FieldChange]:
    recorded = recorded if isinstance(recorded, list) else []
    if not (spot.is_whole or spot.is_foreign):
        trees = (spot.ours, spot.tools, spot.people)
        keys = keys_of(*trees)
        if not keys and spot.is_builtin and all(tree is None for tree in trees):
            keys = _USUAL_KEYS.get(spot.path[-1], ())
        if keys and all(isinstance(item, Mapping) for item in (*live, *desired)):
            yield from _compare_keyed(desired, live, recorded, spot, keys)
            return
        if any(set_values(tree) for tree in trees) or spot.path[-1] in _USUAL_SETS:
            yield from _compare_sets(desired, live, spot)
            return
    spot = spot.as_atomic()
    if len(desired) != len(live):
        yield spot.change(live, desired)
        return
    old = recorded if len(recorded) == len(desired) else [None] * len(desired)
    for index, (wanted, found, last) in enumerate(zip(desired, live, old, strict=True)):
        yield from _compare(wanted, found, last, spot.index(index))


def _compare_sets(desired: list[Value], live: list[Value], spot: _Spot) -> Iterator[FieldChange]:
    kept = [*(set_values(spot.tools)), *desired]
    dropped = [item for item in set_values(spot.ours) if item in live and item not in kept]
    if dropped or any(item not in live for item in desired):
        rest = [item for item in live if item not in dropped and item not in desired]
        yield spot.change(live, [*rest, *desired])


def _compare_keyed(
    desired: list[Value], live: list[Value], recorded: list[Value], spot: _Spot, keys: tuple[str, ...]
) -> Iterator[FieldChange]:
    matched: list[int] = []
    for item in desired:
        index = find_item(live, item, keys)
        if index is None:
            yield spot.item(token_of(item, keys), item).change(MISSING, item)
            continue
        matched.append(index)
        last = find_item(recorded, live[index], keys)
        below = spot.item(token_of(live[index], keys), live[index])
        yield from _compare(item, live[index], recorded[last] if last is not None else None, below)
    if spot.path[-1] in _ORDERED and matched != sorted(matched):
        before = [token_of(live[index], keys) for index in sorted(matched)]
        yield spot.change(before, [token_of(live[index], keys) for index in matched])
    for index, item in enumerate(live):
        if index not in matched:
            last = find_item(recorded, item, keys)
            old = recorded[last] if last is not None else MISSING
            yield from _drop_item(item, old, spot.item(token_of(item, keys), item), keys)


def _drop_item(
    live: Mapping[str, Value], recorded: Value, spot: _Spot, keys: tuple[str, ...]
) -> Iterator[FieldChange]:
    is_added_by_us = spot.ours is not None and "." in spot.ours
    if spot.ours is not None and (spot.is_others or not is_added_by_us):
        # The item stays, because others have fields in it: what is ours alone goes away.
        identity = {key: live[key] for key in keys if key in live}
        yield from _compare_maps(identity, live, recorded, spot)
    elif not spot.is_others and (is_added_by_us or recorded is not MISSING):
        yield spot.change(live, MISSING)


def find_item(items: Sequence[Value], wanted: Value, keys: tuple[str, ...]) -> int | None:
    """The index of the keyed item that `wanted` names; what it leaves out is taken from the defaults."""
    for fill in (True, False):
        for index, item in enumerate(items):
            if isinstance(item, Mapping) and isinstance(wanted, Mapping) and _names(wanted, item, keys, fill):
                return index
    return None


def _names(wanted: Mapping[str, Value], item: Mapping[str, Value], keys: tuple[str, ...], fill: bool) -> bool:
    given = {key: wanted[key] for key in keys if wanted.get(key) is not None}
    if fill:
        given = {**{key: KEY_DEFAULTS[key] for key in keys if key in KEY_DEFAULTS}, **given}
    found = {key: item.get(key, KEY_DEFAULTS.get(key)) for key in given}
    return bool(given) and all(is_equal(given[key], found[key]) for key in given)


def keys_at(body: Document, path: Sequence[str]) -> tuple[str, ...]:
    """The properties that identify the items of the list at one of our paths; empty where there are none."""
    tree: Tree | None = known_structure(body)
    for token in path:
        below = below_field(tree, token)
        if below is None:
            items = item_keys(tree or NOTHING)
            named = (key for key, item in items if token_of(item, tuple(sorted(item))) == token)
            key = next(named, None)
            below = None if key is None or tree is None else tree[key]
        tree = below
    return keys_of(tree)


def _holds_sensitive(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_sensitive, value.values()))
    return (
        any(map(_holds_sensitive, value)) if isinstance(value, list | tuple) else isinstance(value, Sensitive)
    )
