"""The default comparison of desired with live: only what the manifest says, by the schema's keywords.

Called by `Kind.diff`. Pure. A provider with its own idea of equality normalises first, or builds its own
`Rules`, and still ends in `compare_documents`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trueup.model.change import MISSING, Action, Change, FieldChange
from trueup.model.observation import Absent, Observed
from trueup.model.resource import Node
from trueup.model.values import (
    UNKNOWN,
    Document,
    Sensitive,
    Value,
    escape_pointer,
    leaves,
    map_leaves,
    reveal,
    to_record,
)

# What the engine or the system says about a document, not the manifest.
UNCOMPARED = frozenset({"apiVersion", "kind", "metadata", "status"})

Schema = Mapping[str, Any]
NO_SCHEMA: Schema = {}


def compare(
    schema: Schema | None,
    schema_of_document: bool,
    node: Node,
    normalize: Callable[[Node, Observed | None], Document],
    observed: Observed | Absent,
    recorded: Document | None,
) -> Change:
    """The change that makes the live object as the node says; see `Kind.diff`."""
    live = observed if isinstance(observed, Observed) else None
    whole = document_schema(schema, schema_of_document)
    desired = {key: value for key, value in normalize(node, live).items() if key not in UNCOMPARED}
    if live is None:
        return creation(node, desired, whole)
    fields = compare_documents(desired, live.body, recorded or {}, whole)
    return change_of(node, live, fields)


def document_schema(schema: Schema | None, schema_of_document: bool) -> Schema:
    """The schema of the whole document, whichever part of it the kind describes."""
    if schema is None:
        return NO_SCHEMA
    return schema if schema_of_document else {"properties": {"spec": schema}}


def creation(node: Node, desired: Document, schema: Schema) -> Change:
    """The change of a node that does not exist: every field that will be set."""
    masked = seal(desired, schema)
    fields = tuple(
        FieldChange(path, MISSING, value, sensitive=isinstance(value, Sensitive))
        for path, value in leaves(masked)
    )
    return Change(node.address, Action.CREATE, fields)


def change_of(node: Node, observed: Observed, fields: Sequence[FieldChange]) -> Change:
    """The change with those fields: none, an update, or a replace where a field cannot be changed."""
    if not fields:
        return Change(node.address, Action.NONE, observed=observed)
    action = Action.REPLACE if any(item.immutable for item in fields) else Action.UPDATE
    return Change(node.address, action, tuple(fields), observed=observed)


def compare_documents(
    desired: Document, live: Document, recorded: Document, schema: Schema
) -> list[FieldChange]:
    """Every field of `live` that differs from `desired`, and each that `recorded` set and `desired` drops."""
    return list(_compare_maps(desired, live, recorded, _Spot("", schema), top=True))


def seal(value: Value, schema: Schema) -> Value:
    """The value with everything that the schema calls `x-sensitive` wrapped in Sensitive."""
    if schema.get("x-sensitive") and value is not UNKNOWN:
        return Sensitive(value)
    if isinstance(value, Mapping):
        return {key: seal(item, _property(schema, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [seal(item, schema.get("items") or NO_SCHEMA) for item in value]
    return value


def list_key_at(schema: Schema, path: Sequence[str]) -> str:
    """The `x-list-key` of the list that lies at a path of a document, empty where it has none."""
    for token in path:
        is_list = "items" in schema and "properties" not in schema
        schema = (schema.get("items") or NO_SCHEMA) if is_list else _property(schema, token)
    return str(schema.get("x-list-key") or "")


def has_keyword(schema: Value, keyword: str) -> bool:
    """Whether the keyword stands anywhere in a schema."""
    if isinstance(schema, Mapping):
        return any(key == keyword or has_keyword(item, keyword) for key, item in schema.items())
    return isinstance(schema, list | tuple) and any(has_keyword(item, keyword) for item in schema)


class _Spot(NamedTuple):
    """Where a comparison stands: the pointer, the schema there, and what it inherits from above."""

    path: str
    schema: Schema
    is_immutable: bool = False
    is_sensitive: bool = False
    is_write_only: bool = False

    def below(self, key: str, schema: Schema) -> _Spot:
        return _Spot(
            f"{self.path}/{escape_pointer(key)}",
            schema,
            self.is_immutable or bool(schema.get("x-immutable")),
            self.is_sensitive or bool(schema.get("x-sensitive")),
            self.is_write_only or bool(schema.get("x-write-only")),
        )

    def change(self, before: Value, after: Value) -> FieldChange:
        hidden = self.is_sensitive or _holds_sensitive(before) or _holds_sensitive(after)
        if hidden:
            before = before if before is MISSING else Sensitive(reveal(before))
            after = after if after is MISSING or after is UNKNOWN else Sensitive(reveal(after))
        return FieldChange(self.path, before, after, sensitive=hidden, immutable=self.is_immutable)


def _property(schema: Schema, key: str) -> Schema:
    found = (schema.get("properties") or {}).get(key)
    if found is None:
        found = schema.get("additionalProperties")
    return found if isinstance(found, Mapping) else NO_SCHEMA


def _compare(desired: Value, live: Value, recorded: Value, spot: _Spot) -> Iterator[FieldChange]:
    if desired is UNKNOWN:
        yield spot.change(live, UNKNOWN)
    elif spot.is_write_only:
        if to_record(Sensitive(desired)) != recorded and to_record(desired) != recorded:
            yield spot.change(live, desired)
    elif type(desired) is str:
        if not is_equal(desired, live):
            yield spot.change(live, desired)
    elif isinstance(desired, Mapping):
        if isinstance(live, Mapping) or (live in (MISSING, None) and not desired):
            live = live if isinstance(live, Mapping) else {}
            yield from _compare_maps(desired, live, recorded, spot)
        else:
            yield spot.change(live, desired)
    elif isinstance(desired, list | tuple):
        yield from _compare_lists(list(desired), live, recorded, spot)
    elif not is_equal(desired, live):
        yield spot.change(live, desired)


def _compare_maps(
    desired: Mapping[str, Value], live: Mapping[str, Value], recorded: Value, spot: _Spot, top: bool = False
) -> Iterator[FieldChange]:
    recorded = recorded if isinstance(recorded, Mapping) else {}
    for key, wanted in desired.items():
        below = spot.below(key, _property(spot.schema, key))
        yield from _compare(wanted, live.get(key, MISSING), recorded.get(key), below)
    declared = spot.schema.get("properties") or {}
    for key, schema in declared.items():
        if "default" in schema and key not in desired:
            yield from _compare(schema["default"], live.get(key, MISSING), None, spot.below(key, schema))
    for key in recorded:
        if key in desired or (top and key in UNCOMPARED) or key.startswith("$"):
            continue
        yield from _compare_dropped(key, live, spot, declared)


def _compare_dropped(
    key: str, live: Mapping[str, Value], spot: _Spot, declared: Mapping[str, Schema]
) -> Iterator[FieldChange]:
    """A field that the manifest set last time and no longer sets.

    An entry of a free-form map goes away. A declared property falls back to `x-reset-to`, if the schema has
    it; else it is simply no longer managed.
    """
    schema = _property(spot.schema, key)
    if "x-reset-to" in schema:
        yield from _compare(schema["x-reset-to"], live.get(key, MISSING), None, spot.below(key, schema))
    elif key not in declared and key in live and spot.path:
        yield spot.below(key, schema).change(live[key], MISSING)


def _compare_lists(desired: list[Value], live: Value, recorded: Value, spot: _Spot) -> Iterator[FieldChange]:
    if not isinstance(live, list | tuple):
        if desired or live not in (MISSING, None):
            yield spot.change(live, desired)
        return
    items = spot.schema.get("items") or NO_SCHEMA
    list_key = spot.schema.get("x-list-key")
    if list_key and all(isinstance(item, Mapping) and list_key in item for item in [*desired, *live]):
        yield from _compare_keyed(desired, live, recorded, spot, items, str(list_key))
        return
    if spot.schema.get("x-unordered"):
        if not is_equal(_sorted(desired), _sorted(live)):
            yield spot.change(list(live), desired)
        return
    if len(desired) != len(live):
        yield spot.change(list(live), desired)
        return
    old = recorded if isinstance(recorded, list) and len(recorded) == len(desired) else [None] * len(desired)
    for index, (wanted, found, last) in enumerate(zip(desired, live, old, strict=True)):
        yield from _compare(wanted, found, last, spot.below(str(index), items))


def _compare_keyed(
    desired: list[Value], live: Sequence[Value], recorded: Value, spot: _Spot, items: Schema, key: str
) -> Iterator[FieldChange]:
    old = {item.get(key): item for item in recorded or () if isinstance(item, Mapping)}
    found = {item[key]: item for item in live}
    wanted_keys = {item[key] for item in desired}
    for item in desired:
        name = item[key]
        below = spot.below(str(name), items)
        yield from _compare(item, found.get(name, MISSING), old.get(name), below)
    for name in old:
        if name not in wanted_keys and name in found:
            yield spot.below(str(name), items).change(found[name], MISSING)


def is_equal(desired: Value, live: Value) -> bool:
    """Whether two plain values are the same JSON: 1 and 1.0 are, 1 and true are not."""
    if type(desired) is str and type(live) is str:
        return desired == live
    if isinstance(desired, Sensitive) or isinstance(live, Sensitive):
        return is_equal(reveal(desired), reveal(live))
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if isinstance(desired, list | tuple) and isinstance(live, list | tuple):
        return len(desired) == len(live) and all(map(is_equal, desired, live))
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        return desired.keys() == live.keys() and all(is_equal(desired[key], live[key]) for key in desired)
    return bool(desired == live)


def _sorted(items: Sequence[Value]) -> list[Value]:
    return sorted(items, key=lambda item: repr(map_leaves(reveal(item), repr)))


def _holds_sensitive(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_sensitive(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_sensitive(item) for item in value)
    return isinstance(value, Sensitive)
