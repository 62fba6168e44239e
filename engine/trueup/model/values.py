"""Values inside documents: plain JSON types, and the two that are not known or not to be shown."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, final

# What a document is made of: None, bool, int, float, str, list, dict, and below, UNKNOWN and Sensitive.
Value = Any
Document = Mapping[str, Value]


@final
class Unknown:
    """A value that is known only after something else was acted on. There is one instance, `UNKNOWN`."""

    _instance: Unknown | None = None

    def __new__(cls) -> Unknown:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "(known after apply)"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value has no truth: test with `is UNKNOWN`")

    def __deepcopy__(self, _memo: object) -> Unknown:
        return self

    def __copy__(self) -> Unknown:
        return self

    def __reduce__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@final
class Sensitive:
    """A value that reaches its destination and nothing else: no log, error, diff, plan or record.

    `str`, `repr` and `format` give a mask. Only a provider, at the very call that sends it, uses `reveal`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: Value) -> None:
        self._value: Value = value._value if isinstance(value, Sensitive) else value

    def __repr__(self) -> str:
        return "(sensitive)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sensitive) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash((Sensitive, json.dumps(self._value, sort_keys=True, default=str)))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a sensitive value is not serialised")


class PartlyKnown(dict[str, Value]):
    """A document of a node that is not there yet: the system may still add fields to any map of it."""


def map_leaves(value: Value, change: Callable[[Value], Value]) -> Value:
    """A copy of the value with `change` applied to everything that is neither a map nor a list."""
    # What nearly every value is, is told apart far quicker by its type than as a Mapping.
    kind = type(value)
    if kind is str:
        return change(value)
    if kind is dict or isinstance(value, Mapping):
        return {key: map_leaves(item, change) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [map_leaves(item, change) for item in value]
    return change(value)


def reveal(value: Value) -> Value:
    """The value with every Sensitive replaced by what it holds. For a provider's outgoing call alone."""
    return map_leaves(value, lambda leaf: reveal(leaf._value) if isinstance(leaf, Sensitive) else leaf)


def leaves(value: Value, path: str = "") -> Iterator[tuple[str, Value]]:
    """The JSON pointer and value of each leaf; an empty map or list is a leaf."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}/{escape_pointer(str(key))}")
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}/{index}")
    else:
        yield path, value


def has_unknown(value: Value) -> bool:
    """Whether the value is, or holds anywhere, something that is not known yet."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN


def has_sensitive(value: Value) -> bool:
    """Whether the value is, or holds anywhere, a sensitive one."""
    if isinstance(value, Mapping):
        return any(has_sensitive(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_sensitive(item) for item in value)
    return isinstance(value, Sensitive)


def escape_pointer(key: str) -> str:
    """A map key as one token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def split_pointer(pointer: str) -> list[str]:
    """The keys of a JSON pointer (RFC 6901): `/spec/a~1b` gives `["spec", "a/b"]`."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


# Of this process; made with the store. Without it, whoever sees a digest could try out what a secret is.
_digest_key = b""


def use_digest_key(key: bytes) -> None:
    """From now on secrets, and all that may hold some, are hashed with this key: see `Store.digest_key`."""
    global _digest_key
    _digest_key = key


def digest_of(value: Value) -> str:
    """`sha256:` and the hash of the value's canonical JSON. A Sensitive counts by its keyed hash."""
    return "sha256:" + hashlib.sha256(_canonical(value)).hexdigest()


def keyed_digest_of(value: Value) -> str:
    """As `digest_of`, with the key of the store: for what may be shown although secrets went into it."""
    if not _digest_key:
        return digest_of(value)
    return "sha256:" + hmac.new(_digest_key, _canonical(value), hashlib.sha256).hexdigest()


def _canonical(value: Value) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return text.encode()


def to_record(value: Value) -> Value:
    """The value as the store and saved plans may keep it: hashes instead of sensitive values.

    UNKNOWN becomes `{"$unknown": true}` and a Sensitive `{"$sensitive": "sha256:..."}`.
    """
    return map_leaves(value, lambda leaf: _plain(leaf) if isinstance(leaf, Unknown | Sensitive) else leaf)


def _plain(leaf: Value) -> Value:
    if isinstance(leaf, Sensitive):
        return {"$sensitive": keyed_digest_of(leaf._value)}
    if isinstance(leaf, Unknown):
        return {"$unknown": True}
    raise TypeError(f"not a value of a document: {type(leaf).__name__}")
