from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.past_samples import FIRST, START, make_past
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.blame import blame_document, render_blames
from trueup.model.change import MISSING, FieldChange
from trueup.model.outcome import Result
from trueup.reconcile.blame import Blame


def blames(folder: Path) -> list[Blame]:
    """One of each sort."""
    runs = {each.id: each for each in make_past(folder).runs("shop")}
    of = samples.updated().address
    field = FieldChange("/spec/replicas", 2, 3)
    approved = runs[2]
    whole = Blame(of, "", approved, 2, approved.commit, approved.started_at, "web.yaml:14:3", Result.UPDATED)
    return [
        replace(whole, field="spec.replicas", fields=[field]),
        replace(whole, drifted=[FieldChange("/spec/replicas", 7, 3)]),
        Blame(of, "", None, 1, FIRST, START, "web.yaml:14:3", None),
        Blame(of, "", None, 0, FIRST, START, "", None),
        Blame(of, "spec.paused", None, 0, "", 0.0, "web.yaml:14:3\x1b[2J", None),
        Blame(samples.deleted().address, "", approved, 2, approved.commit, START, "", Result.DELETED),
    ]


def test_answers_of_each_sort_read_like_this(tmp_path: Path) -> None:
    samples.check_snapshot("blame.txt", samples.render(render_blames(blames(tmp_path))))


def test_what_others_did_reads_as_it_is_now_and_not_as_a_change_to_come(tmp_path: Path) -> None:
    first = blames(tmp_path)[0]
    gone = samples.render(render_blames([replace(first, is_gone=True)]))
    assert gone.endswith("  deleted since then outside of Git: it is gone\n")
    drifted = [
        FieldChange("/spec/a", "hacked\n", "value 2\n", by="bo"),
        FieldChange("/spec/b", MISSING, 1),
        FieldChange("/spec/c", 1, MISSING),
        FieldChange("/spec/d", "s1", "s2", sensitive=True),
        FieldChange("/spec/e", "one\nhacked\n", "one\ntwo\n"),
    ]
    shown = samples.render(render_blames([replace(first, drifted=drifted)])).splitlines()
    start = shown.index("  changed since then outside of Git:")
    assert [line.rstrip() for line in shown[start + 1 :]] == [
        r'      ~ /spec/a  now "hacked\n", Git says "value 2\n"  # by bo',
        "      ~ /spec/b  gone, Git says 1",
        "      ~ /spec/c  now 1, it is not in Git",
        "      ~ /spec/d  now (sensitive), Git says (sensitive)",
        "      ~ /spec/e  - as Git says, + as it is now",
        "           one",
        "          -two",
        "          +hacked",
    ]


def test_as_json_they_are_as_the_schema_says(tmp_path: Path) -> None:
    document = json.loads(json.dumps(blame_document(blames(tmp_path))))
    check(document, "blame-v1")
    assert [node["runId"] for node in document["nodes"]] == [2, 2, 1, None, None, 2]
    assert document["nodes"][4]["run"] is None


def test_the_command_tells_the_run_and_what_was_changed_by_hand(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(stack.parent / "s.db")]
    assert run(["reconcile", "stack", *store, "--yes"]) == 0
    (stack.parent / "live/www/index.html").write_text("by hand\n")
    capsys.readouterr()
    question = ["blame", "File/index.spec.content", "--source", "stack", *store]
    assert run([*question, "--output", "json"]) == 0
    (node,) = json.loads(capsys.readouterr().out)["nodes"]
    assert (node["runId"], node["result"], node["place"]) == (1, "created", "site.yaml:11:3")
    assert [field["from"] for field in node["drifted"]] == ["by hand\n"]
    assert run([*question, "--offline"]) == 0
    assert "by hand" not in capsys.readouterr().out
    assert run(["blame", "File/index", "--source", "shop", "--offline", *store]) == 0
    assert "run:      1, " in capsys.readouterr().out
    assert run(["blame", "File/nothing", "--source", "stack", *store]) == 1
    assert "is or was called File/nothing" in capsys.readouterr().err
