"""`trueup drift`: what moved by itself in the live systems, who did it, and how Git can accept it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.text import Text

from trueup.cli.exit_codes import CHANGES, ERROR, OK
from trueup.cli.options import Call, takes_output, takes_stack
from trueup.cli.output import (
    STYLES,
    count,
    escape,
    escape_line,
    make_console,
    one_line,
    plain,
    print_json,
    print_lines,
)
from trueup.cli.plan_text import (
    describe_revision,
    name_trouble,
    render_change,
    render_fields,
    render_pin,
    render_way_out,
)
from trueup.cli.repetition import describe_rest, fold_repeated
from trueup.errors import Place
from trueup.model.address import Address
from trueup.model.change import Action
from trueup.reconcile.plan_document import FORMAT_VERSION, field_document, pin_document, quarantine_document
from trueup.reconcile.quarantine import describe_quarantine

if TYPE_CHECKING:
    from trueup.app import SourceSpec
    from trueup.reconcile.drift import DriftedNode, DriftReport
    from trueup.reconcile.suggest import Edit, Suggestion

    Suggestions = Mapping[Address, Sequence[Suggestion]]


@click.command()
@click.option(
    "--suggest",
    "with_suggestions",
    is_flag=True,
    help="Print for each field the rule that ignores it, and the edit that accepts the live value.",
)
@takes_stack
@takes_output("text", "json")
@click.pass_context
def drift(ctx: click.Context, call: Call, with_suggestions: bool, output: str) -> None:
    """Shows what somebody changed outside of Git, field by field, and who it was where the system knows.

    What Git changes and no run has applied yet is not shown: see `trueup plan`. Changes nothing anywhere.

    Exit code 0: no drift. 2: there is drift. 1: an error, or a resource could not be judged.

    \b
    Example:
      trueup drift ./shop --suggest
    """
    with call.open_app() as app:
        report = app.drift(call.source, call.selection)
        suggestions = _suggest(report, call.source) if with_suggestions else None
    if output == "json":
        print_json(drift_document(report, suggestions))
    else:
        recover = call.command_line("recover", is_whole=True)
        print_lines(make_console(), render_drift(report, suggestions or {}, recover))
    ctx.exit(exit_code(report))


def _suggest(report: DriftReport, source: SourceSpec) -> Suggestions:
    from trueup.reconcile.suggest import suggest
    from trueup.sources.open import open_commit, open_tree

    if not report.nodes:
        return {}
    pin, commit = report.plan.pin, report.plan.revision.commit
    if pin is not None and pin.commit == commit:
        opened = open_commit(source.location, commit, source.path, offline_ok=True)
    else:
        opened = open_tree(source.location, source.ref, source.path, offline_ok=True)
    with closing(opened) as tree:
        return {each.node.address: suggest(each, tree) for each in report.nodes}


def exit_code(report: DriftReport) -> int:
    """As with a plan, what could not be judged counts more."""
    if report.failures or report.distrust:
        return ERROR
    return CHANGES if report.nodes else OK


def render_drift(report: DriftReport, suggestions: Suggestions, recover: str = "") -> Iterator[Text]:
    """Each node that drifted with its fields, live value first; then what could not be judged.

    `recover` is the command that rebuilds a lost store.
    """
    plan = report.plan
    yield plain((escape(plan.stack), "bold"), (f" at {describe_revision(plan.revision)}", ""))
    yield from render_pin(plan.pin, plan.revision.commit)
    for each in report.nodes:
        yield plain(("", ""))
        yield from _render_node(each, suggestions.get(each.node.address, ()))
    if report.failures:
        yield plain(("", ""))
        yield plain(("Could not be judged:", "bold red"))
        for change, more in fold_repeated(report.failures, name_trouble):
            yield from render_change(change, with_fields=False)
            if more:
                yield plain((f"      {escape(describe_rest(more, change.address.target))}", "dim"))
    for hold in report.distrust:
        yield plain(("", ""))
        yield plain(
            ("What drifted is not known. ", "bold red"), (f"{hold.guard}: {one_line(hold.message)}", "")
        )
        yield from render_way_out(hold, recover)
    yield plain(("", ""))
    yield _summary(report)


def _render_node(drifted: DriftedNode, suggestions: Sequence[Suggestion]) -> Iterator[Text]:
    is_left = drifted.is_reported or drifted.change.quarantine is not None
    sign = "-" if drifted.is_gone else "!" if is_left else "~"
    style = STYLES[Action.DELETE] if drifted.is_gone else STYLES[Action.UPDATE]
    what = f"{describe_state(drifted)}; {_describe_outlook(drifted)}"
    yield plain((f"{sign:>3} ", style), (escape(drifted.node.address.text), "bold"), (f"  {what}", style))
    by_path = {each.path: each for each in suggestions}
    if not suggestions:
        yield from render_fields(drifted.fields)
        return
    for field in drifted.fields:
        yield from render_fields([field])
        yield from _render_suggestion(by_path[field.path])
    if "" in by_path and drifted.is_gone:
        yield from _render_suggestion(by_path[""])


def describe_state(drifted: DriftedNode) -> str:
    """The node in a word."""
    return "gone" if drifted.is_gone else "drifted"


def _describe_outlook(drifted: DriftedNode) -> str:
    if drifted.change.problem:
        return "a run cannot correct it"
    if drifted.change.quarantine is not None:
        return one_line(describe_quarantine(drifted.change.quarantine))
    if drifted.is_reported:
        return "it is only reported"
    return "the next run makes it again" if drifted.is_gone else "the next run corrects it"


def _render_suggestion(suggestion: Suggestion) -> Iterator[Text]:
    if suggestion.ignore is not None:
        yield from _render_edit("to ignore it", suggestion.ignore)
    if suggestion.accept is not None:
        verb = "to accept it, remove" if suggestion.accept.is_removal else "to accept it"
        yield from _render_edit(verb, suggestion.accept)
    if suggestion.ignore is None and suggestion.accept is None:
        way = (
            "nothing in Git accepts this alone; `lifecycle: {drift: report}` leaves the whole resource alone"
        )
        yield plain((f"          {way}", "cyan"))


def _render_edit(what: str, edit: Edit) -> Iterator[Text]:
    where = f" at {escape(str(edit.place))}" if edit.place != Place() else ""
    note = f" ({edit.note})" if edit.note else ""
    yield plain((f"          {what}{where}{note}{':' if edit.yaml else ''}", "cyan"))
    for line in edit.yaml.splitlines():
        yield plain((f"            {escape_line(line)}", ""))


def _summary(report: DriftReport) -> Text:
    total = count(len(report.plan.changes), "resource")
    failed = f", {len(report.failures)} could not be judged" if report.failures else ""
    if not report.nodes and report.distrust:
        return plain(("Drift is not known", "bold"), (f" in {total}{failed}.", ""))
    if not report.nodes:
        return plain(("No drift", "bold green" if not failed else "bold"), (f" in {total}{failed}.", ""))
    return plain(("Drift", "bold yellow"), (f" in {len(report.nodes)} of {total}{failed}.", ""))


def drift_document(report: DriftReport, suggestions: Suggestions | None) -> dict[str, Any]:
    """The same as JSON: docs/schemas/drift-v1.json. Without suggestions, their keys are missing."""
    plan = report.plan
    return {
        "formatVersion": FORMAT_VERSION,
        "stack": plan.stack,
        "commit": plan.revision.commit,
        **({"pin": pin_document(plan.pin)} if plan.pin is not None else {}),
        "resources": len(plan.changes),
        "nodes": [_node_document(each, suggestions) for each in report.nodes],
        "failures": [
            {"address": change.address.text, "problem": change.problem, "hint": change.hint or None}
            for change in report.failures
        ],
        "distrust": [
            {"guard": hold.guard, "message": hold.message, "hint": hold.hint} for hold in report.distrust
        ],
    }


def _node_document(drifted: DriftedNode, suggestions: Suggestions | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "address": drifted.node.address.text,
        "state": describe_state(drifted),
        "reported": drifted.is_reported,
        "place": str(drifted.node.place) or None,
        "fields": [field_document(field) for field in drifted.fields],
    }
    if drifted.change.quarantine is not None:
        document["quarantine"] = quarantine_document(drifted.change.quarantine)
    if suggestions is not None:
        found = suggestions.get(drifted.node.address, ())
        document["suggestions"] = [
            {"path": each.path, "ignore": _edit_document(each.ignore), "accept": _edit_document(each.accept)}
            for each in found
        ]
    return document


def _edit_document(edit: Edit | None) -> dict[str, Any] | None:
    if edit is None:
        return None
    document: dict[str, Any] = {"place": str(edit.place), "yaml": edit.yaml, "remove": edit.is_removal}
    return {**document, "note": edit.note} if edit.note else document
