from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.reconcile.test_plan_document import check

from trueup.app import NodeStatus, StackStatus
from trueup.cli import run
from trueup.cli.plan_text import WaysOut
from trueup.cli.status import describe_state, render_status
from trueup.model.change import Change
from trueup.model.observation import READY, Health, degraded, progressing
from trueup.model.outcome import RunStatus
from trueup.model.plan import Hold, Verdict
from trueup.state.store import Record, RunRecord

NOW = 1_800_000_000.0
WAYS = WaysOut("trueup approve shop D", "trueup reject shop D", "trueup reconcile shop --approve D")


def node(change: Change, health: Health | None = READY, applied: float | None = NOW - 7300) -> NodeStatus:
    record = None
    if applied is not None:
        record = Record(
            change.address, "v1", {}, "f", "id-1", {}, commit=samples.REVISION.commit, applied_at=applied
        )
    return NodeStatus(change, health, record)


NODES = (
    node(samples.unchanged("a")),
    node(samples.created(), None, None),
    node(samples.updated(), progressing("1 of 3 pods are ready\x1b[2J")),
    node(samples.drifted(), degraded("the service is failed")),
    node(samples.deleted()),
    node(samples.unseen(), None),
    node(samples.reported()),
)
RUN = RunRecord(
    7, "shop", "u", samples.REVISION.commit, "sha256:0", RunStatus.FAILED, NOW - 70, NOW - 65, {"failed": 1}
)
STATUS = StackStatus(samples.plan_of(*(found.change for found in NODES)), NODES, [RUN], "host-1:4711:ab")


def test_a_stack_with_one_of_everything_reads_like_this() -> None:
    samples.check_snapshot("status.txt", samples.render(render_status(STATUS, NOW, WAYS)))


def test_a_run_that_has_not_ended_is_under_way() -> None:
    running = RunRecord(8, "shop", "u", "c" * 40, "", None, NOW - 70)
    text = samples.render(render_status(StackStatus(STATUS.plan, NODES, [running], ""), NOW, WAYS))
    assert "last run: 8 (under way) 1 minute ago at cccccccccccc\n" in text
    assert "being reconciled by" not in text


def test_as_json_every_node_has_its_state(capsys: pytest.CaptureFixture[str]) -> None:
    engine = samples.PlayedEngine(STATUS.plan, status_found=STATUS)
    assert run(["status", "shop", "--output", "json"], engine=engine) == 0
    document = json.loads(capsys.readouterr().out)
    assert [found["state"] for found in document["nodes"]] == [
        "in sync",
        "missing",
        "differs",
        "drifted",
        "not in Git",
        "unknown",
        "drifted",
    ]
    check(document, "status-v1")
    assert document["leaseHolder"] == "host-1:4711:ab"
    assert document["runs"][0]["status"] == "failed"


def test_a_real_stack_is_missing_first_and_in_sync_after_a_run(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", str(stack)]) == 0
    assert "2 resources, 0 in sync\n" in capsys.readouterr().out
    assert run(["reconcile", str(stack), "--yes"]) == 0
    capsys.readouterr()
    assert run(["status", str(stack)]) == 0
    assert "2 resources, 2 in sync\n" in capsys.readouterr().out


def test_what_is_refused_is_not_unknown() -> None:
    assert describe_state(node(samples.refused(), None)) == "refused"
    assert describe_state(node(replace(samples.refused(), observed=None), READY)) == "refused"
    assert describe_state(node(samples.unseen(), None)) == "unknown"


def test_a_held_plan_is_shown_with_what_people_said_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    held = samples.plan_of(*(found.change for found in NODES), holds=[Hold("stateful", "it loses data")])
    text = samples.render(render_status(StackStatus(held, NODES, [RUN], ""), NOW, WAYS))
    assert "Held back. Nothing is done until" in text
    assert "  stateful: it loses data\n" in text
    assert "  trueup approve shop D\n" in text
    rejected = replace(held, decision=samples.decision(Verdict.REJECTED, "not today"))
    status = StackStatus(rejected, NODES, [RUN], "")
    engine = samples.PlayedEngine(rejected, status_found=status)
    assert run(["status", "shop", "--output", "json"], engine=engine) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["holds"] == [{"guard": "stateful", "message": "it loses data", "final": False}]
    assert document["decision"]["note"] == "not today"
    check(document, "status-v1")


def test_an_object_of_ours_that_a_run_could_not_write_down_is_ours_and_was_never_applied(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "s.db")
    assert run(["reconcile", str(stack), "--yes", "--store", store]) == 0
    with closing(sqlite3.connect(store)) as database:
        database.execute("UPDATE inventory SET external_id = '', checksum = ''")
        database.commit()
    capsys.readouterr()
    assert run(["status", str(stack), "--store", store, "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check(document, "status-v1")
    nodes = document["nodes"]
    assert [(found["state"], found["appliedAt"]) for found in nodes] == [("not recorded", None)] * 2
    assert run(["status", str(stack), "--store", store]) == 0
    assert " ago at " not in capsys.readouterr().out.partition("LAST APPLIED")[2]


def test_what_is_wrong_with_a_target_is_told_under_its_first_resource() -> None:
    nodes = [
        node(replace(samples.unseen(), address=samples.address(name, target="web-2")), None) for name in "abc"
    ]
    plan = samples.plan_of(*(found.change for found in nodes))
    text = samples.render(render_status(StackStatus(plan, nodes, [RUN], ""), NOW, WAYS))
    assert text.count("timed out") == 1
    assert "timed out (the same for 2 more on web-2)\n" in text
    assert text.count("unknown") == 3


def test_a_node_in_quarantine_has_a_state_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = (node(samples.quarantined()), node(samples.unchanged("a")))
    found = StackStatus(samples.plan_of(*(each.change for each in nodes)), nodes, [], "")
    text = samples.render(render_status(found, NOW, WAYS))
    assert "  quarantined  " in text
    assert r"    quarantined until 2026-11-25 18:10:00Z: cron\x1b[2J changes /spec/content again" in text
    assert "2 resources, 1 in sync" in text
    engine = samples.PlayedEngine(found.plan, status_found=found)
    assert run(["status", "shop", "--output", "json"], engine=engine) == 0
    document = json.loads(capsys.readouterr().out)
    check(document, "status-v1")
    assert document["nodes"][0]["quarantine"]["until"] == 1_795_630_200
    assert "quarantine" not in document["nodes"][1]
