"""The files of one commit, read from the mirror's objects; without a work tree nothing is executed."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trueup.errors import SourceError
from trueup.model.resource import Revision
from trueup.sources import limits
from trueup.sources.git import Mirror
from trueup.sources.layout import is_below, is_hidden, path_from_root, path_from_stack

_LINK = "120000"
_SUBMODULE = "160000"
# What stands before a name: mode, kind, hash and size.
_FIELDS_LENGTH = 200


# A name that no file system can hold: only a tree that was made by hand has it.
_ODD_NAME = re.compile(rb"(?:^|/)\.{0,2}(?:/|$)")


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    blob: str
    size: int


class GitTree:
    """The files of one commit, as the stack at one path of it sees them.

    `offline` says why the remote was not asked, empty if it was.
    """

    def __init__(self, mirror: Mirror, revision: Revision, offline: str = "") -> None:
        self.offline = offline
        self._mirror = mirror
        self._revision = revision
        self._where = f"{revision.path or 'the root'} of {revision.url} at {revision.commit[:12]}"
        entries = _list_entries(mirror, _find_tree(mirror, revision), self._where)
        self._reader = mirror.open_reader()
        self._own = _Listing(entries, self._reader.read, limits.OWN, self._where)
        self._whole = self._own if not revision.path else None
        # Guards the child process of the reader, and what was read.
        self._lock = threading.RLock()
        self._blob_of: dict[str, _Entry] = {}
        self._contents: dict[str, bytes] = {}
        self._total = 0
        try:
            # By the child process that reads the files as well.
            self._revision = replace(revision, author=self._reader.read_author(revision.commit))
            for path in sorted(entries):
                if not limits.is_hidden(path):
                    self._blob_of[path] = self._own.file(path)
                    limits.check_count(len(self._blob_of), self._where)
        except BaseException:
            self.close()
            raise
        if not self._blob_of:
            self.close()
            raise SourceError(
                f"there are no files in {self._where}",
                hint="an empty directory is never taken for 'delete everything'",
            )

    @property
    def revision(self) -> Revision:
        return self._revision

    def paths(self) -> Sequence[str]:
        return list(self._blob_of)

    def paths_below(self, directory: str) -> Sequence[str]:
        top = path_from_root(self._revision.path, directory)
        with self._lock:
            own, outside = self._split(path for path in self._root.entries if is_below(path, top))
            for path, full in outside.items():
                if not is_hidden(path):
                    own[path] = self._root.file(full)
                    limits.check_count(len(own), f"{directory}, seen from {self._where},")
        if not own:
            raise SourceError(
                f"there is no directory {limits.show_path(directory)} with files in it,"
                f" seen from {self._where}",
                hint="make it, or correct the path; hidden files and directories do not count",
            )
        return sorted(own)

    def source_paths(self) -> Sequence[str]:
        with self._lock:
            own, outside = self._split(self._root.entries)
            return sorted([*own, *(path for path, full in outside.items() if self._is_readable(path, full))])

    def read(self, path: str) -> bytes:
        with self._lock:
            entry = self._find(path)
            if entry.size > limits.MAX_FILE_BYTES:
                raise limits.oversized(path)
            content = self._contents.get(path)
            if content is None:
                self._total += entry.size
                limits.check_total(self._total, self._where)
                content = self._contents[path] = self._reader.read(entry.blob)
        limits.check_content(path, content)
        return content

    def descends_from(self, commit: str) -> bool | None:
        return self._mirror.is_ancestor(commit, self._revision.commit)

    def close(self) -> None:
        with self._lock:
            self._reader.close()

    @property
    def _root(self) -> _Listing:
        """All files of the commit, listed when they are asked for: few stacks look beyond themselves."""
        if self._whole is None:
            tree = self._mirror.read_ref(f"{self._revision.commit}^{{tree}}")
            entries = _list_entries(self._mirror, tree, self._where)
            self._whole = _Listing(entries, self._reader.read, limits.WHOLE, self._where)
        return self._whole

    def _find(self, path: str) -> _Entry:
        entry = self._blob_of.get(path)
        if entry is not None:
            return entry
        full = path_from_root(self._revision.path, path)
        near = path_from_stack(self._revision.path, full)
        if near in self._blob_of:
            return self._blob_of[near]
        if is_below(full, self._revision.path) or full not in self._root.entries or is_hidden(near):
            raise SourceError(f"there is no file {limits.show_path(path)} in {self._where}")
        return self._root.file(full)

    def _split(self, paths: Iterator[str] | Mapping[str, _Entry]) -> tuple[dict[str, _Entry], dict[str, str]]:
        """The stack's own files among paths below the root, and the others with those paths."""
        base = self._revision.path
        own: dict[str, _Entry] = {}
        outside: dict[str, str] = {}
        for full in paths:
            path = path_from_stack(base, full)
            if not is_below(full, base):
                outside[path] = full
            elif path in self._blob_of:
                own[path] = self._blob_of[path]
        return own, outside

    def _is_readable(self, path: str, full: str) -> bool:
        if is_hidden(path):
            return False
        try:
            self._root.file(full)
        except SourceError:
            # Most repositories hold links to directories, and submodules, somewhere.
            return False
        return True


