"""What an import is asked for, what becomes of each object, and what it came to."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from trueup.model.address import Address
from trueup.model.change import FieldChange
from trueup.model.resource import Revision
from trueup.reconcile.report import Listener, Silent


@dataclass(frozen=True)
class Wanted:
    """What to look for. No target: all of the stack's. No kind: every kind whose objects can be listed.

    `kind` is a name as people type it; `ids` are of one kind, and name objects as the kind's users do.
    """

    targets: tuple[str, ...] = ()
    kind: str = ""
    ids: tuple[str, ...] = ()


class Fate(StrEnum):
    """What becomes of one object. Skipped ones stay as they are; failed ones were asked for in vain."""

    IMPORTED = "imported"
    MANAGED = "managed"  # by this very stack, already
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class ImportOutcome:
    """One object of a target, or a kind that could not be listed (`id` is empty then).

    `address` and `file` are those of its resource, if it has one. `fields` are what a plan would change in
    the object, and why it is not imported.
    """

    target: str
    kind: str
    id: str
    fate: Fate
    address: Address | None = None
    file: str = ""
    why: str = ""
    hint: str = ""
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """The end of an import. `files` are the texts by their paths in the stack's directory.

    `is_done`: the files are written and the objects adopted; else this is what would be. `left_out` counts
    the objects that the systems themselves made. `run` is its id in the history, 0 where nothing was begun.
    """

    stack: str
    revision: Revision
    outcomes: tuple[ImportOutcome, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0
    is_done: bool = False
    is_declined: bool = False
    is_interrupted: bool = False
    run: int = 0
    seconds: float = 0.0

    @property
    def counts(self) -> Mapping[Fate, int]:
        """How many objects there are for each fate, zero included."""
        counts = Counter(outcome.fate for outcome in self.outcomes)
        return {fate: counts[fate] for fate in Fate}

    @property
    def has_failures(self) -> bool:
        return any(outcome.fate is Fate.FAILED for outcome in self.outcomes)


@dataclass(frozen=True)
class ImportRequest:
    """What one import is asked to do, and with whom it talks meanwhile.

    `confirm` is asked with what would be done, before anything is written. `file` is one new file for all
    resources; empty for one a kind and namespace.
    """

    wanted: Wanted
    confirm: Callable[[ImportReport], bool] = lambda _report: True
    listener: Listener = field(default_factory=Silent)
    stop: threading.Event = field(default_factory=threading.Event)
    file: str = ""
    is_dry_run: bool = False
