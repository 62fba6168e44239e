"""Shows a TrueupError: as `file:line:column: message` lines, or as JSON. Called by `options`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.text import Text

from trueup.cli.output import escape, escape_lines, make_console, plain, print_json
from trueup.errors import Problem, TrueupError

FORMAT_VERSION = "1.0"


def show(error: TrueupError, output: str) -> None:
    """Prints every problem of the error: on stderr as text, on stdout as JSON."""
    if output == "json":
        print_json(problems_document(error))
        return
    console = make_console(sys.stderr)
    for problem in error.problems:
        for text in problem_lines(problem):
            console.print(text)


def problem_lines(problem: Problem) -> Iterator[Text]:
    """One problem as text: its place and message, then what to do."""
    first, *rest = escape_lines(problem.message)
    where = f"{escape(str(problem.place))}: " if problem.place.file else ""
    yield plain((where, "bold"), ("" if where else "Error: ", "bold red"), (first, ""))
    yield from (plain((f"  {line}", "")) for line in rest)
    yield from (plain((f"  {line}", "cyan")) for line in escape_lines(problem.hint) if problem.hint)


def problems_document(error: TrueupError) -> dict[str, object]:
    """The JSON document of an error; see docs/plan-format.md."""
    return {
        "formatVersion": FORMAT_VERSION,
        "problems": [problem_document(problem) for problem in error.problems],
    }


def problem_document(problem: Problem) -> dict[str, object]:
    """One problem as JSON."""
    place = problem.place
    return {
        "message": problem.message,
        "file": place.file or None,
        "line": place.line or None,
        "column": place.column or None,
        "hint": problem.hint or None,
    }
