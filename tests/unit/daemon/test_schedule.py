from __future__ import annotations

import math

import pytest

from trueup.daemon.schedule import CRASHED, FIRST_BACKOFF, LONGEST_BACKOFF, Schedule, backoff
from trueup.model.outcome import RunStatus


@pytest.fixture
def schedule():
    return Schedule(poll=60, interval=300, started_at=1000.0, jitter=lambda: 0.0)


def run(schedule, now, status):
    assert schedule.is_due(now)
    schedule.began_run()
    schedule.ended_run(now, status)


def test_the_first_look_is_due_at_once_and_the_first_run_after_it(schedule):
    assert schedule.next_poll == 1000.0
    assert not schedule.is_due(2000.0)
    assert schedule.saw_commit(1001.0, "a")
    assert schedule.is_due(1001.0)


def test_a_source_that_is_down_at_the_start_does_not_keep_the_first_run_waiting(schedule):
    schedule.missed_source(1005.0)
    assert schedule.is_due(1005.0)
    assert schedule.next_poll == 1065.0


def test_a_converged_run_is_repeated_after_the_interval(schedule):
    schedule.saw_commit(1000.0, "a")
    run(schedule, 1000.0, RunStatus.CONVERGED)
    assert not schedule.is_due(1299.9)
    assert schedule.is_due(1300.0)


def test_the_same_commit_again_is_no_news(schedule):
    schedule.saw_commit(1000.0, "a")
    run(schedule, 1000.0, RunStatus.CONVERGED)
    assert not schedule.saw_commit(1060.0, "a")
    assert schedule.next_run == 1300.0
    assert schedule.next_poll == 1120.0


def test_a_source_that_goes_down_changes_nothing_about_the_next_run(schedule):
    schedule.saw_commit(1000.0, "a")
    run(schedule, 1000.0, RunStatus.CONVERGED)
    schedule.missed_source(1060.0)
    assert schedule.next_run == 1300.0
    assert schedule.answered_at == 1000.0


@pytest.mark.parametrize("status", [RunStatus.FAILED, CRASHED])
def test_failures_in_a_row_are_retried_ever_more_slowly_up_to_ten_minutes(schedule, status):
    schedule.saw_commit(1000.0, "a")
    now, pauses = 1000.0, []
    for _ in range(12):
        run(schedule, now, status)
        pauses.append(schedule.next_run - now)
        now = schedule.next_run
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF


def test_a_new_commit_is_run_at_once_and_forgives_the_failures(schedule):
    schedule.saw_commit(1000.0, "bad")
    for _ in range(8):
        run(schedule, max(schedule.next_run, 1000.0), RunStatus.FAILED)
    now = schedule.next_run - 100
    assert not schedule.is_due(now)
    schedule.saw_commit(now, "good")
    assert schedule.is_due(now)
    run(schedule, now, RunStatus.FAILED)
    assert schedule.next_run == now + FIRST_BACKOFF


def test_success_forgives_the_failures(schedule):
    schedule.saw_commit(1000.0, "a")
    run(schedule, 1000.0, RunStatus.FAILED)
    run(schedule, 1005.0, RunStatus.CONVERGED)
    assert schedule.failures == 0


def test_a_held_run_is_looked_at_again_with_the_interval_and_is_no_failure(schedule):
    schedule.saw_commit(1000.0, "a")
    run(schedule, 1000.0, RunStatus.HELD)
    assert schedule.next_run == 1300.0
    assert schedule.failures == 0


@pytest.mark.parametrize("status", [*RunStatus, CRASHED])
def test_a_commit_that_came_during_a_run_is_run_when_that_run_ends_however_it_ends(schedule, status):
    schedule.saw_commit(1000.0, "a")
    schedule.began_run()
    schedule.saw_commit(1010.0, "b")
    schedule.ended_run(1020.0, status)
    assert schedule.is_due(1020.0)
    run(schedule, 1020.0, RunStatus.CONVERGED)
    assert schedule.next_run == 1320.0


def test_a_run_that_was_stopped_without_news_does_not_spin(schedule):
    schedule.saw_commit(1000.0, "a")
    run(schedule, 1000.0, RunStatus.INTERRUPTED)
    assert schedule.next_run > 1000.0


@pytest.mark.parametrize("failures", [1, 2, 7, 8, 1000])
def test_jitter_shortens_a_pause_by_half_at_most(failures):
    longest = backoff(failures, lambda: 0.0)
    assert 0 < longest <= LONGEST_BACKOFF
    assert longest / 2 <= backoff(failures, lambda: 0.999) < longest
    assert math.isfinite(backoff(failures))


