"""Desired against observed for one node. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum

from trueup.model.address import Address
from trueup.model.observation import Observed
from trueup.model.quarantine import Quarantine
from trueup.model.values import Value


class Action(StrEnum):
    """What a step does to a node, in the words of plans."""

    NONE = "none"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"  # take an object that lives already into the inventory; no call that writes fields
    FORGET = "forget"  # leave the inventory, keep the object
    UNKNOWN = "unknown"  # the node could not be observed: nothing is done to it


WRITES = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DELETE})


class Absence(Enum):
    """The value of a field on the side where the field does not exist; equal to no text."""

    MISSING = "(absent)"

    def __str__(self) -> str:
        return self.value


MISSING = Absence.MISSING


@dataclass(frozen=True)
class FieldChange:
    """One field that differs: its JSON pointer from the document's root, and both values.

    `before` or `after` is MISSING where the field does not exist, `after` is UNKNOWN where it depends on
    something not yet acted on. `sensitive`: neither value may be shown. `immutable`: the object has to be
    replaced to change it. `by` is who gave the field its live value, where the system knows of a drifted one.
    """

    path: str
    before: Value
    after: Value
    sensitive: bool = False
    immutable: bool = False
    by: str = field(default="", compare=False)


@dataclass(frozen=True)
class Batch:
    """Which batch of its resource's rollout a node is in, counted from 1, and how many there are."""

    number: int
    total: int


@dataclass(frozen=True)
class Change:
    """What one node needs, why, and field by field. `observed` is what it rests on (None: absent).

    `is_drift`: desired is as recorded, so the live system moved by itself.
    `moved_to`: the object goes on under this address, so nothing is done to it under the old one.
    `moved_from`: under which address the object was managed before; this one takes it over.
    `batch` is the node's place in a rollout across targets.
    `triggered_by` are the nodes whose change makes the kind act on this one once more (`Kind.refresh`).
    `replaced` are old objects of replacements by one of another name that were begun and not finished;
    `observed` is then the new one.
    `is_new_first`: a replacement makes the new object before the old one goes.
    `quarantine`: drift is left as it is for a while, since somebody brings it back again and again.
    `doubt` is the interrupted create of which nobody knows whether it has made the object.
    `problem` says why an UNKNOWN node could not be judged, or what refuses the change.
    """

    address: Address
    action: Action
    fields: tuple[FieldChange, ...] = ()
    reasons: tuple[str, ...] = ()
    observed: Observed | None = field(default=None, compare=False, repr=False)
    is_drift: bool = False
    problem: str = ""
    hint: str = ""
    moved_to: Address | None = None
    moved_from: Address | None = None
    batch: Batch | None = None
    triggered_by: tuple[Address, ...] = ()
    replaced: tuple[Observed, ...] = field(default=(), compare=False, repr=False)
    is_new_first: bool = False
    doubt: str = ""
    quarantine: Quarantine | None = None

    @property
    def is_write(self) -> bool:
        return self.action in WRITES
