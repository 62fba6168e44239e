"""Many threads, one transaction: each gets its own result or its own error."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError

from trueup.errors import LeaseLost, StoreError
from trueup.state.commits import CommitQueue
from trueup.state.database import Database, open_sqlite


@pytest.fixture
def database(tmp_path: Path):
    database = open_sqlite(tmp_path / "x.db")
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    yield database
    database.engine.dispose()


def insert(number: int):
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})
        return number

    return work


def rows(database: Database) -> list[int]:
    with database.reading() as connection:
        return list(connection.execute(text("SELECT n FROM t ORDER BY n")).scalars())


def test_waiting_writes_share_a_commit(database: Database):
    queue = CommitQueue(database)
    commits: list[Connection] = []
    event.listen(database.engine, "commit", commits.append)
    started, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> int:
        started.set()
        go_on.wait(30)
        return insert(0)(connection)

    with ThreadPoolExecutor(17) as pool:
        first = pool.submit(queue.run, slow)
        assert started.wait(30)
        others = [pool.submit(queue.run, insert(number)) for number in range(1, 17)]
        while len(queue._queue) < 16:
            pass
        go_on.set()
        assert [first.result(), *(other.result() for other in others)] == list(range(17))
    assert len(commits) == 2
    assert rows(database) == list(range(17))


def test_one_that_fails_and_one_that_lost_its_lease_leave_the_others_alone(database: Database):
    queue = CommitQueue(database)

    def lost(_connection: Connection) -> None:
        raise LeaseLost("lost")

    jobs = [insert(1), insert(2), lost, insert(1), insert(3)]
    started = threading.Barrier(len(jobs))

    def run(job):
        started.wait()
        try:
            return queue.run(job)
        except (LeaseLost, IntegrityError) as error:
            return type(error).__name__

    with ThreadPoolExecutor(len(jobs)) as pool:
        results = list(pool.map(run, jobs))
    assert sorted(map(str, results)) == ["1", "2", "3", "IntegrityError", "LeaseLost"]
    assert rows(database) == [1, 2, 3]


def test_an_interruption_is_an_error_for_all_that_waited_for_this_commit(database: Database):
    queue = CommitQueue(database)
    started, go_on = threading.Event(), threading.Event()

    def interrupt(_connection: Connection) -> None:
        started.set()
        go_on.wait(30)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(queue.run, lambda connection: (started.set(), go_on.wait(30)))
        assert started.wait(30)
        started.clear()
        second = pool.submit(queue.run, interrupt)
        go_on.set()
        first.result()
        with pytest.raises((KeyboardInterrupt, StoreError)):
            second.result()
    assert queue.run(insert(1)) == 1
