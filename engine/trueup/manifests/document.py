"""One parsed document and where its parts stand in its file. Made by the parsers, read by all here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

from trueup.errors import Place, Problem
from trueup.model.values import Value

MAX_DEPTH = 100
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

_LONGEST_SHOWN = 60

Key = str | int
Path = tuple[Key, ...]


class Locator(Protocol):
    """Finds the parts of a document again in the text it was parsed from."""

    def value_offset(self, path: Path) -> int | None:
        """The offset of the value's first character; None where there is no such value."""

    def key_offset(self, path: Path) -> int | None:
        """The offset of the key that holds the value, for the member of a map."""


class SourceText:
    """The text of one file, with the lines and columns of its offsets.

    `is_literal`: what looks like an expression in it is text, as in what somebody else's chart gave.
    """

    def __init__(self, file: str, text: str, *, is_literal: bool = False) -> None:
        self.file = file
        self.text = text
        self._is_literal = is_literal

    @cached_property
    def has_expressions(self) -> bool:
        """Whether it is worth looking for `${{` in what was parsed from the text.

        An escape in a quoted string can hide it, so a backslash counts as well.
        """
        return not self._is_literal and ("${{" in self.text or "\\" in self.text)

    @cached_property
    def _line_starts(self) -> Sequence[int]:
        lines = self.text.split("\n")
        return [0, *accumulate(len(line) + 1 for line in lines[:-1])]

    def place(self, offset: int) -> Place:
        line = bisect_right(self._line_starts, offset)
        return Place(self.file, line, offset - self._line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a line, counted from 1; empty where there is none."""
        if not 0 < number <= len(self._line_starts):
            return ""
        start = self._line_starts[number - 1]
        return (
            self.text[start:].split("\n", 1)[0]
            if number == len(self._line_starts)
            else (self.text[start : self._line_starts[number] - 1])
        )


@dataclass(frozen=True)
class SourceDocument:
    """A document as plain values. `prefix` is where it stands inside what was parsed, as in a List."""

    value: dict[str, Any]
    source: SourceText = field(repr=False)
    locator: Locator = field(repr=False)
    prefix: Path = ()

    @property
    def place(self) -> Place:
        return self.place_of(())

    def place_of(self, path: Path) -> Place:
        """Where a value stands, or the nearest thing around it that exists."""
        return self.source.place(self.offset_of(path))

    def place_of_key(self, path: Path) -> Place:
        """Where the key of a map's member stands, or the value where it has no key."""
        offset = self.locator.key_offset(self.prefix + path)
        return self.source.place(offset) if offset is not None else self.place_of(path)

    def offset_of(self, path: Path) -> int:
        full = self.prefix + path
        while True:
            offset = self.locator.value_offset(full)
            if offset is not None:
                return offset
            if not full:
                return 0
            full = full[:-1]

    def item(self, path: Path, value: dict[str, Any]) -> SourceDocument:
        """A map inside this document as a document of its own."""
        return replace(self, value=value, prefix=self.prefix + path)

    def is_hidden(self, _path: Path) -> bool:
        """Nothing is: what stands in a file is in Git for all to see."""
        return False

    def problem(self, message: str, path: Path = (), hint: str = "", *, at_key: bool = False) -> Problem:
        return Problem(message, self.place_of_key(path) if at_key else self.place_of(path), hint)


def shorten(text: str) -> str:
    """A text of the file as messages show it: a key or a number may have millions of characters."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def kind_of_value(value: Value) -> str:
    """The type of a value in the words of messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list | tuple):
        return "a list"
    return "a map"
