"""`trueup history`: the runs of a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import rich_click as click
from rich.text import Text

from trueup.cli.options import Call, takes_output, takes_store
from trueup.cli.output import (
    escape,
    make_console,
    moment,
    plain,
    print_json,
    print_lines,
    render_table,
    short_commit,
)
from trueup.cli.past import STATUS_STYLES, describe_counts, describe_status, find_past_stack, run_document
from trueup.cli.plan_text import render_pin
from trueup.reconcile.plan_document import FORMAT_VERSION, pin_document
from trueup.state.store import Pin, RunRecord

_HEADER = ("RUN", "STARTED", "STATUS", "TRIGGER", "COMMIT", "AUTHOR", "APPROVED BY", "STEPS")


@click.command()
@takes_store
@takes_output("text", "json")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="So many runs at most.",
)
def history(call: Call, output: str, limit: int) -> None:
    """Lists the runs of a stack, the newest first: when, what made it run, whose commit, who approved.

    SOURCE may also be the name of a stack that the store knows. Contacts no target.

    \b
    Example:
      trueup history ./shop --limit 5
    """
    with call.open_app() as app:
        stack = find_past_stack(app, call)
        runs, pin = app.store.runs(stack, limit), app.store.pin_of(stack)
    if output == "json":
        print_json(history_document(stack, runs, pin))
    else:
        print_lines(make_console(), (*render_pin(pin), *render_history(stack, runs)))


def render_history(stack: str, runs: Sequence[RunRecord]) -> Iterator[Text]:
    """A table of runs."""
    if not runs:
        yield plain((f"{escape(stack)} has no runs yet", ""))
        return
    styles = [STATUS_STYLES[run.status] for run in runs]
    yield from render_table(_HEADER, [_row(run) for run in runs], _HEADER.index("STATUS"), styles)


def _row(run: RunRecord) -> tuple[str, ...]:
    return (
        str(run.id),
        moment(run.started_at),
        describe_status(run),
        escape(run.trigger) or "-",
        escape(short_commit(run.commit)),
        escape(run.author) or "-",
        escape(run.approved_by) or "-",
        describe_counts(run),
    )


def history_document(stack: str, runs: Sequence[RunRecord], pin: Pin | None = None) -> dict[str, Any]:
    """The same as JSON: docs/schemas/history-v1.json."""
    return {
        "formatVersion": FORMAT_VERSION,
        "stack": stack,
        "runs": [run_document(run) for run in runs],
        **({"pin": pin_document(pin)} if pin is not None else {}),
    }
