"""The ownership marker as AWS tags: `trueup:owner` and `trueup:address`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trueup.sdk import Owner

PREFIX = "trueup:"
OWNER = "trueup:owner"
ADDRESS = "trueup:address"

VALUE_LIMIT = 256

# What every service allows in a tag's value, without the `=` that begins an escape.
_REFUSED = re.compile(r"[^A-Za-z0-9+\-._:/@]")
_ESCAPE = re.compile(r"(?:=[0-9A-F]{2})+")


def tags_of(owner: Owner) -> dict[str, str]:
    """The tags that say whose the object is. A value too long for one tag goes on in `<key>.2`, `<key>.3`."""
    return {**_split(OWNER, owner.key), **_split(ADDRESS, owner.address)}


def owner_of(tags: Mapping[str, str]) -> Owner | None:
    """The owner that the tags name; None where they carry no whole marker."""
    key, address = _join(OWNER, tags), _join(ADDRESS, tags)
    installation, slash, stack = key.rpartition("/")
    if not slash or not address:
        return None
    return Owner(installation, stack, address)


def is_marker(key: str) -> bool:
    """Whether a tag is trueup's own, and so no part of what manifests say."""
    return key.startswith(PREFIX)


def _split(key: str, value: str) -> dict[str, str]:
    text = _REFUSED.sub(lambda match: "".join(f"={byte:02X}" for byte in match[0].encode()), value)
    parts = [text[at : at + VALUE_LIMIT] for at in range(0, len(text), VALUE_LIMIT)]
    return {key if not index else f"{key}.{index + 1}": part for index, part in enumerate(parts)}


def _join(key: str, tags: Mapping[str, str]) -> str:
    text, index = tags.get(key, ""), 2
    while part := tags.get(f"{key}.{index}"):
        text, index = text + part, index + 1
    return _ESCAPE.sub(_unescape, text)


def _unescape(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("=", "")).decode(errors="replace")
