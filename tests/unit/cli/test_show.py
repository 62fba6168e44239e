from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.past_samples import make_past
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.show import render_past_run, show_document
from trueup.reconcile.history import find_run


def test_runs_of_each_sort_read_like_this(tmp_path: Path) -> None:
    store = make_past(tmp_path)
    parts = [samples.render(render_past_run(find_run(store, number))) for number in (1, 2, 3, 4)]
    samples.check_snapshot("show.txt", "\n".join(parts))


def test_as_json_a_run_has_its_plan_and_its_steps(tmp_path: Path) -> None:
    store = make_past(tmp_path)
    for number in (1, 2, 3, 4):
        document = show_document(find_run(store, number))
        check(json.loads(json.dumps(document)), "show-v1")
    document = show_document(find_run(store, 2))
    assert [step["result"] for step in document["steps"]] == ["deleted", "updated", "failed", "blocked"]
    assert [change["action"] for change in document["plan"]["changes"]] == [
        "update",
        "replace",
        "delete",
        "update",
    ]
    password = document["steps"][2]["fields"][3]
    assert password == {"path": "/spec/password", "from": None, "to": None, "sensitive": True}


def test_a_run_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_past(tmp_path).close()
    assert run(["show", "9", "--store", str(tmp_path / "past.db")]) == 1
    assert "there is no run 9 in the store" in capsys.readouterr().err
    for text in ("abc", "0", "9" * 30):
        assert run(["show", text]) == 1
        assert f"{text} is no number of a run" in capsys.readouterr().err


def test_the_store_of_the_settings_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_past(tmp_path).close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRUEUP_STORE", raising=False)
    (tmp_path / "trueup.toml").write_text('store = "past.db"\n')
    assert run(["show", "1"]) == 0
    assert capsys.readouterr().out.startswith("Run 1 of shop: converged in 4.0s\n")
