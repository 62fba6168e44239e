"""Carries out a run for a person or a script: shows the plan, asks, tells of the progress, sums up.

Called by the reconcile and destroy commands, which differ in what they ask and what they call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from rich.console import Console

from trueup.cli.exit_codes import ERROR, HELD, INTERRUPTED, OK
from trueup.cli.interruption import Interruption
from trueup.cli.output import escape, make_console, plain, print_json, print_lines
from trueup.cli.plan_text import WaysOut, render_holds, render_notes, render_plan
from trueup.cli.progress import Progress
from trueup.cli.run_json import run_document
from trueup.cli.run_text import render_report
from trueup.errors import UsageError
from trueup.model.outcome import RunStatus
from trueup.model.plan import Plan
from trueup.reconcile.plan_document import is_shown
from trueup.reconcile.report import RunReport

_CODES = {
    RunStatus.CONVERGED: OK,
    RunStatus.FAILED: ERROR,
    RunStatus.HELD: HELD,
    RunStatus.INTERRUPTED: INTERRUPTED,
}


@dataclass
class Running:
    """One run with its conversation.

    `ways` gives the commands for a held plan. `question` is what a person is asked and `answers` what may be
    typed for a yes; `is_agreed`: nobody has to be asked.
    """

    output: str
    is_verbose: bool
    is_agreed: bool
    question: Callable[[Plan], str]
    answers: Callable[[Plan], Collection[str]]
    ways: Callable[[Plan], WaysOut]
    approved: str = ""
    interruption: Interruption = field(default_factory=Interruption)
    _is_declined: bool = False

    def run(self, start: Callable[[Running, Progress], RunReport]) -> int:
        """Calls `start`, which runs the engine with this object's `confirm`; gives the exit code."""
        self._check_conversation()
        console = make_console(sys.stderr if self.output == "json" else sys.stdout)
        is_live = self.output == "text" and sys.stdout.isatty() and not self.is_verbose
        is_silent = self.output == "json" and not self.is_verbose
        progress = Progress(console, self._planned(console), is_live, is_silent)
        with self.interruption, progress:
            report = start(self, progress)
        return self._end(report, console)

    def confirm(self, plan: Plan) -> bool:
        """Asks whether to carry out the plan. The engine calls it when nothing holds the plan."""
        if self.is_agreed or (self.approved and self.approved == plan.digest):
            return True
        if not sys.stdin.isatty():
            raise nobody_to_ask()
        self.interruption.pause()
        try:
            self._is_declined = not ask(self.question(plan), self.answers(plan))
        finally:
            self.interruption.begin()
        return not self._is_declined

    def _check_conversation(self) -> None:
        """Refuses before anything is looked at what would end in a question that nobody can answer."""
        if self.is_agreed or self.approved:
            return
        if self.output == "json":
            raise UsageError(
                "with --output json nobody is asked", hint="pass --yes to carry out whatever the plan says"
            )
        if not sys.stdin.isatty():
            raise nobody_to_ask()

    def _planned(self, console: Console) -> Callable[[Plan], None]:
        def show(plan: Plan) -> None:
            self.interruption.begin()
            if self.output == "text" and any(is_shown(change) for change in plan.changes):
                print_lines(console, render_plan(plan))
                console.print()
            elif self.output == "text":
                print_lines(console, render_notes(plan))

        return show

    def _end(self, report: RunReport, console: Console) -> int:
        is_held = report.status is RunStatus.HELD and not self._is_declined
        if self.output == "json":
            print_json(run_document(report))
        elif is_held:
            lines = list(render_holds(report.plan, self.ways(report.plan)))
            # Behind a plan there is an empty line already.
            has_gap = any(is_shown(change) for change in report.plan.changes)
            print_lines(console, lines[1:] if has_gap else lines)
        elif self._is_declined:
            console.print(plain(("Nothing was done.", "bold")))
        else:
            print_lines(console, render_report(report))
        if self._is_declined:
            return ERROR
        return _CODES[report.status]


def nobody_to_ask() -> UsageError:
    """What a run ends with that cannot be confirmed."""
    return UsageError(
        "standard input is no terminal, so nobody can be asked whether to carry out the plan",
        hint="pass --yes to carry out whatever the plan says",
    )


def ask(question: str, answers: Collection[str]) -> bool:
    """Asks on the terminal; the end of input is a no."""
    sys.stderr.write(f"{escape(question)} ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip() in answers
