from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from trueup.errors import PinnedStack, StackBusy, StoreError, UsageError
from trueup.model.outcome import RunStatus
from trueup.model.plan import Pin, PinKind
from trueup.model.resource import Revision
from trueup.reconcile import pin as pins
from trueup.reconcile.pin import check_pin, find_earlier, is_of_place, run_when_free, suspend, watch_pin
from trueup.state.open import open_store
from trueup.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.reconcile.conftest import Loop

    from trueup.model.resource import Facts
    from trueup.views import Loaded

URL = "https://git.example.com/estate.git"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(str(tmp_path / "s.db"))
    yield store
    store.close()


def _history(store: Store, *runs: tuple[str, RunStatus], source: str = f"{URL}//shop") -> None:
    """Runs of these commits, in order."""
    lease = store.acquire_lease("shop", "test", 60.0)
    assert lease is not None
    for commit, status in runs:
        store.finish_run(lease, store.begin_run(lease, url=source, commit=commit, digest="d"), status, {})
    store.release_lease(lease)


OK, BAD = RunStatus.CONVERGED, RunStatus.FAILED


@pytest.mark.parametrize(
    ("runs", "earlier"),
    [
        ([("a", OK), ("b", OK)], "a"),
        ([("a", OK), ("b", BAD)], "a"),
        ([("a", OK), ("b", BAD), ("c", BAD)], "a"),
        ([("a", OK), ("a", OK), ("b", OK), ("b", OK)], "a"),
        # It was gone back from c to b: the next step back is to a, and not to c.
        ([("a", OK), ("b", OK), ("c", OK), ("b", OK)], "a"),
        ([("a", OK), ("b", OK), ("a", OK), ("b", OK), ("c", RunStatus.INTERRUPTED)], "b"),
    ],
)
def test_the_commit_before_is_the_last_that_converged(store: Store, runs, earlier: str) -> None:
    _history(store, *runs)
    assert find_earlier(store, "shop", URL, "shop") == earlier


@pytest.mark.parametrize(
    ("runs", "head", "pinned", "earlier"),
    [
        # The head was held or could not be read, failed, or was interrupted.
        ([("a", OK), ("b", OK)], "c", "", "b"),
        ([("a", OK), ("b", OK), ("c", BAD)], "c", "", "b"),
        ([("a", OK), ("b", OK), ("c", RunStatus.INTERRUPTED), ("d", BAD)], "e", "", "b"),
        ([("a", OK), ("b", OK)], "b", "", "a"),
        # It failed later, at the same commit.
        ([("a", OK), ("b", OK), ("b", BAD)], "b", "", "a"),
        # It was gone back from b to a, and resumed; then something else was pushed.
        ([("a", OK), ("b", OK), ("a", OK)], "b", "", "a"),
        ([("a", OK), ("b", OK), ("a", OK)], "c", "", "a"),
        ([("a", OK), ("b", OK), ("a", OK), ("c", OK)], "c", "", "a"),
        # It is pinned: further back, whatever became of the run.
        ([("a", OK), ("b", OK), ("c", OK), ("b", OK)], "", "b", "a"),
        ([("a", OK), ("b", OK), ("c", OK), ("b", BAD)], "", "b", "a"),
        ([("a", OK), ("b", OK), ("c", OK)], "", "b", "a"),
        ([("a", OK), ("b", OK)], "", "never", "a"),
    ],
)
def test_what_was_never_applied_is_left_for_what_was(
    store: Store, runs, head: str, pinned: str, earlier: str
) -> None:
    _history(store, *runs)
    assert find_earlier(store, "shop", URL, "shop", head=head, pinned=pinned) == earlier


@pytest.mark.parametrize("trigger", ["destroy", "recover", "forget"])
def test_runs_that_made_nothing_are_not_gone_back_to(store: Store, trigger: str) -> None:
    _history(store, ("a", OK), ("b", OK))
    lease = store.acquire_lease("shop", "test", 60.0)
    assert lease is not None
    run = store.begin_run(lease, url=f"{URL}//shop", commit="c", digest="d", trigger=trigger)
    store.finish_run(lease, run, OK, {})
    assert find_earlier(store, "shop", URL, "shop", head="c") == "b"
    assert find_earlier(store, "shop", URL, "shop", head="b") == "a"


@pytest.mark.parametrize("runs", [[("a", OK)], [("a", BAD), ("b", OK)], [("a", OK), ("b", OK), ("a", OK)]])
def test_where_nothing_converged_before_a_commit_has_to_be_named(store: Store, runs) -> None:
    _history(store, *runs)
    with pytest.raises(UsageError, match="that converged before") as caught:
        find_earlier(store, "shop", URL, "shop")
    assert "--to COMMIT" in caught.value.hint


def test_runs_from_elsewhere_are_not_gone_back_to(store: Store) -> None:
    _history(store, ("a", OK), source=f"{URL}//shop with values prod.yaml")
    _history(store, ("x", OK), source="https://git.example.com/other.git//shop")
    _history(store, ("y", OK), source=f"{URL}//shop2")
    _history(store, ("b", OK))
    assert find_earlier(store, "shop", URL, "shop") == "a"
    with pytest.raises(UsageError, match="no run of stack 'shop' from this source"):
        find_earlier(store, "shop", URL, "")


