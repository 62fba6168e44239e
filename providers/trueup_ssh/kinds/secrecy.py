"""Which files hold secrets, by what their specs say. Used by the kind File."""

from __future__ import annotations

from collections.abc import Mapping

from trueup.sdk import UNKNOWN, Document, Sensitive, Value


def is_secret(spec: Document) -> bool:
    flag = spec.get("sensitive", False)
    return flag is UNKNOWN or flag is True


def hide(value: Value) -> Value:
    """The value with each leaf hidden; what is not known yet stays UNKNOWN."""
    if isinstance(value, Mapping):
        return {key: hide(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide(item) for item in value]
    return value if value is UNKNOWN else Sensitive(value)


def has_sensitive(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(has_sensitive(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_sensitive(item) for item in value)
    return isinstance(value, Sensitive)


def was_secret(spec: Value) -> bool:
    if not isinstance(spec, Mapping):
        return False
    return is_secret(spec) or is_sealed(spec)


def is_sealed(value: Value) -> bool:
    """Does it hold the place of a secret, as records do? A text is never made from that."""
    if isinstance(value, Mapping):
        return "$sensitive" in value or any(is_sealed(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(is_sealed(item) for item in value)
    return False
