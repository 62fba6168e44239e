"""What the author of a secret source writes: `SecretSource`. The promises stand in the docstrings.

A source gives the values of `secret("source[@target]:key")`. Called by `trueup.secrets`.
"""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from trueup.errors import Invalid, ProviderError
from trueup.model.resource import Target
from trueup.model.values import Sensitive, Value, split_pointer
from trueup.sdk.contracts import Session

# A secret, or why there is none; the error's message holds no value.
SecretAnswer = Sensitive | ProviderError


@dataclass(frozen=True)
class SecretContext:
    """What a source may use while it reads.

    `files` holds the content of each path that `SecretSource.files` named, as it is in the commit that is
    carried out. `target` and `session` are those of `secret("source@target:...")`, or of the stack's only
    target of the source's provider; None where there is none. `settings` is what trueup.toml says about
    secrets.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    target: Target | None = None
    session: Session | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)


class SecretSource(ABC):
    """One place that secrets come from. Stateless and thread safe: one instance serves all stacks.

    `name` is what stands before the colon in `secret()`. `provider` names the provider whose targets it reads
    through, empty for none; with `needs_target` it cannot do without one. `requirement` is what pip has to
    install for its library, such as `trueup[vault]`.

    `check` and `files` are pure: they are called when a stack is validated, without credentials and offline.
    """

    name: ClassVar[str] = ""
    provider: ClassVar[str] = ""
    needs_target: ClassVar[bool] = False
    requirement: ClassVar[str] = ""

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        """Raises Invalid for a key that can never work, and Denied for one that the settings do not grant.

        The default takes `name` and `name#/pointer`.
        """
        split_secret_key(key)

    def files(self, key: str) -> Sequence[str]:
        """The files of the stack's source that it needs for a key, relative to the stack's directory."""
        return ()

    @abstractmethod
    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        """The value of each key, or why there is none: one call for all keys of a target.

        Asks in bulk where the system can. Never modifies, ends in bounded time, and imports the system's SDK
        here at the earliest. A value is exactly what the place holds: text, or with `#/pointer` whatever lies
        there; never a default, never empty because something could not be read. A key without an answer
        counts as failed; raising a ProviderError fails all keys. No message holds a value or a part of one.
        """


class SecretSources(ABC):
    """The secret sources there are, loaded when they are first used. See `trueup.plugins`."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The names of all installed sources, without importing any."""

    @abstractmethod
    def source(self, name: str) -> SecretSource:
        """The source of that name. Raises PluginError where there is none or it cannot be loaded."""


def split_secret_key(key: str) -> tuple[str, str | None]:
    """A key in two: `name#/pointer` gives both, a key without `#` no pointer. Raises Invalid."""
    name, mark, pointer = key.partition("#")
    if not name:
        raise Invalid("the key is empty", hint='write secret("source:key")')
    if not mark:
        return name, None
    if not pointer.startswith("/"):
        raise Invalid(
            f'what follows "#" has to be a JSON pointer, not "{pointer}"', hint=f'write "{name}#/{pointer}"'
        )
    return name, pointer


def select_secret(document: Value, pointer: str | None, where: str) -> Sensitive:
    """The part of a secret document that a JSON pointer names, the whole of it for None.

    `where` names the document for the message. Raises Invalid where nothing lies there.
    """
    value = document
    for token in split_pointer(pointer or ""):
        if isinstance(value, Mapping) and token in value:
            value = value[token]
        elif isinstance(value, list) and token.isdigit() and int(token) < len(value):
            value = value[int(token)]
        else:
            raise Invalid(f"{where} has nothing at #{pointer}", hint="correct the pointer, or add the value")
    if value is None:
        at = "" if pointer is None else f" at #{pointer}"
        raise Invalid(f"{where} has null{at}, which is no secret", hint="give it a value")
    return Sensitive(value)


def select_secret_text(text: str, pointer: str | None, where: str) -> Sensitive:
    """The text itself, or the part of the JSON document in it that a pointer names. Raises Invalid."""
    if pointer is None:
        return Sensitive(text)
    # The exception holds the text, so it must not become the context of the next one.
    document: Value = None
    with contextlib.suppress(ValueError):
        document = json.loads(text)
    if not isinstance(document, dict | list):
        raise Invalid(f"{where} holds no JSON object, so #{pointer} leads nowhere", hint="leave out the #")
    return select_secret(document, pointer, where)


def decode_secret(data: bytes, where: str) -> str:
    """The bytes of a secret as text. Raises Invalid for what is not UTF-8."""
    text: str | None = None
    with contextlib.suppress(UnicodeDecodeError):
        text = data.decode()
    if text is None:
        raise Invalid(f"{where} is not UTF-8 text", hint="keep binary data as base64")
    return text


def answer_each_key(keys: Sequence[str], read: Callable[[str], SecretAnswer]) -> dict[str, SecretAnswer]:
    """The answer of `read` for each key; a ProviderError that it raises is the key's own."""
    answers: dict[str, SecretAnswer] = {}
    for key in keys:
        try:
            answers[key] = read(key)
        except ProviderError as error:
            answers[key] = error
    return answers
