"""`trueup show`: one run of the history, its plan and what became of each node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rich_click as click
from rich.text import Text

from trueup.cli.options import Call, takes_output, takes_past
from trueup.cli.output import count, escape, make_console, one_line, plain, print_json, print_lines
from trueup.cli.past import RunNumber, render_run, render_step, run_document, step_document
from trueup.model.outcome import Result
from trueup.reconcile.history import PastRun, find_run
from trueup.reconcile.plan_document import FORMAT_VERSION


@click.command()
@click.argument("run", type=RunNumber())
@takes_past
@takes_output("text", "json")
def show(call: Call, run: int, output: str) -> None:
    """Shows one RUN: its commit and author, what held it and who approved it, each step with its fields.

    RUN is an id that `trueup history` lists. The plan as it was shown is in the JSON output.

    \b
    Example:
      trueup show 42
    """
    with call.open_app() as app:
        found = find_run(app.store, run)
    if output == "json":
        print_json(show_document(found))
    else:
        print_lines(make_console(), render_past_run(found))


def render_past_run(found: PastRun) -> Iterator[Text]:
    """The run as a whole, what held it, then its steps; unchanged nodes are counted."""
    yield from render_run(found.run)
    holds = found.plan["holds"] if found.plan is not None else ()
    if holds:
        yield plain(("Held back until it was approved:", "bold"))
    for hold in holds:
        yield plain((f"  {escape(hold['guard'])}: ", "bold"), (one_line(hold["message"]), ""))
    shown = [step for step in found.steps if step.result is not Result.UNCHANGED]
    for step in shown:
        yield plain(("", ""))
        yield from render_step(step)
    left = _find_left(found)
    if left:
        yield plain(("", ""))
        yield plain(("Planned and not done:", "bold"))
        yield from (plain((f"  {escape(action)} {escape(address)}", "")) for address, action in left)
    if not shown and not left and found.run.status is not None:
        unchanged = found.run.counts.get(Result.UNCHANGED, 0)
        yield plain((f"Nothing was done: {count(unchanged, 'resource')} as they should be.", ""))


def _find_left(found: PastRun) -> list[tuple[str, str]]:
    """What the plan was about to change and has no step: the run was interrupted, or has not ended."""
    if found.plan is None:
        return []
    done = {step.address.text for step in found.steps}
    changes = ((str(each["address"]), str(each["action"])) for each in found.plan["changes"])
    return [(address, action) for address, action in changes if address not in done and action != "none"]


def show_document(found: PastRun) -> dict[str, Any]:
    """The same as JSON, with the plan: docs/schemas/show-v1.json."""
    return {
        "formatVersion": FORMAT_VERSION,
        **run_document(found.run),
        "plan": found.plan,
        "steps": [step_document(step) for step in found.steps],
    }
