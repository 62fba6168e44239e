"""What every store makes of a recovery, and what a machine remembers of it: SQLite and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.errors import LeaseLost, StoreError
from trueup.model.address import Address
from trueup.model.outcome import Result, RunStatus
from trueup.state.open import open_store
from trueup.state.store import Lease, Rebuilt, Record, Step, Store

WEB = Address("shop", "File", "web", "host-1")
OTHER = Address("blog", "File", "web", "host-1")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a store."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    made: str = request.getfixturevalue("postgresql")()
    return made


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as store:
        yield store


def take(store: Store, stack: str, holder: str = "me") -> Lease:
    lease = store.acquire_lease(stack, holder, 60.0)
    assert lease is not None
    return lease


def record_of(address: Address, external_id: str = "/web") -> Record:
    return Record(address, "v1", {"name": "host-1", "config": {}}, "fp", external_id, {"metadata": {}})


def rebuilt_of(installation: str, *records: Record) -> Rebuilt:
    steps = [Step(record.address, Result.ADOPTED) for record in records]
    return Rebuilt(installation, list(records), steps, "url", "c0ffee", message="found it")


def test_a_recovery_writes_rows_a_run_and_an_event_and_gives_the_store_its_id(store: Store, url: str) -> None:
    lease = take(store, "shop")
    run = store.rebuild(lease, rebuilt_of("before", record_of(WEB)))
    assert store.installation == "before"
    assert dict(store.inventory("shop")) == {WEB: replace(record_of(WEB), run=run)}
    (kept,) = store.runs("shop")
    assert (kept.id, kept.trigger, kept.status, dict(kept.counts)) == (
        run,
        "recover",
        RunStatus.CONVERGED,
        {"adopted": 1},
    )
    assert [(event.kind, event.message, event.run) for event in store.events("shop")] == [
        ("recovered", "found it", run)
    ]
    assert [step.result for step in store.steps(run)] == [Result.ADOPTED]
    mark = store.mark("shop")
    assert mark is not None
    assert (mark.installation, mark.run, mark.at) == ("before", run, kept.started_at)
    with closing(open_store(url)) as again:
        assert again.installation == "before"


def test_the_runs_of_a_recovered_store_count_on_from_what_is_remembered(store: Store) -> None:
    lease = take(store, "shop")
    store.begin_run(lease, url="u", commit="c", digest="d")
    remember = store._remember  # type: ignore[attr-defined]
    remember("shop", 40, 1.0)
    assert store.rebuild(lease, rebuilt_of("before", record_of(WEB))) == 41
    assert [run.id for run in store.runs("shop")] == [41, 1]
    assert store.begin_run(lease, url="u", commit="c", digest="d") == 42
    assert store.rebuild(lease, rebuilt_of("before", record_of(WEB))) == 43
    mark = store.mark("shop")
    assert mark is not None
    assert mark.run == 43


def test_a_recovery_replaces_the_rows_that_it_has_and_keeps_the_others(store: Store) -> None:
    kept = Address("shop", "File", "kept", "host-1")
    lease = take(store, "shop")
    run = store.begin_run(lease, url="u", commit="c", digest="d")
    store.record_steps(lease, run, (), [record_of(WEB, "/old"), record_of(kept, "/kept")])
    store.rebuild(lease, rebuilt_of(store.installation, record_of(WEB, "/new")))
    rows = store.inventory("shop")
    assert {address: row.external_id for address, row in rows.items()} == {WEB: "/new", kept: "/kept"}


def test_a_store_that_knows_anything_keeps_its_id(store: Store) -> None:
    own = store.installation
    other = take(store, "blog")
    run = store.begin_run(other, url="u", commit="c", digest="d")
    lease = take(store, "shop")
    with pytest.raises(StoreError, match="in use for blog"):
        store.rebuild(lease, rebuilt_of("before", record_of(WEB)))  # a run of it is under way
    token = store.write_intent(other, run, OTHER, "create", fingerprint="fp")
    store.release_lease(other)
    with pytest.raises(StoreError, match="in use for blog"):
        store.rebuild(lease, rebuilt_of("before", record_of(WEB)))  # only an intent
    assert (store.installation, dict(store.inventory("shop")), list(store.runs("shop"))) == (own, {}, [])
    other = take(store, "blog", "again")
    store.close_intent(other, token)
    store.release_lease(other)
    assert store.rebuild(lease, rebuilt_of("before", record_of(WEB)))


def test_a_recovery_needs_the_lease_and_the_stack(store: Store) -> None:
    lease = take(store, "shop")
    with pytest.raises(ValueError, match="not of the leased stack"):
        store.rebuild(lease, rebuilt_of("before", record_of(OTHER)))
    store.release_lease(lease)
    with pytest.raises(LeaseLost):
        store.rebuild(lease, rebuilt_of("before", record_of(WEB)))


def test_a_process_that_has_the_store_open_takes_up_its_new_id_with_the_next_lease(
    store: Store, url: str
) -> None:
    with closing(open_store(url)) as elsewhere:
        before = elsewhere.installation
        lease = take(store, "shop")
        store.rebuild(lease, rebuilt_of("other"))
        store.release_lease(lease)
        assert elsewhere.installation == before
        take(elsewhere, "shop", "elsewhere")
        assert elsewhere.installation == "other"


def test_each_run_that_begins_is_remembered_until_that_is_dropped(store: Store, url: str) -> None:
    assert store.mark("shop") is None
    lease = take(store, "shop")
    for _ in range(2):
        run = store.begin_run(lease, url="u", commit="c", digest="d")
        mark = store.mark("shop")
        assert mark is not None
        assert (mark.installation, mark.run) == (store.installation, run)
    with closing(open_store(url)) as again:
        assert again.mark("shop") == mark
    assert store.mark("blog") is None
    store.forget_mark("shop")
    store.forget_mark("shop")
    assert store.mark("shop") is None
