"""The files of an SQLite store: made whole, for their owner alone, and known again while they are open.

Called by database. A file that is gone, empty or another one than before is never taken for a new store: what
trueup manages would be forgotten, and what it writes down before a change would be written nowhere.
"""

from __future__ import annotations

import errno
import glob
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from trueup.errors import StoreError

# What tells a file from every other that had, or will have, its name.
FileId = tuple[int, int]
SIDES = ("-wal", "-shm")
# No database of SQLite is smaller than one page.
SMALLEST = 512
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def prepare(file: Path) -> FileId:
    """Makes the file where there is none, and refuses what cannot be a store; what it is known again by."""
    try:
        if not os.path.lexists(file):
            _make(file)
        _refuse_unfit(file)
        _refuse_second_name(file)
        return _id_of(file.stat())
    except OSError as error:
        raise cannot_open(file, error) from error
    except sqlite3.Error as error:
        raise StoreError(
            f"the store {file} cannot be made: {error}", hint=f"see that {file.parent} has space left"
        ) from error


def cannot_open(file: Path, error: OSError) -> StoreError:
    """What the system said when the file, or its directory, was opened or made."""
    hint = ""
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"user {os.geteuid()} needs to read and write {file} and its directory"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = f"free some space in {file.parent}, then run again"
    elif error.errno == errno.EROFS:
        hint = "mount the file system for writing, or name a store elsewhere"
    elif error.errno == errno.EIO:
        hint = "the disk reports an error: see the kernel's log (dmesg) before anything else"
    return StoreError(f"the store {file} cannot be opened: {error.strerror}", hint=hint)


def _make(file: Path) -> None:
    """A new database, which is there whole or not at all, whatever happens meanwhile."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = Path(f"{file}-wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(
            f"the store {file} is gone, but what was written to it last is still in {log.name}",
            hint=f"put the file back, or delete {log} and rebuild it with `trueup recover SOURCE`",
        )
    # SQLite gives its -wal and -shm files the mode of the database, which is 0600 here.
    handle, name = tempfile.mkstemp(".new", f"{file.name}.", file.parent)
    os.close(handle)
    part = Path(name)
    try:
        with closing(sqlite3.connect(part)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        flush(part)
        _put_in_place(part, file)
        flush(file.parent)
    finally:
        part.unlink(missing_ok=True)


def _put_in_place(part: Path, file: Path) -> None:
    try:
        os.link(part, file)
    except FileExistsError:
        return  # another process was faster; its file is as good
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.lexists(file):
            raise
        part.rename(file)


def flush(path: Path) -> None:
    """Sees to it that a file's content, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_unfit(file: Path) -> None:
    if file.is_symlink() and not file.exists():
        raise StoreError(
            f"the store {file} is a link to {file.readlink()}, which is not there",
            hint="mount what holds it; remove the link to begin with a new store",
        )
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        what = "it is a directory" if stat.S_ISDIR(found.st_mode) else "it is no regular file"
        raise StoreError(f"the store {file} cannot be opened: {what}", hint="name the file of the store")
    if found.st_size < SMALLEST:
        what = "was cut off" if found.st_size else "is empty"
        raise StoreError(
            f"the store {file} {what}: what was in it is lost, for trueup never leaves such a file",
            hint="restore a copy of it (from a backup, or beside it: *.before-*), "
            "or delete it and rebuild it with `trueup recover SOURCE`",
        )
    # Not by opening it: closing any handle of a file gives free all locks that this process has on it.
    if not os.access(file, os.R_OK | os.W_OK):
        is_read_only = os.statvfs(file).f_flag & os.ST_RDONLY
        code = errno.EROFS if is_read_only else errno.EACCES
        raise OSError(code, os.strerror(code))


def _refuse_second_name(file: Path) -> None:
    """A database with two names would have two logs, and what is in one of them is not in the other."""
    for _ in range(20):
        found = file.stat()
        if found.st_nlink == 1:
            return
        # One that was made a moment ago, or that a process which was killed has left.
        for part in file.parent.glob(f"{glob.escape(file.name)}.*.new"):
            with suppress(FileNotFoundError):
                if _id_of(part.stat()) == _id_of(found):
                    part.unlink()
        time.sleep(0.05)
    raise StoreError(
        f"the store {file} has another name as well (a hard link): each would keep a log of its own",
        hint=f"remove the other one: find / -xdev -samefile {file}; use a symbolic link instead",
    )


def _id_of(found: os.stat_result) -> FileId:
    return found.st_dev, found.st_ino


def find_sides(file: Path) -> Mapping[str, FileId]:
    """The files beside an open database: another process that finds others shares nothing with this one."""
    found = {}
    place = os.path.realpath(file)
    for side in SIDES:
        try:
            found[side] = _id_of(Path(f"{place}{side}").stat())
        except FileNotFoundError:
            continue
    return found


def check(file: Path, opened: FileId, sides: Mapping[str, FileId]) -> None:
    """Raises StoreError unless the open files are those that their names lead to; some microseconds."""
    try:
        found = file.stat()
    except FileNotFoundError:
        raise StoreError(
            f"the store {file} was deleted or moved away while it was open: nothing was written",
            hint="put it back, and work goes on; else end every trueup that uses it and restore a backup",
        ) from None
    except OSError as error:
        raise cannot_open(file, error) from error
    if _id_of(found) != opened:
        raise StoreError(
            f"the store {file} was replaced by another file while it was open: nothing was written",
            hint=f"end every trueup that uses it, delete {file.name}-wal and {file.name}-shm, start again",
        )
    if found.st_size < SMALLEST:
        raise StoreError(
            f"the store {file} was emptied while it was open: nothing was written",
            hint="end every trueup that uses it, restore a backup of it, and start",
        )
    # SQLite keeps them beside the file itself, not beside a link to it.
    place = os.path.realpath(file)
    for side, known in sides.items():
        try:
            is_same = _id_of(Path(f"{place}{side}").stat()) == known
        except FileNotFoundError:
            is_same = False
        if not is_same:
            raise StoreError(
                f"{place}{side} was deleted or replaced while the store was open: nothing was written",
                hint="end every trueup that uses the store (SIGTERM, not SIGKILL), and start again",
            )
