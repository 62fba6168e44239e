from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.samples import PlayedEngine

from trueup.app import SourceSpec
from trueup.cli import run
from trueup.reconcile.report import Selection


def test_the_exit_code_says_whether_there_is_something_to_do() -> None:
    assert run(["plan", "shop"], engine=PlayedEngine(samples.converged_plan())) == 0
    assert run(["plan", "shop"], engine=PlayedEngine(samples.plan_of(samples.created()))) == 2
    assert run(["plan", "shop"], engine=PlayedEngine(samples.plan_of(samples.reported()))) == 0


def test_a_plan_that_could_not_judge_a_node_is_an_error_whatever_else_it_says() -> None:
    plan = samples.plan_of(samples.created(), samples.unseen())
    assert run(["plan", "shop"], engine=PlayedEngine(plan)) == 1


def test_the_options_reach_the_engine() -> None:
    engine = PlayedEngine(samples.converged_plan())
    options = ["--ref", "v1", "--path", "prod", "--target", "a", "--target", "b", "--only", "File/x"]
    assert (
        run(["plan", "https://h/r.git", *options, "--parallelism", "3", "--store", "s.db"], engine=engine)
        == 0
    )
    assert engine.asked == [
        (
            "plan",
            SourceSpec("https://h/r.git", "v1", "prod", is_ref_meant=True),
            Selection(("a", "b"), ("File/x",)),
        )
    ]
    assert engine.opened == [("s.db", 3)]


def test_a_held_plan_shows_the_very_commands_that_answer_it(capsys: pytest.CaptureFixture[str]) -> None:
    engine = PlayedEngine(samples.full_plan())
    run(["plan", "my shop", "--target", "web-1", "--store", "s.db"], engine=engine)
    shown = capsys.readouterr().out.splitlines()
    digest = engine.plan_made.digest
    # A verdict is about the whole plan, whatever part of the stack it is for.
    whole = ("my shop", "--store", "s.db", digest)
    assert [shlex.split(line) for line in shown if line.startswith("  trueup")] == [
        ["trueup", "approve", *whole],
        ["trueup", "reconcile", "my shop", "--target", "web-1", "--store", "s.db", "--approve", digest],
        ["trueup", "reject", *whole],
    ]


def test_the_command_that_it_shows_holds_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    engine = PlayedEngine(samples.full_plan())
    run(["plan", "https://u:hunter2@h/r.git", "--store", "postgresql://u:hunter2@h/d"], engine=engine)
    run(["plan", "https://u:hunter2@h/r.git", "-o", "markdown"], engine=engine)
    assert "hunter2" not in capsys.readouterr().out


def test_what_came_from_the_environment_is_not_repeated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_STORE", "env.db")
    engine = PlayedEngine(samples.full_plan())
    run(["plan", "shop"], engine=engine)
    assert "--store" not in capsys.readouterr().out
    assert engine.opened[0][0] == "env.db"


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "shop", "--output", "json"], engine=PlayedEngine(samples.full_plan())) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["stack"] == "shop"
    assert shown.err == ""


def test_an_error_is_text_or_json_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    engine = PlayedEngine(
        samples.converged_plan(), error=samples.raises("no such repository", "check the URL")
    )
    assert run(["plan", "shop"], engine=engine) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "Error: no such repository\n  check the URL\n")
    assert run(["plan", "shop", "-o", "json"], engine=engine) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["problems"][0]["message"] == "no such repository"


def test_a_real_stack_is_planned_saved_and_carried_out(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(stack), "--save", "shop.plan"]) == 2
    assert "Plan: 2 to create, 0 unchanged." in capsys.readouterr().out
    assert not (stack.parent / "live" / "www").exists()
    assert run(["reconcile", "shop.plan", "--yes"]) == 0
    assert (stack.parent / "live" / "www" / "index.html").read_text().startswith("hello\n")
    assert run(["plan", str(stack)]) == 0
    assert capsys.readouterr().out.endswith("shop is converged: 2 resources, nothing to do.\n")


def test_a_saved_plan_that_cannot_be_written_is_an_error(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(stack), "--save", "no/such/folder/plan"]) == 1
    assert capsys.readouterr().err.startswith("Error: cannot write no/such/folder/plan: ")
