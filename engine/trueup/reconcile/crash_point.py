"""Named points around every durable step of a run, where tests end the process. Called by record, call, act.

`TRUEUP_CRASH_AT=<point>[:n]` kills it (SIGKILL) at the n-th pass of a point, the first by default: what a run
leaves behind wherever it dies. For tests alone; without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable

from trueup.errors import UsageError

VARIABLE = "TRUEUP_CRASH_AT"
POINTS = (
    "before-run",  # the run is written into the history
    "after-run",
    "before-rows",  # rows are written that have to be there before a call
    "after-rows",
    "before-intent",
    "after-intent",
    "before-call",  # a mutation, or one poll of it
    "after-call",
    "after-verify",  # what was done was seen
    "after-removal",  # a replacement: the old object is gone, the new one is not made
    "after-creation",  # a replacement: the new object is made, the old one may live
    "after-leftover",  # a replacement: one old object is gone that lived beside the new one
    "before-close",  # an intent ends without an outcome
    "after-close",
    "before-outcome",
    "after-outcome",
    "before-finish",  # the run is ended in the history
    "after-finish",
)


def reach(point: str) -> None:
    """The run is at this point."""
    if _watcher is not None:
        _watcher(point)


def watch(watcher: Callable[[str], None] | None) -> None:
    """Calls `watcher` at every point from now on, in the thread that reaches it; None ends that."""
    global _watcher
    _watcher = watcher


def arm(where: str) -> None:
    """Kills this process at `<point>[:n]`. Raises UsageError where there is no such point."""
    point, _, number = where.partition(":")
    if point not in POINTS or not (number or "1").isdigit() or int(number or 1) < 1:
        raise UsageError(
            f"{VARIABLE}={where} names no point of a run", hint=f"<point>[:n], of: {', '.join(POINTS)}"
        )
    last, passes, lock = int(number or 1), Counter[str](), threading.Lock()

    def count(reached: str) -> None:
        with lock:
            passes[reached] += 1
            if passes[point] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    watch(count)


_watcher: Callable[[str], None] | None = None
if os.environ.get(VARIABLE):
    arm(os.environ[VARIABLE])
