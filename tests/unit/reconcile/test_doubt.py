"""A create whose answer is lost: what the next run makes of it, by how the kind's objects are found again."""

from __future__ import annotations

import pytest

from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Verdict
from trueup.reconcile.report import Selection
from trueup.sdk.testing.memory_world import Fault

QUIET = 3


def objects(loop, kind):
    return [loop.world.peek(key) for key in loop.world.list_keys() if key.startswith(f"{kind}/")]


def lose_answers(loop, kind, *verbs):
    for verb in verbs or ("create",):
        loop.world.inject(Fault(verb, "bug", moment="after"))
    report = loop.run()
    assert report.status is RunStatus.FAILED
    assert len(objects(loop, kind)) == 1


def expect_rest(loop, kind, spec):
    assert loop.run().status is RunStatus.CONVERGED
    writes = loop.world.count_writes()
    report = loop.run()
    assert (report.status, report.plan.has_changes) == (RunStatus.CONVERGED, False)
    assert loop.world.count_writes() == writes
    (entry,) = objects(loop, kind)
    assert entry["spec"] == spec
    (record,) = loop.app.store.inventory("shop").values()
    assert record.external_id == entry["id"]
    assert not loop.app.store.open_intents("shop")


@pytest.mark.parametrize("kind", ["Tagged", "Tokened"])
def test_a_lost_create_is_found_by_its_marker_or_its_token(loop, kind):
    loop.declare("a", {"size": 1}, kind=kind)
    lose_answers(loop, kind)
    expect_rest(loop, kind, {"size": 1})


@pytest.mark.parametrize("kind", ["Tagged", "Tokened"])
def test_a_lost_create_of_a_replacement_is_found_by_its_marker_or_its_token(loop, kind):
    loop.declare("a", {"zone": "x"}, kind=kind)
    assert loop.run().status is RunStatus.CONVERGED
    loop.declare("a", {"zone": "y"}, kind=kind)
    lose_answers(loop, kind)
    expect_rest(loop, kind, {"zone": "y"})
    assert [entry["spec"] for _, entry in loop.world.removed()] == [{"zone": "x"}]


@pytest.mark.parametrize("drift", ["correct", "report"])
@pytest.mark.parametrize("kind", ["Tagged", "Tokened", "Nameless"])
def test_a_replacement_whose_delete_was_not_answered_is_finished(loop, kind, drift):
    loop.write_stack(drift=drift)
    loop.declare("a", {"zone": "x"}, kind=kind)
    assert loop.run().status is RunStatus.CONVERGED
    loop.declare("a", {"zone": "y"}, kind=kind)
    loop.world.inject(Fault("delete", "bug", moment="before"))
    assert loop.run().status is RunStatus.FAILED
    expect_rest(loop, kind, {"zone": "y"})


def test_what_may_be_there_already_is_not_made_again(loop):
    loop.declare("a", {"size": 1}, kind="Nameless")
    lose_answers(loop, "Nameless")
    writes = loop.world.count_writes()
    for _ in range(QUIET):
        report = loop.run()
        (outcome,) = report.outcomes
        assert outcome.result is Result.FAILED
        assert "nothing tells whether it has made an object" in outcome.message
        assert "trueup forget SOURCE --only Nameless/a" in outcome.hint
    assert loop.world.count_writes() == writes


def test_a_create_that_cannot_be_told_is_not_repeated_in_the_same_run(loop):
    loop.declare("a", {"size": 1}, kind="Nameless")
    loop.world.inject(Fault("create", "Transient", moment="after"))
    assert loop.run().status is RunStatus.FAILED
    assert len(objects(loop, "Nameless")) == 1


def test_a_person_says_that_there_is_none(loop):
    loop.declare("a", {"size": 1}, kind="Nameless")
    lose_answers(loop, "Nameless")
    for key in loop.world.list_keys():
        loop.world.put(key, None)
    loop.app.forget(loop.source, Selection(only=("Nameless/a",)), confirm=lambda _plan: True)
    expect_rest(loop, "Nameless", {"size": 1})


@pytest.mark.parametrize("kind", ["Tokened", "Nameless"])
def test_what_may_have_been_made_is_not_forgotten_when_its_resource_leaves_git(loop, kind):
    loop.declare("a", {"size": 1}, kind=kind)
    lose_answers(loop, kind)
    loop.undeclare("a", kind)
    assert loop.run().status is RunStatus.FAILED
    assert loop.app.store.inventory("shop")
    assert loop.app.store.open_intents("shop")


@pytest.mark.parametrize("kind", ["Tokened", "Nameless"])
def test_what_may_have_been_made_is_not_made_under_a_new_address(loop, kind):
    loop.declare("a", {"size": 1}, kind=kind)
    lose_answers(loop, kind)
    loop.undeclare("a", kind)
    loop.declare("b", {"size": 1}, kind=kind, lifecycle={"movedFrom": [f"{kind}/a"]})
    assert loop.run().status is RunStatus.FAILED
    assert len(objects(loop, kind)) == 1


