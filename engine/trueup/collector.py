"""Spares the cyclic garbage collector while a run makes many objects that stay until its end.

Used by app and load, and by the daemon between its runs. Going over all objects again and again as they grow
is a third of a run's time.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pauses = 0
_was_enabled = False


@contextmanager
def paused_collector() -> Iterator[None]:
    """The block runs without the collector, for work that makes few cycles: parsing, planning.

    What was made is left out of later collections until `collect_garbage`. Blocks may nest and overlap in
    several threads: the last one to end turns the collector on again, if it was on.
    """
    global _pauses, _was_enabled
    with _lock:
        if not _pauses:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses and _was_enabled:
                gc.freeze()
                gc.enable()


def collect_garbage() -> None:
    """Frees what earlier runs left, cycles too. For a process that goes on: it takes a while."""
    gc.unfreeze()
    gc.collect()
