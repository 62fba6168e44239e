"""The threads in which plugins are called: one that hangs is left behind, and nobody waits for it.

Used by cycle. A pool of the standard library would wait: at its end, and at the end of the process once more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class Crew(Executor):
    """At most `size` threads at work, beside those that were left behind. Thread safe."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._running: dict[Future[Any], threading.Thread] = {}
        self._threads: set[threading.Thread] = set()
        self._waiting = 0
        self._is_closed = False

    def submit(self, work: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the crew has gone home")
            self._jobs.append((future, lambda: work(*arguments, **named)))
            self._man()
            self._changed.notify()
        return future

    def leave(self, future: Future[Any]) -> None:
        """Counts the thread of a job no more, so that another takes its place; drops a job that waits."""
        if future.cancel():
            return
        with self._changed:
            self._threads.discard(self._running.get(future, threading.main_thread()))
            self._man()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Waits for all jobs but those whose threads were left behind."""
        with self._changed:
            self._is_closed = True
            dropped = list(self._jobs) if cancel_futures else []
            if cancel_futures:
                self._jobs.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        for future, _ in dropped:
            future.cancel()
        for thread in threads if wait else ():
            thread.join()

    def _man(self) -> None:
        """As many threads as there is work for."""
        while len(self._jobs) > self._waiting and len(self._threads) < self._size:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.add(thread)
            self._waiting += 1  # until it looks for work
            thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        with self._changed:
            self._waiting -= 1
        while True:
            with self._changed:
                while not self._jobs and not self._is_closed and me in self._threads:
                    self._waiting += 1
                    self._changed.wait()
                    self._waiting -= 1
                if not self._jobs or me not in self._threads:
                    self._threads.discard(me)
                    return
                future, work = self._jobs.popleft()
                self._running[future] = me
            self._carry_out(future, work)
            with self._changed:
                del self._running[future]

    @staticmethod
    def _carry_out(future: Future[Any], work: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - who asks for the result gets it
            future.set_exception(error)
        else:
            future.set_result(result)
