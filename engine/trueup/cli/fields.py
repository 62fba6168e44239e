"""Describes one field's change in words and lines, for every form of output that people read.

Called by the text and the Markdown of plans. What it gives is escaped: no value reaches a terminal raw.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trueup.cli.output import escape, escape_line
from trueup.model.change import MISSING, FieldChange
from trueup.model.values import UNKNOWN, Sensitive, Value, map_leaves

# A value longer than this stands on lines of its own, and so do two that are longer together.
MAX_INLINE = 72
MAX_INLINE_PAIR = 100
# So many lines of a value that is new as a whole; a difference is always shown completely.
MAX_NEW_LINES = 40
CONTEXT = 3

KNOWN_AFTER_APPLY = "(known after apply)"
SENSITIVE = "(sensitive)"
ABSENT = "(absent)"


@dataclass(frozen=True)
class FieldText:
    """A field's change: `sign` is +, - or ~, `text` the values if they fit on the line.

    `lines` are those of a unified difference, each with its sign `+`, `-`, ` ` or `@` in front. `by` is who
    did it, if that is known.
    """

    sign: str
    path: str
    text: str
    lines: tuple[str, ...] = ()
    is_immutable: bool = False
    by: str = ""


def describe_field(field: FieldChange) -> FieldText:
    """The field's change, on one line if both values are short."""
    text = _describe(field)
    return replace(text, by=escape(field.by)) if field.by else text


def describe_drifted(field: FieldChange) -> FieldText:
    """What somebody made of a field beside what Git says: no change that is to be made, but one that was."""
    path, by = escape(field.path) or "/", escape(field.by)
    if field.sensitive:
        return FieldText("~", path, _now(_mask(field.before), _mask(field.after)), by=by)
    before, after = _inline(field.before), _inline(field.after)
    if before is not None and after is not None and len(before) + len(after) <= MAX_INLINE_PAIR:
        return FieldText("~", path, _now(before, after), by=by)
    lines = _difference(_lines(field.after, field.before), _lines(field.before, field.after))
    return FieldText("~", path, "- as Git says, + as it is now", tuple(lines), by=by)


def _now(live: str, declared: str) -> str:
    git = "it is not in Git" if declared == ABSENT else f"Git says {declared}"
    return f"gone, {git}" if live == ABSENT else f"now {live}, {git}"


def _describe(field: FieldChange) -> FieldText:
    sign = "+" if field.before is MISSING else "-" if field.after is MISSING else "~"
    path = escape(field.path) or "/"
    if field.sensitive:
        return FieldText(sign, path, _arrow(_mask(field.before), _mask(field.after)), (), field.immutable)
    before, after = _inline(field.before), _inline(field.after)
    if before is not None and after is not None and len(before) + len(after) <= MAX_INLINE_PAIR:
        return FieldText(sign, path, _arrow(before, after), (), field.immutable)
    if UNKNOWN is field.after:
        return FieldText(sign, path, f"-> {KNOWN_AFTER_APPLY}", (), field.immutable)
    lines = _difference(_lines(field.before, field.after), _lines(field.after, field.before))
    return FieldText(sign, path, "", tuple(lines), field.immutable)


def _arrow(before: str, after: str) -> str:
    if before == ABSENT:
        return after
    return f"{before} -> {after}"


def _mask(value: Value) -> str:
    if value is MISSING:
        return ABSENT
    return KNOWN_AFTER_APPLY if value is UNKNOWN else SENSITIVE


def _inline(value: Value) -> str | None:
    """The value on one line, None where it is too long for that."""
    if value is MISSING:
        return ABSENT
    if value is UNKNOWN or isinstance(value, Sensitive):
        return str(value)
    if isinstance(value, str):
        if "\n" in value.rstrip("\n") or len(value) > MAX_INLINE:
            return None
        return f'"{_quote(value)}"'
    text = _json(value, None)
    return escape(text) if len(text) <= MAX_INLINE else None


def _quote(text: str) -> str:
    return escape(text.replace("\\", "\\\\").replace('"', '\\"'))


def _json(value: Value, indent: int | None) -> str:
    """The value as JSON; what has no JSON form as a word in brackets, without quotes."""
    marks: dict[str, str] = {}

    def mark(leaf: Value) -> Value:
        if leaf is UNKNOWN or isinstance(leaf, Sensitive):
            # Private characters, which the document's own texts are freed of below.
            token = f"\ue000{len(marks)}\ue001"
            marks[f'"{token}"'] = str(leaf)
            return token
        return leaf.replace("\ue000", "\\ue000") if isinstance(leaf, str) else leaf

    text = json.dumps(map_leaves(value, mark), ensure_ascii=False, indent=indent, sort_keys=True, default=str)
    for token, word in marks.items():
        text = text.replace(token, word)
    return text


def _lines(value: Value, other: Value) -> list[str]:
    """The lines of a value: a text's own, or those of indented JSON. `other` is the field's other side."""
    if value is MISSING:
        return []
    if not isinstance(value, str):
        return [escape_line(line) for line in _json(value, 2).split("\n")]
    lines = value.split("\n")
    if lines[-1] == "":
        lines.pop()
    elif isinstance(other, str) and other.endswith("\n"):
        lines[-1] += " (no newline at the end)"
    return [escape_line(line) for line in lines]


def _difference(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """A unified difference with context; a value that is new or gone as a whole is cut after some lines."""
    if not before or not after:
        sign = "-" if before else "+"
        lines = before or after
        yield from (sign + line for line in lines[:MAX_NEW_LINES])
        if len(lines) > MAX_NEW_LINES:
            yield f"@ {len(lines) - MAX_NEW_LINES} more lines: --output json has them"
        return
    for index, line in enumerate(difflib.unified_diff(before, after, n=CONTEXT, lineterm="")):
        is_header = index < 2
        is_at_top = line.startswith(("@@ -1,", "@@ -1 "))
        if not is_header and not is_at_top:
            yield line
