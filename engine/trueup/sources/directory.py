"""A plain directory as a source: one snapshot of its files, whether or not it is in a Git work tree."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trueup.errors import SourceError
from trueup.model.resource import Revision
from trueup.sources import limits
from trueup.sources.layout import is_below, is_hidden, path_from_root, path_from_stack

_CHUNK = 1024 * 1024
# Of a file that is too large to be read the content counts as far as this: nobody waits for a disk image.
_MAX_HASHED = 1024 * 1024 * 1024
# How often a directory is read that changes meanwhile, and the seconds in between.
_ATTEMPTS = 5
_PAUSE = 0.05
# The times of files move on in steps of up to 10 ms; in nanoseconds.
_SETTLED = 20_000_000


class DirectoryTree:
    """The files of a directory as they were when it was opened; all of them were read then, once.

    What is outside of it, in the same Git work tree or location, is read when it is asked for, once as well.
    It has no part in the commit.
    """

    def __init__(self, root: Path, path: str) -> None:
        self._where = str(root / path) if path else str(root)
        directory = _resolve(root, path)
        self._top = _find_root(root.resolve(), directory)
        self._base = directory.relative_to(self._top).as_posix() if directory != self._top else ""
        self._contents: dict[str, bytes | None] = {}
        self._outside: dict[str, bytes] = {}
        self._lock = threading.Lock()
        commit = self._read_at_rest(directory)
        if not self._contents:
            raise SourceError(
                f"the directory {self._where} holds no files",
                hint="write a stack.yaml; an empty directory is never taken for 'delete everything'",
            )
        self._revision = Revision(url=str(root), path=path, commit=commit)

    def _read_at_rest(self, directory: Path) -> str:
        """Reads all files while none of them changes, so that they are of one moment; gives their commit."""
        for _attempt in range(_ATTEMPTS):
            began = time.time_ns()
            files = self._list(directory)
            before = _marks(files)
            # A file that was written just now could be written again without a trace in its times.
            is_settled = all(mark and abs(began - mark.changed) > _SETTLED for mark in before.values())
            try:
                commit = self._read_all(files)
            except SourceError:
                if is_settled and _marks(self._list(directory)) == before:
                    raise
            else:
                if is_settled and _marks(self._list(directory)) == before:
                    return commit
            time.sleep(_PAUSE)
        raise SourceError(
            f"the directory {self._where} changes while it is read",
            hint="wait until what writes there has ended, or let trueup read commits: give a ref",
        )

    def _list(self, directory: Path) -> list[tuple[str, Path]]:
        files: list[tuple[str, Path]] = []
        for found in _walk(directory, directory, limits.OWN, self._where):
            files.append(found)
            limits.check_count(len(files), self._where)
        return sorted(files)

    def _read_all(self, files: Sequence[tuple[str, Path]]) -> str:
        digest = hashlib.sha256()
        total = 0
        self._contents = {}
        for name, file in files:
            limits.check_name(name)
            content, size, file_digest = _read(name, file)
            total += size
            limits.check_total(total if content is not None else total - size, self._where)
            self._contents[name] = content
            # Names hold no NUL and the digests have one length: no two trees give the same bytes.
            digest.update(name.encode() + b"\0" + file_digest)
        self._total = total
        return f"sha256:{digest.hexdigest()}"

    @property
    def revision(self) -> Revision:
        return self._revision

    def paths(self) -> Sequence[str]:
        return list(self._contents)

    def paths_below(self, directory: str) -> Sequence[str]:
        full = path_from_root(self._base, directory)
        found = {path for path in self._contents if is_below(self._full(path), full)}
        if full != self._base and not is_below(full, self._base):
            start = self._real_directory(full, directory)
            for name, _file in _walk(self._top, start, limits.WHOLE, self._where):
                path = path_from_stack(self._base, name)
                if not is_below(name, self._base) and not is_hidden(path):
                    limits.check_name(path)
                    found.add(path)
                    limits.check_count(len(found), f"{directory}, seen from {self._where},")
        if not found:
            raise SourceError(
                f"there is no directory {limits.show_path(directory)} with files in it,"
                f" seen from {self._where}",
                hint="make it, or correct the path; hidden files and directories do not count",
            )
        return sorted(found)

    def descends_from(self, commit: str) -> bool | None:
        return True if commit == self._revision.commit else None

    def source_paths(self) -> Sequence[str]:
        found = list(self._contents)
        for name in _walk_source(self._top):
            if not is_below(name, self._base) and name.isprintable():
                found.append(path_from_stack(self._base, name))
                limits.check_count(len(found), str(self._top), limits.MAX_SOURCE_FILES)
        return sorted(found)

    def read(self, path: str) -> bytes:
        content = self._contents[path] if path in self._contents else self._read_outside(path)
        if content is None:
            raise limits.oversized(path)
        limits.check_content(path, content)
        return content

    def close(self) -> None:
        """Nothing is held open."""

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if self._base else path

    def _read_outside(self, path: str) -> bytes | None:
        full = path_from_root(self._base, path)
        near = path_from_stack(self._base, full)
        if near in self._contents:
            return self._contents[near]
        missing = SourceError(f"the directory {self._where} has no file {limits.show_path(path)}")
        if is_below(full, self._base) or is_hidden(near):
            raise missing
        with self._lock:
            if near not in self._outside:
                limits.check_name(near)
                file = self._top / full
                if not _is_plain(file.parent) or not (file.is_symlink() or _is(Path.is_file, file)):
                    raise missing
                file = _follow(self._top, file, limits.WHOLE) if file.is_symlink() else file
                content, size, _digest = _read(near, file)
                if content is None:
                    return None
                self._total += size
                limits.check_total(self._total, self._where)
                self._outside[near] = content
            return self._outside[near]

    def _real_directory(self, full: str, name: str) -> Path:
        directory = self._top / full
        # A link to a directory is not followed, as it is not inside the stack's directory.
        if not _is_plain(directory) or not _is(Path.is_dir, directory):
            raise SourceError(
                f"there is no directory {limits.show_path(name)}, seen from {self._where}",
                hint="links to directories are not followed",
            )
        return directory


class _Mark(NamedTuple):
    """What differs for a file that was written or replaced."""

    inode: int
    size: int
    modified: int
    changed: int


def _marks(files: Sequence[tuple[str, Path]]) -> dict[str, _Mark | None]:
    """The mark of each file; None for one that is gone by now, which compares with nothing that was read."""
    marks: dict[str, _Mark | None] = {}
    for name, file in files:
        try:
            status = file.stat()
        except OSError:
            marks[name] = None
        else:
            marks[name] = _Mark(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return marks


def _is_plain(path: Path) -> bool:
    """Whether no link is on the way to a path."""
    try:
        return path.resolve() == path
    except (OSError, RuntimeError) as error:
        raise _unreadable(path, error) from error


def _is(has_type: Callable[[Path], bool], path: Path) -> bool:
    try:
        return has_type(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _find_root(location: Path, directory: Path) -> Path:
    """The work tree that a directory is in, or the location where it is in none."""
    folders = (directory, *directory.parents)
    return next((folder for folder in folders if (folder / ".git").exists()), location)


def _resolve(root: Path, path: str) -> Path:
    try:
        top = root.resolve(strict=True)
        directory = (top / path).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _unreadable(root / path, error) from error
    if not directory.is_relative_to(top):
        raise limits.leaving_link(path)
    if not directory.is_dir():
        raise SourceError(f"{root / path} is a file, not a directory", hint="name the directory it is in")
    return directory


def _walk(top: Path, directory: Path, what: str, where: str) -> Iterator[tuple[str, Path]]:
    """The name below `top` and the real file of each regular file; hidden directories are left out.

    `what` is for the message about a link that leaves `top`, `where` for the one about too many files.
    """
    # Not by recursion: a repository can be deeper than Python's stack.
    waiting = [directory]
    seen = 0
    while waiting:
        folder = waiting.pop()
        entries: list[os.DirEntry[str]] = []
        try:
            with os.scandir(folder) as scan:
                for entry in scan:
                    entries.append(entry)
                    seen += 1
                    limits.check_count(seen, where, limits.MAX_SOURCE_FILES)
        except OSError as error:
            raise _unreadable(folder, error) from error
        for entry in sorted(entries, key=lambda entry: entry.name):
            file = Path(entry.path)
            if entry.is_symlink():
                # Emacs marks a file that is being edited with a link `.#name` to nowhere.
                if not entry.name.startswith(".#"):
                    yield str(file.relative_to(top)), _follow(top, file, what)
            elif entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    waiting.append(file)
            elif entry.is_file(follow_symlinks=False):
                yield str(file.relative_to(top)), file


def _walk_source(top: Path) -> Iterator[str]:
    """The names of all files of a work tree, less those of repositories in it and links to nowhere."""

    def refuse(error: OSError) -> None:
        raise _unreadable(Path(error.filename), error) from error

    for folder, directories, files in os.walk(top, onerror=refuse):
        here = Path(folder)
        directories[:] = sorted(
            name for name in directories if not name.startswith(".") and not (here / name / ".git").exists()
        )
        for name in files:
            file = here / name
            if not file.is_symlink() or (file.is_file() and file.resolve().is_relative_to(top)):
                yield file.relative_to(top).as_posix()


def _follow(top: Path, link: Path, what: str) -> Path:
    name = str(link.relative_to(top))
    try:
        file = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise limits.broken_link(name, what) from error
    if not file.is_relative_to(top):
        raise limits.leaving_link(name, what)
    if not file.is_file():
        raise limits.broken_link(name, what)
    return file


def _read(name: str, file: Path) -> tuple[bytes | None, int, bytes]:
    """The content (None for an oversized file), the size and the SHA-256."""
    digest = hashlib.sha256()
    size = 0
    chunks: list[bytes] = []
    try:
        # The link was followed already: one that took the file's place since then must not be.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor has no path
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(f"the file {limits.show_path(name)} was replaced while it was read")
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if size <= limits.MAX_FILE_BYTES:
                    chunks.append(chunk)
                elif size > _MAX_HASHED:
                    digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
                    break
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise limits.broken_link(name) from error
        raise _unreadable(file, error) from error
    return (b"".join(chunks) if size <= limits.MAX_FILE_BYTES else None), size, digest.digest()


def _unreadable(path: Path, error: Exception) -> SourceError:
    reason = getattr(error, "strerror", None) or str(error)
    where = limits.show_path(str(path))
    if isinstance(error, FileNotFoundError):
        return SourceError(f"there is no directory {where}")
    return SourceError(f"{where} cannot be read: {reason}")
