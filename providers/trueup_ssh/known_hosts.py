"""What a known_hosts file says beside plain lines: which keys are revoked. Called by `client`.

paramiko skips every line with a marker, so that a key would still be trusted after it was revoked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from trueup.sdk import Invalid

_REVOKED = "@revoked"


@dataclass(frozen=True)
class KnownHosts:
    """The lines without a marker, and the keys that no host may show, whatever its name."""

    lines: Sequence[str]
    revoked: frozenset[bytes]


def read_known_hosts(text: str) -> KnownHosts:
    """What the file says. Raises Invalid for a revocation that is not legible.

    A certificate authority vouches for certificates, which are never asked for: its lines are left out.
    """
    lines: list[str] = []
    revoked: set[bytes] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == _REVOKED:
            key = _key_of(words[3]) if len(words) > 3 else None
            if key is None:
                raise Invalid(f"line {number} revokes what is no key", hint="correct the line, or remove it")
            revoked.add(key)
        elif not words[0].startswith("@"):
            lines.append(" ".join(words))
    return KnownHosts(lines, frozenset(revoked))


def _key_of(word: str) -> bytes | None:
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return None
