"""How a run ended, as text. Called by the reconcile and destroy commands."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from rich.text import Text

from trueup.cli.output import RESULT_STYLES, count, escape, escape_lines, one_line, plain
from trueup.cli.plan_text import name_trouble, render_pin
from trueup.cli.problems import problem_lines
from trueup.cli.repetition import describe_rest, fold_repeated
from trueup.model.outcome import Outcome, Result, RunStatus
from trueup.reconcile.quarantine import RELEASE, describe_quarantine
from trueup.reconcile.report import RunReport

_MAX_LEFT = 50


def render_report(report: RunReport) -> Iterator[Text]:
    """What failed and why, what is blocked by what, what is left, and the counts."""
    failed = [outcome for outcome in report.outcomes if outcome.result is Result.FAILED]
    blocked = [outcome for outcome in report.outcomes if outcome.result is Result.BLOCKED]
    if failed or blocked or report.left:
        yield plain(("", ""))
    for outcome, more in fold_repeated((*failed, *blocked), _name_trouble):
        yield from _render_trouble(outcome)
        if more:
            yield plain((f"  {escape(describe_rest(more, outcome.address.target))}", "dim"))
    if report.left:
        yield plain(("Not begun, since the run was interrupted:", "bold"))
        yield from (plain((f"  {escape(address.text)}", "")) for address in report.left[:_MAX_LEFT])
        if len(report.left) > _MAX_LEFT:
            yield plain((f"  and {len(report.left) - _MAX_LEFT} more", "dim"))
    if report.status is RunStatus.INTERRUPTED:
        yield from render_pin(report.plan.pin)
    if failed or blocked or report.left:
        yield plain(("", ""))
    for problem in report.problems:
        yield from problem_lines(problem)
    for quarantine in report.quarantines[:_MAX_LEFT]:
        said = one_line(describe_quarantine(quarantine))
        yield plain(("warning: ", "bold yellow"), (f"{escape(quarantine.address.text)} is {said}", ""))
    if len(report.quarantines) > _MAX_LEFT:
        more = len(report.quarantines) - _MAX_LEFT
        yield plain(("warning: ", "bold yellow"), (f"{more} more are quarantined: see `trueup status`", ""))
    if report.quarantines:
        yield plain((f"  {RELEASE}", "cyan"))
    yield _sum_up(report)


def _name_trouble(outcome: Outcome) -> Hashable | None:
    """What kept a node from being seen: the same for all of a target where that is to blame."""
    change = outcome.change
    # The name of a dependency tells one blocked node from another.
    return None if outcome.result is Result.BLOCKED or change is None else name_trouble(change)


def _render_trouble(outcome: Outcome) -> Iterator[Text]:
    yield plain(
        (f"{outcome.result.value} ", RESULT_STYLES[outcome.result]), (escape(outcome.address.text), "bold")
    )
    for line in escape_lines(outcome.message) if outcome.message else ():
        yield plain((f"  {line}", ""))
    for line in escape_lines(outcome.hint) if outcome.hint else ():
        yield plain((f"  {line}", "cyan"))


def _sum_up(report: RunReport) -> Text:
    """`shop converged: 1 created, 30 unchanged in 3.2 s.`"""
    counts = report.counts
    took = f" in {report.seconds:.1f} s."
    stack = escape(report.plan.stack)
    is_converged = report.status is RunStatus.CONVERGED
    if is_converged and not report.outcomes and report.plan.is_destroy:
        return plain((f"{stack} is destroyed", "bold green"), (f": there was nothing left of it{took}", ""))
    if is_converged and counts[Result.UNCHANGED] == len(report.outcomes):
        size = count(len(report.outcomes), "resource")
        return plain((f"{stack} is converged", "bold green"), (f": {size}, nothing to do{took}", ""))
    style = "bold green" if is_converged else "bold red"
    word = _WORDS[report.status]
    if report.plan.is_destroy:
        word = _DESTROY_WORDS.get(report.status, word)
    parts: list[tuple[str, str]] = [(f"{stack} {word}", style), (": ", "")]
    for result, number in counts.items():
        if number:
            parts += [(f"{number} {result.value}", RESULT_STYLES[result]), (", ", "")]
    if report.left:
        parts += [(f"{len(report.left)} not begun", "bold"), (", ", "")]
    return plain(*parts[:-1], (took, ""))


_WORDS = {
    RunStatus.CONVERGED: "is converged",
    RunStatus.FAILED: "is not converged",
    RunStatus.HELD: "is held back",
    RunStatus.INTERRUPTED: "was interrupted",
}
_DESTROY_WORDS = {RunStatus.CONVERGED: "is destroyed", RunStatus.FAILED: "is not wholly destroyed"}
