"""Migrations: new, older, newer and foreign stores, and that they end in the tables of schema.py."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from trueup import __version__
from trueup.errors import StoreError
from trueup.model.address import Address
from trueup.model.outcome import Result, RunStatus
from trueup.state import migrate, schema
from trueup.state.open import open_store
from trueup.state.store import PastStep, Record, RunRecord, Step

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{latest}"


def upgrade() -> None:
    op.create_table("next_table", sa.Column("digest", sa.Text, primary_key=True))
    {more}
"""


ADDRESS = Address("shop", "File", "motd", "h")
FIRST_ROW = """INSERT INTO inventory (stack, address, api_version, target, fingerprint, external_id, body,
created, protect, on_delete, depends_on, commit_id, applied_at) VALUES ('shop', 'shop/File/motd@h', 'v1',
'{"name":"h"}', 'fp', '/etc/motd', '{"spec":{}}', true, false, 'delete', '[]', '', 1.5)"""
FIRST_INTENT = """INSERT INTO intents
(token, stack, address, action, fingerprint, run, external_id, written_at)
VALUES ('t0k3n', 'shop', 'shop/File/motd@h', 'create', 'fp', 1, '', 1.5)"""
FIRST_RUN = """INSERT INTO runs (id, stack, url, commit_id, digest, status, started_at, finished_at, counts)
VALUES (1, 'shop', 'u', 'c0ffee', 'd', 'failed', 1.5, 2.5, '{"failed":1}')"""
FIRST_STEP = """INSERT INTO steps (id, run, address, result, message, seconds, fields)
VALUES (1, 1, 'shop/File/motd@h', 'failed', 'denied', 0.5, '[]')"""
FIRST_OUTPUTS = """INSERT INTO outputs (stack, "values", commit_id, written_at)
VALUES ('shop', '{"url":"old"}', 'c0ffee', 1.5)"""


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes this program the next version, whose schema has one more revision."""

    def upgrade(more: str = "") -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        script = NEXT.format(latest=schema.REVISIONS[-1], more=more)
        (folder / "versions/v9999_next.py").write_text(script)
        monkeypatch.setattr(migrate, "MIGRATIONS", folder)
        monkeypatch.setattr(migrate, "REVISIONS", (*schema.REVISIONS, "9999"))

    return upgrade


def _tables(file: Path) -> set[str]:
    connection = sqlite3.connect(file)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()


def test_the_revisions_that_the_program_knows_are_those_of_the_migrations():
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(migrate.MIGRATIONS))
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(schema.REVISIONS)


def test_the_migrations_end_in_the_tables_of_the_schema(tmp_path: Path, postgresql: Callable[[], str]):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    file = tmp_path / "state.db"
    url = postgresql()
    for store_url, engine_url in ((str(file), f"sqlite:///{file}"), (url, url.replace("://", "+psycopg://"))):
        open_store(store_url).close()
        engine = create_engine(engine_url)
        with engine.connect() as connection:
            options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, schema.metadata) == []
        engine.dispose()


def test_an_older_store_is_migrated_after_a_copy_of_it_was_made(tmp_path: Path, next_version):
    file = tmp_path / "state.db"
    store = open_store(str(file))
    lease = store.acquire_lease("shop", "me", 60)
    store.close()
    next_version()
    store = open_store(str(file))
    assert (store.lease("shop"), "next_table" in _tables(file)) == (lease, True)
    copy = tmp_path / f"state.db.before-{schema.REVISIONS[-1]}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert "next_table" not in _tables(copy)
    installation = store.installation
    store.close()
    assert not list(tmp_path.glob("*.part"))
    copy.rename(tmp_path / "copy.db")
    restored = open_store(str(tmp_path / "copy.db"))
    assert (restored.lease("shop"), restored.installation) == (lease, installation)
    restored.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_store_of_an_older_schema_opens_and_keeps_its_rows(
    tmp_path: Path, postgresql: Callable[[], str], kind: str, revision: str, monkeypatch: pytest.MonkeyPatch
):
    url = postgresql() if kind == "postgresql" else str(tmp_path / "state.db")
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for script in folder.glob("versions/v*.py"):
        if script.name[1:5] > revision:
            script.unlink()
    with monkeypatch.context() as older:
        older.setattr(migrate, "MIGRATIONS", folder)
        older.setattr(migrate, "REVISIONS", tuple(each for each in schema.REVISIONS if each <= revision))
        store = open_store(url)
        lease = store.acquire_lease("shop", "me", 60)
        assert lease is not None
        installation = store.installation
        store.close()
    engine = create_engine(f"sqlite:///{url}" if kind == "sqlite" else url.replace("://", "+psycopg://"))
    with engine.begin() as connection:
        for row in (FIRST_ROW, FIRST_INTENT, FIRST_RUN, FIRST_STEP):
            connection.exec_driver_sql(row)
        if revision == "0002":
            connection.exec_driver_sql(FIRST_OUTPUTS)
    engine.dispose()
    store = open_store(url)
    record = Record(ADDRESS, "v1", {"name": "h"}, "fp", "/etc/motd", {"spec": {}}, applied_at=1.5)
    assert store.inventory("shop") == {ADDRESS: record}
    assert (store.installation, store.lease("shop")) == (installation, lease)
    assert [intent.token for intent in store.open_intents("shop")] == ["t0k3n"]
    assert store.outputs("shop") == ({"url": "old"} if revision == "0002" else None)
    run = RunRecord(1, "shop", "u", "c0ffee", "d", RunStatus.FAILED, 1.5, 2.5, {"failed": 1})
    assert list(store.runs("shop")) == [run] == [store.run(1)]
    assert store.plan_of(1) == ""
    step = Step(ADDRESS, Result.FAILED, "denied", 0.5)
    assert list(store.steps(1)) == [step]
    assert list(store.past_steps(ADDRESS, [Result.FAILED])) == [PastStep(run, step)]
    later = replace(
        record,
        triggers={"shop/File/a@h": "sha256:x"},
        replacing={"external_id": "/old"},
        place="a.yaml:3:1",
        run=1,
    )
    store.record_steps(lease, 1, [], [later])
    store.write_outputs(lease, {"url": "u"}, "c")
    assert (store.inventory("shop"), store.outputs("shop")) == ({ADDRESS: later}, {"url": "u"})
    store.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, next_version):
    file = tmp_path / "state.db"
    open_store(str(file)).close()
    next_version(more='op.execute("INSERT INTO nowhere VALUES (1)")')
    with pytest.raises(StoreError, match="nowhere"):
        open_store(str(file))
    assert "next_table" not in _tables(file)


def test_an_older_store_in_postgresql_is_migrated(postgresql: Callable[[], str], next_version):
    url = postgresql()
    store = open_store(url)
    installation = store.installation
    store.close()
    next_version()
    for _ in range(2):
        store = open_store(url)
        assert store.installation == installation
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_store_of_a_newer_version_is_refused_and_not_touched(
    tmp_path: Path, postgresql: Callable[[], str], kind: str, next_version, monkeypatch: pytest.MonkeyPatch
):
    url = postgresql() if kind == "postgresql" else str(tmp_path / "state.db")
    with monkeypatch.context() as newer:
        newer.setattr(migrate, "__version__", "99.1")
        next_version()
        open_store(url).close()
    monkeypatch.undo()
    before = (tmp_path / "state.db").read_bytes() if kind == "sqlite" else b""
    with pytest.raises(StoreError, match=r"made by a newer trueup \(99\.1, schema 9999\)") as caught:
        open_store(url)
    assert __version__ in str(caught.value)
    assert "99.1" in caught.value.hint
    if kind == "sqlite":
        assert (tmp_path / "state.db").read_bytes() == before
        assert not list(tmp_path.glob("*before*"))


def test_the_database_of_another_program_is_refused_and_not_touched(tmp_path: Path):
    file = tmp_path / "places.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE places (url TEXT)")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="but not one of trueup"):
        open_store(str(file))
    assert file.read_bytes() == before


def test_a_store_without_its_installation_id_is_damaged(tmp_path: Path):
    file = tmp_path / "state.db"
    open_store(str(file)).close()
    connection = sqlite3.connect(file)
    connection.execute("DELETE FROM settings WHERE name = 'installation'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="'installation' is missing"):
        open_store(str(file))


def test_a_store_without_a_key_for_digests_gets_one(tmp_path: Path):
    store = open_store(str(tmp_path / "s.db"))
    installation, key = store.installation, store.digest_key
    store.close()
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("DELETE FROM settings WHERE name = 'digest_key'")
    connection.commit()
    connection.close()
    store = open_store(str(tmp_path / "s.db"))
    assert store.installation == installation
    assert len(store.digest_key) == len(key) > 32
    assert store.digest_key != key
    store.close()


KILLED = """
import sys
from pathlib import Path
from trueup.state import migrate, schema
from trueup.state.open import open_store
migrate.MIGRATIONS = Path(sys.argv[2])
migrate.REVISIONS = (*schema.REVISIONS, "9999")
open_store(sys.argv[1])
"""


def test_a_migration_that_is_killed_in_the_middle_leaves_the_old_store(tmp_path: Path, next_version):
    file = tmp_path / "state.db"
    store = open_store(str(file))
    lease = store.acquire_lease("shop", "me", 60)
    assert lease is not None
    store.write_intent(lease, 1, ADDRESS, "create", fingerprint="fp")
    intents = list(store.open_intents("shop"))
    store.close()
    next_version(more="import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    command = [sys.executable, "-c", KILLED, str(file), str(tmp_path / "migrations")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert "next_table" not in _tables(file)
    # The next one does all of it, over the copy that the first has made.
    script = tmp_path / "migrations/versions/v9999_next.py"
    script.write_text(NEXT.format(latest=schema.REVISIONS[-1], more=""))
    store = open_store(str(file))
    assert list(store.open_intents("shop")) == intents
    assert "next_table" in _tables(file)
    store.close()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("room", [8, 64, 160, 240, 320])
def test_a_migration_on_a_full_disk_leaves_the_old_store(tmp_path: Path, next_version, room: int):
    """`room` KiB are left: not enough for the copy of the store, or for what the migration adds to it."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no mount here")
    try:
        file = disk / "state.db"
        store = open_store(str(file))
        lease = store.acquire_lease("shop", "me", 60)
        store.close()
        next_version(more='op.execute("INSERT INTO next_table VALUES (hex(zeroblob(65536)))")')
        found = os.statvfs(disk)
        free = found.f_bavail * found.f_frsize
        (disk / "filler").write_bytes(b"x" * max(0, free - room * 1024))
        with pytest.raises(StoreError, match=r"state\.db") as caught:
            open_store(str(file))
        assert caught.value.hint
        (disk / "filler").unlink()
        assert "next_table" not in _tables(file)
        store = open_store(str(file))
        assert (store.lease("shop"), "next_table" in _tables(file)) == (lease, True)
        store.close()
        assert not list(disk.glob("*.part"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
