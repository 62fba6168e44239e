"""How much of a store's file is looked at, and how often."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from trueup.errors import StoreError
from trueup.state import inspection
from trueup.state.database import Database, open_sqlite
from trueup.state.inspection import Inspection
from trueup.state.open import open_store


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inspection, "SMALL", 4096)
    file = tmp_path / "store.db"
    open_store(str(file)).close()
    return file


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    database = open_sqlite(file)
    yield database
    database.engine.dispose()


def look(database: Database) -> list[str]:
    """What a new process asks SQLite to check."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.extend(word for word in ("integrity_check", "quick_check") if word in statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        found = Inspection(database)
        found.start()
        found.wait()
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    return asked


def test_a_large_file_is_looked_through_whole_once_a_day(
    file: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(database) == ["integrity_check"]
    assert look(database) == ["quick_check"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + inspection.DAY + 1)
    assert look(database) == ["integrity_check"]
    monkeypatch.setattr(time, "time", lambda: now - 5)
    assert look(database) == ["integrity_check"], "the clock was set back"


def test_a_small_file_is_always_looked_through_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "SMALL", 1 << 30)
    assert [look(database), look(database)] == [["integrity_check"], ["integrity_check"]]


def test_a_copy_that_was_put_in_its_place_is_looked_through_whole(file: Path, database: Database) -> None:
    assert look(database) == ["integrity_check"]
    database.engine.dispose()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = file.with_name("copy.db")
    shutil.copy(file, copy)
    copy.replace(file)
    other = open_sqlite(file)
    try:
        assert look(other) == ["integrity_check"]
    finally:
        other.engine.dispose()


@pytest.mark.parametrize("value", ["", "junk", "1:2", "1:2 x", "1:2 99999999999999999999999"])
def test_a_note_that_says_nothing_counts_for_nothing(value: str, file: Path, database: Database) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO settings VALUES ('inspected', ?)", (value,))
        connection.commit()
    assert look(database) == ["integrity_check"]


def test_a_damaged_file_is_not_noted_as_sound(file: Path, database: Database) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        connection.commit()
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged"):
            look(database)
