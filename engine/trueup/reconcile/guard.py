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
    """What holds the plan until its digest is approved.

    A destroy is asked for by name, which approves all but what cannot be told of its objects.
    """
    losses = [change for change in changes if _is_loss(change, situation)]
    if situation.is_destroy:
        return _unproven(losses, situation)
    return (
        *_other_source(losses, situation),
        *_rewritten(losses, situation),
        *_whole_stack(changes, situation),
        *_over_budget(losses, _find_pending(changes, situation), situation),
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


def _whole_stack(changes: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    """Nothing of the stack is left in Git.

    That a part of it stays all the same (an orphan, what is protected, what cannot be looked at or is gone)
    does not make the rest less.
    """
    seen = {address for address, record in situation.records.items() if record.external_id}
    leaving = {change.address for change in changes if _has_left(change, situation)}
    deleted = sum(change.action is Action.DELETE and change.address in seen for change in changes)
    if len(seen) < 2 or not deleted or not seen <= leaving:
        return ()
    if deleted == len(seen):
        message = f"all {deleted} objects of the stack would be deleted"
    else:
        message = f"none of the {len(seen)} objects of the stack is in Git, and {deleted} would be deleted"
    return (Hold("whole-stack", message),)


def _has_left(change: Change, situation: Situation) -> bool:
    """Whether the object is no longer in Git, under another address or in another stack neither."""
    address = change.address
    goes_on = change.moved_to is not None or address in situation.heirs or address in situation.claims
    return address in situation.undeclared and not goes_on


def _find_pending(changes: Sequence[Change], situation: Situation) -> Sequence[Change]:
    """What will be deleted once it can be looked at again: else a budget lasts for each part of a stack."""
    return [
        change
        for change in changes
        if change.action is Action.UNKNOWN
        and _has_left(change, situation)
        and not situation.is_orphaned(change.address)
        and not situation.records[change.address].protect
    ]


def _over_budget(losses: Sequence[Change], pending: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    count = len(losses) + len(pending)
    size = len(situation.records.keys() | situation.graph.nodes.keys())
    budget = deletion_budget(situation.stack.guards.max_deletes, size)
    if not losses or count <= budget:
        return ()
    part = f", {len(pending)} of them of objects that cannot be looked at now" if pending else ""
    message = f"{count} deletes and replaces{part}, where the stack may have {budget} in one run"
    return (Hold("deletion-budget", f"{message} (spec.guards.maxDeletes)"),)


def _recovered(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    """What said that an object is protected, or is to stay, was lost with the store that knew it."""
    rows = ((change, situation.records.get(change.address)) for change in losses)
    found = [
        change.address
        for change, row in rows
        if change.action is Action.DELETE and row is not None and row.is_unproven
    ]
    if not found:
        return ()
    shown = ", ".join(address.text for address in found[:3]) + (", ..." if len(found) > 3 else "")
    is_one = len(found) == 1
    what = "1 object to delete is" if is_one else f"{len(found)} objects to delete are"
    whose = "it was" if is_one else "they were"
    message = (
        f"{what} known from `trueup recover` alone ({shown}), which cannot tell whether {whose} protected"
    )
    return (Hold("recovered", message),)


def _unproven(losses: Sequence[Change], situation: Situation) -> tuple[Hold, ...]:
    """A destroy spares what is protected, which of these objects nobody knows any more."""
    found = [change.address for change in losses if change.address in situation.unproven]
    if not found:
        return ()
    shown = ", ".join(address.text for address in found[:3]) + (", ..." if len(found) > 3 else "")
    message = (
        f"{len(found)} of what Git does not declare is known from `trueup recover` alone ({shown}), which"
        " cannot tell whether it was protected, or was to stay: reconcile first, where the deletion waits for"
        " an approval; or declare it, or `trueup forget` it"
    )
    return (Hold("recovered", message, is_final=True),)


def _stateful(losses: Sequence[Change], situation: Situation) -> Sequence[Hold]:
    return [
        Hold("stateful", f"{change.action} of {change.address} loses the data that it holds")
        for change in losses
        if situation.catalog.kind_of(situation.node(change.address)).traits.stateful
    ]
