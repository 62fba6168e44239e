"""Reads the keys of one map of trueup's own with precise problems. Called by `stack_file` and `resource`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.suggestions import suggest
from trueup.model.values import UNKNOWN

MAX_NAME = 253
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
# Most names; those of other alphabets are looked at character by character.
_GOOD_NAME = re.compile(r"[!-.0-?A-~]{1,253}")
_LONGEST = 365 * 24 * 3600
_DURATION_HINT = "write a duration such as 30s, 5m, 1h30m or 1d"


class Fields:
    """A map with known keys. What is wrong goes to `problems`, and the reader gives the default instead.

    A value that is UNKNOWN was an expression that failed; its problem is noted already.
    """

    def __init__(
        self,
        document: SourceDocument,
        value: Any,
        path: Path,
        problems: list[Problem],
        *,
        known: Iterable[str],
        where: str = "",
        example: str = "write `key: value` lines",
    ) -> None:
        self._document = document
        self._path = path
        self._problems = problems
        self._where = where
        self.values: Mapping[str, Any] = {}
        self.has_unknown_keys = False
        if isinstance(value, dict):
            self.values = value
            self._check_keys(list(known))
        elif value is not UNKNOWN and value is not None:
            self.note(f"{where} must be a map, not {kind_of_value(value)}", hint=example)

    def note(self, message: str, *keys: str | int, hint: str = "", at_key: bool = False) -> None:
        path = self._path + keys
        self._problems.append(self._document.problem(message, path, hint, at_key=at_key))

    def _check_keys(self, known: list[str]) -> None:
        for key in self.values:
            if key in known:
                continue
            self.has_unknown_keys = True
            where = f" of {self._where}" if self._where else ""
            hint = suggest(key, known, "known fields")
            self.note(f'unknown field "{key}"{where}', key, hint=hint, at_key=True)

    def name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def _take(self, key: str, kind: type | tuple[type, ...], expected: str, hint: str = "") -> Any:
        """The value if it is of the type, else None with a problem (no problem where there is none)."""
        value = self.values.get(key)
        if key not in self.values or value is UNKNOWN:
            return None
        is_wrong_bool = isinstance(value, bool) and kind is not bool
        if not isinstance(value, kind) or is_wrong_bool:
            self.note(f"{self.name(key)} must be {expected}, not {kind_of_value(value)}", key, hint=hint)
            return None
        return value

    def text(self, key: str, *, is_required: bool = False, hint: str = "") -> str:
        value = self._take(key, str, "a string", hint)
        if value == "" or (is_required and key not in self.values):
            self.note(
                f"{self.name(key)} is missing" if value is None else f"{self.name(key)} is empty",
                key,
                hint=hint,
            )
        return value or ""

    def boolean(self, key: str, default: bool) -> bool:
        value = self._take(key, bool, "true or false")
        return default if value is None else value

    def choice(self, key: str, allowed: Iterable[str]) -> str:
        """One of the words; empty where the key is missing or wrong."""
        words = list(allowed)
        hint = f"allowed: {', '.join(words)}"
        value = self._take(key, str, "a string", hint)
        if value is not None and value not in words:
            self.note(f'{self.name(key)} cannot be "{value}"', key, hint=suggest(value, words, "allowed"))
            return ""
        return value or ""

    def strings(self, key: str, hint: str = "") -> tuple[str, ...]:
        """A list of strings; a single string is no list."""
        value = self._take(key, list, "a list of strings", hint)
        result = []
        for index, item in enumerate(value or ()):
            if isinstance(item, str) and item:
                result.append(item)
            elif item is not UNKNOWN:
                what = "an empty string" if item == "" else kind_of_value(item)
                self.note(f"{self.name(key)} holds {what} where a string is needed", key, index, hint=hint)
        return tuple(result)

    def string_map(self, key: str) -> dict[str, str]:
        value = self._take(key, dict, "a map of strings") or {}
        for name, item in value.items():
            if not isinstance(item, str) and item is not UNKNOWN:
                message = f"{self.name(key)}.{name} must be a string, not {kind_of_value(item)}"
                self.note(message, key, name, hint="quote it")
        return {name: item for name, item in value.items() if isinstance(item, str)}

    def count(self, key: str, default: int = 0) -> int:
        """A whole number that is not negative."""
        value = self._take(key, int, "a whole number")
        if value is not None and value < 0:
            self.note(f"{self.name(key)} is negative", key, hint="write 0 or more")
        return default if value is None else value

    def mapping(self, key: str) -> dict[str, Any]:
        value: dict[str, Any] | None = self._take(key, dict, "a map")
        return value or {}

    def items(self, key: str) -> list[Any]:
        value: list[Any] | None = self._take(key, list, "a list")
        return value or []

    def duration(self, key: str) -> float | None:
        """A duration in seconds, None where the key is missing or wrong."""
        value = self._take(key, str, "a duration", _DURATION_HINT)
        if value is None:
            return None
        match = _DURATION.fullmatch(value)
        if not value or match is None:
            self.note(f'{self.name(key)}: "{value}" is not a duration', key, hint=_DURATION_HINT)
            return None
        days, hours, minutes, rest = (int(part[:12]) if part else 0 for part in match.groups())
        seconds = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
        if not 0 < seconds <= _LONGEST:
            hint = "between 1s and 365d"
            self.note(f'{self.name(key)}: "{value}" is out of range', key, hint=hint)
            return None
        return seconds


def name_fault(name: str) -> str:
    """What is wrong with a name; empty for a good one. `/` and `@` are the marks of addresses."""
    if _GOOD_NAME.fullmatch(name):
        return ""
    if not name:
        return "is empty"
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    for character in name:
        if character in "/@":
            return f'must not contain "{character}"'
        if character.isspace() or not character.isprintable():
            return "must not contain white space or control characters"
    return ""
