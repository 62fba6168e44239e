from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.samples import PlayedEngine, outcome

from trueup.cli import run
from trueup.model.outcome import Result
from trueup.model.plan import Plan

PLAN = Plan("shop", samples.REVISION, (samples.deleted(),), is_destroy=True)
DELETED = outcome(samples.deleted(), Result.DELETED)


class Keyboard(StringIO):
    def isatty(self) -> bool:
        return True


def test_it_goes_on_only_if_the_name_of_the_stack_is_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for answer, code in (("y\n", 1), ("\n", 1), ("Shop\n", 1), ("shop\n", 0)):
        monkeypatch.setattr(sys, "stdin", Keyboard(answer))
        assert run(["destroy", "src"], engine=PlayedEngine(PLAN, (DELETED,))) == code
        shown = capsys.readouterr()
        assert "Type the name of the stack (shop) to go on:" in shown.err
        assert ("Nothing was done." in shown.out) == (code == 1)
        assert "Destroy shop at 3f2a1bc09d1e" in shown.out


def test_without_a_terminal_it_needs_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("shop\n"))
    engine = PlayedEngine(PLAN, (DELETED,))
    assert run(["destroy", "src"], engine=engine) == 1
    assert engine.asked == []
    assert run(["destroy", "src", "--yes"], engine=engine) == 0
    assert "shop is destroyed: 1 deleted in 3.2 s.\n" in capsys.readouterr().out


def test_a_real_stack_is_gone_afterwards(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reconcile", str(stack), "--yes"]) == 0
    assert (stack.parent / "live" / "www" / "index.html").exists()
    assert run(["destroy", str(stack), "--yes"]) == 0
    assert not (stack.parent / "live" / "www").exists()
    capsys.readouterr()
    assert run(["destroy", str(stack), "--yes"]) == 0
    assert "there was nothing left of it" in capsys.readouterr().out


def test_a_policy_that_wants_an_approval_has_it_by_the_destroy_and_the_text_says_so(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reconcile", str(stack), "--yes"]) == 0
    file = stack / "stack.yaml"
    rule = "{name: ask, rule: 'change.action != \"delete\"', enforce: approve}"
    file.write_text(file.read_text().replace("\nspec:\n", f"\nspec:\n  policies: [{rule}]\n"))
    capsys.readouterr()
    assert run(["destroy", str(stack), "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "approved by destroying shop/File/index@here  policy ask of the stack\n" in shown
    assert "to be approved" not in shown
    assert not (stack.parent / "live" / "www").exists()
