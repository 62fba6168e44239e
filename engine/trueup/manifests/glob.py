"""Globs as people know them from .gitignore: `*` stays inside a directory, `**` does not.

Used by resource_files. All ways are followed at once, character by character: a regular expression would try
them one after the other, which a glob with a few `**` turns into hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]", re.DOTALL)
_DIRECTORIES, _ANYTHING, _NAME, _CHARACTER = "**/", "**", "*", "?"
_MANY = (_DIRECTORIES, _ANYTHING, _NAME)


@dataclass(frozen=True)
class Glob:
    """One glob; `literal` is the text before its first wildcard. A directory stands for all below it."""

    tokens: tuple[str, ...]
    literal: str

    def matches(self, path: str) -> bool:
        if not path.startswith(self.literal):
            return False
        # How many tokens are behind us; for `**/`, a negative number stands for being within it.
        states = self._skipped({0})
        for char in path:
            if char == "/" and len(self.tokens) in states:
                return True
            states = self._skipped({after for state in states for after in self._step(state, char)})
            if not states:
                return False
        return len(self.tokens) in states

    def _step(self, state: int, char: str) -> tuple[int, ...]:
        at = -state - 1 if state < 0 else state
        token = self.tokens[at] if at < len(self.tokens) else ""
        if token == _DIRECTORIES:
            return (-at - 1, at + 1) if char == "/" else (-at - 1,)
        if token == _ANYTHING or (token == _NAME and char != "/"):
            return (at,)
        return (at + 1,) if token == char or (token == _CHARACTER and char != "/") else ()

    def _skipped(self, states: set[int]) -> set[int]:
        """The states with those that are reached without a character: what stands for many may be none."""
        for state in sorted(states):
            at = state
            while 0 <= at < len(self.tokens) and self.tokens[at] in _MANY:
                at += 1
                states.add(at)
        return states


@lru_cache
def read_glob(text: str) -> Glob:
    """The glob that is written so."""
    tokens: list[str] = []
    for token in _TOKEN.findall(text.strip("/")):
        if token not in _MANY or tokens[-1:] != [token]:
            tokens.append(token)
    literal = re.match(r"[^*?]*", text.strip("/"))
    return Glob(tuple(tokens), literal[0] if literal else "")
