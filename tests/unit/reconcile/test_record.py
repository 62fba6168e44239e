"""What a run leaves in the history and in the inventory's rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.reconcile.conftest import Loop

from trueup.app import App
from trueup.model.outcome import RunStatus
from trueup.reconcile import record
from trueup.redaction import hide
from trueup.sdk.testing.memory import MemoryCatalog


def test_a_run_keeps_what_made_it_run_and_its_plan(loop: Loop):
    loop.declare("a", {"size": 1})
    once = loop.run().run
    again = loop.run(trigger="interval").run
    store = loop.app.store
    found = [(run.id, run.trigger, run.author, run.approved_by) for run in store.runs("shop")]
    assert found == [(again, "interval", "", ""), (once, "once", "", "")]
    plan = json.loads(store.plan_of(once))
    assert [change["action"] for change in plan["changes"]] == ["create"]
    assert json.loads(store.plan_of(again))["changes"] == []


def test_a_row_tells_from_where_and_in_which_run_it_was_applied_last(loop: Loop):
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": 1})
    first = loop.run()
    rows = loop.records()
    assert {name: row.run for name, row in rows.items()} == {"a": first.run, "b": first.run}
    assert rows["a"].place == "Thing-a.yaml:1:1"
    loop.declare("a", {"size": 2})
    second = loop.run()
    rows = loop.records()
    assert {name: row.run for name, row in rows.items()} == {"a": second.run, "b": first.run}
    assert rows["b"].commit == first.plan.revision.commit != rows["a"].commit


def test_a_row_that_is_only_refreshed_still_tells_who_set_it(loop: Loop):
    loop.declare("a", {"size": 1})
    first = loop.run()
    before = loop.records()["a"]
    loop.write_stack(targets=[{"name": "here", "provider": "memory", "labels": {"zone": "b"}}])
    loop.run()
    after = loop.records()["a"]
    assert after.target["labels"] == {"zone": "b"}
    assert (after.run, after.commit, after.applied_at) == (first.run, before.commit, before.applied_at)


def test_who_approved_is_kept_only_where_something_held_the_plan(loop: Loop):
    for name in "abcdefgh":
        loop.declare(name)
    quiet = loop.run(approved_by="bo@host")
    for name in "abcdefg":
        loop.undeclare(name)
    held = loop.run()
    assert held.status is RunStatus.HELD
    approved = loop.run(approved=held.plan.digest, approved_by="bo@host")
    found = {run.id: run.approved_by for run in loop.app.store.runs("shop")}
    assert found == {quiet.run: "", approved.run: "bo@host"}


def test_a_plan_that_is_too_large_is_left_out_and_its_steps_are_kept(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(record, "MAX_PLAN", 300)
    loop.declare("a", {"text": "x" * 300})
    run = loop.run().run
    assert loop.app.store.plan_of(run) == ""
    assert len(loop.app.store.steps(run)) == 1


def test_no_secret_is_in_the_plan_or_the_steps(loop: Loop):
    loop.declare("s", {"user": "u", "password": "canary-typed"}, kind="Secretive")
    hide("shop", ["canary-hidden"])
    loop.declare("a", {"text": "it is canary-hidden \\ it is"})
    run = loop.run().run
    plan = loop.app.store.plan_of(run)
    assert json.loads(plan)["changes"]
    assert "it is (sensitive)" in plan
    assert "canary" not in plan
    assert "canary" not in repr(loop.app.store.steps(run))


def test_the_settings_say_how_many_runs_are_kept(loop: Loop, tmp_path: Path):
    loop.declare("a")
    catalog = MemoryCatalog(loop.provider)
    with App(str(tmp_path / "few.db"), catalog=catalog, keep_runs=2) as app:
        runs = []
        for text in "xyxyxy":
            loop.declare("a", {"text": text})
            runs.append(app.reconcile(loop.source).run)
        # With the last one of each of the two commits that are older.
        assert [run.id for run in app.store.runs("shop")] == runs[:1:-1]
