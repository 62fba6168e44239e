"""A held plan passes once somebody approved its digest, for as long as it is that very plan, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trueup.model.outcome import RunStatus
from trueup.model.plan import Hold, Plan, Verdict
from trueup.reconcile.approve import may_pass
from trueup.sdk.testing.memory_world import Fault

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop

NAMES = ("a", "b", "c")


@pytest.fixture
def held(loop: Loop) -> Plan:
    """The plan that would delete every object of the stack."""
    for name in NAMES:
        loop.declare(name, {"size": 1})
    assert loop.run().status is RunStatus.CONVERGED
    for name in NAMES:
        loop.undeclare(name)
    report = loop.run()
    assert report.status is RunStatus.HELD
    return report.plan


def approve(loop: Loop, digest: str, verdict: Verdict = Verdict.APPROVED, note: str = "") -> None:
    assert loop.app.decide(loop.source, digest, verdict, "bo@web", note)[0] == "shop"


def test_the_next_run_of_an_approved_plan_goes_on_and_says_who_let_it(loop: Loop, held: Plan) -> None:
    approve(loop, held.digest)
    assert loop.plan().decision is not None
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert loop.world.list_keys() == []
    assert loop.app.store.runs("shop", 1)[0].approved_by == "bo@web"


def test_an_approval_counts_once(loop: Loop, held: Plan) -> None:
    approve(loop, held.digest)
    loop.run()
    assert loop.app.store.decision("shop", held.digest) is None
    # Also where the very same situation comes again.
    for name in NAMES:
        loop.declare(name, {"size": 1})
    loop.run()
    for name in NAMES:
        loop.undeclare(name)
    assert loop.run().status is RunStatus.HELD


def test_an_approval_outlives_a_run_that_could_do_nothing(loop: Loop, held: Plan) -> None:
    approve(loop, held.digest)
    for name in NAMES:
        loop.world.inject(Fault("delete", "Denied", key=f"Thing/{name}"))
    assert loop.run().status is RunStatus.FAILED
    assert loop.run().status is RunStatus.CONVERGED


def test_a_held_plan_is_told_once_among_the_events_and_again_after_a_verdict(loop: Loop, held: Plan) -> None:
    def told() -> list[str]:
        return [event.message for event in loop.app.store.events("shop") if event.kind == "held"]

    for _ in range(3):
        assert loop.run().status is RunStatus.HELD
    (message,) = told()
    commit = held.revision.commit.removeprefix("sha256:")[:12]
    assert message == f"{held.digest} at {commit} is held by whole-stack: nothing of it was done"
    approve(loop, held.digest, Verdict.REJECTED)
    for _ in range(2):
        assert loop.run().status is RunStatus.HELD
    assert len(told()) == 2
    assert " is held by rejected, whole-stack" in told()[0]
    loop.edit("Thing/b", size=2)
    assert loop.run().status is RunStatus.HELD
    assert len(told()) == 3


def test_a_plan_that_only_waits_for_a_yes_is_not_told_as_held(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    assert loop.run(confirm=lambda _plan: False).status is RunStatus.HELD
    assert not loop.app.store.events("shop")


def test_an_approval_is_stale_once_the_world_has_moved(loop: Loop, held: Plan) -> None:
    approve(loop, held.digest)
    loop.edit("Thing/b", size=2)
    report = loop.run()
    assert report.status is RunStatus.HELD
    assert report.plan.digest != held.digest
    assert report.plan.decision is None
    assert report.plan.stale_approval is not None
    assert (report.plan.stale_approval.digest, report.plan.stale_approval.who) == (held.digest, "bo@web")
    assert sorted(loop.world.list_keys()) == ["Thing/a", "Thing/b", "Thing/c"]


def test_an_approval_that_was_used_is_not_called_stale(loop: Loop, held: Plan) -> None:
    approve(loop, held.digest)
    loop.run()
    for name in NAMES:
        loop.declare(name, {"size": 3})
    loop.run()
    for name in NAMES:
        loop.undeclare(name)
    assert loop.plan().stale_approval is None


def test_a_rejected_plan_stays_held_and_says_by_whom(loop: Loop, held: Plan) -> None:
    approve(loop, held.digest, Verdict.REJECTED, "the backup comes first")
    report = loop.run(approved=held.digest)
    assert report.status is RunStatus.HELD
    assert report.plan.digest == held.digest
    assert report.plan.holds[0] == Hold("rejected", "bo@web rejected this very plan: the backup comes first")
    approve(loop, held.digest)
    assert loop.run().status is RunStatus.CONVERGED


def test_a_plan_that_no_guard_holds_can_be_rejected_too(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    approve(loop, loop.plan().digest, Verdict.REJECTED)
    report = loop.run()
    assert (report.status, [hold.guard for hold in report.plan.holds]) == (RunStatus.HELD, ["rejected"])
    assert loop.world.list_keys() == []
    loop.declare("a", {"size": 2})
    assert loop.run().status is RunStatus.CONVERGED


def test_an_approval_of_another_stack_counts_for_nothing(loop: Loop, held: Plan) -> None:
    loop.app.store.decide("blog", held.digest, Verdict.APPROVED, "bo@web")
    report = loop.run()
    assert (report.status, report.plan.stale_approval) == (RunStatus.HELD, None)


def test_no_approval_lifts_a_final_hold(loop: Loop, held: Plan) -> None:
    final = Plan(held.stack, held.revision, held.changes, (*held.holds, Hold("g", "m", is_final=True)))
    assert final.digest == Plan(held.stack, held.revision, held.changes).digest
    assert not may_pass(final, final.digest)
    assert may_pass(held, held.digest)
    assert not may_pass(held, "")


def test_that_a_verdict_was_given_is_kept_when_it_is_used_up(loop: Loop, held: Plan) -> None:
    approve(loop, held.digest, Verdict.REJECTED, "later")
    approve(loop, held.digest)
    loop.run()
    found = loop.app.store.events("shop")
    events = [(event.kind, event.message) for event in found if event.kind != "held"]
    assert events == [
        ("approved", f"bo@web approved {held.digest}"),
        ("rejected", f"bo@web rejected {held.digest}: later"),
    ]
