"""What a cluster's OpenAPI says of one kind, as JSON Schema. Called by `provider`, for explain and schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueup_kubernetes.session import ClusterSession

# What holds further schemas: one, a list of them, or a map of them.
_ONE = ("items", "additionalProperties", "not")
_MANY = ("allOf", "anyOf", "oneOf")
_NAMED = ("properties", "patternProperties")
_FROM, _TO = "#/components/schemas/", "#/$defs/"


def read_schema(session: ClusterSession, api_version: str, kind: str) -> Mapping[str, object] | None:
    """The schema of a whole document, with all that it refers to below `$defs`; None where there is none."""
    root = "apis" if "/" in api_version else "api"
    index = session.get("/openapi/v3", "the cluster's OpenAPI").body or {}
    entry = (index.get("paths") or {}).get(f"{root}/{api_version}")
    if entry is None:
        return None
    path, _, query = str(entry["serverRelativeURL"]).partition("?")
    pairs = [(key, value) for key, _, value in (pair.partition("=") for pair in query.split("&")) if key]
    document = session.get(path, f"the OpenAPI of {api_version}", query=pairs).body or {}
    schemas: Mapping[str, Any] = (document.get("components") or {}).get("schemas") or {}
    name = next((name for name, schema in schemas.items() if _is_kind(schema, api_version, kind)), None)
    if name is None:
        return None
    needed = _closure(name, schemas)
    defs = {each: _to_json_schema(schemas[each]) for each in sorted(needed - {name})}
    return {**_to_json_schema(schemas[name]), "$defs": defs}


def _is_kind(schema: Mapping[str, Any], api_version: str, kind: str) -> bool:
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    return wanted in (schema.get("x-kubernetes-group-version-kind") or ())


def _closure(name: str, schemas: Mapping[str, Any]) -> set[str]:
    """The schema and all that it refers to, in any number of steps; one may refer to itself."""
    found, waiting = set[str](), [name]
    while waiting:
        current = waiting.pop()
        if current not in found and current in schemas:
            found.add(current)
            waiting.extend(_references(schemas[current]))
    return found


def _references(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        own = value.get("$ref")
        below = [name for item in value.values() for name in _references(item)]
        return [own.removeprefix(_FROM), *below] if isinstance(own, str) else below
    return [name for item in value for name in _references(item)] if isinstance(value, list) else []


def _to_json_schema(schema: Any) -> Any:
    """OpenAPI's dialect as JSON Schema: other places of references, `nullable`, no keywords of its own.

    Only what is a schema is changed: the schema of schemas has properties that are called like keywords.
    """
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _convert(key, value) for key, value in schema.items() if key != "nullable"}
    # Kubernetes gives `{}`, `""` or 0 for the default of what is required to be given.
    if made.get("default") == {}:
        del made["default"]
    for name in made.get("required") or ():
        field = made.get("properties", {}).get(name)
        if isinstance(field, dict):
            field.pop("default", None)
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made.pop("format", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if not schema.get("nullable"):
        return made
    if isinstance(made.get("type"), str) and "enum" not in made:
        return {**made, "type": [made["type"], "null"]}
    about = {key: made.pop(key) for key in ("description", "default") if key in made}
    return {**about, "anyOf": [made, {"type": "null"}]}


def _convert(key: str, value: Any) -> Any:
    """The value of one keyword of a schema."""
    if key in _NAMED and isinstance(value, Mapping):
        return {name: _to_json_schema(item) for name, item in value.items()}
    if key in _MANY and isinstance(value, list):
        return [_to_json_schema(item) for item in value]
    if key in _ONE:
        return _to_json_schema(value)
    if key == "$ref" and isinstance(value, str):
        return value.replace(_FROM, _TO)
    return value
