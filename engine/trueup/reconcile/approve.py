"""What people said to a plan that is held: whether it may pass, and who let it. Called by cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trueup.errors import StalePlan
from trueup.model.outcome import Outcome, Result
from trueup.model.plan import Decision, Hold, Plan, Verdict
from trueup.state.store import Event, Lease, Store

# The kind of event of a plan that was held, and how far back one is looked for.
_HELD = "held"
_LOOKED_THROUGH = 1000
# A run with none of these has left the world as it was, so an approval of its plan still says what it said.
_ACTED = frozenset(
    {Result.CREATED, Result.UPDATED, Result.REPLACED, Result.DELETED, Result.ADOPTED, Result.FORGOTTEN}
)


def weigh_decisions(plan: Plan, store: Store) -> Plan:
    """The plan with what somebody said to it. A rejection holds it as well, whatever the guards say.

    A destroy is asked for by name: nobody has to approve it.
    """
    if plan.is_destroy or not (plan.has_changes or plan.holds):
        return plan
    decision = store.decision(plan.stack, plan.digest)
    if decision is None:
        return replace(plan, stale_approval=_find_stale(plan, store)) if plan.holds else plan
    holds = plan.holds
    if decision.verdict is Verdict.REJECTED:
        note = f": {decision.note}" if decision.note else ""
        holds = (Hold("rejected", f"{decision.who} rejected this very plan{note}"), *holds)
    return replace(plan, holds=holds, decision=decision)


def may_pass(plan: Plan, approved: str) -> bool:
    """Whether the guards let the plan pass. `approved` is a digest that the caller of this very run approves.

    That does not overrule a rejection, which somebody has written down.
    """
    if all(hold.nodes for hold in plan.holds):
        return True
    return not plan.is_final and is_approved(plan, approved)


def tell_held(plan: Plan, store: Store) -> None:
    """Notes among the events that the plan was held, once: a daemon makes the same plan at each interval.

    What was decided meanwhile on this very plan makes it news again.
    """
    said = (Verdict.APPROVED.value, Verdict.REJECTED.value)
    for event in store.events(plan.stack, limit=_LOOKED_THROUGH):
        if plan.digest not in event.message:
            continue
        if event.kind == _HELD:
            return
        if event.kind in said:
            break
    guards = ", ".join(dict.fromkeys(hold.guard for hold in plan.holds if not hold.nodes))
    commit = plan.revision.commit.removeprefix("sha256:")[:12]
    message = f"{plan.digest} at {commit} is held by {guards}: nothing of it was done"
    store.add_events(plan.stack, [Event(_HELD, message)])


def is_approved(plan: Plan, approved: str) -> bool:
    """Whether somebody approves this very plan: in the store, or the caller with its digest."""
    if plan.decision is not None:
        return plan.decision.verdict is Verdict.APPROVED
    return approved == plan.digest


def refuse_other_plan(plan: Plan, approved: str) -> None:
    """Raises StalePlan for a plan that is another than the caller's digest approves: that one or none.

    Where there is nothing to do, nothing is done that nobody has seen.
    """
    if approved and approved != plan.digest and (plan.has_changes or plan.holds):
        raise StalePlan(
            f"the plan is another one than {approved}, so nothing was done: Git or the world has moved since",
            hint=f"look at the plan as it is now; its digest is {plan.digest}",
        )


def name_approver(plan: Plan, caller: str) -> str:
    """Who let a plan pass although something held it; empty where nothing did."""
    if not plan.holds:
        return ""
    return plan.decision.who if plan.decision is not None else caller


def spend_approval(plan: Plan, outcomes: Sequence[Outcome], lease: Lease, store: Store) -> None:
    """Uses up the approval of a plan that was carried out, so that it counts once."""
    if plan.decision is not None and any(outcome.result in _ACTED for outcome in outcomes):
        store.spend_decision(lease, plan.digest)


def _find_stale(plan: Plan, store: Store) -> Decision | None:
    """What was approved last, if no run has begun since then: it was meant for a plan like this one."""
    latest = store.latest_decision(plan.stack)
    if latest is None or latest.verdict is not Verdict.APPROVED:
        return None
    last_run = next(iter(store.runs(plan.stack, 1)), None)
    return latest if last_run is None or last_run.started_at < latest.at else None
