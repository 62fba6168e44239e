"""A plan as text for a terminal or a pipe. Called by the plan, reconcile and destroy commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.text import Text

from trueup.cli.fields import FieldText, describe_field
from trueup.cli.output import (
    SIGNS,
    STYLES,
    count,
    escape,
    escape_lines,
    moment,
    one_line,
    pad,
    plain,
    short_commit,
)
from trueup.cli.repetition import describe_rest, fold_repeated
from trueup.model.change import Action, Change, FieldChange
from trueup.model.plan import Breach, Decision, Hold, Pin, Plan, Verdict
from trueup.model.resource import Enforce, Policy, Revision
from trueup.reconcile.lost import UNKNOWN_HERE
from trueup.reconcile.plan_document import is_shown

_MAX_PATH_COLUMN = 44
# How hints call the command that rebuilds a store.
_RECOVER = "`trueup recover SOURCE` "
_SIGN_STYLES = {"+": "green", "-": "red", "~": "yellow", "@": "cyan", " ": "dim"}

_WORDS = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.REPLACE: "to replace",
    Action.DELETE: "to delete",
    Action.ADOPT: "to adopt",
    Action.FORGET: "to forget",
    Action.UNKNOWN: "not possible",
}


_VERBS = {
    Enforce.DENY: ("denied", "bold red"),
    Enforce.APPROVE: ("to be approved", "bold yellow"),
    Enforce.WARN: ("warning", "yellow"),
}


def render_plan(plan: Plan) -> Iterator[Text]:
    """The plan line by line: where from, each change with its fields, the summary."""
    shown = [change for change in plan.changes if is_shown(change)]
    if not shown:
        yield plain(
            (f"{escape(plan.stack)} is converged", "bold green"),
            (f": {describe_size(plan)}, nothing to do.", ""),
        )
        yield from _render_rewriting(plan)
        yield from render_notes(plan)
        return
    verb = ("Destroy ", "bold red") if plan.is_destroy else ("", "")
    yield plain(verb, (escape(plan.stack), "bold"), (f" at {describe_revision(plan.revision)}", ""))
    yield from _render_rewriting(plan)
    yield from render_notes(plan)
    yield plain(("", ""))
    for change, more in fold_repeated(shown, name_trouble):
        yield from render_change(change)
        if more:
            yield plain((f"      {escape(describe_rest(more, change.address.target))}", "dim"))
    if plan.breaches:
        yield plain(("", ""))
    for breach in plan.breaches:
        yield from _render_breach(breach, is_destroy=plan.is_destroy)
    yield plain(("", ""))
    yield summary_line(plan)
    yield plain((f"Digest: {plan.digest}", "dim"))


def _render_breach(breach: Breach, *, is_destroy: bool) -> Iterator[Text]:
    policy = breach.policy
    # A destroy is asked for by name: that approves what a policy wants to be approved.
    is_given = is_destroy and policy.enforce is Enforce.APPROVE
    verb, style = ("approved by destroying", "yellow") if is_given else _VERBS[policy.enforce]
    yield plain(
        (f"{verb} ", style),
        (escape(breach.address.text), "bold"),
        (f"  policy {describe_policy(policy)}", ""),
    )
    if policy.message:
        yield plain((f"      {one_line(policy.message)}", ""))
    yield plain((f"      not fulfilled: {one_line(policy.rule)}", "dim"))
    if breach.why:
        yield plain((f"      {one_line(breach.why)}", "dim"))


def describe_policy(policy: Policy) -> str:
    """`no-public-buckets of the installation`."""
    return escape(f"{policy.name} of the {'installation' if policy.is_installation else 'stack'}")


def _render_rewriting(plan: Plan) -> Iterator[Text]:
    if plan.rewritten_from:
        yield plain(("History was rewritten: ", "bold red"), (describe_rewriting(plan), ""))


def render_notes(plan: Plan) -> Iterator[Text]:
    """What is special about the stack: its pin, and stacks of `dependsOn` that nobody knows."""
    yield from render_pin(plan.pin, plan.revision.commit)
    if plan.unseen:
        yield plain(("Not waited for: ", "bold yellow"), (describe_unseen(plan), ""))


def render_pin(pin: Pin | None, commit: str = "") -> Iterator[Text]:
    """That the stack does not follow its source, and that this is not the commit that it stays at."""
    if pin is None:
        return
    at = f"{'at' if pin.is_suspended else 'to'} {short_commit(pin.commit)} " if pin.commit else ""
    why = f": {pin.reason}" if pin.reason else ""
    what = one_line(f"{at}by {pin.who}, {moment(pin.at)}{why}")
    yield plain((f"{pin.kind.value.capitalize()} ", "bold yellow"), (what, ""))
    if commit and pin.commit and commit != pin.commit:
        yield plain((f"  this is {escape(short_commit(commit))}, as was asked for", "yellow"))


def describe_unseen(plan: Plan) -> str:
    """The stacks of `dependsOn` that nobody knows, as a sentence."""
    verb = "was" if len(plan.unseen) == 1 else "were"
    names = escape(", ".join(plan.unseen))
    return f"{names}, in spec.dependsOn, {verb} never reconciled with this store."


def describe_rewriting(plan: Plan) -> str:
    """What is strange about the plan's commit, as a sentence."""
    before = escape(short_commit(plan.rewritten_from))
    return f"the commit of the last run, {before}, is no ancestor of this one."


