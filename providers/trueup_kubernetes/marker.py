"""The ownership marker on an object: a label to find it by, annotations that say whose it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from trueup.sdk import ANY_INSTALLATION, Document, Owner

OWNER = "trueup.dev/owner"
ADDRESS = "trueup.dev/address"


def label_of(owner_key: str) -> str:
    """The label's value for an `Owner.key`, which itself may be too long and hold a slash."""
    return hashlib.sha256(owner_key.encode()).hexdigest()[:40]


def selector_of(owner_key: str) -> str:
    """The label selector for the objects of an `Owner.key`. One of any installation has no single hash."""
    return OWNER if owner_key.startswith(f"{ANY_INSTALLATION}/") else f"{OWNER}={label_of(owner_key)}"


def read_owner(body: Document) -> Owner | None:
    """The owner that the object's marker names; None where there is no whole marker.

    Controllers copy annotations to what they make (a Deployment's to its ReplicaSets), but not its labels,
    so both have to be there.
    """
    metadata = body.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    key, address = annotations.get(OWNER), annotations.get(ADDRESS)
    if not isinstance(key, str) or not isinstance(address, str):
        return None
    installation, slash, stack = key.partition("/")
    if not slash or (metadata.get("labels") or {}).get(OWNER) != label_of(key):
        return None
    return Owner(installation, stack, address)


def labels_of(owner: Owner) -> Mapping[str, str]:
    return {OWNER: label_of(owner.key)}


def annotations_of(owner: Owner) -> Mapping[str, str]:
    return {OWNER: owner.key, ADDRESS: owner.address}
