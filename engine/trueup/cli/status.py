"""`trueup status`: the stack as it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.text import Text

from trueup.cli.options import Call, takes_output, takes_stack
from trueup.cli.output import (
    STYLES,
    ago,
    columns,
    count,
    escape,
    make_console,
    one_line,
    plain,
    print_json,
    print_lines,
    short_commit,
)
from trueup.cli.plan_text import WaysOut, describe_revision, name_trouble, render_holds, render_pin
from trueup.cli.repetition import describe_rest, fold_repeated
from trueup.model.change import Action, Change
from trueup.model.observation import Readiness
from trueup.reconcile.plan_document import FORMAT_VERSION, plan_document, quarantine_document
from trueup.reconcile.quarantine import describe_quarantine

if TYPE_CHECKING:
    from trueup.app import NodeStatus, StackStatus
    from trueup.state.store import Record, RunRecord

_STATES = {
    Action.NONE: "in sync",
    Action.CREATE: "missing",
    Action.UPDATE: "differs",
    Action.REPLACE: "differs",
    Action.DELETE: "not in Git",
    Action.ADOPT: "not adopted",
    Action.FORGET: "not in Git",
    Action.UNKNOWN: "unknown",
}
_HEALTH_STYLES = {
    Readiness.READY: "green",
    Readiness.PROGRESSING: "yellow",
    Readiness.DEGRADED: "bold red",
}


@click.command()
@takes_stack
@takes_output("text", "json")
def status(call: Call, output: str) -> None:
    """Shows each resource with its state, its health and when it was applied. Changes nothing.

    \b
    Example:
      trueup status ./shop --output json
    """
    with call.open_app() as app:
        found = app.status(call.source, call.selection)
    ways = call.ways_out(found.plan.digest)
    if output == "json":
        print_json(status_document(found))
        return
    console = make_console()
    print_lines(console, render_status(found, time.time(), ways))


def render_status(found: StackStatus, now: float, ways: WaysOut) -> Iterator[Text]:
    """The stack's lines, a table of its nodes, what holds its plan. `now` is in seconds since the epoch."""
    plan = found.plan
    yield plain((escape(plan.stack), "bold"), (f" at {describe_revision(plan.revision)}", ""))
    yield from render_pin(plan.pin, plan.revision.commit)
    if found.runs:
        yield plain((f"last run: {_describe_run(found.runs[0], now)}", ""))
    if found.lease_holder:
        yield plain((f"being reconciled by {escape(found.lease_holder)}", "cyan"))
    yield plain(("", ""))
    rows = [("ADDRESS", "STATE", "HEALTH", "LAST APPLIED")]
    rows += [_row(node, now) for node in found.nodes]
    header, *body = columns(rows)
    yield plain(("  ".join(header), "bold"))
    told = {
        node.change.address: more
        for node, more in fold_repeated(found.nodes, lambda node: name_trouble(node.change))
    }
    for node, (address, state, health, applied) in zip(found.nodes, body, strict=True):
        state_style = "green" if state.strip() == "in sync" else STYLES[node.change.action]
        health_style = _HEALTH_STYLES[node.health.readiness] if node.health else "dim"
        yield plain(
            (address, ""),
            ("  ", ""),
            (state, state_style),
            ("  ", ""),
            (health, health_style),
            (f"  {applied}", ""),
        )
        if node.change.quarantine is not None:
            yield plain((f"    {one_line(describe_quarantine(node.change.quarantine))}", state_style))
        trouble = node.change.problem or (node.health.why if node.health else "")
        more = told.get(node.change.address)
        if more:
            trouble = f"{trouble} ({describe_rest(more, node.change.address.target)})"
        if trouble and more is not None:
            yield plain((f"    {one_line(trouble)}", state_style if node.change.problem else health_style))
    in_sync = sum(describe_state(node) == "in sync" for node in found.nodes)
    yield plain(("", ""))
    yield plain((f"{count(len(found.nodes), 'resource')}, {in_sync} in sync", ""))
    yield from render_holds(plan, ways)


def describe_state(node: NodeStatus) -> str:
    """The node against Git, in a word or two."""
    if node.change.action is Action.ADOPT and node.is_ours:
        # A run ended before it could write down that the object is there.
        return "not recorded"
    if node.change.action is Action.UNKNOWN and node.health is not None:
        return "refused"
    return describe_change(node.change)


def describe_change(change: Change) -> str:
    """What a change says of the node as it is now."""
    if change.action is Action.UNKNOWN and change.observed is not None:
        return "refused"
    if change.quarantine is not None and change.action is Action.NONE:
        return "quarantined"
    if change.is_drift or (change.action is Action.NONE and change.fields):
        return "gone" if change.action is Action.CREATE else "drifted"
    return _STATES[change.action]


def _row(node: NodeStatus, now: float) -> tuple[str, str, str, str]:
    record = _applied(node)
    applied = "-"
    if record is not None and record.applied_at:
        applied = f"{ago(record.applied_at, now)} at {short_commit(record.commit)}"
    health = node.health.readiness.value if node.health else "-"
    return escape(node.change.address.text), describe_state(node), health, applied


def _applied(node: NodeStatus) -> Record | None:
    """The row of an object that came to be: one is written before each create, too."""
    return node.record if node.record is not None and node.record.external_id else None


def _describe_run(run: RunRecord, now: float) -> str:
    state = run.status.value if run.status else "under way"
    when = ago(run.finished_at or run.started_at, now)
    return f"{run.id} ({state}) {when} at {short_commit(run.commit)}"


def status_document(found: StackStatus) -> dict[str, Any]:
    """The same as JSON; times are in seconds since the epoch."""
    revision = found.plan.revision
    plan = plan_document(found.plan)
    return {
        "formatVersion": FORMAT_VERSION,
        "stack": found.plan.stack,
        "commit": revision.commit,
        "digest": found.plan.digest,
        "leaseHolder": found.lease_holder or None,
        "nodes": [_node_document(node) for node in found.nodes],
        "runs": [_run_document(run) for run in found.runs],
        **{key: plan[key] for key in ("holds", "decision", "staleApproval", "pin") if key in plan},
    }


def _node_document(node: NodeStatus) -> dict[str, Any]:
    change, record = node.change, _applied(node)
    return {
        "address": change.address.text,
        "state": describe_state(node),
        "action": change.action.value,
        "drift": change.is_drift,
        "problem": change.problem or None,
        "health": node.health.readiness.value if node.health else None,
        "why": (node.health.why or None) if node.health else None,
        "externalId": record.external_id if record else None,
        "appliedAt": record.applied_at if record else None,
        "appliedCommit": record.commit if record else None,
        **({"quarantine": quarantine_document(change.quarantine)} if change.quarantine else {}),
    }


def _run_document(run: RunRecord) -> dict[str, Any]:
    return {
        "run": run.id,
        "status": run.status.value if run.status else None,
        "commit": run.commit,
        "startedAt": run.started_at,
        "finishedAt": run.finished_at or None,
        "counts": dict(run.counts),
    }
