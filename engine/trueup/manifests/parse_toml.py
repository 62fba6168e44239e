"""TOML to documents: one document a file, or `[[resource]]` tables. Called by `parse`.

tomli gives the values; it keeps no positions, so a scanner finds them again in text that is valid.
"""

from __future__ import annotations

import re
from datetime import date, time
from typing import Any

import tomli

from trueup.errors import Place, Problem
from trueup.manifests.document import MAX_DEPTH, MAX_INTEGER, MIN_INTEGER, Path, SourceDocument, SourceText

_TABLES = "resource"
_BARE_KEY_END = re.compile(r"[^A-Za-z0-9_-]")
_ATOM_END = re.compile(r"[,\]}#\n]")
# tomli takes a hundred bytes of memory for each digit, and Python refuses to read so many.
_MAX_NUMBER = 1000
_MANY_DIGITS = re.compile(rf"[0-9A-Za-z_.+-]{{{_MAX_NUMBER}}}")
# Strings and comments, in which anything may stand, and what is left. It never goes back.
_TOKENS = re.compile(
    r""""{3}(?:[^"\\]++|\\.|"(?!""))*+(?:"{3}|\Z)|'{3}(?:[^']++|'(?!''))*+(?:'{3}|\Z)"""
    r"""|"(?:[^"\\\n]++|\\.)*+"?|'[^'\n]*+'?|\#[^\n]*+"""
    rf"|(?P<long>[0-9A-Za-z_.+-]{{{_MAX_NUMBER}}})[0-9A-Za-z_.+-]*+|[0-9A-Za-z_.+-]++",
    re.DOTALL,
)
_ESCAPE = re.compile(r'\\(["\\bfnrte]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})')


def parse_toml(source: SourceText, problems: list[Problem]) -> list[SourceDocument]:
    """The documents of a TOML file; what is wrong goes to `problems`."""
    document = parse_toml_map(source, problems)
    return [] if document is None else _take_tables(document, problems)


def parse_toml_map(source: SourceText, problems: list[Problem]) -> SourceDocument | None:
    """A TOML file as one map, whatever its tables are called; None for an empty or broken one."""
    overlong = _find_overlong(source.text)
    if overlong is not None:
        message = f"a key or a number of more than {_MAX_NUMBER} characters"
        problems.append(Problem(message, source.place(overlong), "write it in quotes if it is text"))
        return None
    try:
        value = tomli.loads(source.text)
    except tomli.TOMLDecodeError as error:
        place = Place(source.file, error.lineno, error.colno)
        problems.append(Problem(f"not TOML: {error.msg}", place, _syntax_hint(error.msg)))
        return None
    except RecursionError:
        problems.append(Problem(f"nested deeper than {MAX_DEPTH} levels", source.place(0), "flatten it"))
        return None
    if not value:
        return None
    locator = _TomlLocator(source.text)
    document = SourceDocument(value, source, locator)
    before = len(problems)
    _check(document, value, (), problems)
    return document if len(problems) == before else None


def _find_overlong(text: str) -> int | None:
    """Where a key or a number without quotes begins that is too long; None where there is none."""
    if not _MANY_DIGITS.search(text):
        return None
    return next((token.start() for token in _TOKENS.finditer(text) if token["long"]), None)


def _take_tables(document: SourceDocument, problems: list[Problem]) -> list[SourceDocument]:
    """The document itself, or its tables `[[resource]]`, each a document."""
    value = document.value
    if _TABLES not in value or "kind" in value:
        return [document]
    problems.extend(
        document.problem(f'unexpected key "{key}" beside [[{_TABLES}]]', (key,), _TABLES_HINT, at_key=True)
        for key in value
        if key != _TABLES
    )
    tables = value[_TABLES]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(document.problem(f"{_TABLES} must be tables", (_TABLES,), _TABLES_HINT, at_key=True))
        return []
    return [document.item((_TABLES, index), table) for index, table in enumerate(tables)]


_TABLES_HINT = f"begin each resource with a line [[{_TABLES}]], and its maps with [{_TABLES}.spec]"


def _syntax_hint(message: str) -> str:
    if "overwrite" in message.lower() or "twice" in message.lower():
        return "keep one of the two"
    return "check quotes, brackets and the = sign around here"


def _check(document: SourceDocument, value: Any, path: Path, problems: list[Problem]) -> None:
    """Refuses what TOML can say and a document cannot hold."""
    if isinstance(value, dict | list):
        if len(path) >= MAX_DEPTH:
            problems.append(document.problem(f"nested deeper than {MAX_DEPTH} levels", path, "flatten it"))
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check(document, item, (*path, key), problems)
    elif isinstance(value, date | time):
        problems.append(document.problem("a date has no place in a resource", path, "write it in quotes"))
    elif isinstance(value, float):
        if value - value != 0:
            problems.append(document.problem(f"{value} is not a finite number", path, "write it in quotes"))
    elif isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        problems.append(document.problem("the number does not fit into 64 bits", path, "write it in quotes"))


