"""Opening a store: what URLs mean, who may read the file, how fast it is, and every way in which it fails."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trueup.errors import StoreError
from trueup.state import database
from trueup.state.failures import store_errors
from trueup.state.open import NO_STORE, open_store


def test_a_path_and_a_url_name_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "a b/state.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    forms = [str(file), f"sqlite:///{file}", "a b/state.db", "sqlite:///a b/state.db", "~/a b/state.db"]
    installations = set()
    for form in forms:
        store = open_store(form)
        installations.add(store.installation)
        store.close()
    assert len(installations) == 1
    assert file.is_file()


def test_the_directory_and_all_files_are_for_the_owner_alone(tmp_path: Path):
    old = os.umask(0)
    try:
        store = open_store(str(tmp_path / "new/state.db"))
        store.acquire_lease("shop", "me", 60)
    finally:
        os.umask(old)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").iterdir()}
    store.close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "sqlite://",
        "sqlite:///",
        "sqlite://:memory:",
        "sqlite:///x?mode=ro",
        "mysql://host/db",
        "a\0b",
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_forms_that_do(url: str):
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert "postgresql://" in caught.value.hint


def test_a_directory_is_no_store(tmp_path: Path):
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(str(tmp_path))


@pytest.mark.parametrize("content", [b"this is not a database " * 100, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_that_is_no_database_is_an_error_and_is_not_touched(tmp_path: Path, content: bytes):
    file = tmp_path / "state.db"
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"state\.db") as caught:
        open_store(str(file))
    assert "Restore" in caught.value.hint
    assert file.read_bytes() == content


def test_a_truncated_store_is_an_error(tmp_path: Path):
    file = tmp_path / "state.db"
    open_store(str(file)).close()
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)
    with pytest.raises(StoreError, match="is damaged"):
        store = open_store(str(file))
        store.inventory("shop")


def test_a_row_that_is_damaged_is_an_error_and_not_a_missing_row(tmp_path: Path):
    file = tmp_path / "state.db"
    store = open_store(str(file))
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO inventory (stack, address, api_version, target, fingerprint, external_id, body, "
            "created, protect, on_delete, depends_on, commit_id, applied_at) "
            "VALUES ('shop', 'shop/File/a@h', 'v1', '{}', 'f', 'x', '{\"a\": ', 1, 0, "
            "'delete', '[]', 'c', 0)"
        )
    connection.close()
    with pytest.raises(StoreError, match="the inventory of 'shop' cannot be read"):
        store.inventory("shop")
    store.close()


def test_a_store_that_another_process_holds_is_named_with_that_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "state.db"
    monkeypatch.setattr("trueup.state.database.BUSY_TIMEOUT", 0.2)
    store = open_store(str(file))
    script = (
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdin is not None
    with holder.stdout, holder.stdin:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=rf"state\.db is locked by process {holder.pid} \(python"):
            store.acquire_lease("shop", "me", 60)
        assert store.inventory("shop") == {}
        holder.stdin.write("\n")
        holder.stdin.flush()
        holder.wait()
    assert store.acquire_lease("shop", "me", 60) is not None
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_is_an_error_that_changes_nothing_and_goes_away_with_space(small_disk: Path):
    from trueup.model.address import Address

    store = open_store(str(small_disk / "state.db"))
    lease = store.acquire_lease("shop", "me", 60)
    assert lease is not None
    run = store.begin_run(lease, url="u", commit="c", digest="d")
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    written = []
    with pytest.raises(StoreError, match=r"disk of the store .*state\.db is full"):
        for number in range(1000):
            address = Address("shop", "File", f"f{number}", "host")
            store.write_intent(lease, run, address, "create", fingerprint="x" * 500)
            written.append(address)
    assert [intent.address for intent in store.open_intents("shop")] == written
    filler.unlink()
    address = Address("shop", "File", "after", "host")
    store.write_intent(lease, run, address, "create", fingerprint="fp")
    assert len(store.open_intents("shop")) == len(written) + 1
    store.close()


def test_a_new_store_on_a_full_disk_is_an_error(small_disk: Path):
    with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    with pytest.raises(StoreError, match=r"state\.db"):
        open_store(str(small_disk / "state.db"))


def test_a_store_that_may_not_be_written_is_an_error(small_disk: Path):
    file = small_disk / "state.db"
    open_store(str(file)).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match=r"state\.db cannot be opened"):
        open_store(str(file))


def test_an_open_store_loads_no_alembic_and_is_open_soon(tmp_path: Path):
    file = str(tmp_path / "state.db")
    open_store(file).close()
    script = (
        "import sys, time\nbefore = time.process_time()\nfrom trueup.state.open import open_store\n"
        "print('sqlalchemy' in sys.modules)\nstore = open_store(sys.argv[1])\n"
        "print('alembic' in sys.modules, time.process_time() - before)"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, file], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(3)
    ]
    assert {tuple(output[:2]) for output in outputs} == {("False", "False")}
    # The budget is 150 ms; twice that leaves room for a slow or busy machine.
    assert min(float(output[2]) for output in outputs) < 0.3


def test_a_missing_driver_for_postgresql_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(StoreError) as caught:
        open_store("postgresql://host/db")
    assert "pip install 'trueup[postgres]'" in caught.value.hint


def test_a_postgresql_that_does_not_answer_is_named_without_its_password(tmp_path: Path):
    pytest.importorskip("psycopg")
    for url in (f"postgresql://ada:canary@/db?host={tmp_path}", "postgresql://ada:canary@127.0.0.1:1/db"):
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            open_store(url)
        assert "canary" not in str(caught.value) + caught.value.hint


def test_a_postgresql_role_that_may_not_write_is_an_error(postgresql: Callable[[], str]):
    import psycopg

    url = postgresql()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(url.replace("postgres@", "reader@"))


def test_a_postgresql_that_went_away_in_between_is_used_again(postgresql: Callable[[], str]):
    import psycopg

    url = postgresql()
    store = open_store(url)
    assert store.inventory("shop") == {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert store.inventory("shop") == {}
    store.close()


def test_a_store_is_flushed_at_each_commit_and_its_readers_do_not_wait(tmp_path: Path):
    from trueup.state.database import open_sqlite

    open_store(str(tmp_path / "state.db")).close()
    database = open_sqlite(tmp_path / "state.db")
    with database.reading() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.engine.dispose()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_no_store_is_an_empty_one_in_memory_that_threads_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(NO_STORE)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: store.stacks(), range(50))) == [[]] * 50
        lease = store.acquire_lease("shop", "me", 60.0)
        assert lease is not None
        assert store.lease("shop") is not None
    finally:
        store.close()
    other = open_store(NO_STORE)
    try:
        assert other.lease("shop") is None
    finally:
        other.close()
    assert list(tmp_path.iterdir()) == []


def test_what_stands_in_for_a_missing_store_knows_its_marks_and_writes_none(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = open_store(str(file))
    lease = store.acquire_lease("shop", "me", 60.0)
    assert lease is not None
    store.begin_run(lease, url="u", commit="c", digest="d")
    mark = store.mark("shop")
    assert mark is not None
    store.close()
    other = open_store(f"{NO_STORE}{file}")
    try:
        assert other.mark("shop") == mark
        other.forget_mark("shop")
        lease = other.acquire_lease("shop", "me", 60.0)
        assert lease is not None
        other.begin_run(lease, url="u", commit="c", digest="d")
        assert other.mark("shop") == mark
    finally:
        other.close()


def test_a_row_beyond_all_bounds_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "MAX_ROW", 1_000_000)
    file = tmp_path / "state.db"
    store = open_store(str(file))
    lease = store.acquire_lease("shop", "me", 60)
    assert lease is not None
    store.write_outputs(lease, {"a": "x" * 900_000}, "")
    with pytest.raises(StoreError, match="is too large to be read or written"):
        store.write_outputs(lease, {"a": "x" * 1_000_000}, "")
    other = sqlite3.connect(file)
    other.execute('UPDATE outputs SET "values" = \'{"a": "\' || hex(zeroblob(600000)) || \'"}\'')
    other.commit()
    other.close()
    with pytest.raises(StoreError, match="is too large to be read or written"):
        store.outputs("shop")
    store.close()


def test_a_store_with_a_second_name_is_refused(tmp_path: Path):
    file = tmp_path / "state.db"
    open_store(str(file)).close()
    (tmp_path / "other.db").hardlink_to(file)
    for name in ("state.db", "other.db"):
        with pytest.raises(StoreError, match="has another name as well") as caught:
            open_store(str(tmp_path / name))
        assert "-samefile" in caught.value.hint
    (tmp_path / "other.db").unlink()
    open_store(str(file)).close()


def test_what_a_killed_process_left_of_making_a_store_is_no_second_name(tmp_path: Path):
    file = tmp_path / "state.db"
    open_store(str(file)).close()
    left = tmp_path / "state.db.a1b2c3.new"
    left.hardlink_to(file)
    open_store(str(file)).close()
    assert not left.exists()


def test_a_store_behind_a_link_is_known_by_the_files_beside_it(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "state.db"
    open_store(str(tmp_path / "disk/real.db")).close()
    link.symlink_to("disk/real.db")
    store = open_store(str(link))
    assert store.acquire_lease("shop", "me", 60)
    (tmp_path / "disk/real.db-wal").unlink()
    with pytest.raises(StoreError, match=r"real\.db-wal was deleted or replaced"):
        store.acquire_lease("shop", "me", 60)
    store.close()


def test_a_log_that_was_cut_off_is_no_failing_disk(tmp_path: Path):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHORT_READ
    with (
        pytest.raises(StoreError, match=r"s\.db-wal, was cut off while it was open") as caught,
        store_errors("s.db", tmp_path / "s.db"),
    ):
        raise error
    assert "without s.db-wal and s.db-shm" in caught.value.hint
