from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import structlog

from trueup.daemon.follow import Follower
from trueup.daemon.order import Order
from trueup.errors import ManifestError, Problem
from trueup.model.outcome import RunStatus
from trueup.model.plan import Pin, PinKind


def _suspended(commit=""):
    return Pin("shop", PinKind.SUSPENDED, commit, "bo@web", "the move", 1.0)


def _pinned(commit, stack="shop"):
    return Pin(stack, PinKind.PINNED, commit, "bo@web", "bad image", 2.0)


@pytest.fixture
def follow(engine, metrics, clock, daemon):
    """Starts followers that are stopped when the test ends, all with one order."""
    started, order = [], Order()

    def start(name="shop", commit="a"):
        engine.commits[name] = commit
        follower = Follower(daemon.followed(name), engine, metrics, order, clock)
        started.append(follower)
        return follower

    yield start
    for follower in started:
        follower.stop()
        assert follower.join(30)


@pytest.fixture
def shop(follow):
    follower = follow()
    follower.start()
    return follower


@pytest.fixture
def wait_for_runs(engine, daemon):
    return lambda *commits: daemon.wait_until(
        lambda: engine.runs_of("shop") == list(commits), f"runs {commits} (there were {engine.runs})"
    )


@pytest.fixture
def look(daemon):
    """Lets a follower look at its source, and waits until it has looked."""

    def look(follower, clock):
        clock.advance(1.0)
        follower.look()
        daemon.wait_until(lambda: follower.source_age() == 0.0)

    return look


def test_a_suspended_stack_is_not_run_until_it_is_resumed(
    shop, engine, clock, look, wait_for_runs, sample, daemon
):
    wait_for_runs("a")
    daemon.wait_until(shop.is_tried)
    with structlog.testing.capture_logs() as logs:
        engine.pins["shop"] = _suspended()
        look(shop, clock)
        daemon.wait_until(lambda: sample("trueup_suspended", stack="shop") == 1)
        engine.commits["shop"] = "b"
        for _ in range(3):
            clock.advance(1000.0)
            look(shop, clock)
        assert engine.runs_of("shop") == ["a"]
        assert shop.find_fault() == ""
        del engine.pins["shop"]
        look(shop, clock)
        wait_for_runs("a", "b")
    daemon.wait_until(lambda: sample("trueup_suspended", stack="shop") == 0)
    told = [line for line in logs if line["event"] in ("suspended", "resumed")]
    assert [line["event"] for line in told] == ["suspended", "resumed"]
    assert (told[0]["who"], told[0]["reason"]) == ("bo@web", "the move")


def test_a_stack_that_is_resumed_is_run_soon_although_nothing_else_changed(
    shop, engine, clock, look, wait_for_runs, sample, daemon
):
    wait_for_runs("a")
    daemon.wait_until(shop.is_tried)
    engine.pins["shop"] = _suspended()
    look(shop, clock)
    daemon.wait_until(lambda: sample("trueup_suspended", stack="shop") == 1)
    del engine.pins["shop"]
    look(shop, clock)
    wait_for_runs("a", "a")


def test_a_suspension_stops_the_run_that_is_under_way(
    shop, engine, clock, look, wait_for_runs, sample, daemon
):
    def wait_for_the_stop(location, commit, stop):
        assert stop.wait(30)
        return RunStatus.INTERRUPTED

    wait_for_runs("a")
    daemon.wait_until(shop.is_tried)
    engine.behave = wait_for_the_stop
    engine.commits["shop"] = "b"
    look(shop, clock)
    wait_for_runs("a", "b")
    engine.pins["shop"] = _suspended()
    look(shop, clock)
    daemon.wait_until(lambda: sample("trueup_runs_total", stack="shop", status="interrupted") == 1)
    clock.advance(1000.0)
    look(shop, clock)
    assert engine.runs_of("shop") == ["a", "b"]


