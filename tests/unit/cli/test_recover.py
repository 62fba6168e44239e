from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.recover import render_end
from trueup.model.resource import Revision
from trueup.reconcile.recover import Recovery


@pytest.fixture
def lost(stack: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stack, applied with a store that is gone since."""
    assert run(["reconcile", str(stack), "--yes", "--store", str(stack.parent / "state.db")]) == 0
    for file in stack.parent.glob("state.db*"):
        file.unlink()
    monkeypatch.setenv("TRUEUP_STORE", str(stack.parent / "state.db"))
    return stack


def test_a_lost_store_holds_every_command_until_it_is_recovered(
    lost: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lost.parent / "live" / "www" / "index.html"
    before = file.read_bytes(), file.stat().st_mtime_ns
    capsys.readouterr()
    assert run(["reconcile", str(lost), "--yes"]) == 3
    told = capsys.readouterr().out
    assert "No approval lifts this" in told
    assert "store-lost: " in told
    assert f"\n  trueup recover {lost}\n" in told
    assert "SOURCE" not in told
    assert "adopt" not in told
    assert told.count("the store does not know it") == 1
    assert "the same for 1 more on here" in told
    assert run(["destroy", str(lost), "--yes"]) == 3
    for command in (["plan"], ["status"], ["drift"], ["why", "File/index", "--source"]):
        run([*command, str(lost)])
        told = capsys.readouterr().out
        assert f"\n  trueup recover {lost}\n" in told
        assert "store-lost: " in told
        assert "adopt" not in told
        assert "No drift" not in told
    assert run(["plan", str(lost), "--output", "markdown"]) == 1
    assert f"```sh\ntrueup recover {lost}\n```" in capsys.readouterr().out
    for name, key in (("plan", "holds"), ("drift", "distrust"), ("status", "holds")):
        run([name, str(lost), "--output", "json"])
        document = json.loads(capsys.readouterr().out)
        check(document, f"{name}-v1")
        (hold,) = document[key]
        assert hold["hint"].startswith("`trueup recover SOURCE` rebuilds it")
    assert run(["recover", str(lost), "--yes"]) == 0
    told = capsys.readouterr().out
    assert "the installation that made them" in told
    assert "Recovered 2 resources in run 2" in told
    assert f"trueup plan {lost}" in told
    assert run(["plan", str(lost)]) == 0
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_a_recovery_as_json(lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["recover", str(lost), "--output", "json"]) == 1
    assert "nobody can be asked" in capsys.readouterr().out
    assert run(["recover", str(lost), "--yes", "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check(document, "recover-v1")
    assert document["takenOver"] is True
    assert document["run"] == 2
    assert [each["declared"] for each in document["found"]] == [True, True]
    assert document["missing"] == document["leftOut"] == document["refusals"] == []
    assert run(["recover", str(lost), "--yes", "--installation", "nobody"]) == 1
    assert "nothing carries the stack's marker by installation nobody" in capsys.readouterr().err


def test_agreeing_beforehand_takes_over_nothing_that_is_not_remembered(
    lost: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    capsys.readouterr()
    assert run(["recover", str(lost), "--yes"]) == 1
    told = capsys.readouterr()
    assert "This machine remembers nothing of it" in told.out
    assert "another store may be managing its objects" in told.err
    installation = told.out.split("Markers of installation ")[1].split(",")[0]
    run(["plan", str(lost)])
    assert "store-lost: " in capsys.readouterr().out, "nothing was taken over"
    assert run(["recover", str(lost), "--yes", "--installation", installation]) == 0
    assert run(["plan", str(lost)]) == 0


def test_commands_that_make_no_store_notice_a_lost_one_by_what_is_remembered(
    lost: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(lost.parent / "live" / "www")
    for command in (["plan"], ["status"], ["drift"], ["why", "File/index", "--source"]):
        capsys.readouterr()
        run([*command, str(lost)])
        assert "store-lost: " in capsys.readouterr().out
    assert not (lost.parent / "state.db").exists()


def test_a_recovery_that_fails_says_of_the_store_alone_how_it_is() -> None:
    refused = Recovery(
        "shop", Revision("url", "", "c0ffee"), "abc", False, True, refusals=("File/index is in doubt",)
    )
    told = [line.plain for line in render_end(refused, "trueup plan shop")]
    assert told == ["", "Nothing was recovered. The store is as it was:", "  File/index is in doubt"]
