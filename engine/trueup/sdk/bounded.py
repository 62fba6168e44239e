"""Reads the answer of a server that may never end or fill the memory. Called by the clients of providers."""

from __future__ import annotations

import time
from collections.abc import Callable

from trueup.errors import Transient

_CHUNK = 65536


class TooLarge(Transient):
    """The answer has more bytes than are taken in.

    What it says is not known, so nothing counts as absent, and of a mutation the outcome is unknown.
    """


def read_bounded(read_some: Callable[[int], bytes], most: int, seconds: float, what: str) -> bytes:
    """All bytes of an answer, taken piece by piece: `read_some(count)` gives what is there, empty at the end.

    `read_some` must wait for no more than one packet, so that a server that sends a byte now and then is
    noticed. Raises TooLarge for more than `most` bytes and Transient after so many seconds; `what` begins
    the message.
    """
    deadline = time.monotonic() + seconds
    answer = bytearray()
    while data := read_some(_CHUNK):
        answer += data
        if len(answer) > most:
            raise TooLarge(f"{what}: the answer is larger than {most // 1024**2} MiB")
        if time.monotonic() > deadline:
            raise Transient(f"{what}: the answer did not end within {seconds:g} s")
    return bytes(answer)
