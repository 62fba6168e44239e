"""Groups the writes of many threads into one transaction, so that 16 workers do not wait for 16 disk flushes.

SQLite has one writer and one flush a commit; PostgreSQL groups commits by itself and does not need this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from trueup.errors import LeaseLost, StoreError
from trueup.state.database import Database

T = TypeVar("T")


class _Job:
    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_done = False


class CommitQueue:
    """Runs pieces of work, each as if in a transaction of its own that is durable when `run` returns.

    A piece of work may be run twice, and raises LeaseLost only before its first write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Job] = []

    def run(self, work: Callable[[Connection], T]) -> T:
        job = _Job(work)
        with self._queue_lock:
            self._queue.append(job)
        with self._writer:
            # Whoever gets here first commits for all that wait; they find their work done.
            if not job.is_done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        if job.error is not None:
            raise job.error
        value: T = job.value
        return value

    def _commit(self, batch: list[_Job]) -> None:
        try:
            self._commit_once(batch)
        except Exception as error:  # noqa: BLE001 - it is raised again by the thread whose work it was
            if len(batch) == 1:
                batch[0].error = error
            else:
                # One piece of work must not take down the others: each gets its own transaction.
                for job in batch:
                    self._commit([job])
        finally:
            for job in batch:
                if not job.is_done and job.error is None:
                    job.error = StoreError("the write was interrupted; whether it was stored is not known")
                job.is_done = True

    def _commit_once(self, batch: list[_Job]) -> None:
        lost: list[tuple[_Job, LeaseLost]] = []
        with self._database.writing() as connection:
            sides = self._database.sides_of(connection)
            for job in batch:
                try:
                    job.value = job.work(connection)
                except LeaseLost as error:
                    lost.append((job, error))
        # What was committed into files that have no names any more is not durable.
        self._database.check_files(sides)
        for job, loss in lost:
            job.error = loss
        for job in batch:
            job.is_done = True
