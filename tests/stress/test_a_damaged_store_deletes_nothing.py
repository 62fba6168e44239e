"""Bytes of a store flip, or its end is cut off: that is told, or does no harm, and never deletes or doubles.

Damage lies in every region of the file: the header, the schema, the leaves of each table and index, the log.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.stress.faulty_stores import FOREIGN, Bench, check_words

from trueup.errors import StoreError
from trueup.model.outcome import RunStatus
from trueup.model.plan import Verdict
from trueup.sdk.testing.memory_world import Entry
from trueup.state.store import PinKind

KEPT = {f"kept{number}": {"size": 1, "tags": ["x" * 200]} for number in range(12)}
GUARDED = {"guarded": {"size": 1}, "orphan": {"size": 1}}
FLIPS = 150


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, dict[str, Entry]]]:
    """A store with rows in every table, closed; and what lives by it.

    Two of the objects that have left Git since must not be deleted: one is protected, one is to be let go.
    """
    folder = tmp_path_factory.mktemp("damage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "home"))
        bench = Bench(folder, str(folder / "store.db"), parallelism=1)
        bench.declare({**KEPT, **GUARDED, "old": {"size": 1}})
        for name, said in (("guarded", "protect: true"), ("orphan", "onDelete: orphan")):
            with (folder / "stack" / f"{name}.yaml").open("a") as file:
                file.write(f"lifecycle: {{{said}}}\n")
        with bench.open() as app:
            assert app.reconcile(bench.source).status is RunStatus.CONVERGED
            store = app.store
            store.decide("shop", "sha256:other", Verdict.APPROVED, "ada")
            store.pin("other", PinKind.SUSPENDED, "ada")
            lease = store.acquire_lease("shop", "me", 1)
            assert lease is not None
            address = next(address for address in store.inventory("shop") if address.name == "kept0")
            store.write_intent(lease, 1, address, "update", fingerprint=bench.world.identity)
            store.release_lease(lease)
        bench.declare(KEPT)
        shutil.copy(bench.store, folder / "whole.db")
        living = {key: entry for key in bench.world.list_keys() if (entry := bench.world.peek(key))}
        yield bench, living


def put_back(bench: Bench, living: dict[str, Entry]) -> bytearray:
    """The store and the world as they were before any damage; the bytes of the store."""
    for side in ("", "-wal", "-shm"):
        Path(f"{bench.store}{side}").unlink(missing_ok=True)
    # What the machine remembers of the runs before would hold each that follows.
    shutil.rmtree(Path(os.environ["XDG_STATE_HOME"]) / "trueup", ignore_errors=True)
    shutil.copy(bench.folder / "whole.db", bench.store)
    for key in {*bench.world.list_keys(), *living}:
        bench.world.put(key, living.get(key))
    bench.world.forget_removed()
    return bytearray(Path(bench.store).read_bytes())


def run(bench: Bench) -> str:
    """A run with a damaged store: how it ended. What must hold whatever the damage is."""
    said = "error"
    with bench.open() as app:
        try:
            said = str(app.reconcile(bench.source).status)
        except StoreError as error:
            check_words(error, bench.store)
        with suppress(StoreError):
            app.store.close()
    removed = {key for key, _ in bench.world.removed()}
    assert removed <= {"Thing/old"}, f"I3: {removed} was deleted"
    lives = set(bench.world.list_keys())
    assert {f"Thing/{name}" for name in (*KEPT, *GUARDED)} | set(FOREIGN) <= lives
    for key, entry in FOREIGN.items():
        assert bench.world.peek(key) == entry
    assert len(lives) <= len(KEPT) + len(GUARDED) + len(FOREIGN) + 1, "I1: a second object was made"
    return said


def damage(bench: Bench, content: bytearray) -> str:
    Path(bench.store).write_bytes(content)
    return run(bench)


def test_the_undamaged_store_deletes_what_left_git_and_keeps_what_is_guarded(start: Any) -> None:
    bench, living = start
    put_back(bench, living)
    assert run(bench) == "converged"
    assert [key for key, _ in bench.world.removed()] == ["Thing/old"]


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_byte_anywhere(start: Any, seed: int) -> None:
    bench, living = start
    choose = random.Random(seed)
    told = 0
    for _ in range(FLIPS // 3):
        content = put_back(bench, living)
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
        told += damage(bench, content) == "error"
    assert told, "no damage was found at all"


def find_pages(file: Path) -> tuple[int, dict[str, int]]:
    """The size of a page, and the root page of each table and index."""
    with closing(sqlite3.connect(file)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        found = connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0").fetchall()
    return size, dict(found)


def test_flipped_bytes_in_each_table_and_index(start: Any) -> None:
    bench, living = start
    size, roots = find_pages(bench.folder / "whole.db")
    assert {"inventory", "intents", "runs", "steps", "settings", "leases", "pins", "approvals"} <= set(roots)
    for name, page in roots.items():
        base = (page - 1) * size
        for offset in (0, 3, 8, size // 2, size - 40, size - 5):
            content = put_back(bench, living)
            content[base + offset] ^= 0x11
            said = damage(bench, content)
            # The kind of the page: nothing of the table can be read, or trusted.
            assert offset or said == "error", f"{name}: {said}"


def test_the_header_and_the_schema(start: Any) -> None:
    bench, living = start
    for offset in (*range(24), 28, 31, 44, 47, 56, 59, 100, 103, 105):
        content = put_back(bench, living)
        content[offset] ^= 0x55
        said = damage(bench, content)
        assert offset > 15 or said == "error", f"the name of the format is damaged at {offset}: {said}"
    content = put_back(bench, living)
    at = content.index(b"CREATE TABLE inventory")
    content[at : at + 6] = b"CREEPT"
    assert damage(bench, content) == "error"


def test_an_end_that_was_cut_off(start: Any) -> None:
    bench, living = start
    whole = len(put_back(bench, living))
    for length in (0, 1, 99, 100, 511, 512, 4095, 4096, 8192, whole // 2, whole - 4096):
        content = put_back(bench, living)
        assert damage(bench, content[:length]) == "error", f"{length} of {whole} bytes"


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"not a database\n"])
def test_other_content(start: Any, filling: bytes) -> None:
    bench, living = start
    whole = len(put_back(bench, living))
    content = bytearray((filling * whole)[:whole])
    assert damage(bench, content) == "error"
    assert Path(bench.store).read_bytes() == content, "it was touched"


# What the row says then, which is good SQL and good JSON, and not what was written.
LIES = [
    "UPDATE inventory SET protect = 0 WHERE address LIKE '%guarded%'",
    "UPDATE inventory SET on_delete = 'delete' WHERE address LIKE '%orphan%'",
    "UPDATE inventory SET external_id = (SELECT external_id FROM inventory WHERE address LIKE '%kept1@%') "
    "WHERE address LIKE '%old%'",
    "UPDATE inventory SET address = 'shop/Thing/nobody@here' WHERE address LIKE '%old%'",
    "UPDATE inventory SET stack = 'shoq', address = 'shoq' || substr(address, 5) "
    "WHERE address LIKE '%kept2@%'",
    "UPDATE inventory SET fingerprint = 'elsewhere' WHERE address LIKE '%kept3@%'",
    "UPDATE inventory SET body = replace(body, '\"size\":1', '\"size\":3') WHERE address LIKE '%kept4@%'",
    "UPDATE inventory SET target = replace(target, 'memory', 'memorz') WHERE address LIKE '%old%'",
    "UPDATE inventory SET created = 1 - created WHERE address LIKE '%kept5@%'",
    "UPDATE intents SET action = 'delete'",
    "UPDATE intents SET address = 'shop/Thing/kept7@here'",
    "UPDATE intents SET token = 'another'",
]


@pytest.mark.parametrize("lie", LIES)
def test_a_row_that_reads_well_but_is_not_what_was_written(start: Any, lie: str) -> None:
    bench, living = start
    put_back(bench, living)
    with closing(sqlite3.connect(bench.store)) as connection:
        assert connection.execute(lie).rowcount >= 1
        connection.commit()
    calls = bench.world.count_writes()
    with (
        bench.open() as app,
        pytest.raises(StoreError, match=r"the row of .* is not as it was written") as caught,
    ):
        app.store.inventory("shoq")
        app.reconcile(bench.source)
    check_words(caught.value, bench.store)
    assert bench.world.count_writes() == calls


def test_a_log_that_was_damaged_or_belongs_to_another_store(start: Any) -> None:
    """What SQLite drops of its log is as if it had not been written: an older store, and nothing worse."""
    bench, living = start
    put_back(bench, living)
    file = Path(bench.store)
    files = {}
    # A log of what was written last that no process has taken over into the file, as a kill leaves it.
    with bench.open() as app:
        app.store.decide("shop", "sha256:x", Verdict.APPROVED, "ada")
        for side in ("", "-wal"):
            files[side] = Path(f"{file}{side}").read_bytes()
    choose = random.Random(1)
    for _ in range(20):
        put_back(bench, living)
        content = bytearray(files["-wal"])
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
        file.write_bytes(files[""])
        Path(f"{file}-wal").write_bytes(content)
        run(bench)
    # The log of another store, left over beside this one.
    other = Bench(bench.folder, str(bench.folder / "other.db"))
    with other.open() as app:
        for number in range(30):
            app.store.decide("shop", f"sha256:{number}", Verdict.REJECTED, "eve")
        foreign = Path(f"{other.store}-wal").read_bytes()
    put_back(bench, living)
    Path(f"{file}-wal").write_bytes(foreign)
    run(bench)
