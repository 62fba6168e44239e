"""Policies over the whole loop: what is denied, held, shown, and what a stack cannot switch off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trueup.app import App
from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Hold, Plan, Verdict
from trueup.model.resource import Enforce, Policy
from trueup.sdk.testing.memory import MemoryCatalog

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop

SMALL = {"name": "small", "rule": "!has(change.after) || change.after.spec.size < 10", "enforce": "deny"}


def policy(**given: Any) -> dict[str, Any]:
    return {**SMALL, **given}


def test_what_is_denied_is_not_carried_out_whoever_approves_it(loop: Loop) -> None:
    loop.write_stack(policies=[policy(message="disks are dear")])
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": 10})
    report = loop.run()
    message = "small denies the change of shop/Thing/b@here: disks are dear"
    assert report.plan.holds == (Hold("policy", message, is_final=True),)
    assert [breach.address.name for breach in report.plan.breaches] == ["b"]
    loop.app.decide(loop.source, report.plan.digest, Verdict.APPROVED, "bo@web")
    assert loop.run(approved=report.plan.digest).status is RunStatus.HELD
    assert loop.world.list_keys() == []
    loop.declare("b", {"size": 9})
    assert loop.run().status is RunStatus.CONVERGED


def test_what_has_to_be_approved_is_held_until_it_is(loop: Loop) -> None:
    loop.write_stack(policies=[policy(enforce="approve")])
    loop.declare("b", {"size": 10})
    report = loop.run()
    assert report.plan.holds == (
        Hold("policy", "small asks for an approval of the change of shop/Thing/b@here"),
    )
    loop.app.decide(loop.source, report.plan.digest, Verdict.APPROVED, "bo@web")
    assert loop.run().status is RunStatus.CONVERGED
    # An object that stands as it is fulfils every policy: only changes are judged.
    report = loop.run()
    assert (report.status, report.plan.breaches) == (RunStatus.CONVERGED, ())


def test_a_warning_is_shown_and_holds_nothing(loop: Loop) -> None:
    loop.write_stack(policies=[policy(enforce="warn")])
    loop.declare("b", {"size": 10})
    report = loop.run()
    assert (report.status, report.plan.holds) == (RunStatus.CONVERGED, ())
    assert [breach.policy.name for breach in report.plan.breaches] == ["small"]


@pytest.mark.parametrize("enforce", ["deny", "approve"])
def test_what_is_not_known_when_the_plan_is_made_does_not_pass(loop: Loop, enforce: str) -> None:
    loop.declare("a", {"size": 1})
    loop.declare("b", {"note": '${{ ref("Thing/a").status.id }}'})
    loop.write_stack(
        policies=[policy(rule='change.name != "b" || change.after.spec.note != "x"', enforce=enforce)]
    )
    report = loop.run()
    assert report.status is RunStatus.HELD
    (breach,) = report.plan.breaches
    assert breach.why == "change.after.spec.note is known only after something else is applied"
    assert loop.world.list_keys() == []


def test_the_rules_see_deletes_drift_targets_variables_and_git(loop: Loop) -> None:
    loop.write_stack(
        variables={"limit": {"default": 5}},
        targets=[{"name": "here", "provider": "memory", "labels": {"env": "prod"}}],
    )
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": 1})
    loop.run()
    loop.undeclare("a")
    loop.edit("Thing/b", size=7)
    rules = {
        "no-deletes": 'change.action != "delete" || change.target.labels.env != "prod"',
        "no-drift": "!change.isDrift || change.before.spec.size <= vars.limit",
        "not-from-a-directory": 'git.branch == "main" || change.name == "b"',
        "paths": 'change.fields.all(field, field.path == "/spec/size")',
    }
    loop.write_stack(
        variables={"limit": {"default": 5}},
        targets=[{"name": "here", "provider": "memory", "labels": {"env": "prod"}}],
        policies=[{"name": name, "rule": rule, "enforce": "warn"} for name, rule in rules.items()],
    )
    found = [(breach.policy.name, breach.address.name, breach.why) for breach in loop.plan().breaches]
    assert found == [("no-drift", "b", ""), ("no-deletes", "a", ""), ("not-from-a-directory", "a", "")]


@pytest.fixture
def installed(loop: Loop) -> Loop:
    """The loop in an installation that has a policy of its own."""
    loop.app.close()
    rule = "!has(change.after) || change.after.spec.size < 10"
    loop.app = App(
        str(loop.folder / "store.db"),
        catalog=MemoryCatalog(loop.provider),
        policies=(
            Policy("small", rule, Enforce.DENY, is_installation=True),
            Policy("kept", 'change.action != "delete"', Enforce.DENY, is_installation=True),
        ),
    )
    return loop


def test_a_stack_does_not_switch_off_what_the_installation_says(installed: Loop) -> None:
    installed.write_stack(policies=[policy(rule='change.kind == "Thing"')])
    installed.declare("b", {"size": 10})
    report = installed.run()
    assert [hold.message for hold in report.plan.holds] == [
        "small of the installation denies the change of shop/Thing/b@here"
    ]
    assert report.plan.is_final


def test_a_destroy_is_held_by_what_is_denied_and_by_nothing_else(installed: Loop) -> None:
    installed.declare("b", {"size": 1})
    assert installed.run().status is RunStatus.CONVERGED
    report = installed.destroy()
    assert (report.status, [hold.is_final for hold in report.plan.holds]) == (RunStatus.HELD, [True])
    assert installed.world.list_keys() == ["Thing/b"]


def test_a_destroy_needs_no_further_approval(loop: Loop) -> None:
    loop.write_stack(policies=[policy(rule='change.action != "delete"', enforce="approve")])
    loop.declare("b", {"size": 1})
    loop.run()
    assert loop.destroy().status is RunStatus.CONVERGED


def test_a_hold_lists_a_few_of_many(loop: Loop) -> None:
    loop.write_stack(policies=[policy()])
    for number in range(7):
        loop.declare(f"t{number}", {"size": 10})
    (hold,) = loop.plan().holds
    assert hold.message.endswith("shop/Thing/t4@here and 2 more")


def test_a_change_that_becomes_another_one_during_the_run_is_judged_again(loop: Loop) -> None:
    loop.write_stack(
        policies=[policy(rule='change.name != "b" || !has(change.before) || change.before.spec.size < 10')]
    )
    loop.declare("a", {"note": "one"})
    loop.declare("b", {"size": 1, "note": '${{ ref("Thing/a").status.id }}'})
    assert loop.run().status is RunStatus.CONVERGED
    loop.declare("a", {"note": "two", "zone": "other"})

    def grow(_plan: Plan) -> bool:
        loop.edit("Thing/b", size=50)
        return True

    report = loop.run(confirm=grow)
    (failed,) = [outcome for outcome in report.outcomes if outcome.address.name == "b"]
    assert failed.result is Result.FAILED
    assert failed.message.startswith("policy small is not fulfilled by what is known now: ")
    assert loop.spec("Thing/b")["size"] == 50
