"""Scripts for a host, and their answers. Called by the kinds; run by `session`.

Every value reaches the shell as a quoted word of a script that the host's `sh` reads from its standard input:
nothing is interpreted, and nothing stands on a command line.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from trueup.sdk import Invalid, ProviderError, Transient
from trueup_ssh.errors import error_of

OBSERVE_SECONDS = 120.0


@dataclass(frozen=True)
class Script:
    """What one execution on a host does: calls of the shell functions in the named files, in order.

    `seconds` is how long it may take.
    """

    functions: tuple[str, ...]
    calls: Sequence[str]
    seconds: float = OBSERVE_SECONDS

    def render(self, nonce: str, owners: str) -> bytes:
        """The text that is fed to `sh -s`."""
        parts = [
            *(_read_functions(name) for name in ("prelude", *self.functions)),
            "main() {",
            call("begin", nonce, owners),
            *self.calls,
            "finish",
            "}",
            "main </dev/null",
            "",
        ]
        return "\n".join(parts).encode()


def call(function: str, *words: str) -> str:
    """One call of a shell function, each word of it plain data."""
    for word in words:
        if "\0" in word:
            raise Invalid("a text with a NUL character cannot be given to a host")
        try:
            word.encode()
        except UnicodeEncodeError:
            raise Invalid(f"not valid Unicode: {word!a}") from None
    return " ".join([function, *map(shlex.quote, words)])


def encode(content: str) -> str:
    """Any text as base64, the form in which file contents travel."""
    try:
        return base64.b64encode(content.encode()).decode()
    except UnicodeEncodeError:
        raise Invalid("the content is not valid Unicode") from None


def decode(word: str) -> bytes:
    """The bytes of a base64 field of an answer."""
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        raise Transient("the host's answer is damaged") from None


@dataclass(frozen=True)
class Answer:
    """The lines that a script printed, grouped by their first word; each is what follows that word."""

    lines: dict[str, list[str]] = field(default_factory=dict)

    def of(self, word: str) -> list[str]:
        return self.lines.get(word, [])

    def by_index(self, word: str) -> dict[int, str]:
        """The lines that begin with `word INDEX`, by index."""
        found: dict[int, str] = {}
        for line in self.of(word):
            index, _, rest = line.partition(" ")
            if index.isdigit():
                found[int(index)] = rest
        return found


def parse_answer(output: bytes, nonce: str) -> Answer | None:
    """What the script said; None where it did not come to its end. Raises the error that it reports."""
    lines = output.decode("utf-8", "surrogateescape").split("\n")
    try:
        start = lines.index(f"begin {nonce}")
    except ValueError:
        return None
    answer = Answer()
    for line in lines[start + 1 :]:
        word, _, rest = line.partition(" ")
        if word == "end":
            return answer
        if word == "error":
            raise read_error(rest)
        answer.lines.setdefault(word, []).append(rest)
    return None


def read_error(rest: str) -> ProviderError:
    """The error whose code, message, hint and obstacle a script printed."""
    code, *fields = rest.split(" ")
    message, hint, by = (printable(decode(item).decode("utf-8", "replace")) for item in fields)
    return error_of(code, message, hint, by)


def printable(text: str) -> str:
    """Text from a host without the control characters that could play tricks on a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text).strip()


def first_words(items: Iterable[str], count: int = 5) -> str:
    """A few names for a message, and how many more there are."""
    names = list(items)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


@cache
def _read_functions(name: str) -> str:
    return files("trueup_ssh").joinpath("scripts", f"{name}.sh").read_text("utf-8")
