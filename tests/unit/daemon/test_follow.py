from __future__ import annotations

import threading

import pytest
import structlog

from trueup.daemon.follow import SILENT_RUN, Follower
from trueup.daemon.order import Order
from trueup.errors import ManifestError, Place, Problem, SourceError, StackBusy, StoreError
from trueup.model.address import Address
from trueup.model.outcome import RunStatus
from trueup.model.plan import Decision, Hold, Plan, Verdict
from trueup.model.quarantine import Quarantine
from trueup.model.resource import Revision
from trueup.reconcile.report import RunReport


@pytest.fixture
def follow(engine, metrics, clock, daemon):
    """Starts a follower of the stack `shop`; it is stopped when the test ends."""
    started = []

    def start(commit="a", **options):
        engine.commits["shop"] = commit
        follower = Follower(daemon.followed("shop", **options), engine, metrics, Order(), clock)
        started.append(follower)
        follower.start()
        return follower

    yield start
    for follower in started:
        follower.stop()
        assert follower.join(30)


@pytest.fixture
def wait_for_runs(engine, daemon):
    return lambda *commits: daemon.wait_until(
        lambda: engine.runs_of("shop") == list(commits), f"runs {commits} (there were {engine.runs})"
    )


def test_the_newest_commit_is_run_at_the_start(follow, wait_for_runs, sample, daemon):
    follow("a")
    wait_for_runs("a")
    daemon.wait_until(lambda: sample("trueup_runs_total", stack="shop", status="converged") == 1)
    assert sample("trueup_stack_converged", stack="shop") == 1
    assert sample("trueup_stack_commit_info", stack="shop", commit="a") == 1
    assert sample("trueup_last_success_timestamp_seconds", stack="shop") > 0


def test_a_new_commit_is_run_as_soon_as_it_is_seen(follow, wait_for_runs, engine):
    follower = follow("a")
    wait_for_runs("a")
    engine.commits["shop"] = "b"
    follower.look()
    wait_for_runs("a", "b")


def test_drift_is_looked_for_at_the_interval_that_the_stack_itself_says(
    follow, wait_for_runs, engine, clock, daemon
):
    engine.intervals["shop"] = 20.0
    follower = follow("a")
    wait_for_runs("a")
    daemon.wait_until(follower.is_tried)
    clock.advance(19.0)
    follower.look()
    daemon.wait_until(lambda: follower.source_age() == 0.0)
    wait_for_runs("a")
    clock.advance(1.0)
    follower.look()
    wait_for_runs("a", "a")


def test_an_interval_of_the_configuration_wins(follow, wait_for_runs, engine, clock, daemon):
    engine.intervals["shop"] = 20.0
    follower = follow("a", interval=10.0)
    daemon.wait_until(follower.is_tried)
    clock.advance(10.0)
    follower.look()
    wait_for_runs("a", "a")


def test_a_new_commit_supersedes_a_run_that_waits(follow, wait_for_runs, engine, sample, daemon):
    """A bad commit never blocks its own fix."""

    def wait_for_ever(location, commit, stop):
        if commit == "bad":
            assert stop.wait(30)
            return RunStatus.INTERRUPTED
        return RunStatus.CONVERGED

    engine.behave = wait_for_ever
    follower = follow("bad")
    wait_for_runs("bad")
    engine.commits["shop"] = "good"
    follower.look()
    wait_for_runs("bad", "good")
    daemon.wait_until(lambda: sample("trueup_runs_total", stack="shop", status="converged") == 1)
    assert sample("trueup_runs_total", stack="shop", status="interrupted") == 1


def test_the_same_commit_again_does_not_disturb_a_run(follow, wait_for_runs, engine, clock, daemon):
    release, stops = threading.Event(), []

    def block(location, commit, stop):
        stops.append(stop)
        assert release.wait(30)
        return RunStatus.CONVERGED

    engine.behave = block
    follower = follow("a")
    wait_for_runs("a")
    clock.advance(60.0)
    follower.look()
    daemon.wait_until(lambda: follower.source_age() == 0.0)
    assert not stops[0].is_set()
    release.set()


