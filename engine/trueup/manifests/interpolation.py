"""A string with `${{ ... }}` to its parts: literal text and expressions. Called by `templates`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from trueup.manifests.program import ExpressionError

OPEN, CLOSE, ESCAPED = "${{", "}}", "$${{"
# The characters at which something may begin or end; all others are passed over at once.
_TELLING = re.compile(r"""["'{}/]|(?:[rR][bB]?|[bB][rR])["']""")
_QUOTE = re.compile(r"""(?P<raw>(?:[rR][bB]?|[bB][rR])?)(?P<quote>\"{3}|'{3}|"|')""")


@dataclass(frozen=True)
class ExpressionText:
    """The text between `${{` and `}}`, and its offset in the string."""

    text: str
    offset: int


Part = str | ExpressionText

_UNCLOSED_HINT = 'close it with }}, quote the value in YAML if it holds " #", or write $${{ for the text'


def has_expression(text: str) -> bool:
    """Whether a string needs a closer look: it holds an expression or its escape."""
    return OPEN in text


@lru_cache(maxsize=50_000)
def split_expressions(text: str) -> tuple[Part, ...]:
    """The parts of a string in order; remembered, as programs are, for a daemon reads the same text for ever.

    Raises ExpressionError for an expression without an end.
    """
    parts: list[Part] = []
    literal, position = "", 0
    while True:
        start = text.find(OPEN, position)
        if start < 0:
            literal += text[position:]
            break
        if start > position and text[start - 1] == "$":
            literal += text[position : start - 1] + OPEN
            position = start + len(OPEN)
            continue
        literal += text[position:start]
        end = _find_close(text, start + len(OPEN))
        if literal:
            parts.append(literal)
            literal = ""
        raw = text[start + len(OPEN) : end]
        leading = len(raw) - len(raw.lstrip())
        parts.append(ExpressionText(raw.strip(), start + len(OPEN) + leading))
        position = end + len(CLOSE)
    if literal or not parts:
        parts.append(literal)
    return tuple(parts)


def _find_close(text: str, start: int) -> int:
    """The offset of the `}}` that ends an expression: outside of CEL's strings, comments and braces."""
    position, depth = start, 0
    while True:
        found = _TELLING.search(text, position)
        if found is None:
            break
        position = found.start()
        character = text[position]
        if character in "\"'rRbB":
            quoted = _QUOTE.match(text, position)
            is_word = position > start and (text[position - 1].isalnum() or text[position - 1] == "_")
            if quoted and not (quoted["raw"] and is_word):
                position = _skip_string(text, quoted.end(), quoted["quote"], bool(quoted["raw"]))
                continue
        if text.startswith("//", position):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            continue
        if character == "{":
            depth += 1
        elif character == "}":
            if depth:
                depth -= 1
            elif text.startswith(CLOSE, position):
                return position
        position += 1
    raise ExpressionError("${{ without its }}", start - len(OPEN), _UNCLOSED_HINT)


def _skip_string(text: str, position: int, quote: str, is_raw: bool) -> int:
    while position < len(text):
        if text[position] == "\\" and not is_raw:
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return position