def name_trouble(change: Change) -> tuple[str, str, str] | None:
    """What keeps a node from being seen, with its target: the same for all of them where that is to blame."""
    if not change.problem or (change.observed is not None and change.problem != UNKNOWN_HERE):
        return None
    return change.address.target, change.problem, change.hint


def render_change(change: Change, *, with_fields: bool = True) -> Iterator[Text]:
    """One node: its address, what is done and why, then its fields."""
    is_reported = change.action is Action.NONE
    sign = "!" if is_reported else SIGNS[change.action]
    style = STYLES[change.action]
    yield plain(
        (f"{sign:>3} ", style),
        (escape(change.address.text), "bold" if not change.problem else style),
        (f"  {_describe_action(change)}", style),
        (_describe_batch(change), "dim"),
    )
    if change.problem:
        for line in escape_lines(change.problem):
            yield plain((f"      {line}", "red"))
        for line in escape_lines(change.hint) if change.hint else ():
            yield plain((f"      {line}", "cyan"))
    if with_fields:
        yield from render_fields(change.fields)


def render_fields(
    fields: Iterable[FieldChange], describe: Callable[[FieldChange], FieldText] = describe_field
) -> Iterator[Text]:
    """Fields that change, their values below each other."""
    texts = [describe(field) for field in fields]
    width = min(_MAX_PATH_COLUMN, max((len(field.path) for field in texts), default=0))
    for field in texts:
        yield from _render_field(field, width)


def _describe_action(change: Change) -> str:
    if change.problem:
        return "refused" if change.observed else "cannot be judged"
    reasons = one_line("; ".join(change.reasons))
    if change.action is Action.NONE:
        return reasons or "drift"
    word = f"{change.action} (drift)" if change.is_drift else change.action.value
    return f"{word}: {reasons}" if reasons else word


def _describe_batch(change: Change) -> str:
    if change.batch is None or change.batch.total < 2:
        return ""
    return f"  (batch {change.batch.number} of {change.batch.total})"


def _render_field(field: FieldText, width: int) -> Iterator[Text]:
    style = _SIGN_STYLES[field.sign]
    notes = "  # forces a replacement" if field.is_immutable else ""
    notes += f"  # by {field.by}" if field.by else ""
    path = pad(field.path, width) if field.text else field.path
    yield plain(
        (f"      {field.sign} ", style),
        (path, ""),
        (f"  {field.text}" if field.text else "", style if field.sign != "~" else ""),
        (notes, "magenta"),
    )
    for line in field.lines:
        yield plain((f"          {line}", _SIGN_STYLES[line[0]]))


