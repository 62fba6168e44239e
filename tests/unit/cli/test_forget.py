from __future__ import annotations

from pathlib import Path

import pytest

from trueup.cli import run


def test_a_file_is_forgotten_and_stays(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reconcile", str(stack), "--yes"]) == 0
    file = stack.parent / "live" / "www" / "index.html"
    capsys.readouterr()
    assert run(["forget", str(stack), "--yes"]) == 1
    assert "nothing of the inventory is selected" in capsys.readouterr().err
    assert run(["forget", str(stack), "--target", "here", "--yes"]) == 0
    assert "forgotten" in capsys.readouterr().out
    assert file.exists()
    assert run(["destroy", str(stack), "--yes"]) == 0
    assert file.exists()
