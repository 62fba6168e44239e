"""Turns what the databases and SQLAlchemy raise into StoreError: what happened, where, what to do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trueup.errors import StoreError

_REBUILD = (
    "Nothing was changed. Restore a copy of the file (from a backup, or {file}.before-* beside it), "
    "without the {name}-wal and {name}-shm of this one; or move all of them away and rebuild it with "
    "`trueup recover SOURCE`"
)
# SQLite takes the right to write a WAL database as a lock on this byte of the -shm file.
_WAL_WRITE_LOCK = 120


@contextmanager
def store_errors(store: str, file: Path | None) -> Iterator[None]:
    """Raises StoreError for every failure of the database inside. `store` is its name for messages."""
    try:
        yield
    except DBAPIError as error:
        raise _explain(store, file, error.orig or error) from error
    except sqlite3.Error as error:
        raise _explain(store, file, error) from error
    except SQLAlchemyError as error:
        raise StoreError(f"the store {store} failed: {_line_of(error)}") from error


def corrupt_row(store: str, file: Path | None, what: str) -> StoreError:
    """The error for a row that was not written by trueup, or was damaged since."""
    hint = _rebuild(file) if file else "Restore the database from a backup."
    return StoreError(f"the store {store} is damaged: {what} cannot be read", hint=hint)


def damaged_file(store: str, file: Path, what: str) -> StoreError:
    """The error for a database file whose pages do not fit together."""
    return StoreError(f"the store {store} is damaged ({what})", hint=_rebuild(file))


def too_large_row(store: str) -> StoreError:
    """The error for a row beyond all bounds: there is one, or there would be."""
    return StoreError(
        f"a row of the store {store} is too large to be read or written",
        hint="if it was written by something else than trueup, restore a backup; else make the largest "
        "resources smaller",
    )


def _rebuild(file: Path) -> str:
    return _REBUILD.format(file=file, name=file.name)


def _explain(store: str, file: Path | None, error: BaseException) -> StoreError:
    if isinstance(error, sqlite3.Error) and file is not None:
        return _explain_sqlite(store, file, error)
    return _explain_postgresql(store, error)


def _explain_sqlite(store: str, file: Path, error: sqlite3.Error) -> StoreError:
    # The extended codes hold the primary code in their lowest byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"the store {store} is locked by {_find_locker(file)}",
            hint="wait until it is done; a process that hangs or is stopped has to be ended first",
        )
    is_damaged = code == sqlite3.SQLITE_ERROR and "unsupported file format" in str(error)
    if is_damaged or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        what = "is not an SQLite database" if code == sqlite3.SQLITE_NOTADB else "is damaged"
        return StoreError(f"the store {store} {what} ({error})", hint=_rebuild(file))
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(file)):
        return StoreError(
            f"the disk of the store {store} is full: nothing was written",
            hint=f"free some space in {file.parent}, then run again",
        )
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ:
        return StoreError(
            f"the store {store}, or {file.name}-wal, was cut off while it was open ({error})",
            hint=f"end every trueup that uses it, restore a copy of it without {file.name}-wal and "
            f"{file.name}-shm, and start again",
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"the disk of the store {store} fails: {error}",
            hint=f"see the kernel's log (dmesg), and check the file system of {file.parent}",
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return too_large_row(store)
    if code == sqlite3.SQLITE_CANTOPEN and not file.exists():
        return StoreError(
            f"the store {store} is gone",
            hint="put it back, and work goes on; else end every trueup that uses it and restore a backup",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return StoreError(
            f"the store {store} cannot be opened for writing ({error})",
            hint=f"user {os.geteuid()} needs to read and write {file} and its directory",
        )
    if "no such table" in str(error):
        return _emptied(store, error)
    return StoreError(
        f"the store {store} failed: {_line_of(error)}",
        hint=f"run again; if that does not help, look at it with: sqlite3 {file} 'PRAGMA integrity_check'",
    )


def _is_full(file: Path) -> bool:
    """Some calls of a full disk are no more than failed ones to SQLite."""
    try:
        found = os.statvfs(file.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 1 << 16


def _emptied(store: str, error: BaseException) -> StoreError:
    return StoreError(
        f"the store {store} is not the one that was opened: its tables are missing ({_line_of(error)})",
        hint="bring the right database back, or restart trueup to begin with what is there now",
    )


def _explain_postgresql(store: str, error: BaseException) -> StoreError:
    state = getattr(error, "sqlstate", None) or ""
    if state == "55P03":
        return StoreError(f"the store {store} is locked by another session", hint="run again in a moment")
    # An error in the connecting has no code.
    is_full = not state and ("too many c" in str(error) or "connection slots" in str(error))
    if is_full or state.startswith("53"):
        return StoreError(
            f"the store {store} has no room or connections left: {_line_of(error)}",
            hint="free some of the server's disk, memory or connections (max_connections), then run again",
        )
    if state == "42P01":
        return _emptied(store, error)
    if state in ("25006", "42501"):
        return StoreError(
            f"the store {store} cannot be written: {_line_of(error)}",
            hint="the role needs to create and write tables, on a server that is not a read-only replica",
        )
    if not state or state.startswith(("08", "28", "3D", "57P")):
        return StoreError(
            f"the store {store} cannot be reached: {_line_of(error)}",
            hint="check the URL, the network and the server, then run again",
        )
    return StoreError(f"the store {store} failed: {_line_of(error)}")


def _line_of(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _find_locker(file: Path) -> str:
    """Who holds the write lock, by the kernel's table of locks. It may be gone again."""
    try:
        inode = Path(f"{file}-shm").stat().st_ino
        table = Path("/proc/locks").read_text()
    except OSError:
        return "another process"
    for line in table.splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[1] != "POSIX" or fields[3] != "WRITE":
            continue
        if fields[5].rpartition(":")[2] != str(inode) or not _covers_write_lock(fields[6], fields[7]):
            continue
        pid = fields[4]
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return "another process"
        return f"process {pid} ({name})"
    return "another process"


def _covers_write_lock(first: str, last: str) -> bool:
    return int(first) <= _WAL_WRITE_LOCK and (last == "EOF" or int(last) >= _WAL_WRITE_LOCK)
