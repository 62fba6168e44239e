"""The files of one commit, read from the mirror's objects; without a work tree nothing is executed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trueup.errors import SourceError
from trueup.model.resource import Revision
from trueup.sources import limits
from trueup.sources.git import Mirror

_LINK = "120000"
_SUBMODULE = "160000"


@dataclass(frozen=True)
class _Entry:
    mode: str
    blob: str
    size: int


class GitTree:
    """The files below one path of one commit.

    `offline` says why the remote was not asked, empty if it was.
    """

    def __init__(self, mirror: Mirror, revision: Revision, offline: str = "") -> None:
        self.offline = offline
        self._revision = revision
        self._entries = dict(_list_entries(mirror, _find_tree(mirror, revision)))
        self._where = f"{revision.path or 'the root'} of {revision.url} at {revision.commit[:12]}"
        self._reader = mirror.open_reader()
        self._lock = threading.Lock()
        self._blob_of: dict[str, _Entry] = {}
        self._contents: dict[str, bytes] = {}
        self._total = 0
        try:
            for path in sorted(self._entries):
                if not limits.is_hidden(path):
                    self._add(path)
        except BaseException:
            self.close()
            raise
        if not self._blob_of:
            self.close()
            raise SourceError(
                f"there are no files in {self._where}",
                hint="An empty directory is never taken for 'delete everything'.",
            )

    @property
    def revision(self) -> Revision:
        return self._revision

    def paths(self) -> Sequence[str]:
        return list(self._blob_of)

    def read(self, path: str) -> bytes:
        entry = self._blob_of.get(path)
        if entry is None:
            raise SourceError(f"there is no file {limits.show_path(path)} in {self._where}")
        if entry.size > limits.MAX_FILE_BYTES:
            raise limits.oversized(path)
        with self._lock:
            content = self._contents.get(path)
            if content is None:
                self._total += entry.size
                limits.check_total(self._total, self._where)
                content = self._contents[path] = self._reader.read(entry.blob)
        limits.check_content(path, content)
        return content

    def close(self) -> None:
        with self._lock:
            self._reader.close()

    def _add(self, path: str) -> None:
        limits.check_name(path)
        entry = self._entries[path]
        if entry.mode == _SUBMODULE:
            raise SourceError(
                f"{path} in {self._where} is a submodule: submodules are not read",
                hint="Keep the files in this repository, or read the other one as a source of its own.",
            )
        self._blob_of[path] = self._follow(path) if entry.mode == _LINK else entry
        limits.check_count(len(self._blob_of), self._where)

    def _follow(self, link: str) -> _Entry:
        """The regular file that a link leads to, through other links, without leaving the tree."""
        waiting, done, hops = link.split("/"), list[str](), 0
        while waiting:
            part = waiting.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise limits.leaving_link(link)
                done.pop()
                continue
            done.append(part)
            entry = self._entries.get("/".join(done))
            if entry is None or entry.mode != _LINK:
                continue
            hops += 1
            if hops > limits.MAX_LINKS:
                raise limits.broken_link(link)
            target = self._read_link(link, entry)
            if target.startswith("/"):
                raise limits.leaving_link(link)
            done.pop()
            waiting = target.split("/") + waiting
        entry = self._entries.get("/".join(done))
        if entry is None or entry.mode == _SUBMODULE:
            raise limits.broken_link(link)
        return entry

    def _read_link(self, link: str, entry: _Entry) -> str:
        if entry.size > 4096:
            raise limits.broken_link(link)
        return self._reader.read(entry.blob).decode("utf-8", "surrogateescape")


def _find_tree(mirror: Mirror, revision: Revision) -> str:
    tree = mirror.read_ref(f"{revision.commit}:{revision.path}")
    where = f"{revision.url} at {revision.commit[:12]}"
    if not tree:
        raise SourceError(
            f"there is no path {revision.path!r} in {where}",
            hint="It was moved or deleted: nothing is pruned for that.",
        )
    if mirror.try_local("cat-file", "-t", tree) != "tree":
        raise SourceError(
            f"{revision.path!r} in {where} is not a directory", hint="Name the directory it is in."
        )
    return tree


def _list_entries(mirror: Mirror, tree: str) -> Iterator[tuple[str, _Entry]]:
    for line in mirror.run_local("ls-tree", "-r", "-l", "-z", "--full-tree", tree).split(b"\0"):
        if line:
            fields, _tab, path = line.partition(b"\t")
            mode, _kind, blob, size = fields.decode().split()
            # A submodule has no size; an object that is missing has BAD.
            if size != "-" and not size.isdecimal():
                raise mirror.damaged(f"object {blob} is missing")
            yield path.decode("utf-8", "surrogateescape"), _Entry(mode, blob, 0 if size == "-" else int(size))
