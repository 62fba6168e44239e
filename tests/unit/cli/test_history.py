from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.past_samples import make_past
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.history import render_history


def test_the_runs_of_a_stack_read_like_this(tmp_path: Path) -> None:
    store = make_past(tmp_path)
    samples.check_snapshot("history.txt", samples.render(render_history("shop", store.runs("shop"))))
    assert samples.render(render_history("blog", [])) == "blog has no runs yet\n"


def test_a_stack_that_the_store_knows_needs_no_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_past(tmp_path).close()
    monkeypatch.chdir(tmp_path)
    store = str(tmp_path / "past.db")
    assert run(["history", "shop", "--store", store, "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check(document, "history-v1")
    assert [each["run"] for each in document["runs"]] == [4, 3, 2, 1]
    assert (document["runs"][0]["status"], document["runs"][0]["finishedAt"]) == (None, None)
    assert document["runs"][2]["approvedBy"] == "eve@desk"
    assert run(["history", "shop", "--store", store, "--limit", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run(["history", "blog", "--store", store]) == 1
    assert "blog" in capsys.readouterr().err


def test_the_stack_of_a_directory_is_found_by_its_name_inside(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(stack.parent / "s.db")
    assert run(["history", "stack", "--store", store]) == 0
    assert capsys.readouterr().out == "shop has no runs yet\n"
    assert run(["reconcile", "stack", "--store", store, "--yes"]) == 0
    capsys.readouterr()
    assert run(["history", "stack", "--store", store, "--output", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert (found["status"], found["trigger"], found["author"]) == ("converged", "once", None)
    assert found["counts"] == {"created": 2}


def test_a_stack_of_the_settings_is_found_by_its_own_name_or_else_by_that_of_the_settings(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stack.parent / "trueup.toml").write_text(
        'store = "s.db"\n[[stacks]]\nname = "web"\nlocation = "stack"\n'
        '[[stacks]]\nname = "shop"\nlocation = "stack"\n'
    )
    assert run(["reconcile", "web", "--yes"]) == 0
    capsys.readouterr()
    for name in ("web", "shop"):
        assert run(["history", name, "--output", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["stack"] == "shop"
    (stack / "stack.yaml").write_text("{")
    assert run(["history", "shop", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["stack"] == "shop"
    assert run(["history", "web"]) == 1


@pytest.mark.parametrize("ref", ["", "main"])
def test_what_happened_is_told_although_the_source_is_broken_now(
    stack: Path, monkeypatch: pytest.MonkeyPatch, ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(stack.parent / "cache"))
    shop = stack.rename(stack.parent / "shop")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *who, *arguments], cwd=shop, check=True)
    store = ["--store", str(stack.parent / "s.db")]
    assert run(["reconcile", "./shop", *(["--ref", ref] if ref else []), *store, "--yes"]) == 0
    (shop / "stack.yaml").write_text("{")
    subprocess.run(["git", *who, "commit", "-q", "-a", "-m", "Break it"], cwd=shop, check=True)
    capsys.readouterr()
    for source in ("shop", "./shop"):
        assert run(["history", source, *store, "--output", "json"]) == 0
        assert [each["run"] for each in json.loads(capsys.readouterr().out)["runs"]] == [1]
        assert run(["blame", "File/index", "--offline", "--source", source, *store]) == 0
        assert "run:      1, " in capsys.readouterr().out
        assert run(["events", source, *store]) == 0
        assert capsys.readouterr().out == "shop has no events yet\n"
    assert run(["validate", "shop"]) == 1


def test_of_several_stacks_from_a_broken_directory_none_is_picked(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stack / "stack.yaml"
    store = ["--store", str(stack.parent / "s.db")]
    assert run(["reconcile", "stack", *store, "--yes"]) == 0
    assert run(["destroy", "stack", *store, "--yes"]) == 0
    file.write_text(file.read_text().replace("name: shop", "name: other"))
    assert run(["reconcile", "stack", *store, "--yes"]) == 0
    file.write_text("{")
    assert run(["history", "stack", *store]) == 1
    assert "stack.yaml" in capsys.readouterr().err
    assert run(["history", "shop", *store]) == 0
