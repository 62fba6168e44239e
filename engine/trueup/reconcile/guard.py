"""Holds back what must not happen by itself. Pure. Called by plan; cycle obeys the holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trueup.model.change import Action, Change
from trueup.model.plan import Hold
from trueup.reconcile.situation import Situation

DEFAULT_BUDGET_COUNT = 5
DEFAULT_BUDGET_SHARE = 20


def find_holds(changes: Sequence[Change], situation: Situation) -> tuple[Hold, ...]:
    """What holds the plan until its digest is approved. A destroy is asked for by name: nothing holds it."""
    if situation.is_destroy:
        return ()
    losses = [change for change in changes if change.action in (Action.DELETE, Action.REPLACE)]
    return (*_over_budget(losses, len(changes), situation), *_stateful(losses, situation))


def deletion_budget(max_deletes: str, size: int) -> int:
    """How many deletes and replaces a stack of that size may have in one run.

    `max_deletes` is a count, a share as in "20%", or empty for the larger of 5 and 20 %.
    """
    if not max_deletes:
        return max(DEFAULT_BUDGET_COUNT, math.floor(size * DEFAULT_BUDGET_SHARE / 100))
    if max_deletes.endswith("%"):
        return math.floor(size * float(max_deletes[:-1]) / 100)
    return int(max_deletes)


def _over_budget(losses: Sequence[Change], size: int, situation: Situation) -> Sequence[Hold]:
    budget = deletion_budget(situation.stack.guards.max_deletes, size)
    if len(losses) <= budget:
        return ()
    return (
        Hold(
            "deletion-budget",
            f"{len(losses)} deletes and replaces, where the stack may have {budget} in one run"
            " (spec.guards.maxDeletes)",
        ),
    )


def _stateful(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    return [
        Hold("stateful", f"{change.action} of {change.address} loses the data that it holds")
        for change in losses
        if situation.catalog.kind_of(situation.node(change.address)).traits.stateful
    ]
