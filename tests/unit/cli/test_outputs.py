from __future__ import annotations

from pathlib import Path

import pytest

from trueup.cli import run

OUTPUTS = r"""
  outputs: {pem: "one\ntwo\n", mark: "a\eb", ports: {value: {https: 443}}, none: {value: null}}
"""


@pytest.fixture
def source(stack: Path) -> Path:
    """A stack with outputs that was reconciled."""
    file = stack / "stack.yaml"
    file.write_text(file.read_text().replace("\nspec:\n", f"\nspec:{OUTPUTS}"))
    assert run(["reconcile", str(stack), "--yes", "--store", str(stack.parent / "s.db")]) == 0
    return stack


def outputs(source: Path, *arguments: str) -> int:
    return run(["outputs", str(source), "--store", str(source.parent / "s.db"), *arguments])


def test_a_text_comes_out_as_it_is(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert outputs(source, "--name", "pem") == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert outputs(source, "--name", "mark") == 0
    assert capsys.readouterr().out == "a\x1bb\n"


def test_a_terminal_obeys_nothing_of_it(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert outputs(source, "--name", "pem") == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert outputs(source, "--name", "mark") == 0
    assert capsys.readouterr().out == "a\\x1bb\n"


def test_other_values_are_json_and_all_of_them_stand_in_a_table(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert outputs(source, "--name", "ports") == 0
    assert capsys.readouterr().out == '{\n  "https": 443\n}\n'
    assert outputs(source) == 0
    assert (
        capsys.readouterr().out == 'pem    one\\ntwo\\n\nmark   a\\x1bb\nports  {"https": 443}\nnone   null\n'
    )


def test_a_name_that_is_none_is_an_error_that_says_which_there_are(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outputs(source, "--name", "pen") == 1
    assert "there are: mark, none, pem, ports" in capsys.readouterr().err


def test_a_sensitive_output_by_its_name_is_an_error_and_a_mask_elsewhere(
    stack: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "hunter2-of-the-test")
    file = stack / "stack.yaml"
    words = """\
  outputs:
    pw: ${{ secret("env:PW") }}
    deep: {value: {list: ['${{ secret("env:PW") }}']}}
    word: (sensitive)
"""
    file.write_text(file.read_text().replace("\nspec:\n", f"\nspec:\n{words}"))
    assert run(["reconcile", str(stack), "--yes", "--store", str(stack.parent / "s.db")]) == 0
    for name in ("pw", "deep"):
        for form in ("text", "json"):
            capsys.readouterr()
            assert outputs(stack, "--name", name, "-o", form) == 1
            told = capsys.readouterr()
            assert f"output {name} is sensitive, and the store holds no secrets" in told.out + told.err
    assert outputs(stack, "--name", "word") == 0
    assert capsys.readouterr().out == "(sensitive)\n"
    assert outputs(stack) == 0
    assert "pw    (sensitive)" in capsys.readouterr().out


def test_a_stack_that_declares_none_is_not_told_to_reconcile(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reconcile", str(stack), "--yes", "--store", str(stack.parent / "s.db")]) == 0
    capsys.readouterr()
    assert outputs(stack, "-o", "json") == 0
    told = capsys.readouterr()
    assert told.out == "{}\n"
    assert told.err == "stack shop declares no outputs (spec.outputs)\n"
    assert outputs(stack, "--name", "a") == 1
    assert "there are: none" in capsys.readouterr().err