def test_a_place_is_the_same_with_whatever_values() -> None:
    assert is_of_place(URL, URL, "")
    assert is_of_place(f"{URL} with values a.yaml", URL, "")
    assert not is_of_place(f"{URL}//shop", URL, "")
    assert not is_of_place(f"{URL}//shop", URL, "sho")


def test_a_pinned_stack_may_be_run_at_its_commit_alone() -> None:
    pin = Pin("shop", PinKind.PINNED, "a" * 40, "bo", "why", 1.0)
    check_pin(None, Revision("", "", "b" * 40))
    check_pin(pin, Revision("", "", "a" * 40))
    with pytest.raises(PinnedStack, match=f"is pinned to {'a' * 12} by bo: why"):
        check_pin(pin, Revision("", "", "b" * 40))
    with pytest.raises(PinnedStack, match="is suspended"):
        check_pin(Pin("shop", PinKind.SUSPENDED, "a" * 40, "bo", "", 1.0), Revision("", "", "a" * 40))


def test_a_suspended_stack_stays_at_the_commit_that_it_was_pinned_to(store: Store) -> None:
    pins.pin_to(store, "shop", "abc", "bo", "")
    assert suspend(store, "shop", "bo", "").commit == "abc"
    with pytest.raises(PinnedStack, match=r"stack 'shop' is already suspended by bo$"):
        suspend(store, "shop", "eve", "again")
    assert suspend(store, "shop", "eve", "again", is_forced=True).commit == "abc"
    assert pins.resume(store, "shop", "bo") is not None
    assert suspend(store, "shop", "bo", "").commit == ""


def _is_stopped(store: Store, began_with: Pin | None, change) -> bool:
    stop = threading.Event()
    with watch_pin(store, "shop", began_with, "now", stop):
        change()
        return stop.wait(0.5)


def test_a_run_ends_once_its_stack_is_suspended_or_pinned_elsewhere(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "LOOK_AGAIN", 0.01)
    assert _is_stopped(store, None, lambda: suspend(store, "shop", "bo", ""))
    # One that began in spite of the suspension goes on.
    assert not _is_stopped(store, store.pin_of("shop"), lambda: None)
    pins.resume(store, "shop", "bo")
    assert _is_stopped(store, None, lambda: pins.pin_to(store, "shop", "other", "bo", ""))
    pins.resume(store, "shop", "bo")
    assert not _is_stopped(store, None, lambda: pins.pin_to(store, "shop", "now", "bo", ""))
    assert not _is_stopped(store, store.pin_of("shop"), lambda: pins.resume(store, "shop", "bo"))


def test_a_store_that_gives_no_answer_ends_no_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def fail(_stack: str) -> None:
        asked.set()
        raise StoreError("locked")

    monkeypatch.setattr(pins, "LOOK_AGAIN", 0.01)
    assert not _is_stopped(store, None, lambda: monkeypatch.setattr(store, "pin_of", fail))
    assert asked.is_set()


def test_a_suspension_in_the_middle_of_a_run_finishes_the_calls_in_flight(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "LOOK_AGAIN", 0.01)
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": "${{ ref('Thing/a').status.id }}"})
    store = loop.app.store
    seen = loop.notes.started

    def suspend_now(change) -> None:
        seen(change)
        if change.address.name == "a":
            suspend(store, "shop", "bo", "")
            assert loop.stop.wait(30)

    loop.notes.started = suspend_now  # type: ignore[method-assign]
    report = loop.run()
    assert report.status is RunStatus.INTERRUPTED
    assert [address.name for address in report.left] == ["b"]
    assert report.plan.pin == store.pin_of("shop")
    assert not store.open_intents("shop")
    with pytest.raises(PinnedStack):
        loop.run()


def test_a_rollback_waits_for_the_run_under_way_and_says_that_the_pin_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy() -> None:
        raise StackBusy("stack 'shop' is being reconciled by web:1")

    monkeypatch.setattr(pins, "LONGEST_WAIT", 0.0)
    with pytest.raises(StackBusy, match="it is pinned all the same"):
        run_when_free(busy, threading.Event())
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(pins, "LONGEST_WAIT", 3600.0)
    with pytest.raises(StackBusy):
        run_when_free(busy, stop)


@pytest.mark.parametrize("commit", ["", "0123456789abcdef"])
def test_what_is_said_before_a_run_has_the_lease_keeps_it_from_beginning(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, commit: str
) -> None:
    loop.declare("a", {"size": 1})
    store, gather = loop.app.store, loop.app._gather

    def dawdle(loaded: Loaded, **options: bool) -> Facts:
        # Secrets are read after the stack was, and that may take its time.
        if commit:
            pins.pin_to(store, "shop", commit, "bo", "")
        else:
            suspend(store, "shop", "bo", "")
        return gather(loaded, **options)

    monkeypatch.setattr(loop.app, "_gather", dawdle)
    with pytest.raises(PinnedStack, match="after this run had read it"):
        loop.run()
    assert loop.world.count_writes() == 0
    assert not store.runs("shop")
    # Who means it, does it once.
    monkeypatch.setattr(loop.app, "_gather", gather)
    if not commit:
        assert loop.run(is_forced=True).status is RunStatus.CONVERGED