def summary_line(plan: Plan) -> Text:
    """`Plan: 3 to create, 1 to delete, 12 unchanged.`"""
    parts: list[tuple[str, str]] = [("Plan: ", "bold")]
    for action, word in _WORDS.items():
        number = plan.summary[action]
        if number:
            parts += [(f"{number} {word}", STYLES[action]), (", ", "")]
    left = [change for change in plan.changes if change.action is Action.NONE and is_shown(change)]
    fought = sum(change.quarantine is not None for change in left)
    drifted = len(left) - fought
    if fought:
        parts += [(f"{fought} in quarantine", STYLES[Action.NONE]), (", ", "")]
    if drifted:
        parts += [(f"{drifted} with drift that is only reported", STYLES[Action.NONE]), (", ", "")]
    parts.append((f"{plan.summary[Action.NONE] - len(left)} unchanged.", ""))
    return plain(*parts)


@dataclass(frozen=True)
class WaysOut:
    """The commands for a person to whom a held plan is shown.

    `approve` lets exactly this plan pass with the next run and `reject` keeps it from that; `approve_now`
    carries it out at once. `recover` rebuilds a store that is lost or old.
    """

    approve: str
    reject: str
    approve_now: str
    recover: str = ""


def render_holds(plan: Plan, ways: WaysOut) -> Iterator[Text]:
    """What holds the plan, what people said to it, and the commands that answer."""
    if not plan.holds:
        return
    said = plan.decision.verdict if plan.decision is not None else None
    yield plain(("", ""))
    if plan.is_final:
        yield plain(("Held back. ", "bold red"), ("No approval lifts this:", ""))
    elif plan.decision is not None and said is Verdict.APPROVED:
        yield plain(("Approved", "bold green"), (f" by {describe_decision(plan.decision)}, in spite of:", ""))
    else:
        is_partly = all(hold.nodes for hold in plan.holds)
        what = "These resources are left alone" if is_partly else "Nothing is done"
        what += " until somebody approves this very plan:"
        yield plain(("Held back. ", "bold red"), (what, ""))
    for hold in plan.holds:
        final = " (final)" if hold.is_final and not all(each.is_final for each in plan.holds) else ""
        yield plain((f"  {escape(hold.guard)}{final}: ", "bold"), (one_line(hold.message), ""))
        yield from render_way_out(hold, ways.recover)
    if plan.stale_approval is not None:
        yield plain(
            ("The last approval does not count here: ", "bold red"),
            (f"what {describe_decision(plan.stale_approval)} approved is another plan,", ""),
            (f" {escape(plan.stale_approval.digest)}: Git or the world has moved since.", ""),
        )
    if plan.is_final or said is Verdict.APPROVED:
        return
    yield plain(("To let it pass, if that is what you want:", ""))
    yield plain((f"  {escape(ways.approve)}", "cyan"))
    if said is Verdict.REJECTED:
        return
    yield plain(("or to carry it out at once:", ""))
    yield plain((f"  {escape(ways.approve_now)}", "cyan"))
    yield plain(("To refuse it:", ""))
    yield plain((f"  {escape(ways.reject)}", "cyan"))


def render_way_out(hold: Hold, recover: str) -> Iterator[Text]:
    """What lifts a hold that no approval lifts; the command `recover` stands on a line of its own."""
    before, command, after = hold.hint.partition(_RECOVER)
    if command and not before and recover:
        yield plain((f"  {escape(recover)}", "cyan"))
        yield plain((f"    {one_line(after)}", ""))
    elif hold.hint:
        yield plain((f"    {one_line(hold.hint)}", "cyan"))


def describe_decision(decision: Decision) -> str:
    """`bo@web-1 (as agreed in the meeting)`."""
    return one_line(f"{decision.who} ({decision.note})" if decision.note else decision.who)


def describe_revision(revision: Revision) -> str:
    """`3f2a1bc09d1e (main) of https://git.example.com/shop.git, path prod`."""
    ref = revision.branch or revision.ref
    named = f" ({ref})" if ref and ref != revision.commit else ""
    path = f", path {revision.path}" if revision.path else ""
    values = f", with {revision.values}" if revision.values else ""
    return escape(f"{short_commit(revision.commit)}{named} of {revision.url}{path}{values}")


def describe_size(plan: Plan) -> str:
    return count(len(plan.changes), "resource")
