"""Runs and steps of the history as text and JSON: what the commands about the past share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.text import Text

from trueup.cli.output import RESULT_STYLES, escape, escape_lines, moment, plain, seconds, short_commit
from trueup.cli.plan_text import render_fields
from trueup.errors import TrueupError
from trueup.model.outcome import Result, RunStatus
from trueup.reconcile.history import read_fields
from trueup.reconcile.plan_document import field_document
from trueup.state.store import RunRecord, Step

if TYPE_CHECKING:
    from trueup.app import App
    from trueup.cli.options import Call


class RunNumber(click.IntRange):
    """The number of a run, as `trueup history` lists it."""

    def __init__(self) -> None:
        super().__init__(min=1, max=2**63 - 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value} is no number of a run: `trueup history SOURCE` lists them", param, ctx)


STATUS_STYLES = {
    RunStatus.CONVERGED: "green",
    RunStatus.FAILED: "bold red",
    RunStatus.HELD: "yellow",
    RunStatus.INTERRUPTED: "yellow",
    None: "cyan",
}


def find_stack(app: App, call: Call) -> str:
    """The name of the stack that SOURCE is, or is called in the store.

    By its name, a stack is found although its source is gone, broken or not reachable.
    """
    name = call.source_text
    is_known = not Path(name).exists() and name in app.store.stacks()
    if is_known and not call.is_configured:
        return name
    try:
        return app.name_stack(call.source)
    except TrueupError:
        if is_known:
            return name
        raise


def find_past_stack(app: App, call: Call) -> str:
    """The same for who only asks what happened: also the one stack that was ever run from there.

    Whatever the source has now, by whatever ref it was read: the store knows. What changes something must
    not rest on that, since one directory can be several stacks.
    """
    try:
        return find_stack(app, call)
    except TrueupError:
        known = _recall(app, call)
        if len(known) == 1:
            return known[0]
        name = call.source_text
        if name in (known or app.store.stacks()):
            return name
        raise


def _recall(app: App, call: Call) -> list[str]:
    """The stacks that were run from SOURCE last, with any ref or none."""
    from trueup.reconcile.pin import is_of_place
    from trueup.sources.open import name_place

    source = call.source
    try:
        places = {name_place(source.location, ref, source.path) for ref in (source.ref, "", "HEAD")}
    except TrueupError:
        return []
    runs = {stack: app.store.runs(stack, 1) for stack in app.store.stacks()}
    return [
        stack
        for stack, last in runs.items()
        if any(is_of_place(run.url, *place) for run in last for place in places)
    ]


def describe_status(run: RunRecord) -> str:
    """`converged`, or `under way` as long as it has not ended."""
    return run.status.value if run.status else "under way"


def describe_counts(run: RunRecord) -> str:
    """`1 created, 3 unchanged`, in the order in which results are always shown."""
    return ", ".join(f"{run.counts[each]} {each.value}" for each in Result if run.counts.get(each))


def describe_run(run: RunRecord) -> str:
    """`run 5 at 3f2a1bc09d1e by Ada <ada@example.com>, 2026-11-25 17:04:05Z`."""
    author = f" by {run.author}" if run.author else ""
    return escape(f"run {run.id} at {short_commit(run.commit)}{author}, {moment(run.started_at)}")


def render_step(step: Step, *, with_fields: bool = True) -> Iterator[Text]:
    """What became of one node: its result, the reason, its fields."""
    yield plain(
        (f"{step.result.value} ", RESULT_STYLES[step.result]),
        (escape(step.address.text), "bold"),
        (f" ({seconds(step.seconds)})" if step.seconds else "", "dim"),
    )
    for line in escape_lines(step.message) if step.message else ():
        yield plain((f"  {line}", ""))
    if with_fields:
        yield from render_fields(read_fields(step))


def render_run(run: RunRecord) -> Iterator[Text]:
    """All that is known of a run as a whole."""
    took = f" in {seconds(run.finished_at - run.started_at)}" if run.finished_at else ""
    yield plain(
        (f"Run {run.id} of {escape(run.stack)}: ", "bold"),
        (describe_status(run), STATUS_STYLES[run.status]),
        (took, ""),
    )
    lines = {
        "started": moment(run.started_at),
        "commit": f"{run.commit} of {run.url}",
        "author": run.author,
        "trigger": run.trigger,
        "approved by": run.approved_by,
        "digest": run.digest,
        "steps": describe_counts(run),
    }
    for name, text in lines.items():
        if text:
            yield plain((f"  {name + ':':<13}", "dim"), (escape(text), ""))


def run_document(run: RunRecord) -> dict[str, Any]:
    """A run as JSON; times are in seconds since the epoch."""
    return {
        "run": run.id,
        "stack": run.stack,
        "source": run.url,
        "commit": run.commit,
        "author": run.author or None,
        "trigger": run.trigger or None,
        "status": run.status.value if run.status else None,
        "approvedBy": run.approved_by or None,
        "digest": run.digest,
        "startedAt": run.started_at,
        "finishedAt": run.finished_at or None,
        "counts": dict(run.counts),
    }


def step_document(step: Step) -> dict[str, Any]:
    return {
        "address": step.address.text,
        "result": step.result.value,
        "message": step.message,
        "seconds": round(step.seconds, 3),
        "fields": [field_document(field) for field in read_fields(step)],
    }
