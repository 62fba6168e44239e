"""The types of variables: `string`, `list(string)`, ... Used by `variables` and `given_values`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trueup.manifests.document import Path, kind_of_value
from trueup.model.values import Value

_IS_OF: dict[str, Callable[[Value], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
}
TYPES = tuple(_IS_OF)
_NESTED = re.compile(r"(list|map)\((.+)\)")
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Type:
    """A type by its word; `items` is the type of what a list or a map holds, None for anything."""

    word: str
    items: Type | None = None

    @property
    def phrase(self) -> str:
        return f"an {self.word}" if self.word == "integer" else f"a {self.word}"

    def at(self, keys: tuple[str, ...]) -> Type | None:
        """The type of what stands under these keys of a map; None where nothing is said about it."""
        found: Type | None = self
        for _ in keys:
            found = found.items if found is not None and found.word == "map" else None
        return found

    def mismatches(self, value: Value, path: Path = ()) -> Iterator[tuple[Path, str]]:
        """The places below `value` that are of another type, and what they must be instead.

        A leaf that is not known yet, such as an expression, is of every type.
        """
        if not isinstance(value, dict | list):
            if is_plain(value) and not _IS_OF[self.word](value):
                yield path, f"must be {self.phrase}, not {kind_of_value(value)}"
        elif not _IS_OF[self.word](value):
            yield path, f"must be {self.phrase}, not {kind_of_value(value)}"
        elif self.items is not None:
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from self.items.mismatches(item, (*path, key))


def read_type(text: str, depth: int = 0) -> Type | None:
    """The type that a text names; None for none."""
    text = text.strip()
    if text in _IS_OF:
        return Type(text)
    nested = _NESTED.fullmatch(text)
    if nested is None or depth >= _MAX_DEPTH:
        return None
    items = read_type(nested[2], depth + 1)
    return Type(nested[1], items) if items is not None else None


def is_plain(leaf: Value) -> bool:
    """Whether a leaf is a plain value, and not something that is known or shown later."""
    return leaf is None or isinstance(leaf, str | int | float)
