from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli import samples

from trueup.app import NodeStatus, StackStatus
from trueup.cli import run
from trueup.cli.status import render_status
from trueup.model.change import Change
from trueup.model.observation import READY, Health, degraded, progressing
from trueup.model.outcome import RunStatus
from trueup.state.store import Record, RunRecord

NOW = 1_800_000_000.0


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
    samples.check_snapshot("status.txt", samples.render(render_status(STATUS, NOW)))


def test_a_run_that_has_not_ended_is_under_way() -> None:
    running = RunRecord(8, "shop", "u", "c" * 40, "", None, NOW - 70)
    text = samples.render(render_status(StackStatus(STATUS.plan, NODES, [running], ""), NOW))
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
