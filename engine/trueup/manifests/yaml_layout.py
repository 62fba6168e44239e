"""YAML in its canonical layout: two spaces a level, lists indented below their key. Pure. Called by `format`.

Lines are moved and gaps are closed; no word is written anew. So whatever a word means, it still does, and the
comments keep their order and what they stand beside.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

_STEP = 2
# So many lines above a comment are looked at for its column.
_NEAR = 1000
_BLOCK_HEADER = re.compile(r"[|>](?:[+-]?([1-9])?|([1-9])[+-])(?:[ \t].*)?$")
# What is followed by one space and not by more.
_TIGHT = (yaml.BlockEntryToken, yaml.ValueToken, yaml.AnchorToken, yaml.KeyToken)
_FLOW_STARTS = (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)
_FLOW_ENDS = (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def lay_out_yaml(text: str) -> str:
    """The text laid out. Raises yaml.YAMLError for one that is no YAML."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    plan = _Plan(lines)
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        plan.take(token)
    return "\n".join(tidy(plan.moved_lines(), plan.inside)) + "\n"


def tidy(lines: Sequence[str], inside: set[int]) -> list[str]:
    """The lines, not those `inside` a text, without white space at their ends, and one empty line at most."""
    result: list[str] = []
    was_empty = True
    for index, line in enumerate(lines):
        kept = line if index in inside else line.rstrip(" \t")
        is_empty = not kept and index not in inside
        if not (is_empty and was_empty):
            result.append(kept)
        was_empty = is_empty
    if result and was_empty:
        result.pop()
    return result


@dataclass
class _Level:
    """A map or a list in the block style, with its old and its new column.

    `is_implicit`: a list that stands as far left as the key above it.
    """

    old: int
    new: int
    is_map: bool
    is_implicit: bool = False


