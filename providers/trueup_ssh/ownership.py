"""The ownership manifest of a host: one small JSON file for each object that trueup manages there.

Called by the kinds. The files are written by the shell functions `claim` and `save_marker`, which depend on
the canonical form made here: `created` first, and the owner as one piece of text that is found as it is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from trueup.sdk import Invalid, Owner


@dataclass(frozen=True)
class Marker:
    """What one file of the manifest says. `created` is false for an object that was there before."""

    owner: Owner
    kind: str
    identity: str
    created: bool


def key_of(identity: str) -> str:
    """The name of the marker's file: two things with one identity have one marker."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def owner_text(owner: Owner) -> str:
    """The owner as it stands in the file, to be compared as plain text."""
    return '"owner":' + _canonical(
        {"address": owner.address, "installation": owner.installation, "stack": owner.stack}
    )


def marker_rest(owner: Owner, kind: str, identity: str) -> str:
    """The file's text after the value of `created`, which only the host knows."""
    return f'"identity":{_canonical(identity)},"kind":{_canonical(kind)},{owner_text(owner)}}}'


def parse_marker(text: str) -> Marker:
    """The marker of one file. Raises Invalid for a damaged one: it must not count as no marker."""
    try:
        data = json.loads(text)
        owner = data["owner"]
        marker = Marker(
            Owner(str(owner["installation"]), str(owner["stack"]), str(owner["address"])),
            str(data["kind"]),
            str(data["identity"]),
            bool(data["created"]),
        )
    except (ValueError, KeyError, TypeError):
        raise Invalid(
            "an ownership marker on the host is damaged",
            hint="look at the files in its owners directory; restore or remove the damaged one",
        ) from None
    return marker


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
