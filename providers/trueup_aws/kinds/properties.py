"""Builders for the JSON Schema of a kind's properties. Called by the kinds, at import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Property = dict[str, Any]

_NO_RESET = object()

TAG_PROPERTY: Property = {
    "type": "array",
    "x-list-key": "Key",
    "maxItems": 45,
    "description": (
        "Tags, in any order. Tags of the object that are not listed are left alone; one that was listed and"
        " no longer is, is removed. Keys that begin with trueup: or aws: are reserved."
    ),
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["Key", "Value"],
        "properties": {
            "Key": {"type": "string", "minLength": 1, "maxLength": 128},
            "Value": {"type": "string", "maxLength": 256},
        },
    },
}


def text(description: str, *, reset: object = _NO_RESET, immutable: bool = False, **more: Any) -> Property:
    """A string property. `reset` is what the service's default is, taken when the manifest drops it."""
    return _property("string", description, reset, immutable, more)


def number(
    description: str, low: int, high: int, *, reset: object = _NO_RESET, immutable: bool = False
) -> Property:
    """An integer property with its bounds."""
    return _property("integer", description, reset, immutable, {"minimum": low, "maximum": high})


def flag(description: str, *, reset: object = _NO_RESET, immutable: bool = False) -> Property:
    """A boolean property."""
    return _property("boolean", description, reset, immutable, {})


def block(
    description: str,
    properties: Mapping[str, Property],
    *,
    required: tuple[str, ...] = (),
    reset: object = _NO_RESET,
) -> Property:
    """A property that is an object of its own, closed to properties that are not listed."""
    more = {"additionalProperties": False, "properties": dict(properties), "required": list(required)}
    return _property("object", description, reset, False, more)


def listing(description: str, items: Property, *, reset: object = _NO_RESET, **more: Any) -> Property:
    """A property that is a list."""
    return _property("array", description, reset, False, {"items": items, **more})


def spec_schema(
    description: str,
    example: Mapping[str, Any],
    properties: Mapping[str, Property],
    *,
    required: tuple[str, ...] = (),
) -> Property:
    """The schema of a whole spec, with what the kind is and an example. Every kind has Tags."""
    return {
        "description": description,
        "examples": [dict(example)],
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**properties, "Tags": TAG_PROPERTY},
    }


def _property(
    kind: str, description: str, reset: object, immutable: bool, more: Mapping[str, Any]
) -> Property:
    made: Property = {"type": kind, "description": description, **more}
    if reset is not _NO_RESET:
        made["x-reset-to"] = reset
    if immutable:
        made["x-immutable"] = True
    return made
