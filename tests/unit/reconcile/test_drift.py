"""What counts as drift, found by the whole loop over a world in memory."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.unit.reconcile.conftest import Loop

from trueup.model.observation import Observed
from trueup.reconcile.drift import DriftedNode, DriftReport
from trueup.sdk.testing.memory import Thing
from trueup.sdk.testing.memory_world import Fault


def find(loop: Loop) -> DriftReport:
    return loop.app.drift(loop.source)


def fields(report: DriftReport) -> dict[str, list[tuple[str, Any, Any]]]:
    return {
        each.node.address.name: [(field.path, field.before, field.after) for field in each.fields]
        for each in report.nodes
    }


def test_what_is_as_it_was_applied_has_not_drifted(loop: Loop) -> None:
    loop.declare("a", {"value": 1})
    loop.declare("new", {"value": 1})
    loop.undeclare("new")
    loop.run()
    loop.declare("new", {"value": 1})
    report = find(loop)
    assert (report.nodes, report.failures) == ((), ())


def test_a_change_of_the_manifest_is_no_drift(loop: Loop) -> None:
    loop.declare("a", {"value": 1, "size": 3})
    loop.run()
    loop.declare("a", {"value": 2})
    assert find(loop).nodes == ()


def test_a_change_by_hand_is_drift_with_who_did_it(loop: Loop) -> None:
    loop.declare("a", {"value": 1, "size": 3})
    loop.run()
    loop.edit("Thing/a", value=2)
    loop.world.put("Thing/a", {**(loop.world.peek("Thing/a") or {}), "writers": {"/spec": "bo"}})
    report = find(loop)
    assert fields(report) == {"a": [("/spec/value", 2, 1)]}
    assert report.nodes[0].fields[0].by == "bo"
    assert not report.nodes[0].is_reported


def test_of_a_node_that_git_changed_as_well_only_what_moved_by_itself_is_drift(loop: Loop) -> None:
    loop.declare("a", {"value": 1, "size": 3, "tags": ["x"]})
    loop.run()
    loop.edit("Thing/a", value=2, tags=["y"])
    loop.world.put("Thing/a", {**(loop.world.peek("Thing/a") or {}), "writers": {"/spec": "bo"}})
    loop.declare("a", {"value": 1, "size": 4, "tags": ["z"]})
    report = find(loop)
    assert fields(report) == {"a": [("/spec/value", 2, 1)]}
    assert report.nodes[0].fields[0].by == "bo"


def test_a_secret_that_moved_by_itself_is_drift_when_git_changed_another_field(loop: Loop) -> None:
    loop.declare("a", {"user": "u", "token": "t"}, kind="Secretive")
    loop.run()
    loop.edit("Secretive/a", token="stolen")
    loop.declare("a", {"user": "v", "token": "t"}, kind="Secretive")
    report = find(loop)
    (field,) = report.nodes[0].fields
    assert (field.path, field.sensitive) == ("/spec/token", True)
    assert "stolen" not in repr(report)


def test_a_secret_that_git_changed_is_no_drift(loop: Loop) -> None:
    loop.declare("a", {"user": "u", "token": "t", "password": "p"}, kind="Secretive")
    loop.run()
    loop.declare("a", {"user": "u", "token": "new", "password": "q"}, kind="Secretive")
    assert find(loop).nodes == ()


def test_what_was_deleted_by_hand_is_gone(loop: Loop) -> None:
    loop.declare("a", {"value": 1})
    loop.run()
    loop.world.put("Thing/a", None)
    (node,) = find(loop).nodes
    assert (node.is_gone, node.fields) == (True, ())


@pytest.mark.parametrize("where", ["stack", "resource"])
def test_drift_that_is_only_reported_is_drift(loop: Loop, where: str) -> None:
    loop.write_stack(**({"drift": "report"} if where == "stack" else {}))
    for name in ("a", "b"):
        loop.declare(
            name, {"value": 1}, **({"lifecycle": {"drift": "report"}} if where == "resource" else {})
        )
    loop.run()
    loop.edit("Thing/a", value=2)
    loop.world.put("Thing/b", None)
    nodes = find(loop).nodes
    assert [(each.is_gone, each.is_reported) for each in nodes] == [(False, True), (True, True)]


def test_what_is_ignored_has_not_drifted(loop: Loop) -> None:
    loop.declare("a", {"value": 1}, lifecycle={"ignore": ["/spec/value"]})
    loop.run()
    loop.edit("Thing/a", value=2)
    assert find(loop).nodes == ()


def test_what_left_git_has_not_drifted(loop: Loop) -> None:
    loop.declare("a", {"value": 1})
    loop.run()
    loop.edit("Thing/a", value=2)
    loop.undeclare("a")
    assert find(loop).nodes == ()


def test_what_cannot_be_read_is_a_failure_and_no_drift(loop: Loop) -> None:
    loop.declare("a", {"value": 1})
    loop.run()
    loop.edit("Thing/a", value=2)
    loop.world.inject(Fault("observe", "Denied", times=9))
    report = find(loop)
    assert report.nodes == ()
    assert [change.address.name for change in report.failures] == ["a"]


def test_drift_that_a_run_must_not_correct_is_drift_and_a_failure(loop: Loop) -> None:
    loop.declare("a", {"zone": "x"}, lifecycle={"protect": True})
    loop.run()
    loop.edit("Thing/a", zone="y")
    report = find(loop)
    assert fields(report) == {"a": [("/spec/zone", "y", "x")]}
    assert [change.address.name for change in report.failures] == ["a"]


def test_a_kind_that_cannot_judge_what_was_applied_is_a_failure(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.declare("a", {"value": 1, "size": 3})
    loop.run()
    loop.edit("Thing/a", value=2)
    loop.declare("a", {"value": 1, "size": 4})
    judge = Thing.diff

    def diff(self: Thing, node: Any, observed: Any, recorded: Any) -> Any:
        if node.spec.get("size") == 3:
            raise KeyError("canary")
        return judge(self, node, observed, recorded)

    monkeypatch.setattr(Thing, "diff", diff)
    (failure,) = find(loop).failures
    assert "diff raised KeyError" in failure.problem
    assert "canary" not in failure.problem


def test_one_document_for_several_targets_is_told(loop: Loop) -> None:
    loop.write_stack(
        targets=[{"name": name, "provider": "memory", "labels": {"x": "y"}} for name in ("here", "there")]
    )
    loop.declare("a", {"value": 1}, targets={"names": ["here", "there"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Thing, "key", lambda _self, node: f"Thing/{node.address.target}-{node.name}")
        loop.run()
        loop.edit("Thing/there-a", value=2)
        (node,) = find(loop).nodes
    assert isinstance(node, DriftedNode)
    assert isinstance(node.observed, Observed)
    assert (node.node.address.target, node.siblings) == ("there", 1)
    assert yaml.safe_load((loop.folder / "stack/Thing-a.yaml").read_text())["targets"]


def test_the_plan_names_what_moved_beside_a_change_of_git_and_who_did_it(loop: Loop) -> None:
    loop.declare("a", {"value": 1, "size": 3, "text": "x"})
    loop.run()
    loop.edit("Thing/a", value=2)
    loop.world.put("Thing/a", {**(loop.world.peek("Thing/a") or {}), "writers": {"/spec": "bo"}})
    loop.declare("a", {"value": 1, "size": 4, "text": "x"})
    (change,) = loop.plan().changes
    assert change.reasons == ("the manifest changed", "/spec/value was changed outside of Git")
    assert not change.is_drift
    assert {field.path: field.by for field in change.fields} == {"/spec/size": "", "/spec/value": "bo"}
    loop.edit("Thing/a", text="y")
    (change,) = loop.plan().changes
    assert change.reasons[1:] == ("/spec/text and /spec/value were changed outside of Git",)
    assert loop.run().status == "converged"
    assert loop.spec("Thing/a") == {"value": 1, "size": 4, "text": "x"}


def test_the_plan_speaks_of_no_drift_where_git_alone_has_changed(loop: Loop) -> None:
    loop.declare("a", {"value": 1, "size": 3})
    loop.run()
    loop.declare("a", {"value": 2, "size": 3})
    (change,) = loop.plan().changes
    assert change.reasons == ("the manifest changed",)
    assert {field.by for field in change.fields} == {""}
