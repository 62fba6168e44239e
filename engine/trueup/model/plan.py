"""The changes of a stack in dependency order, what holds them back, and the digest that approves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from trueup.model.address import Address
from trueup.model.change import MISSING, Action, Change, FieldChange
from trueup.model.resource import Policy, Revision
from trueup.model.values import Sensitive, keyed_digest_of, to_record


@dataclass(frozen=True)
class Hold:
    """One reason why a plan must not be carried out by itself. `guard` is the guard's name.

    `is_final`: no approval lifts it. `nodes` are all that it holds; empty: the whole plan. `hint` says what
    lifts it where no approval does.
    """

    guard: str
    message: str
    is_final: bool = False
    nodes: tuple[Address, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Breach:
    """A change that does not fulfil a policy.

    `why` says what kept the rule from being true, empty where it just is not.
    """

    policy: Policy
    address: Address
    why: str = ""


class Verdict(StrEnum):
    """What a person says to a plan that is held."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Decision:
    """The verdict on the plan with a digest: who gave it, when, and their note."""

    digest: str
    verdict: Verdict
    who: str
    note: str
    at: float


class PinKind(StrEnum):
    """How a stack does not follow its source: no run at all, or runs of one commit."""

    SUSPENDED = "suspended"
    PINNED = "pinned"


@dataclass(frozen=True)
class Pin:
    """Why a stack does not follow its source. `commit` is what it stays at.

    That is empty for a suspended stack, unless it was pinned before.
    """

    stack: str
    kind: PinKind
    commit: str
    who: str
    reason: str
    at: float

    @property
    def is_suspended(self) -> bool:
        return self.kind is PinKind.SUSPENDED


@dataclass(frozen=True)
class Plan:
    """Pure data; equal inputs give an equal plan and digest.

    `places` are the fingerprints of the targets on which something changes. `decision` is what a person said
    to this very plan, `stale_approval` what somebody approved last where that is another plan by now.
    `rewritten_from` is the commit of the last run where it is no ancestor of this plan's. `breaches` are the
    changes that do not fulfil a policy; those that hold the plan are among `holds` too. `unseen` are stacks
    of `dependsOn` that the store has never seen, as after a slip of the pen: nobody waits for them. `pin`
    says that the stack does not follow its source, None where it does.
    """

    stack: str
    revision: Revision
    changes: tuple[Change, ...]
    holds: tuple[Hold, ...] = ()
    dependencies: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict)
    is_destroy: bool = False
    places: Mapping[str, str] = field(default_factory=dict)
    decision: Decision | None = None
    stale_approval: Decision | None = None
    rewritten_from: str = ""
    breaches: tuple[Breach, ...] = ()
    unseen: tuple[str, ...] = ()
    pin: Pin | None = None

    @property
    def is_final(self) -> bool:
        """Whether no approval lets the plan pass."""
        return any(hold.is_final for hold in self.holds)

    @property
    def summary(self) -> Mapping[Action, int]:
        """How many nodes there are for each action, zero included."""
        counts = Counter(change.action for change in self.changes)
        return {action: counts[action] for action in Action}

    @property
    def has_changes(self) -> bool:
        return any(change.action not in (Action.NONE, Action.UNKNOWN) for change in self.changes)

    @property
    def failures(self) -> tuple[Change, ...]:
        """The changes that cannot be carried out: nodes that could not be observed, refused changes."""
        return tuple(change for change in self.changes if change.problem)

    @cached_property
    def digest(self) -> str:
        """Over the effects and over the observed versions that they rest on, and nothing else.

        Two plans with the same digest do the same to the same objects: an approval counts for the digest.
        """
        return keyed_digest_of(
            {
                "stack": self.stack,
                "places": dict(self.places),
                "changes": [_effect(change) for change in self.changes if change.action is not Action.NONE],
            }
        )


def _effect(change: Change) -> dict[str, object]:
    if change.doubt:
        # The same before and after an approval says that there is no such object, and lets it be made.
        return {"address": change.address.text, "doubt": change.doubt}
    observed = change.observed
    effect: dict[str, object] = {
        "address": change.address.text,
        "action": change.action.value,
        "fields": [_field(field) for field in change.fields],
        "rests_on": [observed.external_id, observed.version] if observed else None,
    }
    if change.triggered_by:
        effect["triggered_by"] = [address.text for address in change.triggered_by]
    if change.is_new_first:
        effect["order"] = "createFirst"
    if change.replaced:
        effect["replaced"] = [[old.external_id, old.version] for old in change.replaced]
    return effect


def _field(field: FieldChange) -> list[object]:
    before, after = field.before, field.after
    if field.sensitive:
        before, after = (v if v is MISSING else Sensitive(v) for v in (before, after))
    return [field.path, *({"$missing": True} if v is MISSING else to_record(v) for v in (before, after))]
