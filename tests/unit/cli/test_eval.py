from __future__ import annotations

import io
from pathlib import Path

import pytest

from trueup.cli import run

VARIABLES = "\n  variables: {n: {type: integer, default: 3}}\n"


@pytest.fixture
def source(stack: Path) -> Path:
    """The stack of this machine's files, with a variable; its two resources are not there yet."""
    file = stack / "stack.yaml"
    file.write_text(file.read_text().replace("\nspec:\n", f"\nspec:{VARIABLES}"))
    return stack


def evaluate(capsys: pytest.CaptureFixture[str], source: Path, *arguments: str) -> str:
    assert run(["eval", *arguments, "--source", str(source), "--store", str(source.parent / "s.db")]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("vars.n * 2", "6\n"),
        ("vars.n // three", "3\n"),
        ("a ${{ vars.n }} b", '"a 3 b"\n'),
        ('{"a": [1, vars.n]}', '{\n  "a": [\n    1,\n    3\n  ]\n}\n'),
        ('ref("Directory/www").spec.path.endsWith("/live/www")', "true\n"),
        ('ref("Directory/www").status', "(known after apply)\n"),
        ('stack("elsewhere").url', "(known after apply)\n"),
        ('file("site.yaml").contains("Directory")', "true\n"),
    ],
)
def test_an_expression_is_evaluated_in_the_stack(
    expression: str, shown: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(capsys, source, expression) == shown


def test_what_lives_is_seen_once_it_is_there(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reconcile", str(source), "--yes", "--store", str(source.parent / "s.db")]) == 0
    capsys.readouterr()
    assert evaluate(capsys, source, 'has(ref("Directory/www").status)') == "true\n"


def test_a_secret_is_not_shown(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "tweet")
    assert evaluate(capsys, source, 'secret("env:CANARY") + "!"') == "(sensitive)\n"
    assert evaluate(capsys, source, '[secret("env:CANARY")]') == "(sensitive)\n"


def test_target_and_values_come_from_options(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(capsys, source, "target.name", "--target", "here") == '"here"\n'
    assert evaluate(capsys, source, "vars.n", "--set", "n=4") == "4\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vars.m"], 'expression:1:1: there is no variable "m"'),
        (
            ["1 + target.name"],
            "expression:1:5: target is not known here\n  say which one with --target NAME; there are: here\n",
        ),
        (["1 +"], "expression:1:4: the expression is not valid CEL"),
        (['vars.n + "a'], "expression:1:10: the expression is not valid CEL"),
        (["{'a': 1"], "expression:1:8: the expression is not valid CEL"),
        (["vars.n", "--target", "her"], 'there is no target "her"'),
        (["vars.n + '\udcff'"], "expression: the expression is not UTF-8"),
        (["vars.n", "--set", f"n{'.a' * 3000}=1"], "nested deeper than 100 levels"),
        (["vars.n", "--set", "n=\udcff"], "--set n=\\udcff: this is not UTF-8"),
        (['ref("File/nothing")'], "there is no File/nothing"),
        (['file("../../../etc/passwd")'], "leads out of the"),
    ],
)
def test_what_is_wrong_is_told_at_its_column(
    arguments: list[str], message: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", *arguments, "--source", str(source)]) == 1
    assert message in capsys.readouterr().err


def test_lines_of_standard_input_are_answered_one_by_one(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("vars.n\n\nvars.m\n1 + 1\n"))
    assert run(["eval", "--source", str(source)]) == 1
    output = capsys.readouterr()
    assert output.out == "3\n2\n"
    assert "there is no variable" in output.err
    monkeypatch.setattr("sys.stdin", io.StringIO("vars.n\n"))
    assert run(["eval", "--source", str(source)]) == 0
