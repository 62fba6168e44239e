"""Spares the cyclic garbage collector while many objects are made that all stay. Used by load and cycle."""

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
    """The block runs without the collector, which would go over all objects again and again as they grow.

    It is a third of the time, and neither parsing nor planning makes cycles. Blocks may nest and overlap in
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
                gc.enable()