@dataclass(frozen=True)
class _Listing:
    """The entries below one directory, which links must not leave."""

    entries: Mapping[str, _Entry]
    read_blob: Callable[[str], bytes]
    what: str
    where: str

    def file(self, path: str) -> _Entry:
        """The regular file that is at a path, or that the link there leads to. Raises SourceError."""
        limits.check_name(path)
        entry = self.entries[path]
        if entry.mode == _SUBMODULE:
            raise SourceError(
                f"{path} in {self.where} is a submodule: submodules are not read",
                hint="keep the files in this repository, or read the other one as a source of its own",
            )
        return self._follow(path) if entry.mode == _LINK else entry

    def _follow(self, link: str) -> _Entry:
        """The regular file that a link leads to, through other links, without leaving the directory."""
        waiting, done, hops = link.split("/"), list[str](), 0
        while waiting:
            part = waiting.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise limits.leaving_link(link, self.what)
                done.pop()
                continue
            done.append(part)
            entry = self.entries.get("/".join(done))
            if entry is None or entry.mode != _LINK:
                continue
            hops += 1
            if hops > limits.MAX_LINKS:
                raise limits.broken_link(link, self.what)
            target = self._read_link(link, entry)
            if target.startswith("/"):
                raise limits.leaving_link(link, self.what)
            done.pop()
            waiting = target.split("/") + waiting
        entry = self.entries.get("/".join(done))
        if entry is None or entry.mode == _SUBMODULE:
            raise limits.broken_link(link, self.what)
        return entry

    def _read_link(self, link: str, entry: _Entry) -> str:
        if entry.size > 4096:
            raise limits.broken_link(link, self.what)
        return self.read_blob(entry.blob).decode("utf-8", "surrogateescape")


def _find_tree(mirror: Mirror, revision: Revision) -> str:
    tree = mirror.read_ref(f"{revision.commit}:{revision.path}")
    where = f"{revision.url} at {revision.commit[:12]}"
    if not tree:
        raise SourceError(
            f"there is no path {revision.path!r} in {where}",
            hint="it was moved or deleted: nothing is pruned for that",
        )
    if mirror.try_local("cat-file", "-t", tree) != "tree":
        raise SourceError(
            f"{revision.path!r} in {where} is not a directory", hint="name the directory it is in"
        )
    return tree


def _list_entries(mirror: Mirror, tree: str, where: str) -> dict[str, _Entry]:
    """Every file below a tree. Raises SourceError as soon as there are too many, or a name is too long.

    A tree may name the same tree many times, so that a few objects come to billions of files.
    """
    listing = _TreeListing(mirror, where)
    mirror.run_local("ls-tree", "-r", "-l", "-z", "--full-tree", tree, take=listing.take)
    return listing.entries


class _TreeListing:
    """The entries that git lists, taken in as they come."""

    def __init__(self, mirror: Mirror, where: str) -> None:
        self.entries: dict[str, _Entry] = {}
        self._mirror = mirror
        self._where = where
        self._rest = b""

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\0")
        for line in lines:
            self._add(line)
        if len(self._rest) > limits.MAX_PATH + _FIELDS_LENGTH:
            raise limits.overlong(self._rest.partition(b"\t")[2].decode("utf-8", "surrogateescape"))

    def _add(self, line: bytes) -> None:
        fields, _tab, path = line.partition(b"\t")
        mode, _kind, blob, size = fields.decode().split()
        name = path.decode("utf-8", "surrogateescape")
        # A submodule has no size; an object that is missing has BAD.
        if size != "-" and not size.isdecimal():
            raise self._mirror.damaged(f"object {blob} is missing")
        if len(path) > limits.MAX_PATH:
            raise limits.overlong(name)
        if _ODD_NAME.search(path) or name in self.entries:
            raise SourceError(
                f"a tree in {self._where} names {limits.show_path(name)} twice, or no file can be called so",
                hint="it was not made by git: look at who pushed it (git fsck)",
            )
        self.entries[name] = _Entry(sys.intern(mode), blob, 0 if size == "-" else int(size))
        limits.check_count(len(self.entries), self._where, limits.MAX_SOURCE_FILES)
