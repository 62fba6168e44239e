from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.past_samples import make_past
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.diff import diff_document, render_difference
from trueup.reconcile.history import compare_runs


def test_two_runs_side_by_side_read_like_this(tmp_path: Path) -> None:
    store = make_past(tmp_path)
    pairs = [(1, 2), (2, 3), (2, 2)]
    parts = [samples.render(render_difference(compare_runs(store, *pair))) for pair in pairs]
    samples.check_snapshot("diff.txt", "\n".join(parts))


def test_as_json_each_side_has_its_place(tmp_path: Path) -> None:
    store = make_past(tmp_path)
    document = json.loads(json.dumps(diff_document(compare_runs(store, 2, 3))))
    check(document, "diff-v1")
    nodes = {node["address"]: node for node in document["nodes"]}
    assert nodes["shop/Deployment/prod/web@k3s"]["results"] == ["failed", "updated"]
    assert nodes["shop/AWS::SQS::Queue/jobs@eu"]["results"] == ["blocked", None]
    first = nodes["shop/AWS::SQS::Queue/jobs@eu"]["fields"][0]
    assert (first["path"], first["changes"][1]) == ("/spec/FifoQueue", None)


def test_a_run_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_past(tmp_path).close()
    assert run(["diff", "1", "9", "--store", str(tmp_path / "past.db")]) == 1
    assert "there is no run 9 in the store" in capsys.readouterr().err
