"""A schema in words: its fields, one by one, and an example. Pure. Called by cli/explain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.model.values import Value

Schema = Mapping[str, Any]
_MAX_DEPTH = 30


@dataclass(frozen=True)
class Field:
    """One field of a kind. `words` say what is special about it: required, create-only, and the like."""

    name: str
    type: str
    words: tuple[str, ...]
    description: str
    schema: Schema
    has_fields: bool


def find_field(schema: Schema, path: Sequence[str]) -> Schema | None:
    """The schema at a path of names; lists and maps of equal items are passed through by themselves."""
    current = open_schema(schema, schema)
    for name in path:
        inner = _properties(current, schema).get(name)
        if inner is None:
            return None
        current = open_schema(inner, schema)
    return current


def describe_field(root: Schema, path: Sequence[str]) -> str:
    """The type of the field at a path, and what is special about it."""
    above = find_field(root, path[:-1])
    fields = list_fields(above, root) if above is not None else ()
    field = next((field for field in fields if field.name == path[-1]), None)
    return "   ".join(filter(None, (field.type, ", ".join(field.words)))) if field is not None else ""


def list_fields(part: Schema, root: Schema) -> Iterator[Field]:
    """The fields directly below a schema, the required ones first, as `root` defines what it refers to."""
    inside = _inside(part, root)
    required = [name for name in inside.get("required") or () if isinstance(name, str)]
    properties = _properties(part, root)
    for name in (*required, *(name for name in properties if name not in required)):
        if name in properties:
            schema = open_schema(properties[name], root)
            yield Field(
                name,
                type_of(schema, root),
                tuple(_words(schema, is_required=name in required)),
                str(properties[name].get("description") or schema.get("description") or ""),
                schema,
                bool(_properties(schema, root)),
            )


def type_of(schema: Schema, root: Schema, depth: int = 0) -> str:
    """The type in the words of the docs: `string`, `list of map`, `Enabled | Suspended`."""
    schema = open_schema(schema, root)
    if "enum" in schema:
        return " | ".join(_plain(option) for option in schema["enum"])
    if "const" in schema:
        return _plain(schema["const"])
    for key in ("anyOf", "oneOf"):
        branches = [branch for branch in schema.get(key) or () if isinstance(branch, Mapping)]
        names = list(dict.fromkeys(type_of(branch, root, depth + 1) for branch in branches if depth < 5))
        if names and "type" not in schema:
            return " or ".join(names)
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return " or ".join(_name(kind, schema, root, depth) for kind in kinds)
    return _name(str(kinds or ("object" if "properties" in schema else "any")), schema, root, depth)


def example_of(schema: Schema, root: Schema, depth: int = 0) -> Value:
    """A value that the schema allows: its own examples, else what is required, as simple as it can be."""
    schema = open_schema(schema, root)
    if schema.get("examples"):
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    for key in ("const", "enum"):
        if key in schema:
            return schema[key] if key == "const" else schema[key][0]
    if "properties" in schema or schema.get("type") == "object":
        return _example_map(schema, root, depth)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return example_of(schema[key][0], root, depth + 1)
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "array":
        return (
            [example_of(schema["items"], root, depth + 1)] if "items" in schema and depth < _MAX_DEPTH else []
        )
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return True if kind == "boolean" else "..."


def _example_map(schema: Schema, root: Schema, depth: int) -> dict[str, Value]:
    properties = _properties(schema, root)
    wanted = dict.fromkeys(schema.get("required") or ())
    for branch in (schema.get("oneOf") or schema.get("anyOf") or ())[:1]:
        wanted.update(dict.fromkeys(branch.get("required") or ()))
    wanted.update({name: None for name, inner in properties.items() if "examples" in inner})
    if depth >= _MAX_DEPTH:
        return {}
    return {name: example_of(properties[name], root, depth + 1) for name in wanted if name in properties}


def open_schema(schema: Schema, root: Schema) -> Schema:
    """The schema itself behind `$ref`, and behind an `allOf` with one part, as OpenAPI writes it."""
    for _ in range(_MAX_DEPTH):
        reference, parts = schema.get("$ref"), schema.get("allOf")
        if isinstance(reference, str) and reference.startswith("#/"):
            inner: Any = root
            for token in reference[2:].split("/"):
                inner = inner.get(token.replace("~1", "/").replace("~0", "~"), {})
            about = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**inner, **about}
        elif isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], Mapping):
            schema = {**parts[0], **{key: value for key, value in schema.items() if key != "allOf"}}
        else:
            break
    return schema


def _inside(schema: Schema, root: Schema) -> Schema:
    """What the items of a list, or the values of a map of equal values, look like."""
    for _ in range(_MAX_DEPTH):
        schema = open_schema(schema, root)
        if schema.get("properties"):
            return schema
        inner = schema.get("items") or schema.get("additionalProperties")
        if not isinstance(inner, Mapping):
            break
        schema = inner
    return schema


def _properties(schema: Schema, root: Schema) -> Mapping[str, Schema]:
    found = _inside(schema, root).get("properties")
    return {k: v for k, v in found.items() if isinstance(v, Mapping)} if isinstance(found, Mapping) else {}


def _name(kind: str, schema: Schema, root: Schema, depth: int) -> str:
    if kind == "array":
        items = schema.get("items")
        return (
            f"list of {type_of(items, root, depth + 1)}" if isinstance(items, Mapping) and items else "list"
        )
    if kind == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and values and not schema.get("properties"):
            return f"map of {type_of(values, root, depth + 1)}"
        return "map"
    return kind


def _words(schema: Schema, *, is_required: bool) -> Iterator[str]:
    if is_required:
        yield "required"
    for keyword, word in (
        ("x-immutable", "create-only"),
        ("x-computed", "set by the system"),
        ("x-write-only", "cannot be read back"),
        ("x-sensitive", "sensitive"),
        ("x-unordered", "in any order"),
    ):
        if schema.get(keyword):
            yield word
    if "default" in schema:
        yield f"default: {_plain(schema['default'])}"
    for keyword, word in (("minimum", "at least"), ("maximum", "at most")):
        if keyword in schema:
            yield f"{word} {schema[keyword]}"


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value) if value != "" else '""'