@dataclass
class _Plan:
    """Where each line goes.

    `columns` has the old and the new column of lines that begin with a word; `shifts` by how much the lines
    move that go on with what began above; `gaps` what becomes a single space. Of the lines `inside` a text
    the white space belongs to the text. `_farthest` is the last column for comments below a text, by the line
    on which the text begins.
    """

    lines: Sequence[str]
    columns: dict[int, tuple[int, int]] = field(default_factory=dict)
    shifts: dict[int, int] = field(default_factory=dict)
    gaps: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    inside: set[int] = field(default_factory=set)
    _farthest: dict[int, int] = field(default_factory=dict)
    _levels: list[_Level] = field(default_factory=list)
    _flow_depth: int = 0
    _flow_line: int = 0
    _before: Any = None

    def take(self, token: Any) -> None:
        """Notes what the next token says."""
        if isinstance(token, yaml.ScalarToken) and token.start_mark.line != token.end_mark.line:
            self._note_text(token)
        if self._flow_depth:
            self._take_in_flow(token)
            return
        self._nest(token)
        is_word = token.start_mark.index != token.end_mark.index
        if is_word or isinstance(token, yaml.KeyToken):
            self._place(token)
        if is_word:
            self._close_gap(token)
            self._before = token
        if isinstance(token, _FLOW_STARTS):
            self._flow_depth, self._flow_line = 1, token.start_mark.line

    def _take_in_flow(self, token: Any) -> None:
        self._flow_depth += isinstance(token, _FLOW_STARTS) - isinstance(token, _FLOW_ENDS)
        if not self._flow_depth:
            for line in range(self._flow_line + 1, token.end_mark.line + 1):
                self.shifts.setdefault(line, self._shift)
            self._before = token

    @property
    def _top(self) -> _Level | None:
        return self._levels[-1] if self._levels else None

    @property
    def _shift(self) -> int:
        """By how much what stands in the innermost map or list moves."""
        return self._top.new - self._top.old if self._top else 0

    @property
    def _below(self) -> int:
        """The new column of what stands below the innermost map or list."""
        return self._top.new + _STEP if self._top else 0

    def _nest(self, token: Any) -> None:
        column, top = token.start_mark.column, self._top
        if isinstance(token, yaml.BlockMappingStartToken | yaml.BlockSequenceStartToken):
            is_map = isinstance(token, yaml.BlockMappingStartToken)
            self._levels.append(_Level(column, self._below, is_map))
        elif isinstance(token, yaml.BlockEntryToken):
            if top is not None and top.is_map:
                self._levels.append(_Level(column, self._below, is_map=False, is_implicit=True))
        elif isinstance(token, yaml.KeyToken | yaml.BlockEndToken):
            if top is not None and top.is_implicit:
                self._levels.pop()
            if isinstance(token, yaml.BlockEndToken):
                self._levels.pop()

    def _place(self, token: Any) -> None:
        line, column = token.start_mark.line, token.start_mark.column
        if line in self.columns or self.lines[line][:column].strip(" "):
            return
        if isinstance(token, yaml.KeyToken | yaml.BlockEntryToken | yaml.ValueToken):
            new = self._top.new if self._top else 0
        elif isinstance(token, yaml.DocumentStartToken | yaml.DocumentEndToken | yaml.DirectiveToken):
            new = 0
        else:
            new = self._below
        self.columns[line] = (column, new)

    def _close_gap(self, token: Any) -> None:
        before = self._before
        if not isinstance(before, _TIGHT) or before.end_mark.line != token.start_mark.line:
            return
        start, end = before.end_mark.column, token.start_mark.column
        if self.lines[before.end_mark.line][start:end] not in ("", " "):
            self.gaps.setdefault(token.start_mark.line, []).append((start, end))

    def _note_text(self, token: Any) -> None:
        """Notes the lines of a text that goes over several."""
        first, end = token.start_mark.line, token.end_mark
        if token.style not in ("|", ">"):
            self.inside.update(range(first, end.line))
            if not self._flow_depth:
                self.shifts.update(dict.fromkeys(range(first + 1, end.line + 1), self._shift))
            return
        # A comment below that stands as far right as the text would become part of it.
        self._farthest[first] = self._top.new if self._top else 0
        found = _BLOCK_HEADER.match(self.lines[first], token.start_mark.column)
        digit = int((found[1] or found[2] or 0) if found else 0)
        numbers = range(first + 1, min(end.line + (end.column > 0), len(self.lines)))
        if digit:
            indent, shift = (self._top.old if self._top else 0) + digit, self._shift
        else:
            indent = min((_indent(self.lines[n]) for n in numbers if self.lines[n].strip(" ")), default=0)
            shift = self._below - indent
        is_kept = "+" in self.lines[first][token.start_mark.column : token.start_mark.column + 3]
        content = [n for n in numbers if self.lines[n].strip(" ") or len(self.lines[n]) > indent]
        last = numbers.stop if is_kept else (content[-1] + 1 if content else first + 1)
        self.inside.update(range(first + 1, last))
        # An empty line stays empty.
        self.shifts.update({n: shift if n in content else -len(self.lines[n]) for n in numbers})

    def moved_lines(self) -> list[str]:
        """The lines in their new places."""
        comments = {
            index
            for index, line in enumerate(self.lines)
            if index not in self.shifts and index not in self.columns and line.strip()
        }
        places = dict(self._place_comments(comments))
        return [self._move(index, line, places) for index, line in enumerate(self.lines)]

    def _move(self, index: int, line: str, comments: dict[int, int]) -> str:
        if index in self.shifts:
            shift = self.shifts[index]
            return " " * shift + line if shift > 0 else line[min(-shift, _indent(line)) :]
        if index in comments:
            return " " * comments[index] + line.strip(" \t")
        if index not in self.columns:
            return line
        for start, end in reversed(self.gaps.get(index, [])):
            line = f"{line[:start]} {line[end:]}"
        return " " * self.columns[index][1] + line.lstrip(" ")

    def _place_comments(self, comments: set[int]) -> Iterator[tuple[int, int]]:
        """The column of each line that is a comment: that of the line beside it which it was level with."""
        words = sorted(self.columns)
        for index in comments:
            column, place = _indent(self.lines[index]), bisect(words, index)
            below = self.columns[words[place]] if place < len(words) else (0, 0)
            above = self.columns[words[place - 1]] if place else below
            new = below[1] if below[0] == column else None
            if new is None:
                new = self._find_level(words[max(0, place - _NEAR) : place], column)
            if new is None:
                near = above if column > above[0] else below
                new = max(0, column + near[1] - near[0])
            yield index, min(new, self._farthest.get(words[place - 1], new) if place else new)

    def _find_level(self, words: Sequence[int], column: int) -> int | None:
        """The new column of what stood in this column among all that the last of these lines is part of."""
        level = None
        for line in reversed(words):
            old, new = self.columns[line]
            if level is None or old < level:
                if old <= column:
                    return new if old == column else None
                level = old
        return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
