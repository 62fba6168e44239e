from __future__ import annotations

import json

import pytest
from tests.unit.cli.samples import check_snapshot
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import problems
from trueup.errors import ManifestError, Place, Problem, SourceError

BROKEN = ManifestError(
    [
        Problem('unknown field "pth"', Place("site.yaml", 7, 3), 'did you mean "path"?'),
        Problem("not YAML: tab\x1b[2J", Place("b.yaml", 2, 1)),
        Problem("there is no stack.yaml", Place("stack.yaml"), "add one\nwith kind: Stack"),
    ]
)


def test_problems_read_like_those_of_a_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    problems.show(BROKEN, "text")
    shown = capsys.readouterr()
    assert shown.out == ""
    check_snapshot("problems.txt", shown.err)


def test_an_error_without_a_place_says_that_it_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    problems.show(SourceError("no such repository", hint="check the URL"), "text")
    assert capsys.readouterr().err == "Error: no such repository\n  check the URL\n"


def test_as_json_they_go_to_standard_output_and_fit_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    problems.show(BROKEN, "json")
    shown = capsys.readouterr()
    assert shown.err == ""
    document = json.loads(shown.out)
    check(document, "problems-v1")
    assert [(p["file"], p["line"], p["column"]) for p in document["problems"]] == [
        ("b.yaml", 2, 1),
        ("site.yaml", 7, 3),
        ("stack.yaml", None, None),
    ]


def test_a_place_is_shown_without_what_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    place = Place("--set a\x1b[2J\udcff=1")
    problems.show(ManifestError([Problem("this is not name=value", place)]), "text")
    assert capsys.readouterr().err == "--set a\\x1b[2J\\udcff=1: this is not name=value\n"
