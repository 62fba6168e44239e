"""A node that is left alone for a while, since somebody else and we undo each other's work. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from trueup.model.address import Address

# What is fought for where it is no field: the object itself, which somebody deletes, and its ownership
# marker. Fields are JSON pointers, which begin with a slash.
OBJECT = ""
MARKER = "marker"


@dataclass(frozen=True)
class Quarantine:
    """A node that is left alone until `until`, because `writer` and we undo each other's work at `paths`.

    `paths` are JSON pointers, OBJECT or MARKER. `writer` is empty where the system does not know. `strikes`
    counts how often in a row. One that is over is kept for its strikes, with `since` equal to `until`.
    """

    address: Address
    paths: tuple[str, ...]
    writer: str
    strikes: int
    since: float
    until: float
