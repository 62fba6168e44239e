"""An object whose name was never known was never made: it says why, and it leaves the inventory by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.reconcile.report import EVERYTHING
from trueup.reconcile.situation import undeclared_node
from trueup.reconcile.unmade import explain_unmade, was_never_made
from trueup.sdk.testing.memory_world import Fault
from trueup.state.store import OpenIntent

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop

ELSEWHERE = '${{ stack("netwrok").root }}/x'


@pytest.fixture
def unnamed(loop: Loop) -> Loop:
    """Named/x, whose name comes from a stack that there is not, was tried once."""
    loop.declare("other")
    loop.declare("x", {"name": ELSEWHERE}, kind="Named")
    assert loop.run().status is RunStatus.FAILED
    return loop


def messages(loop: Loop) -> dict[str, str]:
    return {outcome.address.name: outcome.message for outcome in loop.run().outcomes if outcome.message}


def test_it_says_what_its_name_waits_for(unnamed: Loop) -> None:
    assert messages(unnamed) == {"x": "stack netwrok was never reconciled: reconcile it first"}


def test_it_is_forgotten_once_its_resource_is_removed(unnamed: Loop) -> None:
    unnamed.undeclare("x", "Named")
    (change,) = [change for change in unnamed.plan().changes if change.action is not Action.NONE]
    assert (change.action, change.problem) == (Action.FORGET, "")
    assert change.reasons == ("it was never created: what it is called was never known",)
    writes = unnamed.world.count_writes()
    assert unnamed.run().status is RunStatus.CONVERGED
    assert unnamed.world.count_writes() == writes
    assert list(unnamed.records()) == ["other"]
    assert not unnamed.plan().has_changes


def test_it_is_no_obstacle_to_destroying_the_others(unnamed: Loop) -> None:
    assert unnamed.destroy().status is RunStatus.CONVERGED
    assert unnamed.world.list_keys() == []
    assert unnamed.records() == {}


def test_a_name_that_is_known_at_last_is_recorded_before_the_create(unnamed: Loop) -> None:
    unnamed.declare("x", {"name": "right"}, kind="Named")
    unnamed.world.inject(Fault("create", "bug", moment="after"))
    assert unnamed.run().status is RunStatus.FAILED
    assert unnamed.world.list_keys() == ["Named/right", "Thing/other"]
    unnamed.undeclare("x", "Named")
    assert unnamed.run().status is RunStatus.CONVERGED
    assert unnamed.world.list_keys() == ["Thing/other"]
    assert list(unnamed.records()) == ["other"]


def test_a_name_that_a_run_learns_is_recorded_before_the_create(loop: Loop) -> None:
    loop.declare("first")
    loop.declare("x", {"name": "${{ ref('Thing/first').status.id }}"}, kind="Named")
    loop.world.inject(Fault("create", "bug", moment="after", skip=1))
    assert loop.run().status is RunStatus.FAILED
    assert len(loop.world.list_keys()) == 2
    loop.undeclare("x", "Named")
    assert loop.run().status is RunStatus.CONVERGED
    assert loop.world.list_keys() == ["Thing/first"]


def test_a_name_that_is_not_valid_is_none(unnamed: Loop) -> None:
    plan_of = unnamed.app._plan
    unnamed.undeclare("x", "Named")
    _, situation, _ = plan_of(unnamed.source, EVERYTHING)
    (address,) = situation.undeclared
    record = replace(situation.records[address], body={"metadata": {"name": "x"}, "spec": {"name": 5}})
    node = undeclared_node(record, situation.stack)
    assert was_never_made(node, record, situation)
    assert explain_unmade(node) == "it was never created: it never had a valid name"


def test_what_may_have_been_made_is_not_taken_for_unmade(unnamed: Loop) -> None:
    unnamed.undeclare("x", "Named")
    _, situation, _ = unnamed.app._plan(unnamed.source, EVERYTHING)
    ((address, node),) = situation.undeclared.items()
    record = situation.records[address]
    assert was_never_made(node, record, situation)
    intent = OpenIntent("t", address, "create", "f", 1)
    assert not was_never_made(node, record, replace(situation, begun={address: intent}))
    assert not was_never_made(node, replace(record, external_id="7"), situation)
    assert not was_never_made(node, replace(record, replacing={"7": {}}), situation)
    assert not was_never_made(node, None, situation)
    named = replace(record, body={"metadata": {"name": "x"}, "spec": {"name": "a"}})
    assert not was_never_made(undeclared_node(named, situation.stack), named, situation)


def test_a_failed_create_is_said_not_to_exist(loop: Loop) -> None:
    loop.declare("x", {"name": "a"}, kind="Named")
    loop.world.inject(Fault("create", "Invalid"))
    assert loop.run().status is RunStatus.FAILED
    loop.undeclare("x", "Named")
    (change,) = loop.plan().changes
    assert (change.action, change.reasons) == (Action.FORGET, ("it does not exist",))