@pytest.mark.parametrize("status", [RunStatus.CONVERGED, RunStatus.HELD, RunStatus.FAILED])
def test_what_changes_during_a_run_that_depends_on_it_is_run_again_at_once_and_only_once(schedule, status):
    schedule.saw_commit(1000.0, "a")
    schedule.began_run()
    schedule.woke(1010.0)
    schedule.ended_run(1020.0, status)
    assert schedule.is_due(1020.0)
    run(schedule, 1020.0, status)
    assert not schedule.is_due(1024.0)


def test_a_wake_is_not_lost_between_the_question_and_the_wait(schedule):
    schedule.saw_commit(1000.0, "a")
    schedule.began_run()
    schedule.woke(1000.0)
    schedule.waits(1000.0)
    assert schedule.is_due(1000.0)
    schedule.began_run()
    schedule.waits(1000.0)
    assert schedule.next_run == 1060.0


def test_a_commit_that_comes_between_the_question_and_the_wait_is_run_at_once(schedule):
    schedule.saw_commit(1000.0, "a")
    schedule.began_run()
    schedule.saw_commit(1001.0, "b")
    schedule.waits(1001.0)
    assert schedule.is_due(1001.0)


def test_each_run_says_what_made_it_start(schedule):
    said = []

    def run_now(status):
        said.append(schedule.began_run())
        schedule.ended_run(1000.0, status)

    run_now(RunStatus.CONVERGED)
    schedule.saw_commit(1000.0, "a")
    for status in (RunStatus.FAILED, RunStatus.FAILED, RunStatus.CONVERGED, RunStatus.CONVERGED):
        run_now(status)
    assert said == ["interval", "commit", "retry", "retry", "interval"]


def test_a_run_that_had_to_wait_for_another_stack_is_still_the_first_of_its_commit(schedule):
    schedule.saw_commit(1000.0, "a")
    schedule.began_run()
    schedule.waits(1000.0)
    assert schedule.began_run() == "commit"
    schedule.saw_commit(1001.0, "b")
    schedule.ended_run(1002.0, RunStatus.INTERRUPTED)
    assert schedule.began_run() == "commit"
    schedule.ended_run(1003.0, RunStatus.CONVERGED)
    assert schedule.began_run() == "interval"


def get(schedule, now, told, commit):
    """A run that was told of one commit and got one."""
    schedule.began_run()
    is_given = schedule.ran_commit(now, told, commit)
    schedule.ended_run(now, RunStatus.CONVERGED)
    return is_given


def test_a_commit_that_was_not_given_is_news_once_more_ever_more_slowly(schedule):
    schedule.poll = 1
    schedule.saw_commit(1000.0, "a")
    run(schedule, 1000.0, RunStatus.CONVERGED)
    assert schedule.ran_commit(1000.0, "a", "a")
    now, tries = 1001.0, []
    while now < 1100.0:
        if schedule.saw_commit(now, "b"):
            tries.append(now)
            schedule.began_run()
            assert not schedule.ran_commit(now, "b", "a")
            schedule.ended_run(now, RunStatus.CONVERGED)
        now += 1
    assert tries == [1001, 1006, 1016, 1036, 1076]
    # Another one is asked for at once.
    assert schedule.saw_commit(1101.0, "c")


def test_the_source_ages_while_it_tells_of_a_commit_that_it_does_not_give(schedule):
    schedule.saw_commit(1000.0, "a")
    get(schedule, 1000.0, "a", "a")
    for now in (1060.0, 1120.0, 1180.0):
        assert schedule.saw_commit(now, "b")
        get(schedule, now, "b", "a")
        # A run for drift is of the old commit, and no proof that the source gives the new one.
        get(schedule, now + 1, "a", "a")
    assert schedule.answered_at == 1060.0
    schedule.saw_commit(1240.0, "c")
    assert schedule.answered_at == 1060.0
    get(schedule, 1240.0, "c", "c")
    schedule.saw_commit(1300.0, "c")
    assert schedule.answered_at == 1300.0


def test_a_source_that_goes_back_to_the_commit_that_is_in_force_is_young_again(schedule):
    schedule.saw_commit(1000.0, "a")
    get(schedule, 1000.0, "a", "a")
    schedule.saw_commit(1060.0, "b")
    get(schedule, 1060.0, "b", "a")
    assert not schedule.saw_commit(1120.0, "a")
    assert schedule.answered_at == 1120.0
    assert schedule.saw_commit(1121.0, "b")


def test_a_run_that_gets_a_newer_commit_than_was_told_is_no_refusal(schedule):
    schedule.saw_commit(1000.0, "a")
    get(schedule, 1000.0, "a", "a")
    schedule.saw_commit(1060.0, "b")
    get(schedule, 1060.0, "b", "c")
    schedule.saw_commit(1120.0, "c")
    assert schedule.answered_at == 1120.0
