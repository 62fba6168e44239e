"""Looks at a node again after it was acted on: is it as it should be, and does it do its work?

Called by act. Gives what is still wrong rather than raising, so that act can wait or fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from trueup.model.change import Action, Change
from trueup.model.observation import Absent, Failed, Health, Observation, Observed, Readiness
from trueup.sdk.contracts import Kind
from trueup.state.store import Record


class Verdict(StrEnum):
    GOOD = "good"
    UNSETTLED = "unsettled"  # the system may still show the old state
    PROGRESSING = "progressing"
    BAD = "bad"


@dataclass(frozen=True)
class Verification:
    """What a look at a node came to, and why it is not good."""

    verdict: Verdict
    why: str = ""


def verify_present(
    observation: Observation, change: Change, judge_health: Callable[[Observed], Health]
) -> Verification:
    """Judges a node that should be there and equal to its manifest; `change` is its diff from now."""
    if isinstance(observation, Failed):
        return Verification(Verdict.UNSETTLED, f"it cannot be read: {observation.error.message}")
    if isinstance(observation, Absent):
        return Verification(Verdict.UNSETTLED, "the system does not show the object")
    if change.problem:
        return Verification(Verdict.BAD, change.problem)
    if change.action in (Action.UPDATE, Action.REPLACE):
        paths = ", ".join(field.path for field in change.fields)
        return Verification(Verdict.UNSETTLED, f"the system did not keep {paths}")
    return verify_health(judge_health(observation))


def verify_health(health: Health) -> Verification:
    """Judges a node by its health alone."""
    if health.readiness is Readiness.READY:
        return Verification(Verdict.GOOD)
    if health.readiness is Readiness.PROGRESSING:
        return Verification(Verdict.PROGRESSING, health.why)
    return Verification(Verdict.BAD, health.why)


def verify_gone(observation: Observation, external_id: str) -> Verification:
    """Judges a node that should be gone. Another object under its name means that ours is."""
    if isinstance(observation, Absent):
        return Verification(Verdict.GOOD)
    if isinstance(observation, Observed):
        if external_id and observation.external_id != external_id:
            return Verification(Verdict.GOOD)
        return Verification(Verdict.UNSETTLED, "the object is still there")
    return Verification(Verdict.UNSETTLED, f"it cannot be read: {observation.error.message}")


def is_foreign(observation: Observation | None, change: Change, record: Record | None, kind: Kind) -> bool:
    """Whether the object, which was to be adopted, is still somebody else's. `record`: before the step."""
    if not isinstance(observation, Observed) or observation.owner is not None:
        return False
    is_known = record is not None and bool(record.external_id)
    return not is_known and change.moved_from is None and not kind.traits.shared
