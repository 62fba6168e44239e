from __future__ import annotations

import pytest

from trueup.daemon.order import Order
from trueup.errors import UsageError


class Floor:
    """An order of followers, with what each was told."""

    def __init__(self) -> None:
        self.order = Order()
        self.woken: list[str] = []

    def join(self, *followers: str) -> None:
        for follower in followers:
            self.order.join(follower, lambda follower=follower: self.woken.append(follower))

    def end(self, follower: str, *, has_converged: bool = True, has_changed: bool = False) -> None:
        self.order.end(follower, has_converged=has_converged, has_changed=has_changed)


@pytest.fixture
def floor() -> Floor:
    """`app` needs the outputs of `network`."""
    floor = Floor()
    floor.join("app", "network")
    floor.order.declare("app", "shop", ["network"])
    floor.order.declare("network", "network", [])
    return floor


def test_a_stack_waits_until_the_one_that_it_needs_has_converged(floor: Floor) -> None:
    assert floor.order.begin("app") == "stack network has not converged yet"
    assert floor.order.begin("network") == ""
    assert floor.order.begin("app") == "stack network is being reconciled"
    floor.end("network")
    assert floor.woken == ["app"]
    assert floor.order.begin("app") == ""


def test_a_stack_that_failed_holds_back_those_that_never_saw_it_converge(floor: Floor) -> None:
    floor.order.begin("network")
    floor.end("network", has_converged=False)
    assert floor.order.begin("app") == "stack network has not converged yet"


def test_a_failure_after_that_holds_nobody_back(floor: Floor) -> None:
    for has_converged in (True, False):
        floor.order.begin("network")
        floor.end("network", has_converged=has_converged)
    assert floor.order.begin("app") == ""


def test_those_who_need_a_stack_are_woken_when_it_has_changed_and_not_otherwise(floor: Floor) -> None:
    floor.order.begin("network")
    floor.end("network")
    floor.woken.clear()
    floor.order.begin("network")
    floor.end("network")
    assert floor.woken == []
    floor.order.begin("network")
    floor.end("network", has_changed=True)
    assert floor.woken == ["app"]


def test_a_stack_of_another_daemon_is_not_waited_for(floor: Floor) -> None:
    floor.order.declare("app", "shop", ["elsewhere"])
    assert floor.order.begin("app") == ""


def test_a_stack_that_was_not_read_yet_may_be_the_one(floor: Floor) -> None:
    floor.join("late")
    floor.order.declare("app", "shop", ["elsewhere"])
    assert floor.order.begin("app") == "stack elsewhere may be one that was not read yet"
    # Its files are broken, so that nobody knows its name: it holds nobody back for ever.
    floor.end("late", has_converged=False)
    assert floor.woken == ["app"]
    assert floor.order.begin("app") == ""


def test_stacks_that_need_each_other_do_not_wait_for_ever(floor: Floor) -> None:
    floor.order.declare("network", "network", ["shop"])
    assert floor.order.begin("app") == ""
    assert floor.order.begin("network") == ""


def test_two_stacks_of_one_name_are_both_refused_until_one_of_them_is_renamed(floor: Floor) -> None:
    floor.join("app-dev")
    floor.order.declare("app-dev", "shop", [])
    floor.order.begin("network")
    floor.end("network")
    for follower in ("app", "app-dev"):
        with pytest.raises(UsageError, match='"app" and "app-dev" of the settings are one stack'):
            floor.order.begin(follower)
        floor.end(follower, has_converged=False)
    floor.order.declare("app-dev", "shop-dev", [])
    assert floor.order.begin("app") == floor.order.begin("app-dev") == ""


def test_a_stack_that_was_renamed_has_to_converge_under_its_new_name(floor: Floor) -> None:
    floor.order.begin("network")
    floor.end("network")
    floor.order.declare("network", "net2", [])
    floor.order.declare("app", "app", ["net2"])
    assert floor.order.begin("app") == "stack net2 has not converged yet"
    floor.order.begin("network")
    floor.end("network")
    assert floor.order.begin("app") == ""


def test_what_converged_before_the_daemon_was_started_counts(floor: Floor) -> None:
    floor.order.declare("network", "grid", [], has_converged=True)
    floor.order.declare("app", "shop", ["grid"])
    assert floor.order.begin("app") == ""