def test_while_git_is_down_drift_is_corrected_to_the_commit_fetched_last(
    follow, wait_for_runs, engine, clock, sample, daemon
):
    follower = follow("a")
    wait_for_runs("a")
    daemon.wait_until(follower.is_tried)
    engine.commits["shop"] = None
    clock.advance(300.0)
    follower.look()
    wait_for_runs("a", "mirrored")
    daemon.wait_until(lambda: sample("trueup_source_errors_total", stack="shop") >= 1)
    assert sample("trueup_source_age_seconds", stack="shop") == 300.0


def test_a_source_that_stays_down_is_told_once_and_so_is_its_return(
    follow, wait_for_runs, engine, sample, daemon
):
    with structlog.testing.capture_logs() as logs:
        follower = follow(None)
        wait_for_runs("mirrored")
        for looks in (1, 2, 3):
            daemon.wait_until(
                lambda looks=looks: sample("trueup_source_errors_total", stack="shop") >= looks,
                f"{looks} looks",
            )
            follower.look()
        engine.commits["shop"] = "a"
        follower.look()
        wait_for_runs("mirrored", "a")
    assert [line["log_level"] for line in logs if line["event"] == "source unreachable"].count("warning") == 1
    assert len([line for line in logs if line["event"] == "source answers again"]) == 1


def test_a_start_while_git_is_down_works_with_what_was_fetched_before(follow, wait_for_runs):
    follow(None)
    wait_for_runs("mirrored")


def test_a_crash_while_looking_at_the_source_does_not_end_the_looking(follow, engine, wait_for_runs):
    with structlog.testing.capture_logs() as logs:
        follower = follow(SystemExit("a plugin means well"))
        wait_for_runs("mirrored")
    assert any(line.get("exc_info") for line in logs)
    engine.commits["shop"] = "a"
    follower.look()
    wait_for_runs("mirrored", "a")


@pytest.mark.parametrize("fault", [ZeroDivisionError("a bug"), SystemExit("a plugin means well")])
def test_a_crash_is_logged_with_its_traceback_and_tried_again(
    follow, wait_for_runs, engine, clock, sample, fault, daemon
):
    def crash_once(location, commit, stop):
        if len(engine.runs) == 1:
            raise fault
        return RunStatus.CONVERGED

    engine.behave = crash_once
    with structlog.testing.capture_logs() as logs:
        follower = follow("a")
        daemon.wait_until(follower.is_tried)
    assert [line for line in logs if line["event"] == "crashed" and line["exc_info"]]
    assert sample("trueup_runs_total", stack="shop", status="crashed") == 1
    clock.advance(5.0)
    follower.look()
    wait_for_runs("a", "a")


def test_every_problem_of_a_bad_manifest_is_logged_and_the_run_counts_as_failed(
    follow, engine, sample, daemon
):
    def refuse(location, commit, stop):
        raise ManifestError([Problem("no such field", Place("a.yaml", 1, 2)), Problem("no such kind")])

    engine.behave = refuse
    with structlog.testing.capture_logs() as logs:
        daemon.wait_until(follow("a").is_tried)
    told = [(line["error"], line.get("place")) for line in logs if line["event"] == "run failed"]
    assert told == [("no such kind", None), ("no such field", "a.yaml:1:2")]
    assert sample("trueup_runs_total", stack="shop", status="failed") == 1
    assert sample("trueup_stack_converged", stack="shop") == 0


def test_a_held_run_names_its_guard_and_digest_and_is_not_retried_before_the_interval(
    follow, engine, sample, clock, wait_for_runs, daemon
):
    plan = Plan("shop", Revision("", "", "a"), (), holds=(Hold("max-deletes", "7 of 9 would go"),))
    engine.behave = lambda location, commit, stop: RunReport(plan, RunStatus.HELD)
    with structlog.testing.capture_logs() as logs:
        follower = follow("a")
        daemon.wait_until(follower.is_tried)
    (held,) = [line for line in logs if line["event"] == "run held"]
    assert (held["guard"], held["digest"]) == ("max-deletes", plan.digest)
    assert sample("trueup_held", stack="shop") == 1
    clock.advance(299.0)
    follower.look()
    daemon.wait_until(lambda: follower.source_age() == 0.0)
    wait_for_runs("a")
    clock.advance(1.0)
    follower.look()
    wait_for_runs("a", "a")


