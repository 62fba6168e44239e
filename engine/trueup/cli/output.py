"""What all renderers share: the console, the escaping of foreign text, words and signs. Used by cli only."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from trueup.model.change import Action
from trueup.model.outcome import Result

SIGNS = {
    Action.NONE: "=",
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.DELETE: "-",
    Action.ADOPT: "=",
    Action.FORGET: "x",
    Action.UNKNOWN: "?",
}
STYLES = {
    Action.NONE: "yellow",
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REPLACE: "magenta",
    Action.DELETE: "red",
    Action.ADOPT: "cyan",
    Action.FORGET: "cyan",
    Action.UNKNOWN: "bold red",
}
RESULT_STYLES = {
    Result.CREATED: "green",
    Result.UPDATED: "yellow",
    Result.REPLACED: "magenta",
    Result.UNCHANGED: "dim",
    Result.DELETED: "red",
    Result.ADOPTED: "cyan",
    Result.FORGOTTEN: "cyan",
    Result.SKIPPED: "yellow",
    Result.BLOCKED: "bold yellow",
    Result.FAILED: "bold red",
}

_NOT_TAB = re.compile(r"[^\t]")


class _Screen(Console):
    """A console that goes on silently when nobody reads it any more.

    A run that was agreed to is carried out to its end; the exit code tells how it went.
    """

    def on_broken_pipe(self) -> None:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


def make_console(stream: TextIO | None = None) -> Console:
    """A console that neither wraps nor reads markup. Colours only for a terminal, or by FORCE_COLOR."""
    return _Screen(file=stream or sys.stdout, soft_wrap=True, highlight=False, markup=False, emoji=False)


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Prints many lines; together, since rich takes its time for every call."""
    waiting = iter(lines)
    while batch := list(islice(waiting, 200)):
        console.print(Text("\n").join(batch))


def plain(*parts: tuple[str, str]) -> Text:
    """One line of pieces with a style each."""
    return Text.assemble(*parts, no_wrap=True, overflow="ignore")


def escape(text: str) -> str:
    """The text without anything that a terminal obeys or that hides: escapes, control and bidi characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape_char(char) for char in text)


def escape_line(text: str) -> str:
    """Like `escape`, for one line of a file: its tabs stay."""
    return _NOT_TAB.sub(lambda match: match[0] if match[0].isprintable() else _escape_char(match[0]), text)


def escape_lines(text: str) -> list[str]:
    """The lines of a message, each escaped; at least one."""
    return [escape(line) for line in text.rstrip().split("\n")]


def one_line(text: str) -> str:
    """A message as one escaped line."""
    return escape(" ".join(part for part in (line.strip() for line in text.split("\n")) if part))


def _escape_char(char: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or char.encode("unicode_escape").decode("ascii")


def pad(text: str, width: int) -> str:
    """The text filled up to that many columns of a terminal; never cut."""
    return text + " " * max(0, width - cell_len(text))


def columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows with their cells padded so that columns stand below each other; the last stays ragged."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        [*(pad(cell, width) for cell, width in zip(row[:-1], widths[:-1], strict=True)), row[-1]]
        for row in rows
    ]


def render_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], column: int, styles: Sequence[str]
) -> Iterator[Text]:
    """A table, each row of which has one cell in a style of its own: that of the column."""
    head, *body = columns([header, *rows])
    yield plain(("  ".join(head).rstrip(), "bold"))
    for cells, style in zip(body, styles, strict=True):
        before = "".join(f"{cell}  " for cell in cells[:column])
        after = "  " + "  ".join(cells[column + 1 :]).rstrip()
        yield plain((before, ""), (cells[column], style), (after, ""))


def count(number: int, noun: str) -> str:
    """`1 resource`, `2 resources`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seconds(duration: float) -> str:
    """`0.3s`, `12s`, `4m 10s`."""
    if duration < 10:
        return f"{duration:.1f}s"
    whole = round(duration)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m {whole % 60:02}s"


def ago(moment: float, now: float | None = None) -> str:
    """How long ago, in the largest unit that fits."""
    past = max(0.0, (time.time() if now is None else now) - moment)
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if past >= size:
            return f"{count(int(past // size), unit)} ago"
    return "just now" if past < 5 else f"{count(int(past), 'second')} ago"


def moment(seconds_since_epoch: float) -> str:
    """A point in time in UTC, `2026-11-25 17:04:05Z`; a dash for none."""
    if not seconds_since_epoch:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds_since_epoch))


def short_commit(commit: str) -> str:
    """A commit as people write it: 12 digits, with the mark of a plain directory's hash left out."""
    return commit.removeprefix("sha256:")[:12]


def print_json(document: Any) -> None:
    """Prints one JSON document on stdout."""
    # Lone surrogates cannot be encoded: they are escaped, and every other character is kept.
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        text = json.dumps(document, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")
