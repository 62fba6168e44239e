"""The files that a tool gets to see: picked from the tree, hashed, and written where only the tool works.

A tree has no work tree, so the files that a rendering needs are written into a private directory, as regular
files and nothing else. Used by kustomize, helm and render.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trueup.errors import SourceError
from trueup.manifests.rendering.process import ToolError
from trueup.manifests.rendering.settings import normalise
from trueup.model.tree import Tree

# Far more than anybody has, and less than Python's own functions for trees of files can take.
_MAX_DEPTH = 200
_PREFIX = "trueup-render-"
# In seconds; the commands of a rendering have a few minutes together.
_ABANDONED = 3600.0
SOURCE, INPUT = "source", "input"
_MESSAGE_PATH = re.compile(r"(?<![\w/.-])source/([^\s'\":,;()]*)")


@dataclass(frozen=True)
class Folder:
    """A directory of its own for one run of a tool, removed afterwards. `work` holds the files."""

    top: Path

    @property
    def work(self) -> Path:
        return self.top / "work"

    @property
    def home(self) -> Path:
        return self.top / "home"


class Workspace:
    """Files of the source by their path from the stack's directory, as the tree names them.

    On the disk they stand below `source/`, in the same relation to each other, and what trueup adds stands
    below `input/`.
    """

    def __init__(self, tree: Tree, hidden: frozenset[str] = frozenset()) -> None:
        """`hidden` are files that no tool has to see: the stack file."""
        self._tree = tree
        self._hidden = hidden
        revision = tree.revision
        self._parents = [part for part in f"{revision.url}/{revision.path}".split("/") if part]
        self._files: dict[str, bytes] = {}
        self._inputs: dict[str, bytes] = {}
        self._listed: dict[str, tuple[str, ...]] = {}
        self._faults: dict[str, SourceError] = {}

    @property
    def paths(self) -> list[str]:
        """What was taken from the source so far."""
        return sorted(self._files)

    def resolve(self, directory: str, name: str) -> str:
        """The path that `name` means in a directory, in the tree's words."""
        path = normalise(f"{directory}/{name}")
        ups = path.split("/").count("..")
        parts = path.split("/")[ups:]
        # `../shop/x`, seen from the directory `shop`, is a file of the stack itself.
        while ups and parts and ups <= len(self._parents) and parts[0] == self._parents[-ups]:
            ups, parts = ups - 1, parts[1:]
        return "/".join([".."] * ups + parts) or "."

    def list_files(self, directory: str) -> tuple[str, ...]:
        """The files below a directory; none where there is no such directory: see `fault_of`."""
        if directory not in self._listed:
            self._listed[directory] = self._list(directory)
        return self._listed[directory]

    def _list(self, directory: str) -> tuple[str, ...]:
        if not directory.startswith(".."):
            prefix = "" if directory == "." else f"{directory}/"
            found = [path for path in self._tree.paths() if path.startswith(prefix)]
        else:
            try:
                found = list(self._tree.paths_below(directory))
            except SourceError as error:
                self._faults[directory] = error
                found = []
        return tuple(path for path in found if path not in self._hidden)

    def fault_of(self, directory: str) -> SourceError | None:
        """Why a directory outside of the stack's own could not be listed."""
        return self._faults.get(directory)

    def read(self, path: str) -> bytes:
        """The content of a file, which is taken along. Raises SourceError."""
        if path not in self._files:
            self._files[path] = self._tree.read(path)
        return self._files[path]

    def take(self, directory: str) -> None:
        """Takes all files below a directory along. Raises SourceError."""
        for path in self.list_files(directory):
            self.read(path)

    def copy(self, directory: str, to: str) -> None:
        """Puts the files of a directory below another one as well. Raises SourceError."""
        for path in self.list_files(directory):
            below = path if directory == "." else path[len(directory) + 1 :]
            self._files.setdefault(f"{to}/{below}", self._tree.read(path))

    def add_input(self, name: str, content: bytes) -> str:
        """A file of trueup's own; gives its path for the tool's command line."""
        self._inputs[name] = content
        return f"{INPUT}/{name}"

    def path_for_tool(self, path: str) -> str:
        """How the tool's command line names a file or directory of the source."""
        return f"{SOURCE}/{self._place(path)}".rstrip("/")

    def digest(self) -> str:
        """A hash over the names and contents of everything that was taken along."""
        total = hashlib.sha256()
        for path, content in sorted(self._placed().items()):
            total.update(path.encode("utf-8", "surrogateescape") + b"\0" + hashlib.sha256(content).digest())
        return total.hexdigest()

    @contextmanager
    def open_folder(self) -> Iterator[Folder]:
        """Writes the files into a private directory and removes it in the end. Raises ToolError."""
        try:
            _remove_abandoned(Path(tempfile.gettempdir()))
            folder = Folder(Path(os.path.realpath(tempfile.mkdtemp(prefix=_PREFIX))))
        except OSError as error:
            raise _unwritable(error) from error
        try:
            self._write_files(folder)
            yield folder
        finally:
            shutil.rmtree(folder.top, ignore_errors=True)

    def _write_files(self, folder: Folder) -> None:
        try:
            folder.home.mkdir(mode=0o700)
            folder.work.mkdir(mode=0o700)
            made: set[Path] = set()
            for path, content in self._placed().items():
                file = folder.work / path
                if file.parent not in made:
                    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    made.add(file.parent)
                # Only what is made here is there: nothing is followed and nothing is overwritten.
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with open(os.open(file, flags, 0o600), "wb") as stream:  # noqa: PTH123 - a descriptor
                    stream.write(content)
        except OSError as error:
            raise _unwritable(error) from error

    def explain(self, text: str, folder: Folder) -> str:
        """A message of the tool with paths as the author of the files knows them."""
        text = text.replace(f"{folder.work}/", "").replace(str(folder.top), "")
        return _MESSAGE_PATH.sub(lambda match: self._from_stack(match[1]), text)

    def _placed(self) -> dict[str, bytes]:
        placed = {f"{SOURCE}/{self._place(path)}": content for path, content in self._files.items()}
        placed.update({f"{INPUT}/{name}": content for name, content in self._inputs.items()})
        for path in placed:
            if not _is_safe(path):
                raise SourceError(f"the path {path[:200]!r} cannot be given to a tool")
        return placed

    def _place(self, path: str) -> str:
        """The path below the directory that stands for the highest one needed."""
        ups = path.split("/").count("..")
        start = self._above()[: len(self._above()) - ups]
        return "/".join([*start, *(part for part in path.split("/")[ups:] if part != ".")])

    def _above(self) -> list[str]:
        """The directories between the highest one needed and the stack's own, by their names."""
        most = max((path.split("/").count("..") for path in self._files), default=0)
        known = self._parents[len(self._parents) - most :] if most <= len(self._parents) else []
        return known if len(known) == most else [f"up-{index}" for index in range(most)]

    def _from_stack(self, placed: str) -> str:
        above, parts = self._above(), placed.split("/")
        shared = 0
        while shared < min(len(above), len(parts)) and above[shared] == parts[shared]:
            shared += 1
        return "/".join([".."] * (len(above) - shared) + parts[shared:]) or "."


def _remove_abandoned(top: Path) -> None:
    """Removes the directories of this user's renderings that were killed: no rendering takes that long."""
    for entry in os.scandir(top):
        if not entry.name.startswith(_PREFIX):
            continue
        # Another process may be about to remove the same one.
        with suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if is_ours and time.time() - status.st_mtime > _ABANDONED:
                shutil.rmtree(entry.path, ignore_errors=True)


def _unwritable(error: OSError) -> ToolError:
    hint = "make room there, or name another directory in TMPDIR"
    return ToolError(f"the files for it cannot be written below {_top()}: {error.strerror}", hint)


def _top() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "any directory for temporary files"


def _is_safe(path: str) -> bool:
    parts = path.split("/")
    return "\0" not in path and len(parts) <= _MAX_DEPTH and not {"", ".", ".."} & set(parts)
