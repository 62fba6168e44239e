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
    losses = [change for change in changes if _is_loss(change, situation)]
    return (
        *_other_source(losses, situation),
        *_rewritten(losses, situation),
        *_whole_stack(losses, situation),
        *_over_budget(losses, situation),
        *_stateful(losses, situation),
        *_recovered(losses, situation),
    )


def _is_loss(change: Change, situation: Situation) -> bool:
    """Whether an object goes: also one that a moved resource was about to replace."""
    if change.action in (Action.DELETE, Action.REPLACE):
        return True
    return bool(change.replaced) and not situation.is_orphaned(change.address)


def deletion_budget(max_deletes: str, size: int) -> int:
    """How many deletes and replaces a stack of that size may have in one run.

    `max_deletes` is a count, a share as in "20%", or empty for the larger of 5 and 20 %.
    """
    if not max_deletes:
        return max(DEFAULT_BUDGET_COUNT, math.floor(size * DEFAULT_BUDGET_SHARE / 100))
    if max_deletes.endswith("%"):
        return math.floor(size * float(max_deletes[:-1]) / 100)
    return int(max_deletes)


def _other_source(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    """Two directories with one stack's name would prune each other's objects, in turn."""
    here = situation.source
    if not losses or situation.last_source in ("", here):
        return ()
    message = (
        f"stack {situation.stack.name!r} was read from {situation.last_source} last time, now from {here}"
    )
    return (Hold("source-changed", message),)


def _rewritten(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    """Whoever can push by force can also take out what was there, in a commit that nobody reviewed."""
    if not losses or not situation.rewritten_from:
        return ()
    message = (
        f"the commit of the last run, {situation.rewritten_from[:12]}, is no ancestor of"
        f" {situation.revision.commit[:12]}: history was rewritten, or this is another branch"
    )
    return (Hold("history-rewritten", message),)


def _whole_stack(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    deleted = {change.address for change in losses if change.action is Action.DELETE}
    seen = {address for address, record in situation.records.items() if record.external_id}
    if len(seen) < 2 or not seen <= deleted:
        return ()
    return (Hold("whole-stack", f"all {len(seen)} objects of the stack would be deleted"),)


def _over_budget(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    if not losses:
        return ()
    size = len(situation.records.keys() | situation.graph.nodes.keys())
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


def _recovered(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    """What said that an object is protected, or is to stay, was lost with the store that knew it."""
    rows = ((change, situation.records.get(change.address)) for change in losses)
    found = [
        change.address
        for change, row in rows
        if change.action is Action.DELETE and row is not None and row.external_id and not row.applied_at
    ]
    if not found:
        return ()
    shown = ", ".join(address.text for address in found[:3]) + (", ..." if len(found) > 3 else "")
    message = (
        f"{len(found)} objects to delete are known from `trueup recover` alone ({shown}), which cannot tell"
        " whether they were protected"
    )
    return (Hold("recovered", message),)


def _stateful(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    return [
        Hold("stateful", f"{change.action} of {change.address} loses the data that it holds")
        for change in losses
        if situation.catalog.kind_of(situation.node(change.address)).traits.stateful
    ]
