"""A connection to one host: renders scripts, runs one at a time, reads the answers. Made by `provider`."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import Protocol

from trueup.sdk import Session, TooLarge
from trueup_ssh.errors import failure_of
from trueup_ssh.script import Answer, Script, parse_answer, printable

# Two hundred files of 256 KiB, which are sent back where they differ; more is asked for in several scripts.
# Reading it takes about four times as much memory.
MAX_OUTPUT = 64 * 1024 * 1024
# The first words of what went wrong say why.
MAX_ERRORS = 1024 * 1024


def check_output(size: int) -> None:
    """Raises TooLarge for more output than is taken in: what the host did is not known then."""
    if size > MAX_OUTPUT:
        raise TooLarge(f"the host's answer is larger than {MAX_OUTPUT // 1024**2} MiB")


@dataclass(frozen=True)
class Execution:
    """How a shell ended. `status` is None where the connection ended before the shell said how it ends."""

    status: int | None
    output: bytes
    errors: bytes


class Transport(Protocol):
    """A way to run `sh -s` on a host. Raises errors of the SDK only."""

    @property
    def place(self) -> str:
        """The host as messages name it."""

    @property
    def fingerprint(self) -> str: ...

    def run(self, script: bytes, seconds: float) -> Execution:
        """Feeds the script to one shell. Ends within about `seconds`; Transient where that was too short."""

    def close(self) -> None: ...


class HostSession(Session):
    """See the contract. `owners` is the directory of the markers, empty for the default of the user there."""

    def __init__(self, transport: Transport, owners: str, apt_lock_seconds: int) -> None:
        self._transport = transport
        self._owners = owners
        self._lock = threading.Lock()
        self._fingerprint = transport.fingerprint
        self.apt_lock_seconds = apt_lock_seconds

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def place(self) -> str:
        return self._transport.place

    def run(self, script: Script) -> Answer:
        """One execution on the host. Raises what the script reports, or why it did not come to its end."""
        nonce = secrets.token_hex(16)
        text = script.render(nonce, self._owners)
        with self._lock:
            execution = self._transport.run(text, script.seconds)
        answer = parse_answer(execution.output, nonce)
        if answer is None:
            words = printable(execution.errors.decode("utf-8", "replace"))
            raise failure_of(self.place, execution.status, words)
        return answer

    def close(self) -> None:
        self._transport.close()