def test_a_stop_reaches_the_run_and_nothing_begins_after_it(follow, engine, wait_for_runs):
    def stop_when_told(location, commit, stop):
        assert stop.wait(30)
        return RunStatus.INTERRUPTED

    engine.behave = stop_when_told
    follower = follow("a")
    wait_for_runs("a")
    engine.commits["shop"] = "b"
    follower.stop()
    assert follower.join(30)
    wait_for_runs("a")


def test_a_run_that_does_not_stop_is_not_waited_for_longer_than_asked(follow, engine, wait_for_runs):
    release = threading.Event()

    def ignore_the_stop(location, commit, stop):
        assert release.wait(30)
        return RunStatus.CONVERGED

    engine.behave = ignore_the_stop
    follower = follow("a")
    wait_for_runs("a")
    follower.stop()
    assert not follower.join(0.01)
    release.set()


def test_a_stack_that_fails_is_still_looked_after(follow, engine, daemon):
    engine.behave = lambda location, commit, stop: RunStatus.FAILED
    follower = follow("a")
    daemon.wait_until(follower.is_tried)
    assert follower.find_fault() == ""


def test_a_source_that_is_not_looked_at_for_three_intervals_is_a_fault(follow, engine, clock, daemon):
    follower = follow("a", poll=60)
    daemon.wait_until(follower.is_tried)
    clock.advance(60 + 900)
    assert follower.find_fault() == ""
    clock.advance(1)
    assert "its source was not looked at" in follower.find_fault()


def test_a_run_that_tells_nothing_for_an_hour_is_a_fault(follow, engine, clock, wait_for_runs, daemon):
    release = threading.Event()

    def hang(location, commit, stop):
        assert release.wait(30)
        return RunStatus.CONVERGED

    engine.behave = hang
    follower = follow("a")
    wait_for_runs("a")
    clock.advance(SILENT_RUN)
    follower.look()
    daemon.wait_until(lambda: follower.source_age() == 0.0)
    assert follower.find_fault() == ""
    clock.advance(1)
    assert "its run tells nothing" in follower.find_fault()
    release.set()


@pytest.fixture
def pair(engine, metrics, clock, daemon):
    """Starts `network`, and `shop` which needs it."""
    order = Order()
    engine.needs["shop"] = ("network",)
    engine.commits.update(network="a", shop="a")
    names = ("network", "shop")
    followers = [Follower(daemon.followed(name), engine, metrics, order, clock) for name in names]
    for follower in followers:
        follower.start()
    yield followers
    for follower in followers:
        follower.stop()
        assert follower.join(30)


def _with_outputs(location, commit, **outputs):
    plan = Plan(location, Revision(location, "", commit), changes=())
    return RunReport(plan, RunStatus.CONVERGED, outputs=outputs)


def test_an_output_that_changes_although_no_resource_does_wakes_those_who_read_it(engine, pair, daemon):
    engine.behave = lambda location, commit, stop: _with_outputs(
        location, commit, zone=f"{commit}.example.com"
    )
    daemon.wait_until(lambda: engine.runs_of("shop"))
    before = len(engine.runs_of("shop"))
    engine.commits["network"] = "b"
    pair[0].look()
    daemon.wait_until(lambda: len(engine.runs_of("shop")) > before)


def test_what_was_put_out_while_a_run_was_under_way_is_read_by_another_one(engine, pair, daemon, sample):
    daemon.wait_until(lambda: engine.runs_of("shop"))
    is_reading, may_end = threading.Event(), threading.Event()

    def behave(location, commit, stop):
        if location == "shop":
            is_reading.set()
            assert may_end.wait(30)
        return _with_outputs(location, commit, zone=f"{commit}.example.com")

    engine.behave = behave
    engine.commits["shop"] = "b"
    pair[1].look()
    assert is_reading.wait(30)
    engine.commits["network"] = "b"
    pair[0].look()
    # It is counted after those who need it were woken.
    daemon.wait_until(lambda: sample("trueup_runs_total", stack="network", status="converged") == 2)
    before = len(engine.runs_of("shop"))
    may_end.set()
    daemon.wait_until(lambda: len(engine.runs_of("shop")) > before)


