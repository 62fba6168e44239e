"""`trueup diff`: what two runs of a stack did differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rich_click as click
from rich.text import Text

from trueup.cli.fields import describe_field
from trueup.cli.options import Call, takes_output, takes_past
from trueup.cli.output import (
    RESULT_STYLES,
    escape,
    make_console,
    plain,
    print_json,
    print_lines,
    short_commit,
)
from trueup.cli.past import RunNumber, describe_run, describe_status, run_document
from trueup.cli.plan_text import render_fields
from trueup.model.change import FieldChange
from trueup.model.outcome import Result, RunStatus
from trueup.reconcile.history import NodeDifference, RunDifference, compare_runs
from trueup.reconcile.plan_document import FORMAT_VERSION, field_document
from trueup.state.store import RunRecord


@click.command()
@click.argument("run1", type=RunNumber())
@click.argument("run2", type=RunNumber())
@takes_past
@takes_output("text", "json")
def diff(call: Call, run1: int, run2: int, output: str) -> None:
    """Shows what differs between RUN1 and RUN2 of a stack: commits, results of resources, fields.

    \b
    Example:
      trueup diff 41 42
    """
    with call.open_app() as app:
        found = compare_runs(app.store, run1, run2)
    if output == "json":
        print_json(diff_document(found))
    else:
        print_lines(make_console(), render_difference(found))


def render_difference(found: RunDifference) -> Iterator[Text]:
    """Both runs, then each node that they treated differently."""
    for run in (found.first, found.second):
        yield plain((describe_run(run), "bold"), (f": {describe_status(run)}", ""))
    if found.first.url != found.second.url:
        yield plain(("Source: ", "bold"), (f"{escape(found.first.url)} -> {escape(found.second.url)}", ""))
    if found.first.commit != found.second.commit:
        commits = " -> ".join(escape(short_commit(run.commit)) for run in (found.first, found.second))
        yield plain(("Commit: ", "bold"), (commits, ""))
    yield plain(("", ""))
    if not found.nodes:
        yield plain(("Both did the same to every resource.", ""))
    for node in found.nodes:
        yield from _render_node(node, found.first, found.second)


def _render_node(node: NodeDifference, first: RunRecord, second: RunRecord) -> Iterator[Text]:
    yield plain(
        (escape(node.address.text), "bold"),
        ("  ", ""),
        _result(node.first, first, node.second, second),
        (" -> ", ""),
        _result(node.second, second, node.first, first),
    )
    if node.first is None or node.second is None:
        # One of the runs did nothing here: what the other one did is the whole difference.
        yield from render_fields(side for sides in node.fields.values() for side in sides if side is not None)
        return
    for path, sides in node.fields.items():
        yield plain((f"    {escape(path) or '/'}", ""))
        for run, field in zip((first.id, second.id), sides, strict=True):
            yield from _render_side(run, field)


def _result(
    result: Result | None, run: RunRecord, other: Result | None, other_run: RunRecord
) -> tuple[str, str]:
    """A result beside that of the other run. Without one, the node was as it should be, or not there.

    In a run that was interrupted, or has not ended, it may just not have been its turn.
    """
    if result is not None:
        return result.value, RESULT_STYLES[result]
    gone = (Result.DELETED, Result.FORGOTTEN) if run.id > other_run.id else (Result.CREATED,)
    is_unknown = other in gone or run.status in (None, RunStatus.INTERRUPTED)
    return ("nothing" if is_unknown else "unchanged", "dim")


def _render_side(run: int, field: FieldChange | None) -> Iterator[Text]:
    if field is None:
        yield plain((f"      run {run}: ", "dim"), ("not changed", "dim"))
        return
    text = describe_field(field)
    yield plain((f"      run {run}:", "dim"), (f" {text.text}" if text.text else "", ""))
    yield from (plain((f"        {line}", "")) for line in text.lines)


def diff_document(found: RunDifference) -> dict[str, Any]:
    """The same as JSON: docs/schemas/diff-v1.json."""
    return {
        "formatVersion": FORMAT_VERSION,
        "runs": [run_document(found.first), run_document(found.second)],
        "nodes": [_node_document(node) for node in found.nodes],
    }


def _node_document(node: NodeDifference) -> dict[str, Any]:
    return {
        "address": node.address.text,
        "results": [result.value if result else None for result in (node.first, node.second)],
        "fields": [
            {"path": path, "changes": [field_document(side) if side else None for side in sides]}
            for path, sides in node.fields.items()
        ],
    }