@pytest.mark.parametrize("kind", ["Tokened", "Nameless"])
def test_an_object_whose_id_arrived_is_kept_although_it_could_not_be_seen(loop, kind):
    loop.declare("a", {"size": 1}, kind=kind)
    for _ in range(QUIET):
        loop.world.inject(Fault("observe", "Denied", skip=1))
    assert loop.run().status is RunStatus.FAILED
    expect_rest(loop, kind, {"size": 1})


def test_what_a_lost_create_made_is_waited_for_where_it_shows_late(loop):
    loop.declare("a", {"size": 1}, kind="Tagged")
    # The look of the next run, and the first one of those that it waits with.
    loop.world.hide_reads = 2
    lose_answers(loop, "Tagged")
    report = loop.run()
    (outcome,) = report.outcomes
    assert (outcome.result, outcome.message) == (
        Result.FAILED,
        "an interrupted create has made it after all",
    )
    assert len(objects(loop, "Tagged")) == 1
    expect_rest(loop, "Tagged", {"size": 1})


def test_what_a_lost_create_did_not_make_is_made_after_the_wait(loop):
    loop.declare("a", {"size": 1}, kind="Tagged")
    loop.world.inject(Fault("create", "bug"))
    assert loop.run().status is RunStatus.FAILED
    assert objects(loop, "Tagged") == []
    expect_rest(loop, "Tagged", {"size": 1})


@pytest.mark.parametrize("kind", ["Tagged", "Tokened", "Nameless"])
def test_an_object_without_a_name_that_refers_to_another_is_found_again(loop, kind):
    loop.declare("other", {"size": 1})
    loop.declare("a", {"value": "${{ ref('Thing/other').status.id }}"}, kind=kind)
    assert loop.run().status is RunStatus.CONVERGED
    report = loop.run()
    assert (report.status, report.plan.has_changes) == (RunStatus.CONVERGED, False)
    assert len(objects(loop, kind)) == 1


def doubted(loop, kind="Nameless"):
    """The plan after a create whose answer was lost, in which the node alone is held."""
    loop.declare("a", {"size": 1}, kind=kind)
    lose_answers(loop, kind)
    plan = loop.plan()
    (hold,) = plan.holds
    assert (hold.guard, hold.is_final) == ("ambiguous-create", False)
    assert [address.name for address in hold.nodes] == ["a"]
    return plan


@pytest.mark.parametrize("is_stored", [True, False])
def test_an_approval_says_that_there_is_none_and_it_is_made(loop, is_stored):
    plan = doubted(loop)
    for key in loop.world.list_keys():
        loop.world.put(key, None)
    if is_stored:
        loop.app.decide(loop.source, plan.digest, Verdict.APPROVED, "bo")
    report = loop.run(**({} if is_stored else {"approved": plan.digest, "approved_by": "bo"}))
    assert (report.status, report.plan.digest) == (RunStatus.CONVERGED, plan.digest)
    assert loop.app.store.runs("shop", 1)[0].approved_by == "bo"
    assert loop.app.store.decision("shop", plan.digest) is None
    expect_rest(loop, "Nameless", {"size": 1})


def test_what_is_in_doubt_holds_nothing_else(loop):
    doubted(loop)
    loop.declare("b")
    report = loop.run()
    results = {outcome.address.name: outcome.result for outcome in report.outcomes}
    assert results == {"a": Result.FAILED, "b": Result.CREATED}
    assert loop.app.store.runs("shop", 1)[0].approved_by == ""


def test_an_approval_of_one_doubt_is_none_of_the_next(loop):
    plan = doubted(loop)
    for key in loop.world.list_keys():
        loop.world.put(key, None)
    loop.app.decide(loop.source, plan.digest, Verdict.APPROVED, "bo")
    lose_answers(loop, "Nameless")
    # The verdict is still there, since nothing is known to have been done, and counts for nothing.
    assert loop.app.store.decision("shop", plan.digest) is not None
    assert loop.run().status is RunStatus.FAILED
    assert len(objects(loop, "Nameless")) == 1


def test_a_rejected_doubt_holds_the_run(loop):
    plan = doubted(loop)
    loop.app.decide(loop.source, plan.digest, Verdict.REJECTED, "bo")
    assert loop.run(approved=plan.digest).status is RunStatus.HELD


@pytest.mark.parametrize("kind", ["Tokened", "Nameless"])
def test_an_approval_lets_a_doubt_leave_git(loop, kind):
    loop.declare("a", {"size": 1}, kind=kind)
    lose_answers(loop, kind)
    loop.undeclare("a", kind)
    for key in loop.world.list_keys():
        loop.world.put(key, None)
    report = loop.run(approved=loop.plan().digest)
    assert report.status is RunStatus.CONVERGED
    assert not loop.app.store.inventory("shop")
    assert not loop.app.store.open_intents("shop")


def test_an_approval_lets_a_doubt_move(loop):
    loop.declare("a", {"size": 1}, kind="Nameless")
    lose_answers(loop, "Nameless")
    for key in loop.world.list_keys():
        loop.world.put(key, None)
    loop.undeclare("a", "Nameless")
    loop.declare("b", {"size": 1}, kind="Nameless", lifecycle={"movedFrom": ["Nameless/a"]})
    loop.run(approved=loop.plan().digest)
    expect_rest(loop, "Nameless", {"size": 1})
