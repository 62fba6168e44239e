"""A value against a JSON Schema, with every error in the words and at the place that a user needs.

Called by `validate` for specs, by `stack_file` for the config of targets, and by reconcile for values that
are known only later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import jsonschema_rs

from trueup.errors import PluginError, Problem
from trueup.manifests.document import Path, kind_of_value
from trueup.manifests.suggestions import did_you_mean, suggest
from trueup.model.values import Value, split_pointer

# Stands in for a value that is not known yet. What the schema says about it does not count.
LATER = "\0later"

_TYPES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "array": "a list",
    "object": "a map",
    "null": "null",
}
# Keywords whose verdict about a map or list depends on what stands inside.
_LOOKS_INSIDE = frozenset(
    {"anyOf", "oneOf", "not", "if", "then", "else", "const", "enum", "uniqueItems", "contains"}
)
# What is said of these quotes the schema alone, so that it can be said of sensitive values as well.
_TELLS_NOTHING = frozenset(
    {"type", "required", "pattern", "format", "minLength", "maxLength", "minimum", "maximum"}
)


class Reporter(Protocol):
    """The document that a value stands in: it knows the places, and what of it may be shown."""

    def problem(self, message: str, path: Path = (), hint: str = "", *, at_key: bool = False) -> Problem:
        """A problem of what stands at the path, or of its key."""
        ...

    def is_hidden(self, path: Path) -> bool:
        """Whether what stands at the path is a sensitive value, or part of one."""
        ...


class CompiledSchema:
    """One schema, compiled once. `what` names it in messages: `File`, or `the config of provider ssh`."""

    def __init__(self, schema: Mapping[str, object], what: str) -> None:
        self._schema = schema
        self._what = what
        try:
            self._validator = jsonschema_rs.Draft202012Validator(dict(schema), offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise PluginError(
                f"the schema of {what} is broken: {first}", hint="report this to the author of the provider"
            ) from None

    def accepts(self, value: Value) -> bool:
        """Whether a value fits; says nothing about it, for it may be sensitive."""
        return bool(self._validator.is_valid(value))

    def check(self, value: Value, document: Reporter, path: Path) -> Iterable[Problem]:
        """What is wrong with a value that stands at the path of the document."""
        if self._validator.is_valid(value):
            return
        for error in self._validator.iter_errors(value):
            yield from self._problems(error, value, document, path)

    def _problems(self, error: Any, root: Value, document: Reporter, base: Path) -> Iterable[Problem]:
        inside: Path = tuple(error.instance_path)
        value = _follow(root, inside)
        kind = error.kind
        keyword: str = kind.name
        if value == LATER or (keyword in _LOOKS_INSIDE and _holds_later(value)):
            return
        path = base + inside
        is_hidden = document.is_hidden(path)
        if is_hidden and (document.is_hidden(path[:-1]) or keyword not in _TELLS_NOTHING):
            while path and document.is_hidden(path[:-1]):
                path = path[:-1]
            yield document.problem(f"{_name(path)} has a value that is not allowed", path)
            return
        where = _name(path)
        if keyword in ("additionalProperties", "unevaluatedProperties"):
            known = self._known_fields(error, value)
            for key in kind.unexpected:
                owner = self._what if not inside else where
                yield document.problem(
                    f'unknown field "{key}" of {owner}',
                    (*path, key),
                    suggest(key, known, "known fields"),
                    at_key=True,
                )
        elif keyword == "required":
            owner = self._what if not inside else where
            yield document.problem(f'{owner} needs "{kind.property}"', path, f"add {kind.property}: ...")
        elif keyword == "type":
            expected = " or ".join(_TYPES.get(name, name) for name in kind.types)
            message = f"{where} must be {expected}, not {kind_of_value(value)}"
            is_shown = not is_hidden and not self._is_sensitive(error)
            hint = _type_hint(kind.types, value, is_shown=is_shown)
            yield document.problem(message, path, hint)
        elif keyword == "enum":
            options = [str(option) for option in kind.options]
            if self._is_sensitive(error):
                yield document.problem(f"{where} has a value that is not allowed", path)
            else:
                message = f"{where} cannot be {_shown(value)}"
                yield document.problem(message, path, _suggest_options(value, options))
        elif keyword in ("anyOf", "oneOf"):
            yield from self._alternatives(error, root, document, base)
        else:
            yield document.problem(_message(keyword, kind, where), path)

    def _alternatives(self, error: Any, root: Value, document: Reporter, base: Path) -> Iterable[Problem]:
        """What to say of a value that fits none of several schemas, or more than one."""
        inside: Path = tuple(error.instance_path)
        where, path = _name(base + inside), base + inside
        branches = getattr(error.kind, "context", None)
        if branches is None or not any(branches):
            keys = sorted(self._keys_of_forms(error) & set(_follow(root, inside) or ()))
            what = f"may have only one of: {', '.join(keys)}" if keys else "fits more than one allowed form"
            yield document.problem(f"{where} {what}", path, "remove the others" if keys else "")
            return
        wrong_types = [
            {name for reason in branch for name in reason.kind.types}
            for branch in branches
            if branch and all(r.kind.name == "type" and tuple(r.instance_path) == inside for r in branch)
        ]
        others = [
            branch
            for branch in branches
            if not any(r.kind.name == "type" and tuple(r.instance_path) == inside for r in branch)
        ]
        if len(wrong_types) == len(branches):
            expected = " or ".join(sorted(_TYPES.get(name, name) for name in set().union(*wrong_types)))
            value = kind_of_value(_follow(root, inside))
            yield document.problem(f"{where} must be {expected}, not {value}", path)
        elif len(others) == 1:
            # The one form of the right type is the one that was meant.
            for reason in others[0]:
                yield from self._problems(reason, root, document, base)
        elif all(reason.kind.name == "required" for branch in others for reason in branch):
            needs = sorted({reason.kind.property for branch in others for reason in branch})
            yield document.problem(f"{where} needs one of: {', '.join(needs)}", path)
        else:
            yield document.problem(f"{where} fits none of the allowed forms", path)

    def _keys_of_forms(self, error: Any) -> set[str]:
        """The properties that the alternatives ask for, where the way to their schema can be followed."""
        forms: Any = self._schema
        for step in error.evaluation_path:
            forms = forms.get(step) if isinstance(forms, Mapping) else None
        if not isinstance(forms, list):
            return set()
        return {str(key) for form in forms if isinstance(form, Mapping) for key in form.get("required", ())}

    def _is_sensitive(self, error: Any) -> bool:
        """Whether the value must not be shown; also where the way to its schema cannot be followed."""
        schema: Any = self._schema
        for step in error.evaluation_path:
            if isinstance(schema, Mapping) and schema.get("x-sensitive"):
                return True
            if step == "$ref" and isinstance(schema, Mapping):
                schema = self._resolve(str(schema.get("$ref", "")))
            else:
                schema = (
                    schema[step] if isinstance(schema, Mapping) and step in schema else _item(schema, step)
                )
            if schema is None:
                return True
        return False

    def _resolve(self, reference: str) -> Any:
        """The schema that a reference inside this schema means; None for any other reference."""
        if reference != "#" and not reference.startswith("#/"):
            return None
        schema: Any = self._schema
        for step in split_pointer(reference[1:]):
            schema = schema.get(step) if isinstance(schema, Mapping) else None
        return schema

    def _known_fields(self, error: Any, value: Value) -> list[str]:
        """The properties that the schema around the error names."""
        schema: Any = self._schema
        for step in list(error.schema_path)[:-1]:
            schema = schema[step] if isinstance(schema, Mapping) and step in schema else _item(schema, step)
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        taken = set(value) if isinstance(value, dict) else set()
        return [name for name in properties or () if name not in taken]


def _item(schema: Any, step: Any) -> Any:
    if isinstance(schema, list) and isinstance(step, int) and step < len(schema):
        return schema[step]
    return {}


def _message(keyword: str, kind: Any, where: str) -> str:
    limit = getattr(kind, "limit", None)
    messages = {
        "minimum": f"{where} must be at least {limit}",
        "maximum": f"{where} must be at most {limit}",
        "exclusiveMinimum": f"{where} must be more than {limit}",
        "exclusiveMaximum": f"{where} must be less than {limit}",
        "minLength": f"{where} must have at least {limit} characters" if limit != 1 else f"{where} is empty",
        "maxLength": f"{where} must have at most {limit} characters",
        "minItems": f"{where} needs at least {limit} items" if limit != 1 else f"{where} is empty",
        "maxItems": f"{where} must have at most {limit} items",
        "minProperties": f"{where} needs at least {limit} fields" if limit != 1 else f"{where} is empty",
        "maxProperties": f"{where} must have at most {limit} fields",
        "uniqueItems": f"{where} has an item twice",
        "pattern": f"{where} does not match the pattern {getattr(kind, 'pattern', '')}",
        "format": f"{where} is not a valid {getattr(kind, 'format', 'value')}",
        "const": f"{where} has a value that is not allowed",
        "propertyNames": f"{where} has a key that is not allowed",
        "multipleOf": f"{where} must be a multiple of {getattr(kind, 'multiple_of', '')}",
        "not": f"{where} has a form that is not allowed",
        "contains": f"{where} lacks an item that is needed",
    }
    return messages.get(keyword, f"{where} is not allowed here ({keyword})")


def _suggest_options(value: Value, options: list[str]) -> str:
    """The allowed values, the nearest first where one is near."""
    near = did_you_mean(str(value), options)
    allowed = f"allowed: {', '.join(options[:20])}" + (", ..." if len(options) > 20 else "")
    return f"{near} {allowed}" if near else allowed


def _type_hint(expected: list[str], value: Value, *, is_shown: bool) -> str:
    if expected == ["string"] and isinstance(value, bool | int | float):
        if not is_shown:
            return "quote it"
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        return f'quote it: "{shown}"'
    if isinstance(value, str) and "string" not in expected and value:
        return "remove the quotes" if set(expected) & {"integer", "number", "boolean"} else ""
    return ""


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    if isinstance(value, dict | list):
        return kind_of_value(value)
    return "null" if value is None else str(value).lower()


def _follow(value: Value, path: Path) -> Value:
    for step in path:
        value = value[step]
    return value


def _holds_later(value: Value) -> bool:
    if isinstance(value, dict):
        return any(_holds_later(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_later(item) for item in value)
    return bool(value == LATER)


def _name(path: Path) -> str:
    """A path as people write it: `spec.ports[0].name`."""
    name = ""
    for step in path:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    return name or "the document"
