from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.past_samples import START, make_past
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.why import Answers, render_reasons, why_document
from trueup.model.change import Change
from trueup.model.observation import READY, Health, progressing
from trueup.model.outcome import Result
from trueup.model.plan import Hold
from trueup.reconcile.reason import NodeState, Reasons
from trueup.state.store import Event, Pin, PinKind, Quarantine

NOW = START + 86_400
ANSWERS = Answers("trueup approve ./shop sha256:1", "trueup resume ./shop", "trueup recover ./shop")


def reasons(folder: Path) -> list[Reasons]:
    """One of each sort."""
    store = make_past(folder)

    def state(change: Change, health: Health | None = READY, *, is_over: bool = False) -> NodeState:
        past = [
            *store.past_steps(change.address, [Result.FAILED, Result.BLOCKED]),
            None,
        ]
        return NodeState(change.address, change, health, past[0], is_over)

    web, queue = state(samples.updated(), progressing("1 of 3 pods are ready")), state(samples.replaced())
    quarantine = Quarantine(samples.drifted().address, ("/spec/content",), "cron", 2, START, NOW + 1200)
    return [
        Reasons(state(samples.unchanged("a"))),
        Reasons(
            queue,
            holds=[Hold("deletion-budget", "2 deletes\x1b[2J")],
            next_try=Event("retry", "the daemon tries again at noon", at=NOW),
            paths=[[queue, web, state(samples.unseen(), None)]],
        ),
        Reasons(
            state(samples.drifted()),
            pin=Pin("shop", PinKind.PINNED, samples.REVISION.commit, "eve@desk", "bad \x1b deploy", START),
            quarantine=quarantine,
            lease_holder="host-1:4711:ab",
        ),
        Reasons(state(samples.reported())),
        Reasons(state(samples.updated(), is_over=True)),
    ]


def test_reasons_of_each_sort_read_like_this(tmp_path: Path) -> None:
    samples.check_snapshot("why.txt", samples.render(render_reasons(reasons(tmp_path), NOW, ANSWERS)))


def test_as_json_they_are_as_the_schema_says(tmp_path: Path) -> None:
    document = json.loads(json.dumps(why_document(reasons(tmp_path))))
    check(document, "why-v1")
    nodes = document["nodes"]
    assert [step["address"] for step in nodes[1]["paths"][0]] == [
        "shop/Deployment/prod/web@k3s",
        "shop/File/site@web-2",
    ]
    assert nodes[1]["lastError"]["run"]["run"] == 2
    assert nodes[2]["pin"]["kind"] == "pinned"
    assert nodes[4]["lastError"]["isOver"]


def test_the_command_follows_a_failure_to_its_root(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(stack.parent / "s.db")]
    (stack.parent / "live/www").write_text("a file is in the way")
    assert run(["reconcile", "stack", *store, "--yes"]) == 1
    capsys.readouterr()
    assert run(["why", "File/index", "--source", "stack", *store, "--output", "json"]) == 0
    (node,) = json.loads(capsys.readouterr().out)["nodes"]
    assert node["lastError"]["result"] == "blocked"
    assert [step["address"] for step in node["paths"][0]] == ["shop/Directory/www@here"]
    assert node["paths"][0][0]["lastError"]["result"] == "failed"
    assert run(["why", "File/nothing", "--source", "stack", *store]) == 1
    assert "nothing in the stack is called File/nothing" in capsys.readouterr().err


def test_what_no_approval_lifts_is_not_offered_one(tmp_path: Path) -> None:
    held = reasons(tmp_path)[1]
    final = replace(held, holds=[Hold("policy", "no", is_final=True)])
    shown = samples.render(render_reasons([final], NOW, ANSWERS))
    assert "  held back: policy: no\n  no approval lifts this\n" in shown
    assert "trueup approve" not in shown


def test_the_command_names_the_commands_that_answer(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(stack.parent / "s.db")]
    assert run(["reconcile", "stack", *store, "--yes"]) == 0
    file = stack / "stack.yaml"
    file.write_text(file.read_text() + "  allowEmpty: true\n")
    (stack / "site.yaml").unlink()
    assert run(["suspend", "stack", *store]) == 0
    capsys.readouterr()
    assert run(["plan", "stack", *store, "--output", "json"]) == 2
    digest = json.loads(capsys.readouterr().out)["digest"]
    assert run(["why", "File/index@here", "--source", "stack", *store]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f"  trueup approve stack {' '.join(store)} {digest}" in shown
    assert f"  trueup resume stack {' '.join(store)}" in shown
