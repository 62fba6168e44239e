"""JSON to documents, strictly as RFC 8259, with positions. Called by `parse`."""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

from trueup.errors import Problem
from trueup.manifests.document import (
    MAX_DEPTH,
    MAX_INTEGER,
    MIN_INTEGER,
    Path,
    SourceDocument,
    SourceText,
    shorten,
)

_SPACE = (" ", "\t", "\r", "\n")
_SURROGATE = re.compile("[\\ud800-\\udfff]")
_ATOM_END = re.compile(r"[,\]} \t\r\n]|$")


class _Suspicious(Exception):
    """Something that json.loads accepts or that it cannot place: the scanner says what and where."""


def parse_json(source: SourceText, problems: list[Problem]) -> list[SourceDocument]:
    """The document of a JSON file; what is wrong goes to `problems`."""
    try:
        value = json.loads(
            source.text,
            object_pairs_hook=_unique_map,
            parse_constant=_refuse,
            parse_int=_integer,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        problems.append(
            Problem(f"not JSON: {error.msg}", source.place(error.pos), "check commas, quotes and brackets")
        )
        return []
    except _Suspicious:
        problems.extend(_Scanner(source).problems)
        return []
    except RecursionError:
        problems.append(Problem(f"nested deeper than {MAX_DEPTH} levels", source.place(0), "flatten it"))
        return []
    if not isinstance(value, dict):
        problems.append(
            Problem(
                "a document must be a map",
                source.place(0),
                'wrap several resources: {"apiVersion": "v1", "kind": "List", "items": [...]}',
            )
        )
        return []
    scanner = _Scanner(source)
    if scanner.problems:
        problems.extend(scanner.problems)
        return []
    return [SourceDocument(value, source, scanner)]


def _unique_map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Suspicious
    return result


def _refuse(_text: str) -> NoReturn:
    raise _Suspicious


def _integer(text: str) -> int:
    if len(text) > 20 or not MIN_INTEGER <= int(text) <= MAX_INTEGER:
        raise _Suspicious
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise _Suspicious
    return value


class _Scanner:
    """The offsets of all keys and values of a text that json.loads accepts, and what is wrong with them."""

    def __init__(self, source: SourceText) -> None:
        self._source = source
        self._text = source.text
        self._values: dict[Path, int] = {}
        self._keys: dict[Path, int] = {}
        self.problems: list[Problem] = []
        try:
            self._scan(0, ())
        except _Suspicious:
            self.problems = [self._deep]

    def value_offset(self, path: Path) -> int | None:
        return self._values.get(path)

    def key_offset(self, path: Path) -> int | None:
        return self._keys.get(path)

    def _skip(self, position: int) -> int:
        while self._text[position : position + 1] in _SPACE:
            position += 1
        return position

    def _scan(self, position: int, path: Path) -> int:
        """Notes the value at the position; gives the position after it."""
        position = self._skip(position)
        self._values.setdefault(path, position)
        if len(path) >= MAX_DEPTH and self._text[position] in "{[":
            hint = "flatten it"
            self._deep = Problem(f"nested deeper than {MAX_DEPTH} levels", self._source.place(position), hint)
            raise _Suspicious
        first = self._text[position]
        if first == "{":
            return self._scan_map(position, path)
        if first == "[":
            return self._scan_list(position, path)
        if first == '"':
            return self._scan_string(position)[1]
        return self._scan_atom(position)

    def _scan_map(self, position: int, path: Path) -> int:
        position = self._skip(position + 1)
        while self._text[position] != "}":
            start = self._skip(position)
            key, position = self._scan_string(start)
            member = (*path, key)
            if member in self._keys:
                first = self._source.place(self._keys[member])
                self._note(start, f'duplicate key "{shorten(key)}", first at {first}', "keep one of the two")
            self._keys.setdefault(member, start)
            position = self._skip(position) + 1
            position = self._skip(self._scan(position, member))
            if self._text[position] == ",":
                position += 1
        return position + 1

    def _scan_list(self, position: int, path: Path) -> int:
        position = self._skip(position + 1)
        index = 0
        while self._text[position] != "]":
            position = self._skip(self._scan(position, (*path, index)))
            index += 1
            if self._text[position] == ",":
                position += 1
        return position + 1

    def _scan_string(self, position: int) -> tuple[str, int]:
        """The string that begins here, and the position after it."""
        text, end = scanstring(self._text, position + 1, True)
        if _SURROGATE.search(text):
            message = "half of a character: a \\ud... escape stands alone"
            self._note(position, message, "write the character itself, or both of its escapes")
        return text, int(end)

    def _scan_atom(self, position: int) -> int:
        match = _ATOM_END.search(self._text, position)
        end = match.start() if match else len(self._text)
        text = self._text[position:end]
        if text in ("NaN", "Infinity", "-Infinity"):
            self._note(position, f"{text} is not JSON", "use a finite number or a string")
        elif text not in ("true", "false", "null"):
            if re.fullmatch(r"-?\d+", text):
                if len(text) > 20 or not MIN_INTEGER <= int(text) <= MAX_INTEGER:
                    self._note(position, f"{text[:40]} does not fit into 64 bits", "quote it if it is text")
            elif abs(float(text)) == float("inf"):
                self._note(position, f"{text[:40]} is not a finite number", "quote it if it is text")
        return end

    def _note(self, position: int, message: str, hint: str) -> None:
        self.problems.append(Problem(message, self._source.place(position), hint))
