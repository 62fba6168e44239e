"""What keeps a node from being as Git says."""

from __future__ import annotations

import time

from tests.unit.reconcile.conftest import Loop

from trueup.model.outcome import RunStatus
from trueup.reconcile.history import find_addresses
from trueup.reconcile.reason import Reasons, find_reasons
from trueup.sdk.testing.memory_world import Fault
from trueup.state.store import Event, PinKind, Quarantine


def why(loop: Loop, text: str, now: float | None = None) -> Reasons:
    status = loop.app.status(loop.source)
    addresses, _field = find_addresses(text, [node.change.address for node in status.nodes])
    healths = {node.change.address: node.health for node in status.nodes}
    (found,) = find_reasons(
        loop.app.store,
        status.plan,
        healths,
        status.runs,
        status.lease_holder,
        addresses,
        time.time() if now is None else now,
    )
    return found


def names(found: Reasons) -> list[list[str]]:
    return [[node.address.name for node in path] for path in found.paths]


def fail(loop: Loop, name: str) -> None:
    loop.world.inject(Fault("create", key=f"Thing/{name}", error="Denied", times=9))
    assert loop.run().status is RunStatus.FAILED


def test_nothing_keeps_what_is_as_git_says(loop: Loop):
    loop.declare("a")
    loop.run()
    found = why(loop, "Thing/a")
    assert found == Reasons(found.node, paths=[])
    assert found.node.is_settled
    assert found.node.trouble is None


def test_the_path_leads_to_the_node_that_failed(loop: Loop):
    loop.declare("root")
    loop.declare("fine")
    loop.declare("middle", dependsOn=["Thing/root", "Thing/fine"])
    loop.declare("top", dependsOn=["Thing/middle"])
    fail(loop, "root")
    found = why(loop, "Thing/top")
    assert names(found) == [["top", "middle", "root"]]
    assert found.node.trouble is not None
    assert found.node.trouble.step.result == "blocked"
    culprit = found.paths[0][-1]
    assert culprit.trouble is not None
    assert "was refused" in culprit.trouble.step.message
    assert not culprit.is_over
    assert names(why(loop, "Thing/root")) == []


def test_a_failure_that_a_later_run_got_past_is_over(loop: Loop):
    loop.declare("a")
    loop.world.inject(Fault("create", key="Thing/a", error="Denied", times=1))
    loop.run()
    loop.run()
    found = why(loop, "Thing/a").node
    assert found.trouble is not None
    assert (found.is_over, found.is_settled) == (True, True)


def test_what_holds_the_plan_is_told_of_nodes_that_it_changes(loop: Loop):
    for name in "abcdefgh":
        loop.declare(name)
    loop.run()
    for name in "abcdefg":
        loop.undeclare(name)
    assert [hold.guard for hold in why(loop, "Thing/a").holds] == ["deletion-budget"]
    assert list(why(loop, "Thing/h").holds) == []


def test_a_pin_and_a_quarantine_that_has_not_run_out_are_told(loop: Loop):
    loop.declare("a")
    loop.run()
    store = loop.app.store
    pin = store.pin("shop", PinKind.SUSPENDED, "bo@host", reason="moving house")
    lease = store.acquire_lease("shop", "me", 60)
    assert lease is not None
    quarantine = Quarantine(
        next(iter(store.inventory("shop"))), ("/spec/size",), "hpa", 1, 1000.0, time.time() + 3600
    )
    store.write_quarantine(lease, quarantine)
    found = why(loop, "Thing/a")
    assert (found.pin, found.quarantine, found.lease_holder) == (pin, quarantine, "me")
    assert why(loop, "Thing/a", time.time() + 7200).quarantine is None


def test_the_next_try_is_the_last_word_of_the_daemon_after_a_failure(loop: Loop):
    loop.declare("a")
    store = loop.app.store
    store.add_events("shop", [Event("retry", "of an earlier failure", at=1.0)])
    fail(loop, "a")
    assert why(loop, "Thing/a").next_try is None
    store.add_events("shop", [Event("retry", "at noon"), Event("other", "unrelated")])
    event = why(loop, "Thing/a").next_try
    assert event is not None
    assert event.message == "at noon"


def test_what_keeps_the_daemon_from_a_first_run_is_told(loop: Loop):
    loop.declare("a")
    loop.app.store.add_events("shop", [Event("waits", "for base")])
    event = why(loop, "Thing/a").next_try
    assert event is not None
    assert event.message == "for base"
    loop.run()
    assert why(loop, "Thing/a").next_try is None
