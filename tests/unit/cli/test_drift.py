from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.drift import drift_document, exit_code, render_drift
from trueup.errors import Place
from trueup.model.address import Address
from trueup.model.change import Action, Change, FieldChange
from trueup.model.resource import Node, Target
from trueup.model.values import Sensitive
from trueup.reconcile.drift import DriftedNode, DriftReport
from trueup.reconcile.suggest import Edit, Suggestion
from trueup.sdk.testing.memory import Thing
from trueup.state.store import Record


def node_of(change: Change, line: int, *, is_gone: bool = False) -> DriftedNode:
    of = change.address
    node = Node(of, "v1", Target(of.target, "memory"), {}, place=Place("web.yaml", line, 1))
    record = Record(of, "v1", {}, "f", "id", {})
    seen = None if is_gone else samples.seen(of)
    return DriftedNode(node, change, Thing(), record, seen, is_reported=change.action is Action.NONE)


def report() -> DriftReport:
    """One node of each sort."""
    by = "kubectl-edit\x1b[2J (Update) at 2026-11-25T17:04:05Z"
    web = samples.updated().address
    fields = (
        FieldChange("/spec/replicas", 5, 3, by=by),
        FieldChange("/spec/password", Sensitive("a"), Sensitive("b"), sensitive=True),
        FieldChange("/spec/config", "one\ntwo\n", "one\n2\n", by=by),
    )
    edited = Change(web, Action.UPDATE, fields, ("it was changed outside of Git",), is_drift=True)
    gone = Change(samples.address("gone"), Action.CREATE, is_drift=True)
    nodes = (
        node_of(edited, 4),
        node_of(samples.reported(), 12),
        node_of(gone, 20, is_gone=True),
        node_of(samples.refused(), 28),
    )
    plan = samples.plan_of(*(each.change for each in nodes), samples.unseen(), samples.unchanged("a"))
    return DriftReport(plan, nodes, plan.failures)


def suggested() -> dict[Address, Sequence[Suggestion]]:
    """What could be said to them."""
    place = Place("web.yaml", 9, 3)

    def ways(path: str, value: str, note: str = "") -> Suggestion:
        ignore = Edit(Place("web.yaml", 4, 1), f"lifecycle:\n  ignore:\n    - {path}\n")
        return Suggestion(path, ignore, Edit(place, value, note=note) if value else None)

    web, reported, gone, refused = (each.node.address for each in report().nodes)
    return {
        web: [
            ways("/spec/replicas", "spec:\n  replicas: 5\n", "an expression stands there"),
            ways("/spec/password", ""),
            ways("/spec/config", "spec:\n  config: |\n    one\x1b[2J\n    two\n"),
        ],
        reported: [Suggestion("/spec/mode", None, Edit(place, "spec:\n  mode: x\n", is_removal=True))],
        gone: [Suggestion("", None, Edit(place, "", is_removal=True, note="the resource as a whole"))],
        refused: [Suggestion("/spec/BucketName", None, None)],
    }


def test_drift_of_each_sort_reads_like_this() -> None:
    samples.check_snapshot("drift.txt", samples.render(render_drift(report(), {})))


def test_with_suggestions_it_reads_like_this() -> None:
    samples.check_snapshot("drift-suggest.txt", samples.render(render_drift(report(), suggested())))


def test_as_json_it_is_as_the_schema_says() -> None:
    document = json.loads(json.dumps(drift_document(report(), suggested())))
    check(document, "drift-v1")
    assert [node["state"] for node in document["nodes"]] == ["drifted", "drifted", "gone", "drifted"]
    assert document["nodes"][0]["fields"][0]["by"].startswith("kubectl-edit")
    assert [failure["address"] for failure in document["failures"]] == [
        samples.refused().address.text,
        samples.unseen().address.text,
    ]
    plain = json.loads(json.dumps(drift_document(report(), None)))
    check(plain, "drift-v1")
    assert "suggestions" not in plain["nodes"][0]


def test_what_could_not_be_judged_counts_more_than_drift() -> None:
    found = report()
    assert exit_code(found) == 1
    assert exit_code(replace(found, failures=())) == 2
    assert exit_code(replace(found, nodes=(), failures=())) == 0


def test_the_command_shows_drift_and_leaves_it(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(stack.parent / "s.db")]
    assert run(["reconcile", "stack", *store, "--yes"]) == 0
    capsys.readouterr()
    assert run(["drift", "stack", *store]) == 0
    assert "No drift in 2 resources." in capsys.readouterr().out
    page = stack.parent / "live/www/index.html"
    page.write_text("by hand\n")
    assert run(["drift", "stack", *store, "--output", "json", "--suggest"]) == 2
    document = json.loads(capsys.readouterr().out)
    check(document, "drift-v1")
    (node,) = document["nodes"]
    assert (node["address"], node["place"]) == ("shop/File/index@here", "site.yaml:6:1")
    (suggestion,) = node["suggestions"]
    assert suggestion["ignore"]["yaml"] == "lifecycle:\n  ignore:\n    - /spec/content\n"
    assert (suggestion["accept"]["yaml"], suggestion["accept"]["place"]) == (
        "spec:\n  content: |\n    by hand\n",
        "site.yaml:11:3",
    )
    assert run(["drift", "stack", *store]) == 2
    assert "written at" in capsys.readouterr().out
    assert page.read_text() == "by hand\n"
    # What Git changes itself is no drift.
    assert run(["reconcile", "stack", *store, "--yes"]) == 0
    site = stack / "site.yaml"
    site.write_text(site.read_text().replace("hello", "hi"))
    assert run(["drift", "stack", *store]) == 0


def test_drift_in_quarantine_is_drift_and_named() -> None:
    nodes = (node_of(samples.quarantined(), 4),)
    found = DriftReport(samples.plan_of(samples.quarantined()), nodes, ())
    text = samples.render(render_drift(found, {}))
    assert r"  ! shop/File/motd@web-1  drifted; quarantined until 2026-11-25 18:10:00Z: cron\x1b[2J" in text
    assert exit_code(found) == 2
    document = json.loads(json.dumps(drift_document(found, None)))
    check(document, "drift-v1")
    assert document["nodes"][0]["quarantine"]["writer"] == "cron\x1b[2J"
