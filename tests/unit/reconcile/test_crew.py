"""Threads for plugins: as many as there may be, and another one for each that is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import wait

import pytest

from trueup.reconcile.crew import Crew


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def test_all_jobs_are_done_by_no_more_threads_than_there_may_be() -> None:
    names: set[int] = set()
    with Crew(3, "test") as crew:
        jobs = [crew.submit(lambda n=n: (names.add(threading.get_ident()), n)[1]) for n in range(500)]
        assert [job.result(30) for job in jobs] == list(range(500))
    assert 1 <= len(names) <= 3


def test_jobs_run_at_once() -> None:
    barrier = threading.Barrier(4)
    with Crew(4, "test") as crew:
        assert not wait([crew.submit(barrier.wait, 30) for _ in range(4)], 60).not_done


def test_a_job_that_hangs_holds_up_neither_the_others_nor_the_end(gate: threading.Event) -> None:
    with Crew(1, "test") as crew:
        for _ in range(5):
            started = threading.Event()
            hung = crew.submit(lambda started=started: (started.set(), gate.wait(120)))
            assert started.wait(30)
            waiting = crew.submit(lambda: 7)
            crew.leave(hung)
            assert waiting.result(30) == 7
            assert crew.submit(lambda: 8).result(30) == 8
    assert not hung.done()
    gate.set()
    assert hung.result(30)


def test_a_job_that_waits_is_dropped_when_it_is_left(gate: threading.Event) -> None:
    crew = Crew(1, "test")
    hung = crew.submit(gate.wait, 120)
    waiting = crew.submit(lambda: 7)
    crew.leave(waiting)
    assert waiting.cancelled()
    crew.leave(hung)
    crew.shutdown()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_a_job_raises_is_for_who_asks(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with Crew(1, "test") as crew:
        assert crew.submit(fail).exception(30) is error
        assert crew.submit(lambda: 1).result(30) == 1


def test_a_crew_that_has_gone_home_takes_no_jobs() -> None:
    crew = Crew(1, "test")
    crew.shutdown()
    with pytest.raises(RuntimeError):
        crew.submit(lambda: 1)