def test_a_run_that_failed_leaves_word_of_the_next_try(follow, wait_for_runs, engine, clock, daemon):
    engine.behave = lambda location, commit, stop: RunStatus.FAILED
    follower = follow("a")
    daemon.wait_until(lambda: engine.events)
    clock.advance(60.0)
    follower.look()
    wait_for_runs("a", "a")
    daemon.wait_until(lambda: len(engine.events) == 2)
    assert engine.triggers == ["commit", "retry"]
    assert [(stack, event.kind) for stack, event in engine.events] == [("shop", "retry")] * 2
    messages = [event.message for _stack, event in engine.events]
    assert all(message.startswith("the daemon tries again at 20") for message in messages)
    assert [message.partition(", ")[2] for message in messages] == [
        "after 1 without success",
        "after 2 without success",
    ]


def test_the_word_of_the_next_try_has_the_error_and_its_hint_on_one_line(follow, engine, daemon):
    def refuse(location, commit, stop):
        raise SourceError("the host is down", hint="is it up?")

    engine.behave = refuse
    follow("a")
    daemon.wait_until(lambda: engine.events)
    _stack, event = engine.events[0]
    assert event.message.endswith(", after 1 without success: the host is down (is it up?)")


def test_a_store_that_refuses_an_event_ends_nothing(follow, wait_for_runs, engine, clock, daemon):
    def refuse(stack, events):
        engine.events.append(None)
        raise StoreError("the disk is full")

    engine.behave = lambda location, commit, stop: RunStatus.FAILED
    engine.store.add_events = refuse
    follower = follow("a")
    daemon.wait_until(lambda: engine.events)
    clock.advance(60.0)
    follower.look()
    wait_for_runs("a", "a")


def _held_report():
    plan = Plan("shop", Revision("shop", "", "a"), changes=(), holds=(Hold("whole-stack", "all of it"),))
    return RunReport(plan, RunStatus.HELD)


def test_a_verdict_on_a_held_plan_is_acted_on_with_the_next_look(
    follow, wait_for_runs, engine, sample, daemon
):
    engine.behave = lambda *_: _held_report() if engine.decision is None else RunStatus.CONVERGED
    follower = follow("a")
    daemon.wait_until(follower.is_tried)
    follower.look()
    daemon.wait_until(lambda: follower.source_age() == 0.0)
    wait_for_runs("a")
    engine.decision = Decision("sha256:1", Verdict.APPROVED, "bo@web", "", 1.0)
    with structlog.testing.capture_logs() as logs:
        follower.look()
        wait_for_runs("a", "a")
    assert {"who": "bo@web", "verdict": "approved", "digest": "sha256:1"}.items() <= logs[0].items()
    daemon.wait_until(lambda: sample("trueup_held", stack="shop") == 0)


def test_a_verdict_that_was_there_before_the_run_makes_no_further_one(
    follow, wait_for_runs, engine, clock, daemon
):
    engine.decision = Decision("sha256:1", Verdict.REJECTED, "bo@web", "", 1.0)
    engine.behave = lambda *_: _held_report()
    follower = follow("a")
    daemon.wait_until(follower.is_tried)
    clock.advance(1.0)
    follower.look()
    daemon.wait_until(lambda: follower.source_age() == 0.0)
    wait_for_runs("a")


def test_a_store_that_cannot_be_asked_for_a_verdict_stops_no_look(
    follow, wait_for_runs, engine, daemon, monkeypatch
):
    engine.behave = lambda *_: _held_report()
    follower = follow("a")
    daemon.wait_until(follower.is_tried)
    ask = engine.store.latest_decision

    def fail(_stack):
        monkeypatch.setattr(engine.store, "latest_decision", ask)
        raise OSError("disk")

    monkeypatch.setattr(engine.store, "latest_decision", fail)
    engine.commits["shop"] = "b"
    follower.look()
    wait_for_runs("a", "b")


