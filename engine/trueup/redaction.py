"""The last line of defence: texts that come from elsewhere lose every secret that was read for a stack.

Secrets are masked by their type. But a message of a live system, of a tool or of a plugin can quote what it
was sent, so every error, log line, traceback and stored message goes through `redact`. Filled by
`trueup.secrets.resolve`.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "(sensitive)"
# What is shorter stands in too many texts by chance, and is no secret worth the name.
SHORTEST = 6
_SETS_KEPT = 4

_lock = threading.Lock()
_hidden: dict[str, deque[frozenset[str]]] = {}
_pattern: re.Pattern[str] | None = None


def hide(owner: str, values: Iterable[str]) -> None:
    """Makes `redact` mask these values from now on.

    Of each owner the last few sets stay hidden: a text of the run before may still come.
    """
    global _pattern
    forms = frozenset(form for value in values for form in _forms(value) if len(form) >= SHORTEST)
    with _lock:
        sets = _hidden.setdefault(owner, deque(maxlen=_SETS_KEPT))
        if forms not in sets:
            sets.append(forms)
        every: set[str] = set()
        every.update(*(forms for sets in _hidden.values() for forms in sets))
        longest_first = sorted(every, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, longest_first))) if every else None


def redact(text: str) -> str:
    """The text with each hidden value masked, in whatever form tools write values."""
    pattern = _pattern
    return pattern.sub(MASK, text) if pattern is not None else text


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
