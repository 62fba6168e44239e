"""All the files that a stack is read from: those of its own source, and those of modules from elsewhere.

Called by `load` and `modules`. Each file has one name, by which messages tell where something stands.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trueup.errors import Problem, SourceError
from trueup.manifests.document import SourceDocument
from trueup.manifests.parse import decode_text, parse_file
from trueup.manifests.program import ExpressionError
from trueup.manifests.suggestions import suggest
from trueup.model.tree import Tree

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/@:]+@[^/:]+:")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PIN = "add the tag or the full commit: ?ref=v1.2.0"
_FORMS = "write ../modules/site, or https://host/repository.git//path?ref=v1.2.0"


class OpenPinned(Protocol):
    """Opens a Git repository at a tag or a full commit. Raises SourceError, for a branch too."""

    def __call__(self, location: str, ref: str, path: str) -> Tree: ...


@dataclass(frozen=True)
class Source:
    """One source. `label` begins the names of its files, and is empty for the stack's own.

    `base` is the path at which its tree stands.
    """

    tree: Tree
    label: str = ""
    base: str = ""

    def name_of(self, path: str) -> str:
        """How messages name a file."""
        if not self.label:
            return path
        return f"{self.label}/{posixpath.normpath(posixpath.join(self.base, path))}"


@dataclass(frozen=True)
class Folder:
    """A directory of a source, relative to its tree, normal and empty for the tree's own."""

    source: Source
    path: str

    @property
    def name(self) -> str:
        return self.source.name_of(self.path or ".")

    def paths(self) -> Sequence[str]:
        """Its files, as the tree names them. Raises SourceError."""
        tree = self.source.tree
        return tree.paths_below(self.path) if self.path else tree.paths()

    def below(self, path: str) -> str:
        """One of its paths, relative to itself."""
        return path.removeprefix(f"{self.path}/") if self.path else path


class Library:
    """The sources of one stack, opened when they are needed."""

    def __init__(self, tree: Tree, open_pinned: OpenPinned | None = None) -> None:
        self._own = Source(tree)
        self._own_paths = frozenset(tree.paths())
        self._open_pinned = open_pinned
        self._pinned: dict[tuple[str, str], Source] = {}
        self._origins: dict[str, tuple[Source, str]] = {}

    @property
    def stack_folder(self) -> Folder:
        return Folder(self._own, "")

    def close(self) -> None:
        """Closes what was opened here; the stack's own tree is not."""
        for source in self._pinned.values():
            source.tree.close()

    def parse(self, folder: Folder, path: str, problems: list[Problem]) -> list[SourceDocument]:
        """The documents of one file."""
        name = folder.source.name_of(path)
        if folder.source.label:
            self._origins[name] = folder.source, path
        return parse_file(name, folder.source.tree.read(path), problems)

    def read_text(self, name: str, document: SourceDocument) -> str:
        """What `file(name)` gives in a document: a text beside its file. Raises ExpressionError."""
        source, manifest = self._origin(document)
        path = _join(posixpath.dirname(manifest), name)
        if path is None:
            message = f'file("{name}") names no file of the source'
            raise ExpressionError(message, hint="name it relative to this file, with /")
        if source is self._own and path not in self._own_paths and not _leads_out(path):
            near = suggest(path, self._own_paths, "files")
            raise ExpressionError(f'there is no file "{path}" in the tree', hint=near)
        try:
            data = source.tree.read(path)
        except SourceError as error:
            if source is self._own and not _leads_out(path):
                raise
            raise ExpressionError(f'file("{name}"): {error.message}', hint=error.hint) from error
        wrong: list[Problem] = []
        text = decode_text(source.name_of(path), data, wrong)
        if text is None:
            raise ExpressionError(f'file("{name}"): {wrong[0]}')
        return text

    def find_folder(self, text: str, document: SourceDocument) -> Folder:
        """The directory that the `source` of a module's call means.

        Raises ExpressionError for what is wrong with it, and SourceError where a repository cannot be read.
        """
        source, manifest = self._origin(document)
        if _REMOTE.match(text):
            if source.label and _is_file(text) and not _is_file(source.tree.revision.url):
                # The stack may name repositories of its machine, somebody else's module may not.
                message = "spec.source names a repository of this machine in a module that comes from another"
                raise ExpressionError(message, hint=_FORMS)
            return self._find_pinned(text)
        path = _join(posixpath.dirname(manifest), text)
        if path is None or "?" in text:
            raise ExpressionError(
                "spec.source is neither a path relative to this file nor a repository", 0, _FORMS
            )
        if not path:
            message = "spec.source is the directory of the stack itself"
            raise ExpressionError(message, hint="a module has a directory of its own")
        return Folder(source, path)

    def _find_pinned(self, text: str) -> Folder:
        address, _question, query = text.partition("?")
        key, _equals, ref = query.partition("=")
        if key != "ref" or not ref or "&" in ref:
            message = "spec.source names a repository without saying which version of it"
            raise ExpressionError(message, hint=_PIN)
        start = address.index("://") + 3 if "://" in address else 0
        split = address.find("//", start)
        location, path = (address, "") if split < 0 else (address[:split], address[split + 2 :])
        path = posixpath.normpath(path) if path.strip("/") else ""
        if path.startswith(("..", "/")):
            raise ExpressionError("spec.source names a path outside of the repository", hint=_FORMS)
        if self._open_pinned is None:
            raise ExpressionError("modules of other repositories cannot be read here")
        source = self._pinned.get((location, ref))
        if source is None:
            tree = self._open_pinned(location, ref, path)
            shown = ref[:12] if _COMMIT.fullmatch(ref) else ref
            source = Source(tree, f"{tree.revision.url}@{shown}", path)
            self._pinned[location, ref] = source
        inside = posixpath.relpath(f"/{path}", f"/{source.base}")
        return Folder(source, "" if inside == "." else inside)

    def _origin(self, document: SourceDocument) -> tuple[Source, str]:
        file = document.source.file
        return self._origins.get(file, (self._own, file))


def _is_file(url: str) -> bool:
    return url.lower().startswith("file:")


def _join(directory: str, name: str) -> str | None:
    """The path that a name relative to a directory means; None for what is no such name."""
    if not name or name.startswith("/") or "\0" in name or "\\" in name:
        return None
    path = posixpath.normpath(posixpath.join(directory, name))
    return "" if path == "." else path


def _leads_out(path: str) -> bool:
    return path == ".." or path.startswith("../")
