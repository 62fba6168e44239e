"""The last line of defence: texts that come from elsewhere lose every secret that was read for a stack.

Secrets are masked by their type. But a message of a live system, of a tool or of a plugin can quote what it
was sent, so every error, log line, traceback and stored message goes through `redact`. Filled by
`trueup.secrets.resolve`.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

MASK = "(sensitive)"
# What is shorter stands in too many texts by chance, and is no secret worth the name.
SHORTEST = 6
_SETS_KEPT = 4

_lock = threading.Lock()
_hidden: dict[str, deque[frozenset[str]]] = {}
# The hidden forms by their first letters, and of those by their lengths, longest first.
_starts: Mapping[str, Mapping[int, set[str]]] = {}


def hide(owner: str, values: Iterable[str]) -> None:
    """Makes `redact` mask these values from now on.

    Of each owner the last few sets stay hidden: a text of the run before may still come.
    """
    global _starts
    forms = frozenset(form for value in values for form in _forms(value) if len(form) >= SHORTEST)
    with _lock:
        sets = _hidden.setdefault(owner, deque(maxlen=_SETS_KEPT))
        if forms in sets:
            return
        sets.append(forms)
        _starts = _index({form for sets in _hidden.values() for forms in sets for form in forms})


def redact(text: str) -> str:
    """The text with each hidden value masked, in whatever form tools write values.

    It takes as long as the text is, however many values are hidden.
    """
    starts = _starts
    parts: list[str] = []
    end = position = 0
    last = len(text) - SHORTEST if starts else -1
    while position <= last:
        found = starts.get(text[position : position + SHORTEST])
        length = _match(text, position, found) if found is not None else 0
        if length:
            parts += (text[end:position], MASK)
            end = position + length
        position += length or 1
    return "".join((*parts, text[end:])) if parts else text


def _match(text: str, position: int, forms: Mapping[int, set[str]]) -> int:
    """The length of the longest form that stands there, 0 where none does."""
    rest = len(text) - position
    lengths = (length for length in forms if length <= rest)
    return next((each for each in lengths if text[position : position + each] in forms[each]), 0)


def _index(forms: Iterable[str]) -> Mapping[str, Mapping[int, set[str]]]:
    starts: dict[str, dict[int, set[str]]] = {}
    for form in sorted(forms, key=len, reverse=True):
        starts.setdefault(form[:SHORTEST], {}).setdefault(len(form), set()).add(form)
    return starts


def _forms(value: str) -> Iterator[str]:
    # Messages are often folded or cut, so each line counts by itself.
    for text in {value, *value.splitlines()}:
        yield text
        yield text.strip()
        yield repr(text)[1:-1]
        yield ascii(text)[1:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            continue
        yield quote(text, safe="")
        yield quote(text)
        yield quote_plus(text)
        for form in (base64.b64encode(encoded), base64.urlsafe_b64encode(encoded)):
            yield form.decode()
            yield form.decode().rstrip("=")
