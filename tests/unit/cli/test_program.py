from __future__ import annotations

import pytest
from tests.unit.cli import samples

from trueup.cli import run
from trueup.cli.program import COMMANDS


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f" {name} " not in shown] == []


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "daemon"])
def test_the_help_of_each_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example:" in shown
    assert f"trueup {command} " in shown.partition("Example:")[2]


@pytest.mark.parametrize(
    "arguments",
    [[], ["plan"], ["plan", "a", "b"], ["plan", "a", "--nope"], ["plna"], ["plan", "a", "-o", "x"]],
)
def test_wrong_usage_has_exit_code_1_since_2_means_changes(arguments: list[str]) -> None:
    assert run(arguments) == 1


def test_wrong_usage_says_how_to_get_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "Usage: trueup plan [OPTIONS] SOURCE\nTry `trueup plan --help`.\n\n"
        "Error: Missing argument 'SOURCE'.\n"
    )


def test_a_bug_keeps_its_traceback_and_says_how_to_report_it(capsys: pytest.CaptureFixture[str]) -> None:
    engine = samples.PlayedEngine(samples.converged_plan(), error=KeyError("nothing there"))
    assert run(["plan", "shop"], engine=engine) == 1
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "KeyError: 'nothing there'" in shown
    assert "This is a bug in trueup. Please report it" in shown


def test_control_c_while_planning_has_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    engine = samples.PlayedEngine(samples.converged_plan())
    engine.error = KeyboardInterrupt()  # type: ignore[assignment]
    assert run(["plan", "shop"], engine=engine) == 130
    assert "nothing was done" in capsys.readouterr().err


def test_of_an_unknown_command_the_nearest_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plann", "shop"]) == 1
    assert "Error: there is no command 'plann': did you mean 'plan'?\n" in capsys.readouterr().err
    assert run(["xyzzy"]) == 1
    assert "Error: there is no command 'xyzzy'\n" in capsys.readouterr().err
