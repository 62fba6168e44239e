"""A plain directory as a source: one snapshot of its files, whether or not it is in a Git work tree."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from trueup.errors import SourceError
from trueup.model.resource import Revision
from trueup.sources import limits

_CHUNK = 1024 * 1024


class DirectoryTree:
    """The files of a directory as they were when it was opened; all of them were read then, once."""

    def __init__(self, root: Path, path: str) -> None:
        self._where = str(root / path) if path else str(root)
        directory = _resolve(root, path)
        self._contents: dict[str, bytes | None] = {}
        digest = hashlib.sha256()
        total = 0
        files = sorted(_walk(directory, directory))
        limits.check_count(len(files), self._where)
        for name, file in files:
            limits.check_name(name)
            content, size, file_digest = _read(name, file)
            total += size
            limits.check_total(total if content is not None else total - size, self._where)
            self._contents[name] = content
            # Names hold no NUL and the digests have one length: no two trees give the same bytes.
            digest.update(name.encode() + b"\0" + file_digest)
        if not self._contents:
            raise SourceError(
                f"the directory {self._where} holds no files",
                hint="An empty directory is never taken for 'delete everything'.",
            )
        self._revision = Revision(url=str(root), path=path, commit=f"sha256:{digest.hexdigest()}")

    @property
    def revision(self) -> Revision:
        return self._revision

    def paths(self) -> Sequence[str]:
        return list(self._contents)

    def read(self, path: str) -> bytes:
        if path not in self._contents:
            raise SourceError(f"the directory {self._where} has no file {limits.show_path(path)}")
        content = self._contents[path]
        if content is None:
            raise limits.oversized(path)
        limits.check_content(path, content)
        return content

    def close(self) -> None:
        """Nothing is held open."""


def _resolve(root: Path, path: str) -> Path:
    try:
        top = root.resolve(strict=True)
        directory = (top / path).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _unreadable(root / path, error) from error
    if not directory.is_relative_to(top):
        raise limits.leaving_link(path)
    if not directory.is_dir():
        raise SourceError(f"{root / path} is a file, not a directory", hint="Name the directory it is in.")
    return directory


def _walk(top: Path, directory: Path) -> Iterator[tuple[str, Path]]:
    """The name below `top` and the real file of each regular file; hidden directories are left out."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(directory, error) from error
    for entry in entries:
        file = Path(entry.path)
        if entry.is_symlink():
            # Emacs marks a file that is being edited with a link `.#name` to nowhere.
            if not entry.name.startswith(".#"):
                yield str(file.relative_to(top)), _follow(top, file)
        elif entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                yield from _walk(top, file)
        elif entry.is_file(follow_symlinks=False):
            yield str(file.relative_to(top)), file


def _follow(top: Path, link: Path) -> Path:
    name = str(link.relative_to(top))
    try:
        file = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise limits.broken_link(name) from error
    if not file.is_relative_to(top):
        raise limits.leaving_link(name)
    if not file.is_file():
        raise limits.broken_link(name)
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
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SourceError(f"the file {limits.show_path(name)} was replaced while it was read")
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if size <= limits.MAX_FILE_BYTES:
                    chunks.append(chunk)
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
