"""Who set a node or a field of it last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.unit.reconcile.conftest import Loop

from trueup.errors import UsageError
from trueup.model.address import Address
from trueup.model.change import MISSING, FieldChange
from trueup.model.outcome import Result
from trueup.reconcile.blame import Blame, find_blames, normalize_field, touches
from trueup.reconcile.drift import DriftedNode
from trueup.sdk.testing.memory_world import Fault


def blame(loop: Loop, text: str) -> Blame:
    """The one answer, by the inventory and a look at the objects."""

    def look(_addresses: Sequence[Address]) -> Mapping[Address, DriftedNode]:
        return {node.change.address: node for node in loop.app.drift(loop.source).nodes}

    (found,) = find_blames(loop.app.store, "shop", text, loop.app.load(loop.source).graph.nodes, look)
    return found


def test_the_run_that_changed_a_field_last_has_set_it(loop: Loop):
    loop.declare("a", {"size": 1, "text": "x"})
    first = loop.run().run
    loop.declare("a", {"size": 2, "text": "x"})
    second = loop.run()
    loop.run()
    size, text, whole = (blame(loop, f"Thing/a{field}") for field in (".spec.size", ".spec.text", ""))
    assert (size.run_id, size.result, size.commit) == (
        second.run,
        Result.UPDATED,
        second.plan.revision.commit,
    )
    assert [(field.before, field.after) for field in size.fields] == [(1, 2)]
    assert (text.run_id, text.result) == (first, Result.CREATED)
    assert (whole.run_id, whole.result, whole.fields) == (second.run, Result.UPDATED, ())
    assert whole.place == "Thing-a.yaml:1:1"
    assert {each.drifted for each in (size, text, whole)} == {()}


def test_a_field_that_nobody_has_set_yet_has_nobody_to_blame(loop: Loop):
    loop.declare("a", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 1, "text": "x", "tags": ["${{ git.commit }}"]})
    for field in ("text", "tags", "tags[0]"):
        found = blame(loop, f"Thing/a.spec.{field}")
        assert (found.run, found.run_id, found.commit, found.result) == (None, 0, "", None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Thing/a.spec.nope", "nothing is known of a field spec.nope of Thing/a"),
        ("Thing/a.spec.size.deeper", "nothing is known of a field"),
        ("Thing/a.spec[0", "nothing is known of a field"),
        ("Thing/a.spec.tags[1]", "nothing is known of a field"),
        ("Thing/a..", "a dot too many"),
        ("Thing/a.", "a dot too many"),
        ("Thing/a.spec..size", "a dot too many"),
    ],
)
def test_what_no_field_is_called_is_refused(loop: Loop, text: str, why: str):
    loop.declare("a", {"size": 1, "tags": ["x"]})
    loop.run()
    with pytest.raises(UsageError, match=why):
        blame(loop, text)


def test_what_was_set_before_an_object_was_replaced_counts_no_more(loop: Loop):
    loop.declare("a", {"size": 1, "text": "x"})
    loop.run()
    loop.world.put("Thing/a", None)
    again = loop.run().run
    assert blame(loop, "Thing/a.spec.text").run_id == again


def test_a_foreign_change_is_told_beside_the_run(loop: Loop):
    loop.declare("a", {"size": 1, "text": "x"})
    run = loop.run().run
    loop.edit("Thing/a", size=9)
    size, text = blame(loop, "Thing/a.spec.size"), blame(loop, "Thing/a.spec.text")
    assert size.run_id == text.run_id == run
    assert [(field.before, field.after) for field in size.drifted] == [(9, 1)]
    assert list(text.drifted) == []


def test_a_change_of_the_manifest_is_no_foreign_one(loop: Loop):
    loop.declare("a", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 2})
    assert list(blame(loop, "Thing/a.spec.size").drifted) == []


def test_a_foreign_change_is_told_where_git_has_changed_another_field(loop: Loop):
    loop.declare("a", {"size": 1, "text": "x"})
    loop.run()
    loop.edit("Thing/a", size=9)
    loop.declare("a", {"size": 1, "text": "y"})
    size, text = blame(loop, "Thing/a.spec.size"), blame(loop, "Thing/a.spec.text")
    assert [(field.before, field.after) for field in size.drifted] == [(9, 1)]
    assert list(text.drifted) == []


def test_of_an_object_that_somebody_deleted_it_is_told_that_it_is_gone(loop: Loop):
    loop.declare("a", {"size": 1})
    loop.run()
    assert not blame(loop, "Thing/a").is_gone
    loop.world.put("Thing/a", None)
    for text in ("Thing/a", "Thing/a.spec.size"):
        found = blame(loop, text)
        assert (found.is_gone, list(found.drifted)) == (True, [])


def test_a_failed_run_has_set_nothing(loop: Loop):
    loop.declare("a", {"size": 1})
    run = loop.run().run
    loop.declare("a", {"size": 2})
    store = loop.app.store
    loop.world.inject(Fault("update", key="Thing/a", error="Denied"))
    assert loop.run().status == "failed"
    (found,) = find_blames(store, "shop", "Thing/a.spec.size", {})
    assert found.run_id == run


def test_what_lies_in_a_secret_may_be_asked_for(loop: Loop):
    loop.declare("a", {"user": "u", "token": "t"}, kind="Secretive")
    loop.run()
    (found,) = find_blames(loop.app.store, "shop", "Secretive/a.spec.token.inner", {})
    assert (found.run, found.field) == (None, "spec.token.inner")
    with pytest.raises(UsageError, match="nothing is known of a field"):
        find_blames(loop.app.store, "shop", "Secretive/a.spec.user.inner", {})


def test_who_deleted_a_resource_is_found_by_its_full_address(loop: Loop):
    loop.declare("a", {"size": 1})
    loop.declare("b")
    loop.run()
    loop.undeclare("a")
    run = loop.run().run
    for text in ("shop/Thing/a@here", "Thing/a@here"):
        found = blame(loop, text)
        assert (found.run_id, found.result, found.place) == (run, Result.DELETED, "")
    for text in ("Thing/a", "Thing/never@here", "Thing"):
        with pytest.raises(UsageError, match="is or was called"):
            blame(loop, text)


def test_without_its_run_in_the_history_the_row_still_tells(loop: Loop):
    loop.declare("a", {"size": 1})
    report = loop.run()
    store = loop.app.store
    with store._database.engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("DELETE FROM runs")
    found = blame(loop, "Thing/a")
    assert (found.run, found.run_id, found.commit) == (None, report.run, report.plan.revision.commit)
    assert found.at > 0


@pytest.mark.parametrize(
    ("field", "before", "after", "asked", "expected"),
    [
        ("/spec/size", 1, 2, "spec.size", True),
        ("/spec/size", 1, 2, "spec", True),
        ("/spec/size", 1, 2, "spec.siz", False),
        ("/spec/size", 1, 2, "spec.size.x", False),
        ("/spec/labels", {"a": 1}, {"a": 1, "b": 2}, "spec.labels.b", True),
        ("/spec/labels", {"a": 1}, {"a": 1, "b": 2}, "spec.labels.a", False),
        ("/spec/labels", {"x.y/z": 1}, {"x.y/z": 2}, "spec.labels.x.y/z", True),
        ("/spec/ports", [{"n": 1}], [{"n": 2}, {"n": 3}], "spec.ports.0.n", True),
        ("/spec/ports", [{"n": 1}], [{"n": 1}, {"n": 3}], "spec.ports.0.n", False),
        ("/metadata/annotations/a.b~1c", "x", MISSING, "metadata.annotations.a.b/c", True),
        ("", {"spec": 1}, {"spec": 2}, "spec", True),
    ],
)
def test_a_change_touches_a_field(field: str, before: object, after: object, asked: str, expected: bool):
    assert touches(FieldChange(field, before, after), asked) is expected


def test_elements_of_lists_may_stand_in_brackets():
    assert normalize_field("spec.ports[0].name") == "spec.ports.0.name"


def test_what_was_done_under_a_former_address_counts(loop: Loop):
    loop.declare("a", {"name": "thing", "size": 1}, kind="Named")
    run = loop.run().run
    loop.undeclare("a", kind="Named")
    loop.declare("b", {"name": "thing", "size": 1}, kind="Named", lifecycle={"movedFrom": ["Named/a"]})
    moved = loop.run().run
    assert blame(loop, "Named/b.spec.size").run_id == run
    assert blame(loop, "Named/b").run_id == moved