class _TomlLocator:
    """The offsets of keys and values, scanned when they are first asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._values: dict[Path, int] = {}
        self._keys: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}

    def value_offset(self, path: Path) -> int | None:
        self._scan()
        return self._values.get(path)

    def key_offset(self, path: Path) -> int | None:
        self._scan()
        return self._keys.get(path)

    def _scan(self) -> None:
        if self._values:
            return
        self._values[()] = 0
        position = 0
        table: Path = ()
        while True:
            position = self._skip_blank(position)
            if position >= len(self._text):
                return
            if self._text[position] == "[":
                position, table = self._header(position)
            else:
                position = self._pair(position, table)

    def _skip_blank(self, position: int) -> int:
        """Past white space, line ends and comments."""
        text = self._text
        while position < len(text):
            if text[position] in " \t\r\n":
                position += 1
            elif text[position] == "#":
                end = text.find("\n", position)
                position = len(text) if end < 0 else end
            else:
                break
        return position

    def _skip_space(self, position: int) -> int:
        while self._text[position : position + 1] in (" ", "\t"):
            position += 1
        return position

    def _header(self, position: int) -> tuple[int, Path]:
        start = position
        is_array = self._text.startswith("[[", position)
        keys, position = self._key(position + (2 if is_array else 1))
        path: Path = ()
        for key, _ in keys[:-1]:
            path = self._last(self._note((*path, key), start, start))
        path = (*path, keys[-1][0])
        if is_array:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            self._note(path, start, start)
            path = self._note((*path, index), start, start)
        else:
            self._note(path, start, start)
        return self._skip_space(position) + (2 if is_array else 1), path

    def _last(self, path: Path) -> Path:
        """The path itself, or its last table where it is an array of tables."""
        count = self._counts.get(path, 0)
        return (*path, count - 1) if count else path

    def _note(self, path: Path, key: int, value: int) -> Path:
        self._keys.setdefault(path, key)
        self._values.setdefault(path, value)
        return path

    def _pair(self, position: int, table: Path) -> int:
        keys, position = self._key(position)
        path = table
        for key, start in keys[:-1]:
            path = self._note((*path, key), start, start)
        position = self._skip_space(self._skip_space(position) + 1)
        path = self._note((*path, keys[-1][0]), keys[-1][1], position)
        return self._value(position, path)

    def _key(self, position: int) -> tuple[list[tuple[str, int]], int]:
        """The parts of a dotted key with their offsets, and the position after it."""
        keys = []
        while True:
            position = self._skip_space(position)
            start = position
            if self._text[position] in "\"'":
                position = self._string(position)
                raw = self._text[start + 1 : position - 1]
                keys.append((_unescape(raw) if self._text[start] == '"' else raw, start))
            else:
                position = self._end(_BARE_KEY_END, position)
                keys.append((self._text[start:position], start))
            after = self._skip_space(position)
            if self._text[after : after + 1] != ".":
                return keys, position
            position = after + 1

    def _value(self, position: int, path: Path) -> int:
        first = self._text[position]
        if first in "\"'":
            return self._string(position)
        if first == "[":
            position, index = self._skip_blank(position + 1), 0
            while self._text[position] != "]":
                self._note((*path, index), position, position)
                position = self._skip_blank(self._value(position, (*path, index)))
                index += 1
                if self._text[position] == ",":
                    position = self._skip_blank(position + 1)
            return position + 1
        if first == "{":
            position = self._skip_blank(position + 1)
            while self._text[position] != "}":
                position = self._skip_blank(self._pair(position, path))
                if self._text[position] == ",":
                    position = self._skip_blank(position + 1)
            return position + 1
        return self._end(_ATOM_END, position)

    def _end(self, pattern: re.Pattern[str], position: int) -> int:
        match = pattern.search(self._text, position)
        return match.start() if match else len(self._text)

    def _string(self, position: int) -> int:
        """The position after the string that begins here."""
        text, quote = self._text, self._text[position]
        if text.startswith(quote * 3, position):
            position += 3
            while not text.startswith(quote * 3, position):
                position += 2 if quote == '"' and text[position] == "\\" else 1
            position += 3
            while text[position : position + 1] == quote:
                position += 1
            return position
        position += 1
        while text[position] != quote:
            position += 2 if quote == '"' and text[position] == "\\" else 1
        return position + 1


def _unescape(raw: str) -> str:
    simple = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "e": "\x1b"}

    def change(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] in "xuU" else simple.get(code, code)

    return _ESCAPE.sub(change, raw)
