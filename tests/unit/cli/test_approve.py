from __future__ import annotations

import json
from pathlib import Path

import pytest

from trueup.cli import run

DIGEST = f"sha256:{'0' * 64}"


def _hold(stack: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Makes a plan that would delete the whole stack; gives its digest."""
    assert run(["reconcile", str(stack), "--yes"]) == 0
    (stack / "site.yaml").unlink()
    file = stack / "stack.yaml"
    file.write_text(file.read_text() + "  allowEmpty: true\n")
    capsys.readouterr()
    assert run(["reconcile", str(stack), "--yes"]) == 3
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if line.startswith("  trueup approve")]
    return line.split()[-1]


def test_an_approved_plan_is_carried_out_by_the_next_run(stack: Path, capsys) -> None:
    digest = _hold(stack, capsys)
    assert run(["approve", str(stack), digest, "--note", "all of it", "--as", "bo"]) == 0
    said = "it passes if the plan of the next run is this very one, and no hold of it is final"
    assert capsys.readouterr().out == f"approved {digest} of shop as bo: {said}.\n"
    run(["plan", str(stack)])
    assert "Approved by bo (all of it), in spite of:\n  whole-stack: " in capsys.readouterr().out
    assert run(["reconcile", str(stack), "--yes"]) == 0
    assert not (stack.parent / "live" / "www").exists()


def test_a_moved_world_makes_the_approval_stale_and_the_run_says_so(stack: Path, capsys) -> None:
    digest = _hold(stack, capsys)
    assert run(["approve", str(stack), digest, "--as", "bo"]) == 0
    (stack.parent / "live" / "www" / "index.html").write_text("by hand")
    capsys.readouterr()
    assert run(["reconcile", str(stack), "--yes"]) == 3
    shown = capsys.readouterr().out
    assert f"The last approval does not count here: what bo approved is another plan, {digest}:" in shown
    assert (stack.parent / "live" / "www" / "index.html").read_text() == "by hand"


def test_a_verdict_into_a_store_that_is_not_there_is_refused(stack: Path, capsys) -> None:
    for verb in ("approve", "reject"):
        assert run([verb, str(stack), DIGEST, "--store", "mistyped.db"]) == 1
        assert "there is no store at" in capsys.readouterr().err
    assert not Path("mistyped.db").exists()


def test_as_json_it_is_what_was_written_down(stack: Path, capsys) -> None:
    assert run(["reconcile", str(stack), "--yes"]) == 0
    capsys.readouterr()
    assert run(["approve", str(stack), DIGEST, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "@" in document.pop("who")
    assert document.pop("at") > 0
    assert document == {
        "formatVersion": "1.0",
        "stack": "shop",
        "digest": DIGEST,
        "verdict": "approved",
        "note": "",
    }


def test_a_saved_plan_can_be_named_as_the_source(stack: Path, capsys) -> None:
    assert run(["plan", str(stack), "--save", "shop.plan"]) == 2
    assert run(["approve", "shop.plan", DIGEST]) == 0
    assert f"approved {DIGEST} of shop" in capsys.readouterr().out


@pytest.mark.parametrize("digest", ["sha256:1", "0" * 64, DIGEST.upper(), f"{DIGEST}0", "--"])
def test_what_is_no_digest_is_refused(stack: Path, digest: str, capsys) -> None:
    assert run(["approve", str(stack), digest]) == 1
    assert run(["reject", str(stack), digest]) == 1
