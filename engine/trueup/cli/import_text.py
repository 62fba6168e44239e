"""What an import found and did, as text and as JSON. Called by the import command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from trueup.cli.output import count, escape, escape_lines, one_line, plain
from trueup.cli.problems import FORMAT_VERSION
from trueup.reconcile.imports import Fate, ImportOutcome, ImportReport
from trueup.reconcile.plan_document import field_document

_SHOWN_FIELDS = 5


def render_import(report: ImportReport) -> Iterator[Text]:
    """The new files with their resources, what is not imported and why, and the sum."""
    by_file: dict[str, list[ImportOutcome]] = {path: [] for path in report.files}
    for outcome in report.outcomes:
        if outcome.fate is Fate.IMPORTED:
            by_file.setdefault(outcome.file, []).append(outcome)
    for path, outcomes in by_file.items():
        yield plain((escape(path), "bold"))
        for outcome in outcomes:
            yield plain(("  + ", "green"), (escape(_name(outcome)), ""))
    yield from render_refusals(report)


def render_refusals(report: ImportReport, *, only_failures: bool = False) -> Iterator[Text]:
    """What is not imported and why, and the sum."""
    styles = {Fate.SKIPPED: "yellow", Fate.FAILED: "bold red"}
    for fate in [Fate.FAILED] if only_failures else styles:
        for outcome in _of(report, fate):
            yield plain((f"{fate.value} ", styles[fate]), (escape(_name(outcome)), ""))
            yield from (plain((f"  {line}", "")) for line in escape_lines(outcome.why))
            shown = outcome.fields[:_SHOWN_FIELDS]
            more = len(outcome.fields) - len(shown)
            paths = ", ".join(escape(field.path) for field in shown) + (f" and {more} more" if more else "")
            if shown:
                yield plain((f"  it differs in {paths}", ""))
            if outcome.hint:
                yield plain((f"  {one_line(outcome.hint)}", "cyan"))
    yield from _sum_up(report)


def _sum_up(report: ImportReport) -> Iterator[Text]:
    counts = report.counts
    parts = [
        f"{counts[Fate.SKIPPED]} skipped" if counts[Fate.SKIPPED] else "",
        f"{counts[Fate.FAILED]} failed" if counts[Fate.FAILED] else "",
        f"{counts[Fate.MANAGED]} managed already" if counts[Fate.MANAGED] else "",
        f"{report.left_out} left out that the system itself made" if report.left_out else "",
    ]
    rest = "".join(f", {part}" for part in parts if part)
    found = count(counts[Fate.IMPORTED], "object")
    if report.is_declined:
        yield plain(("Nothing was done.", "bold"))
    elif report.is_done:
        files = f" into {count(len(report.files), 'file')}" if report.files else ""
        yield plain((f"Imported {found}{files}", "bold green"), (rest, ""))
        yield plain(
            (
                "Commit them. Until a run reads them, the objects are protected from being pruned.",
                "",
            )
        )
    elif counts[Fate.IMPORTED]:
        yield plain((f"{found} can be imported", "bold"), (rest, ""))
    else:
        yield plain(("Nothing to import", "bold"), (rest, ""))


def _of(report: ImportReport, fate: Fate) -> Iterable[ImportOutcome]:
    return (outcome for outcome in report.outcomes if outcome.fate is fate)


def _name(outcome: ImportOutcome) -> str:
    """The object as a person names it: its address in the stack if it has one."""
    what = " ".join(part for part in (outcome.kind, outcome.id) if part)
    if outcome.fate is Fate.IMPORTED and outcome.address is not None:
        return f"{outcome.address.reference}@{outcome.target}"
    return f"{what} on {outcome.target}" if what else f"target {outcome.target}"


def import_document(report: ImportReport) -> dict[str, Any]:
    """The whole report; docs/import.md describes it."""
    return {
        "formatVersion": FORMAT_VERSION,
        "stack": report.stack,
        "commit": report.revision.commit,
        "run": report.run or None,
        "isDone": report.is_done,
        "seconds": round(report.seconds, 3),
        "counts": {fate.value: number for fate, number in report.counts.items()},
        "leftOut": report.left_out,
        "files": dict(report.files),
        "objects": [_outcome_document(outcome) for outcome in report.outcomes],
    }


def _outcome_document(outcome: ImportOutcome) -> dict[str, Any]:
    document: dict[str, Any] = {
        "target": outcome.target,
        "kind": outcome.kind,
        "id": outcome.id,
        "result": outcome.fate.value,
    }
    if outcome.address is not None:
        document["address"] = outcome.address.text
    for key, text in (("file", outcome.file), ("message", outcome.why), ("hint", outcome.hint)):
        if text:
            document[key] = text
    if outcome.fields:
        document["fields"] = [field_document(field) for field in outcome.fields]
    return document
