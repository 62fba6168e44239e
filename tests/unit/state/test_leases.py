"""Leases of other machines, which only the wall clock can judge."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trueup.state.open import open_store
from trueup.state.process import Clock
from trueup.state.store import Store


@pytest.fixture
def now() -> list[float]:
    return [1e9]


@pytest.fixture
def store(tmp_path: Path, now: list[float]) -> Iterator[Store]:
    store = open_store(str(tmp_path / "state.db"), Clock(now=lambda: now[0], steady=lambda: 1e6))
    yield store
    store.close()


@pytest.fixture
def move_holder(tmp_path: Path) -> Callable[[], None]:
    """Makes the holder of the lease a process of another machine."""

    def move() -> None:
        connection = sqlite3.connect(tmp_path / "state.db")
        connection.execute("UPDATE leases SET machine = 'another', steady_expiry = 5")
        connection.commit()
        connection.close()

    return move


def test_the_wall_clock_judges_the_lease_of_another_machine(store: Store, now: list[float], move_holder):
    assert store.acquire_lease("shop", "there", 60)
    move_holder()
    now[0] += 59
    assert store.acquire_lease("shop", "here", 60) is None
    assert store.lease("shop") is not None
    now[0] += 2
    assert store.lease("shop") is None
    assert store.acquire_lease("shop", "here", 60) is not None


def test_a_lease_from_a_future_that_was_taken_back_waits_for_one_more_ttl_only(
    store: Store, now: list[float], move_holder
):
    assert store.acquire_lease("shop", "there", 60)
    move_holder()
    now[0] -= 400 * 86400
    assert store.acquire_lease("shop", "here", 60) is None
    now[0] += 59
    assert store.acquire_lease("shop", "here", 60) is None
    now[0] += 2
    assert store.acquire_lease("shop", "here", 60) is not None


def test_a_lease_needs_a_holder(store: Store):
    with pytest.raises(ValueError, match="holder"):
        store.acquire_lease("shop", "", 60)


def test_the_server_tells_the_time_for_all_of_its_clients(postgresql, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.time", lambda: 5.0)
    store = open_store(postgresql())
    lease = store.acquire_lease("shop", "me", 60)
    store.close()
    assert lease is not None
    assert lease.expires_at > 1e9
