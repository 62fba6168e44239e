from __future__ import annotations

import re
from pathlib import Path

import pytest

from trueup.cli import run


def test_a_rejected_plan_is_held_with_the_name_and_the_note(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(stack)]) == 2
    digest = re.findall("sha256:[0-9a-f]{64}", capsys.readouterr().out)[0]
    assert run(["reject", str(stack), digest, "--as", "bo", "--note", "not on a Friday"]) == 0
    assert capsys.readouterr().out == f"rejected {digest} of shop as bo: no run carries it out.\n"
    assert run(["reconcile", str(stack), "--approve", digest]) == 3
    shown = capsys.readouterr().out
    assert "  rejected: bo rejected this very plan: not on a Friday\n" in shown
    assert "trueup reject" not in shown.split("Held back")[1]
    assert f"  trueup approve {stack} {digest}\n" in shown
    assert not (stack.parent / "live" / "www").exists()
    assert run(["approve", str(stack), digest]) == 0
    assert run(["reconcile", str(stack), "--yes"]) == 0
