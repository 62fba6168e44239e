"""Replacements by an object of another name: in both orders, with failures in every place, and at rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.reconcile.report import RunReport, Selection
from trueup.sdk import Traits
from trueup.sdk.testing.memory_kinds import Named
from trueup.sdk.testing.memory_world import Fault

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop

FIRST = {"replace": "createFirst"}


def results(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.result.value for outcome in report.outcomes}


def messages(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.message for outcome in report.outcomes if outcome.message}


def declare(loop: Loop, name: str, lifecycle: Mapping[str, Any] = FIRST, size: int = 1) -> None:
    """The one resource of these tests, called `name` on its system."""
    loop.declare("app", {"name": name, "size": size}, kind="Named", lifecycle=dict(lifecycle))


def writes(loop: Loop) -> list[str]:
    return [f"{call.verb} {call.key}" for call in loop.world.calls() if call.is_write]


def expect_rest(loop: Loop, *keys: str) -> None:
    """Nothing to do, the objects are exactly those, and the row leads to the one of this node."""
    before, records = loop.world.count_writes(), loop.records()
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert set(results(report).values()) <= {"unchanged", "skipped"}
    assert loop.world.count_writes() == before
    assert loop.records() == records
    assert loop.world.list_keys() == sorted(keys)
    for record in records.values():
        assert record.replacing == {}
        assert record.external_id
    assert not loop.app.store.open_intents("shop")


@pytest.fixture
def app(loop: Loop) -> Loop:
    """Named/app, called `a` on its system."""
    declare(loop, "a")
    loop.run()
    expect_rest(loop, "Named/a")
    return loop


def test_the_new_object_is_there_before_the_old_one_goes(app: Loop) -> None:
    declare(app, "b")
    change = app.plan().changes[0]
    assert (change.action, [field.path for field in change.fields]) == (Action.REPLACE, ["/spec/name"])
    assert change.reasons[-1] == "the new one is made before the old one goes"
    assert results(app.run()) == {"app": "replaced"}
    assert writes(app)[-2:] == ["create Named/b", "delete Named/a"]
    expect_rest(app, "Named/b")


def test_without_it_the_old_object_goes_first(app: Loop) -> None:
    declare(app, "b", lifecycle={})
    assert results(app.run()) == {"app": "replaced"}
    assert writes(app)[-2:] == ["delete Named/a", "create Named/b"]
    expect_rest(app, "Named/b")


def test_dependents_have_the_new_values_before_the_old_object_goes(app: Loop) -> None:
    app.declare("user", {"value": "${{ ref('Named/app').status.id }}"})
    app.run()
    declare(app, "b")
    assert results(app.run()) == {"app": "replaced", "user": "updated"}
    assert writes(app)[-3:] == ["create Named/b", "update Thing/user", "delete Named/a"]
    entry = app.world.peek("Named/b")
    assert entry is not None
    assert app.spec("Thing/user") == {"value": entry["id"]}
    expect_rest(app, "Named/b", "Thing/user")


def test_the_old_object_stays_while_a_dependent_could_not_be_changed(app: Loop) -> None:
    app.declare("user", {"value": "${{ ref('Named/app').status.id }}"})
    app.run()
    declare(app, "b")
    app.world.inject(Fault("update", "Invalid"))
    report = app.run()
    assert results(report) == {"app": "replaced", "user": "failed"}
    assert "the old object is kept" in messages(report)["app"]
    assert app.world.list_keys() == ["Named/a", "Named/b", "Thing/user"]
    change = app.plan().changes[0]
    assert change.action is Action.REPLACE
    assert change.reasons[-1].endswith("which it replaces, is still there")
    assert results(app.run()) == {"app": "replaced", "user": "updated"}
    assert writes(app)[-2:] == ["update Thing/user", "delete Named/a"]
    expect_rest(app, "Named/b", "Thing/user")


def test_the_old_object_stays_for_a_dependent_that_is_no_part_of_the_run(app: Loop) -> None:
    app.declare("user", {"value": "${{ ref('Named/app').status.id }}"})
    app.run()
    declare(app, "b")
    report = app.run(Selection(only=("Named/app",)))
    assert results(report) == {"app": "replaced"}
    assert "was no part of this run" in messages(report)["app"]
    assert app.world.list_keys() == ["Named/a", "Named/b", "Thing/user"]
    app.run()
    expect_rest(app, "Named/b", "Thing/user")


def test_an_old_object_that_cannot_be_deleted_is_tried_again(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied", times=2))
    report = app.run()
    assert report.status is RunStatus.FAILED
    assert results(report) == {"app": "failed"}
    assert results(app.run()) == {"app": "failed"}
    assert app.world.list_keys() == ["Named/a", "Named/b"]
    assert results(app.run()) == {"app": "replaced"}
    expect_rest(app, "Named/b")
    assert [line for line in writes(app) if line.startswith("create")] == ["create Named/a", "create Named/b"]


def test_a_new_object_that_is_refused_leaves_the_old_one(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("create", "Invalid"))
    assert results(app.run()) == {"app": "failed"}
    assert app.world.list_keys() == ["Named/a"]
    assert results(app.run()) == {"app": "replaced"}
    expect_rest(app, "Named/b")


def test_a_replacement_that_git_takes_back_keeps_the_old_object(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied"))
    app.run()
    kept = app.world.peek("Named/a")
    assert app.world.list_keys() == ["Named/a", "Named/b"]
    declare(app, "a")
    # The row leads to b by now, so b is what goes, and a is taken up again.
    assert results(app.run()) == {"app": "replaced"}
    assert app.world.peek("Named/a") == kept
    expect_rest(app, "Named/a")


def test_a_refused_replacement_that_git_takes_back_changes_nothing(app: Loop) -> None:
    kept = app.world.peek("Named/a")
    declare(app, "b")
    app.world.inject(Fault("create", "Invalid"))
    app.run()
    declare(app, "a")
    app.run()
    assert app.world.peek("Named/a") == kept
    expect_rest(app, "Named/a")


def test_a_third_name_leaves_neither_of_the_others(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied"))
    app.run()
    declare(app, "c")
    assert results(app.run()) == {"app": "replaced"}
    expect_rest(app, "Named/c")


def test_a_third_name_after_a_lost_create_leaves_neither_of_the_others(app: Loop) -> None:
    declare(app, "b")
    # It was made, and the answer says that it was not.
    app.world.inject(Fault("create", "Invalid", "after"))
    assert results(app.run()) == {"app": "failed"}
    assert app.world.list_keys() == ["Named/a", "Named/b"]
    declare(app, "c")
    assert results(app.run()) == {"app": "replaced"}
    expect_rest(app, "Named/c")


@pytest.mark.parametrize("lifecycle", [{}, FIRST])
def test_what_leaves_git_in_the_middle_is_deleted_with_both_objects(
    app: Loop, lifecycle: Mapping[str, Any]
) -> None:
    app.declare("other", {})
    declare(app, "b", lifecycle)
    app.world.inject(Fault("create", "Invalid", "after", key="Named/b"))
    app.run()
    app.undeclare("app", "Named")
    assert results(app.run()) == {"app": "deleted", "other": "unchanged"}
    expect_rest(app, "Thing/other")


def test_an_orphan_leaves_both_objects_without_our_marker(app: Loop) -> None:
    app.declare("other", {})
    declare(app, "b", {**FIRST, "onDelete": "orphan"})
    app.world.inject(Fault("delete", "Denied"))
    app.run()
    app.undeclare("app", "Named")
    assert results(app.run()) == {"app": "forgotten", "other": "unchanged"}
    for key in ("Named/a", "Named/b"):
        entry = app.world.peek(key)
        assert entry is not None
        assert entry["owner"] is None


def test_protection_keeps_both_objects(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied"))
    app.run()
    declare(app, "b", {**FIRST, "protect": True})
    report = app.run()
    assert results(report) == {"app": "failed"}
    assert "protect: true forbids to finish" in messages(report)["app"]
    assert app.world.list_keys() == ["Named/a", "Named/b"]
    declare(app, "b")
    app.run()
    expect_rest(app, "Named/b")


def test_an_old_object_that_somebody_else_has_taken_is_let_go(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied"))
    app.run()
    entry = app.world.peek("Named/a")
    assert entry is not None
    foreign = {**entry, "owner": ["other", "stack", "stack/Named/x@y"]}
    app.world.put("Named/a", foreign)
    assert results(app.run()) == {"app": "unchanged"}
    assert app.world.peek("Named/a") == foreign
    expect_rest(app, "Named/a", "Named/b")


def test_an_old_object_that_cannot_be_read_is_not_taken_for_gone(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied"))
    app.run()
    app.world.inject(Fault("observe", "Denied", skip=1))
    report = app.run()
    assert results(report) == {"app": "failed"}
    assert "cannot be read" in messages(report)["app"]
    app.run()
    expect_rest(app, "Named/b")


def test_a_name_that_stays_cannot_live_twice(loop: Loop) -> None:
    loop.declare("a", {"zone": "x"}, lifecycle=FIRST)
    loop.run()
    loop.declare("a", {"zone": "y"}, lifecycle=FIRST)
    change = loop.plan().changes[0]
    assert (change.action, [field.path for field in change.fields]) == (Action.UNKNOWN, ["/spec/zone"])
    assert "has to live beside the old one, which has the same name" in change.problem
    assert "replace: allow" in change.hint
    report = loop.run()
    assert (report.status, results(report)) == (RunStatus.FAILED, {"a": "failed"})
    assert loop.spec("Thing/a") == {"zone": "x"}
    loop.declare("a", {"zone": "y"})
    assert results(loop.run()) == {"a": "replaced"}


def test_a_foreign_object_under_the_new_name_is_left_alone(app: Loop) -> None:
    foreign = {"id": "x", "version": 1, "owner": None, "spec": {"name": "b"}}
    app.world.put("Named/b", foreign)
    declare(app, "b")
    assert results(app.run()) == {"app": "failed"}
    assert app.world.peek("Named/b") == foreign
    assert app.world.list_keys() == ["Named/a", "Named/b"]


def test_a_replacement_counts_against_the_budget_until_it_is_finished(app: Loop) -> None:
    app.write_stack(guards={"maxDeletes": 0})
    declare(app, "b")
    plan = app.plan()
    assert [hold.guard for hold in plan.holds] == ["deletion-budget"]
    assert app.run().status is RunStatus.HELD
    app.world.inject(Fault("delete", "Denied"))
    assert app.run(approved=plan.digest).status is RunStatus.FAILED
    again = app.plan()
    assert [hold.guard for hold in again.holds] == ["deletion-budget"]
    assert again.digest != plan.digest
    assert app.run(approved=again.digest).status is RunStatus.CONVERGED
    expect_rest(app, "Named/b")


def test_a_name_that_is_known_late_is_replaced_too(loop: Loop) -> None:
    loop.declare("base", {"zone": "x"})
    loop.declare("app", {"name": "${{ ref('Thing/base').status.id }}"}, kind="Named", lifecycle=FIRST)
    loop.run()
    loop.declare("base", {"zone": "y"})
    report = loop.run()
    assert results(report) == {"base": "replaced", "app": "replaced"}
    entry = loop.world.peek("Thing/base")
    assert entry is not None
    expect_rest(loop, "Thing/base", f"Named/{entry['id']}")


def test_an_update_that_is_left_over_comes_with_the_rest_of_the_replacement(app: Loop) -> None:
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied"))
    app.run()
    declare(app, "b", size=5)
    assert results(app.run()) == {"app": "replaced"}
    assert app.spec("Named/b")["size"] == 5
    expect_rest(app, "Named/b")


def test_what_it_triggers_is_refreshed_once(app: Loop) -> None:
    app.declare("web", {}, kind="Runner", lifecycle={"triggers": ["Named/app"]})
    app.run()
    declare(app, "b")
    assert results(app.run()) == {"app": "replaced", "web": "updated"}
    entry = app.world.peek("Runner/web")
    assert entry is not None
    assert entry["refreshes"] == 1
    expect_rest(app, "Named/b", "Runner/web")


@pytest.mark.parametrize("lifecycle", [{}, FIRST])
@pytest.mark.parametrize("fault", ["", "create", "delete"])
def test_an_object_gets_another_address_and_another_name_at_once(
    app: Loop, lifecycle: Mapping[str, Any], fault: str
) -> None:
    app.undeclare("app", "Named")
    spec = {"name": "b", "size": 1}
    app.declare("next", spec, kind="Named", lifecycle={**lifecycle, "movedFrom": ["Named/app"]})
    if fault:
        app.world.inject(Fault(fault, "Invalid", "after" if fault == "create" else "before"))
        assert app.run().status is RunStatus.FAILED
    report = app.run()
    assert report.status is RunStatus.CONVERGED
    assert results(app.run()) == {"next": "unchanged"}
    expect_rest(app, "Named/b")


def test_a_run_that_is_stopped_before_the_old_object_goes_is_interrupted(app: Loop) -> None:
    app.declare("user", {"value": "${{ ref('Named/app').status.id }}"})
    app.run()
    declare(app, "b")
    finished = app.notes.finished

    def stop_after_user(outcome: Any) -> None:
        finished(outcome)
        if outcome.address.name == "user":
            app.stop.set()

    app.notes.finished = stop_after_user  # type: ignore[method-assign]
    report = app.run()
    assert report.status is RunStatus.INTERRUPTED
    assert [address.name for address in report.left] == ["app"]
    assert app.world.list_keys() == ["Named/a", "Named/b", "Thing/user"]
    app.stop.clear()
    app.notes.finished = finished  # type: ignore[method-assign]
    assert app.run().status is RunStatus.CONVERGED
    expect_rest(app, "Named/b", "Thing/user")


def test_many_old_objects_go_in_one_run(loop: Loop) -> None:
    loop.write_stack(guards={"maxDeletes": 50})
    for prefix in ("old", "new"):
        for index in range(12):
            spec = {"name": f"{prefix}-{index}"}
            loop.declare(f"app-{index}", spec, kind="Named", lifecycle=FIRST)
        assert loop.run().status is RunStatus.CONVERGED
    expect_rest(loop, *(f"Named/new-{index}" for index in range(12)))


@pytest.mark.parametrize("order", ["allow", "createFirst"])
def test_an_object_without_our_marker_is_never_replaced(loop: Loop, order: str) -> None:
    foreign = {"id": "theirs", "version": 1, "owner": None, "spec": {"zone": "a"}}
    loop.world.put("Vault/db", foreign)
    loop.declare("db", {"zone": "b"}, kind="Vault", lifecycle={"adopt": True, "replace": order})
    plan = loop.plan()
    assert [change.action for change in plan.changes] == [Action.UNKNOWN]
    assert "does not carry our marker" in plan.changes[0].problem
    assert results(loop.run(approved=plan.digest)) == {"db": "failed"}
    assert loop.world.peek("Vault/db") == foreign
    assert not loop.records()
    loop.declare("db", {"zone": "a"}, kind="Vault", lifecycle={"adopt": True, "replace": order})
    assert results(loop.run()) == {"db": "adopted"}


def test_the_old_object_stays_while_a_protected_one_that_left_git_uses_it(app: Loop) -> None:
    value = {"value": '${{ ref("Named/app").spec.name }}'}
    app.declare("user", value, lifecycle={"protect": True})
    app.run()
    app.undeclare("user")
    declare(app, "b")
    report = app.run()
    assert messages(report)["app"] == "the old object is kept: shop/Thing/user@here uses it, and is skipped"
    assert app.world.list_keys() == ["Named/a", "Named/b", "Thing/user"]
    app.declare("user", value)
    assert results(app.run()) == {"app": "replaced", "user": "updated"}
    expect_rest(app, "Named/b", "Thing/user")


def leave_old(app: Loop) -> None:
    """The replacement of `a` by `b` is begun, and `a` could not be deleted."""
    declare(app, "b")
    app.world.inject(Fault("delete", "Denied"))
    assert results(app.run()) == {"app": "failed"}
    assert app.world.list_keys() == ["Named/a", "Named/b"]


def test_a_move_does_not_hide_that_an_old_object_is_still_to_be_deleted(app: Loop) -> None:
    leave_old(app)
    app.write_stack(guards={"maxDeletes": 0})
    app.undeclare("app", "Named")
    app.declare("web", {"name": "b", "size": 1}, kind="Named", lifecycle={"movedFrom": ["Named/app"]})
    plan = app.plan()
    assert plan.changes[-1].action is Action.FORGET
    assert plan.changes[-1].reasons[-1].endswith("which it replaces, is deleted")
    assert [hold.guard for hold in plan.holds] == ["deletion-budget"]
    assert app.run().status is RunStatus.HELD
    assert app.run(approved=plan.digest).status is RunStatus.CONVERGED
    expect_rest(app, "Named/b")


def test_an_old_object_that_is_protected_by_now_outlives_its_resource(app: Loop) -> None:
    leave_old(app)
    declare(app, "b", {**FIRST, "protect": True})
    assert results(app.run()) == {"app": "failed"}
    app.world.put("Named/b", None)
    app.undeclare("app", "Named")
    report = app.run()
    assert results(report) == {"app": "skipped"}
    assert "is protected" in messages(report)["app"]
    assert app.destroy().status is RunStatus.FAILED
    assert app.world.list_keys() == ["Named/a"]


def test_an_old_object_that_another_resource_names_by_now_is_kept(app: Loop) -> None:
    leave_old(app)
    app.undeclare("app", "Named")
    app.declare("web", {"name": "a", "size": 1}, kind="Named")
    report = app.run()
    assert results(report) == {"web": "failed", "app": "failed"}
    assert "is what shop/Named/web@here names by now" in messages(report)["app"]
    assert app.world.list_keys() == ["Named/a", "Named/b"]
    app.declare("web", {"name": "a", "size": 1}, kind="Named", lifecycle={"adopt": True})
    assert results(app.run()) == {"web": "adopted", "app": "failed"}
    assert results(app.run()) == {"web": "unchanged", "app": "deleted"}
    expect_rest(app, "Named/a")


@pytest.mark.parametrize("order", ["allow", "createFirst"])
@pytest.mark.parametrize("owner", [None, ["elsewhere", "shop", "shop/Named/app@here"]])
def test_nothing_is_deleted_for_a_new_name_that_is_taken(
    app: Loop, order: str, owner: list[str] | None
) -> None:
    other = {"id": "theirs", "version": 1, "owner": owner, "spec": {"name": "b"}}
    app.world.put("Named/b", other)
    declare(app, "b", {"replace": order})
    before = app.world.count_writes()
    report = app.run()
    assert results(report) == {"app": "failed"}
    assert "has the new name already" in messages(report)["app"]
    assert app.world.count_writes() == before
    assert app.world.peek("Named/b") == other
    declare(app, "a", {"replace": order})
    expect_rest(app, "Named/a", "Named/b")


def test_nothing_is_deleted_for_a_new_name_that_cannot_be_looked_at(app: Loop) -> None:
    declare(app, "b", {"replace": "allow"})
    app.world.inject(Fault("observe", "Denied", skip=1))
    assert "cannot be read" in messages(app.run())["app"]
    assert app.world.list_keys() == ["Named/a"]
    assert results(app.run()) == {"app": "replaced"}
    expect_rest(app, "Named/b")


def test_an_approval_of_a_replacement_counts_for_its_order_alone(app: Loop) -> None:
    digests = set()
    for order in ("allow", "createFirst"):
        declare(app, "b", {"replace": order})
        digests.add(app.plan().digest)
    assert len(digests) == 2


def test_what_is_left_of_one_replacement_covers_no_second_one(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan shows the old object that has to go; that the new one has to go as well, it does not."""
    loop.declare("source", {"size": 1})
    loop.run()
    loop.edit("Thing/source", zone="a")
    name = {"name": '${{ ref("Thing/source").spec.zone }}'}
    loop.declare("app", name, kind="Named", lifecycle=FIRST)
    loop.run()
    loop.edit("Thing/source", zone="b")
    loop.world.inject(Fault("delete", "Denied"))
    loop.run()
    assert loop.world.list_keys() == ["Named/a", "Named/b", "Thing/source"]
    loop.declare("source", {"size": 2})
    monkeypatch.setattr(loop.notes, "planned", lambda _plan: loop.edit("Thing/source", zone="c"))
    report = loop.run()
    assert "which the plan did not say" in messages(report)["app"]
    assert loop.world.list_keys() == ["Named/a", "Named/b", "Thing/source"]
    monkeypatch.undo()
    assert results(loop.run())["app"] == "replaced"
    expect_rest(loop, "Named/c", "Thing/source")


class Unit(Named):
    """Named, and may be there without us, as a service is that is renamed to another one."""

    name = "Unit"
    traits = Traits(shared=True)


def test_a_shared_object_that_is_there_already_can_take_the_place_of_another_one(loop: Loop) -> None:
    loop.provider._by_name[Unit.api_version, Unit.name] = Unit()
    loop.declare("app", {"name": "a"}, kind="Unit")
    loop.run()
    loop.world.put("Unit/b", {"id": "packaged", "version": 1, "owner": None, "spec": {"name": "b"}})
    loop.declare("app", {"name": "b"}, kind="Unit")
    assert results(loop.run()) == {"app": "replaced"}
    entry = loop.world.peek("Unit/b")
    assert entry is not None
    assert entry["id"] == "packaged"
    expect_rest(loop, "Unit/b")
