"""What a step did, and what a whole run came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trueup.model.address import Address
from trueup.model.change import Change


class Result(StrEnum):
    """The outcome words of the glossary."""

    CREATED = "created"
    UPDATED = "updated"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ADOPTED = "adopted"
    FORGOTTEN = "forgotten"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What happened to one node in a run. `seconds` counts from its dispatch to its end.

    `message` is for a person: the error of a failed step, the dependency that blocks a blocked one, why a
    skipped one was skipped. `is_undone`: the change was made, and somebody else has undone it since.
    """

    address: Address
    result: Result
    change: Change | None = None
    message: str = ""
    hint: str = ""
    seconds: float = 0.0
    is_undone: bool = False


class RunStatus(StrEnum):
    CONVERGED = "converged"
    FAILED = "failed"
    HELD = "held"
    INTERRUPTED = "interrupted"
