"""Which process holds a lease, and whether it still lives: a killed run must not make the next one wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Clock:
    """Where leases take the time from, in seconds.

    `now` is the wall clock; None means the store's own: the server's for PostgreSQL, this machine's for
    SQLite. `steady` counts from the machine's boot, sleep included, and cannot be set.
    """

    now: Callable[[], float] | None = None
    steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Process:
    """One process of one boot of one machine. An empty `machine` means that it is not known."""

    machine: str
    pid: int
    started: int


def this_process() -> Process:
    """The calling process."""
    pid = os.getpid()
    started = _started(pid)
    machine = _machine()
    if not machine or started is None:
        return Process("", pid, 0)
    return Process(machine, pid, started)


def is_dead(process: Process) -> bool:
    """Whether the process has certainly ended. False where that cannot be known from here."""
    if not process.machine or process.machine != _machine():
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and is another user's
    started = _started(process.pid)
    return started is not None and started != process.started


@cache
def _machine() -> str:
    # Process ids and the steady clock mean the same only within one boot and the same namespaces.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespaces = [Path(f"/proc/self/ns/{name}").readlink().name for name in ("pid", "time")]
    except OSError:
        return ""
    return " ".join([boot, *namespaces])


def _started(pid: int) -> int | None:
    """When the process started, in ticks since boot; -1 if it ended and was not reaped, None if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name stands in brackets and may hold anything, brackets included.
    fields = text.rpartition(")")[2].split()
    state, threads = fields[0], int(fields[17])
    if state in ("Z", "X") and threads <= 1:
        return -1
    return int(fields[19])
