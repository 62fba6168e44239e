"""Connections to SQLite and PostgreSQL with the settings that durability needs. Called by open.open_store."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from trueup.errors import StoreError
from trueup.state import files
from trueup.state.failures import store_errors
from trueup.state.schema import VERSION_TABLE

BUSY_TIMEOUT = 5.0
# The largest row. What expressions may make of one resource fits, also as JSON with each character escaped.
MAX_ROW = 512 * 1024 * 1024
# What SQLite calls a database that is in no file.
IN_MEMORY = ":memory:"
_SIDES = "sides"
# A transaction whose process was stopped in the middle must not lock out its successor for ever.
_POSTGRESQL_SETTINGS = "-c lock_timeout=5s -c idle_in_transaction_session_timeout=15s"


@dataclass(frozen=True)
class Database:
    """An open database. `name` is how messages call it; `file` is None for PostgreSQL.

    `opened` is by what the file is known again, None where it is in memory; `missing` is the file that such a
    one stands in for.
    """

    engine: Engine
    name: str
    file: Path | None
    opened: files.FileId | None = None
    missing: Path | None = None

    def errors(self) -> AbstractContextManager[None]:
        """Raises StoreError for what the database raises inside."""
        return store_errors(self.name, self.file)

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction that sees one state of the store."""
        return self.engine.execution_options(reads=True).begin()

    def writing(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction that may write; SQLite's only writer at a time."""
        return self.engine.begin()

    def sides_of(self, connection: Connection) -> Mapping[str, files.FileId]:
        """The files beside the database that a connection uses."""
        sides: Mapping[str, files.FileId] = connection.info.get(_SIDES, {})
        return sides

    def check_files(self, sides: Mapping[str, files.FileId]) -> None:
        """Raises StoreError if the files of the database were deleted or replaced."""
        if self.file is not None and self.opened is not None:
            files.check(self.file, self.opened, sides)


@dataclass(frozen=True)
class Identity:
    """What tells a store from others: see `Store.installation` and `Store.digest_key`."""

    installation: str
    digest_key: bytes


def open_sqlite(file: Path) -> Database:
    """The database in a file, which is created for its owner alone."""
    opened = files.prepare(file)
    engine = _sqlite_engine(str(file), pool_size=4, max_overflow=-1)
    database = Database(engine, str(file), file, opened)

    def connect() -> sqlite3.Connection:
        # Not the default mode, in which a file that was deleted meanwhile would be made again, empty.
        uri = f"file:{quote(str(file))}?mode=rw"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)

    def check(connection: Connection) -> None:
        database.check_files(database.sides_of(connection))

    event.listen(engine, "do_connect", lambda *_: connect())
    event.listen(engine, "connect", lambda _, record: record.info.update({_SIDES: files.find_sides(file)}))
    # Before the listener that begins the transaction.
    event.listen(engine, "begin", check, insert=True)
    return database


def open_memory(missing: Path | None = None) -> Database:
    """An empty database of this process alone, for where there is no store and none is to be made."""
    # Each connection would have a database of its own, so all threads take turns with one.
    engine = _sqlite_engine(IN_MEMORY, pool_size=1, max_overflow=0)
    return Database(engine, "in memory", Path(IN_MEMORY), missing=missing)


def _sqlite_engine(database: str, *, pool_size: int, max_overflow: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=database),
        connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
        poolclass=QueuePool,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=max_overflow,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def open_postgresql(url: URL) -> Database:
    """The database behind a `postgresql://` URL."""
    if importlib.util.find_spec("psycopg") is None:
        raise StoreError(
            "the store is in PostgreSQL, for which the library psycopg is missing",
            hint="install it with: pip install 'trueup[postgres]'",
        )
    given = url.query.get("options", "")
    options = f"{_POSTGRESQL_SETTINGS} {given if isinstance(given, str) else ' '.join(given)}".strip()
    engine = create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        connect_args={"options": options, "application_name": "trueup", **_bound_waits(url)},
        pool_size=4,
        max_overflow=28,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    return Database(engine, url.set(drivername="postgresql").render_as_string(hide_password=True), None)


def _bound_waits(url: URL) -> dict[str, int]:
    """A server that vanished without a word is noticed, unless the URL says otherwise."""
    waits = {
        "connect_timeout": 10,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30000,
    }
    return {name: value for name, value in waits.items() if name not in url.query}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Transactions begin in `_begin_sqlite`; the module's own implicit ones begin too late.
    connection.isolation_level = None
    # A row that somebody else wrote must not fill the memory.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    # The mode is kept in the file: that of another program, named by mistake, is left as it is.
    if not tables or VERSION_TABLE in tables:
        connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writer can fail at once in spite of the busy timeout.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def copy_sqlite(file: Path, copy: Path) -> None:
    """Copies a consistent state of an SQLite database for its owner alone; replaces an older copy."""
    part = copy.with_name(copy.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _backup(file, part)
        files.flush(part)
        part.replace(copy)
        files.flush(copy.parent)
    except OSError as error:
        raise StoreError(
            f"the store {file} cannot be copied to {copy.name} before it is upgraded: {error.strerror}",
            hint=f"see that {copy.parent} has space left and can be written; nothing was changed",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _backup(file: Path, copy: Path) -> None:
    source = sqlite3.connect(file, timeout=BUSY_TIMEOUT)
    target = sqlite3.connect(copy)
    try:
        source.backup(target)
    finally:
        target.close()
        source.close()
