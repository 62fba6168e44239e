"""The lease of a run: asked for before each call, and given free even where the store failed at its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueup.errors import LeaseLost, StackBusy, StoreError
from trueup.reconcile import hold
from trueup.reconcile.hold import LeaseKeeper, keep_lease
from trueup.state.open import open_store
from trueup.state.store import Lease, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(str(tmp_path / "store.db"))
    yield store
    store.close()


def test_the_store_is_asked_only_once_the_lease_has_run_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    lease = store.acquire_lease("shop", "me", 600)
    assert lease is not None
    keeper = LeaseKeeper(store, lease, threading.Event(), clock=lambda: now[0])
    asked: list[Lease] = []
    renew = store.renew_lease
    monkeypatch.setattr(store, "renew_lease", lambda lease, ttl: (asked.append(lease), renew(lease, ttl))[1])
    now[0] += hold.LEASE_TTL - 0.001
    keeper.require()
    assert not asked
    now[0] += 0.001
    keeper.require()
    keeper.require()
    assert len(asked) == 1


def test_a_lease_that_another_took_over_stops_the_run(store: Store) -> None:
    now, stop = [1000.0], threading.Event()
    lease = store.acquire_lease("shop", "me", 600)
    assert lease is not None
    keeper = LeaseKeeper(store, lease, stop, clock=lambda: now[0])
    store.release_lease(lease)
    assert store.acquire_lease("shop", "other", 600) is not None
    keeper.require()
    now[0] += hold.LEASE_TTL
    for _ in range(2):
        with pytest.raises(LeaseLost):
            keeper.require()
    assert stop.is_set()


def test_a_stack_that_is_held_is_busy(store: Store) -> None:
    with (
        keep_lease(store, "shop", threading.Event()),
        pytest.raises(StackBusy, match="is being reconciled by"),
        keep_lease(store, "shop", threading.Event()),
    ):
        pass


def test_a_release_that_failed_is_made_up_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_lease: Lease) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "release_lease", fail)
        with pytest.raises(ZeroDivisionError), keep_lease(store, "shop", threading.Event()):
            raise ZeroDivisionError
        with pytest.raises(StoreError, match="disk is full"), keep_lease(store, "shop", threading.Event()):
            pass
    with keep_lease(store, "shop", threading.Event()) as keeper:
        assert store.lease("shop") == keeper.lease
