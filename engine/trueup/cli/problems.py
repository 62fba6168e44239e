"""Shows a TrueupError: as `file:line:column: message` lines, or as JSON. Called by `options`."""

from __future__ import annotations

import sys

from trueup.cli.output import escape_lines, make_console, plain, print_json
from trueup.errors import Problem, TrueupError

FORMAT_VERSION = "1.0"


def show(error: TrueupError, output: str) -> None:
    """Prints every problem of the error: on stderr as text, on stdout as JSON."""
    if output == "json":
        print_json(problems_document(error))
        return
    console = make_console(sys.stderr)
    for problem in error.problems:
        first, *rest = escape_lines(problem.message)
        where = f"{problem.place}: " if problem.place.file else ""
        console.print(plain((where, "bold"), ("" if where else "Error: ", "bold red"), (first, "")))
        for line in rest:
            console.print(plain((f"  {line}", "")))
        for line in escape_lines(problem.hint) if problem.hint else ():
            console.print(plain((f"  {line}", "cyan")))


def problems_document(error: TrueupError) -> dict[str, object]:
    """The JSON document of an error; see docs/plan-format.md."""
    return {"formatVersion": FORMAT_VERSION, "problems": [_problem(problem) for problem in error.problems]}


def _problem(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "message": problem.message,
        "file": place.file or None,
        "line": place.line or None,
        "column": place.column or None,
        "hint": problem.hint or None,
    }