def test_what_keeps_a_run_from_beginning_is_kept_with_the_next_try(
    follow, wait_for_runs, engine, clock, daemon
):
    def refuse(location, commit, stop):
        raise ManifestError([Problem("unknown field", Place("site.yaml", 3, 1))])

    engine.behave = refuse
    follow("a")
    daemon.wait_until(lambda: engine.events)
    (_stack, event), *_ = engine.events
    assert event.message.endswith("after 1 without success: site.yaml:3:1: unknown field")


def test_the_stack_that_has_to_come_first_is_told(follow, engine, daemon, clock, metrics):
    engine.needs["shop"] = ("base",)
    order = Order()
    order.join("base", lambda: None)
    order.declare("base", "base", ())
    engine.commits["shop"] = "a"
    follower = Follower(daemon.followed("shop"), engine, metrics, order, clock)
    follower.start()
    try:
        daemon.wait_until(lambda: engine.events)
    finally:
        follower.stop()
        assert follower.join(30)
    ((stack, event),) = engine.events
    assert (stack, event.kind) == ("shop", "waits")
    assert "base" in event.message


def one_after_another(*results):
    waiting = list(results)

    def behave(_location, _commit, _stop):
        result = waiting.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result

    return behave


def test_a_stack_that_another_process_works_on_is_stood_by_for(
    follow, engine, clock, daemon, sample, wait_for_runs
):
    engine.behave = one_after_another(StackBusy("being reconciled by other:1"), RunStatus.CONVERGED)
    with structlog.testing.capture_logs() as logs:
        follower = follow("a", poll=60.0)
        wait_for_runs("a")
        daemon.wait_until(follower.is_tried)
        clock.advance(15.0)
        follower.look()
        wait_for_runs("a", "a")
    assert [entry["event"] for entry in logs if entry["log_level"] != "debug"].count("standing by") == 1
    assert "run failed" not in [entry["event"] for entry in logs]
    assert sample("trueup_store_usable", stack="shop") == 1


def test_a_store_that_fails_is_told_and_asked_again_within_a_minute(
    follow, engine, clock, daemon, sample, wait_for_runs
):
    fault = StoreError("the disk of the store is full")
    engine.behave = one_after_another(*[fault] * 9, RunStatus.CONVERGED)
    follower = follow("a")
    for runs in range(1, 10):
        wait_for_runs(*["a"] * runs)
        daemon.wait_until(lambda: sample("trueup_store_usable", stack="shop") == 0)
        assert follower.find_store_fault() == fault.message
        daemon.wait_until(lambda: follower._run_stop is None)
        clock.advance(60.0)
        follower.look()
    wait_for_runs(*["a"] * 10)
    daemon.wait_until(lambda: sample("trueup_store_usable", stack="shop") == 1)
    assert follower.find_store_fault() == ""


def test_a_quarantine_that_a_run_leaves_is_logged_once_and_counted(
    follow, wait_for_runs, engine, clock, sample, daemon
):
    fought = Quarantine(
        Address("shop", "File", "site", "web-1"), ("/spec/mode",), "cron", 1, 1_795_629_000.0, 1_795_629_600.0
    )
    left = [(fought,), (fought,), ()]

    def behave(location, commit, stop):
        plan = Plan("shop", Revision("shop", "", commit), changes=())
        return RunReport(plan, RunStatus.CONVERGED, run=1, quarantines=left[min(len(engine.runs), 3) - 1])

    engine.behave = behave
    with structlog.testing.capture_logs() as logs:
        follower = follow("a", interval=10.0)
        daemon.wait_until(follower.is_tried)
        assert sample("trueup_quarantined", stack="shop") == 1

        def is_released():
            clock.advance(10.0)
            follower.look()
            return any(line["event"] == "released" for line in logs)

        daemon.wait_until(is_released, "the third run is told of")
    assert sample("trueup_quarantined", stack="shop") == 0
    assert [line["why"].partition(": ")[2] for line in logs if line["event"] == "quarantined"] == [
        "cron changes /spec/mode again and again"
    ]
