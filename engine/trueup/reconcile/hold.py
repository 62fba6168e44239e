"""Holds the lease of a stack while a run goes on: taken, renewed, asked for before each call, released.

Called by cycle, forget and import_objects.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from weakref import WeakKeyDictionary

from trueup.errors import LeaseLost, StackBusy, StoreError
from trueup.state.store import Lease, Store

LEASE_TTL = 60.0
# By store and stack, the holders whose release failed: they stand in nobody's way but ours.
_unreleased: WeakKeyDictionary[Store, dict[str, str]] = WeakKeyDictionary()


def _steady() -> float:
    """Seconds that go on while the machine sleeps, or this process is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseKeeper:
    """Renews a lease from a thread of its own while a run goes on; releases it at the end. Thread safe.

    `asked_at` is when the lease was asked for, by `clock`.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        stop: threading.Event,
        asked_at: float | None = None,
        clock: Callable[[], float] = _steady,
    ) -> None:
        self.lease = lease
        self.is_lost = False
        self._store = store
        self._stop_run = stop
        self._clock = clock
        self._good_until = (clock() if asked_at is None else asked_at) + LEASE_TTL
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew_often, name=f"lease-{lease.stack}", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        try:
            self._store.release_lease(self.lease)
        except StoreError:
            _unreleased.setdefault(self._store, {})[self.lease.stack] = self.lease.holder
            # What ended the run tells more.
            if error is None:
                raise

    def require(self) -> None:
        """Raises LeaseLost if the lease may be another's by now, StoreError if that cannot be told.

        To be asked right before each call that changes something: the process may have been stopped for hours
        since its intent was written. It asks the store only where the lease has run out meanwhile.
        """
        with self._lock:
            if not self.is_lost and self._clock() < self._good_until:
                return
            self._renew()

    def _renew(self) -> None:
        asked_at = self._clock()
        try:
            self._store.renew_lease(self.lease, LEASE_TTL)
        except LeaseLost:
            self._lose()
            raise
        self._good_until = asked_at + LEASE_TTL

    def _renew_often(self) -> None:
        failures = 0
        while not self._done.wait(LEASE_TTL / 4):
            try:
                with self._lock:
                    self._renew()
                failures = 0
            except LeaseLost:
                return
            except Exception:  # noqa: BLE001 - whatever it is, the lease is not renewed
                failures += 1
                if failures > 2:
                    self._lose()
                    return

    def _lose(self) -> None:
        self.is_lost = True
        self._stop_run.set()


@contextmanager
def keep_lease(store: Store, stack: str, stop: threading.Event) -> Iterator[LeaseKeeper]:
    """The right to write for the stack, renewed while the block runs. Losing it sets `stop`."""
    _release_late(store, stack)
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    asked_at = _steady()
    lease = store.acquire_lease(stack, holder, LEASE_TTL)
    if lease is None:
        other = store.lease(stack)
        raise StackBusy(
            f"stack {stack!r} is being reconciled by {other.holder if other else 'another process'}",
            hint="wait until that run has ended; a run that died gives the stack free by itself",
        )
    with LeaseKeeper(store, lease, stop, asked_at) as keeper:
        yield keeper


@contextmanager
def hold_lease(store: Store, stack: str, stop: threading.Event) -> Iterator[Lease]:
    """As `keep_lease`, for what makes no call."""
    with keep_lease(store, stack, stop) as keeper:
        yield keeper.lease


def _release_late(store: Store, stack: str) -> None:
    """Gives free what an earlier run of this process could not, since the store failed it."""
    holder = _unreleased.get(store, {}).get(stack)
    if holder is None:
        return
    held = store.lease(stack)
    if held is not None and held.holder == holder:
        with suppress(LeaseLost):
            store.release_lease(held)
    _unreleased[store].pop(stack, None)