def test_a_rollback_supersedes_the_bad_run_and_stays_until_it_is_resumed(
    shop, engine, clock, look, wait_for_runs, sample, daemon
):
    def hang_if_bad(location, commit, stop):
        if commit != "bad":
            return RunStatus.CONVERGED
        assert stop.wait(30)
        return RunStatus.INTERRUPTED

    engine.behave = hang_if_bad
    wait_for_runs("a")
    daemon.wait_until(shop.is_tried)
    engine.commits["shop"] = "bad"
    look(shop, clock)
    wait_for_runs("a", "bad")
    engine.pins["shop"] = _pinned("a")
    look(shop, clock)
    wait_for_runs("a", "bad", "a")
    assert engine.triggers == ["commit", "commit", "rollback"]
    daemon.wait_until(lambda: sample("trueup_pinned", stack="shop") == 1)
    engine.commits["shop"] = "newer"
    look(shop, clock)
    clock.advance(1000.0)
    look(shop, clock)
    wait_for_runs("a", "bad", "a", "a")
    assert engine.triggers[-1] == "interval"
    del engine.pins["shop"]
    look(shop, clock)
    wait_for_runs("a", "bad", "a", "a", "newer")
    assert sample("trueup_pinned", stack="shop") == 0


def test_a_pinned_stack_is_pinned_from_the_first_run_after_a_start(
    follow, engine, wait_for_runs, clock, look, daemon
):
    engine.pins["shop"] = _pinned("good")
    follower = follow("shop", "bad")
    follower.start()
    daemon.wait_until(follower.is_tried)
    look(follower, clock)
    wait_for_runs("good")


def test_a_rollback_is_obeyed_while_git_is_down(shop, engine, clock, wait_for_runs, daemon, sample):
    wait_for_runs("a")
    daemon.wait_until(shop.is_tried)
    engine.commits["shop"] = None
    engine.pins["shop"] = _pinned("before")
    shop.look()
    wait_for_runs("a", "before")


def test_a_suspended_stack_is_ready_and_does_not_read_its_broken_files(
    shop, engine, clock, look, wait_for_runs, daemon, sample
):
    wait_for_runs("a")
    daemon.wait_until(shop.is_tried)
    engine.pins["shop"] = _suspended()
    look(shop, clock)
    daemon.wait_until(lambda: sample("trueup_suspended", stack="shop") == 1)

    def refuse(_source):
        raise ManifestError([Problem("broken")])

    engine.follow = refuse
    engine.commits["shop"] = "b"
    look(shop, clock)
    clock.advance(1000.0)
    look(shop, clock)
    assert sample("trueup_runs_total", stack="shop", status="failed") is None
    assert shop.find_fault() == ""


def test_a_suspended_stack_that_never_ran_makes_nobody_wait(follow, engine, daemon):
    engine.needs["shop"] = ("network",)
    engine.pins["network"] = Pin("network", PinKind.SUSPENDED, "", "bo", "", 1.0)
    followers = [follow("network"), follow("shop")]
    for follower in followers:
        follower.start()
    daemon.wait_until(lambda: engine.runs_of("shop") == ["a"])
    assert engine.runs_of("network") == []
    daemon.wait_until(lambda: all(each.is_tried() for each in followers))


def test_a_store_that_does_not_answer_changes_nothing_that_is_known(
    shop, engine, clock, look, wait_for_runs, daemon, sample
):
    wait_for_runs("a")
    daemon.wait_until(shop.is_tried)
    engine.pins["shop"] = _suspended()
    look(shop, clock)
    daemon.wait_until(lambda: sample("trueup_suspended", stack="shop") == 1)
    asked = threading.Event()

    def fail(_stack):
        asked.set()
        raise OSError("disk")

    engine.store = SimpleNamespace(**{**vars(engine.store), "pin_of": fail})
    engine.commits["shop"] = "b"
    look(shop, clock)
    assert asked.wait(30)
    look(shop, clock)
    assert engine.runs_of("shop") == ["a"]
    assert sample("trueup_suspended", stack="shop") == 1
