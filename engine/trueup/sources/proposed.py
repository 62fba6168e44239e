"""A tree as it will be once new files are written, so that they are checked before. Called by reconcile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trueup.model.resource import Revision
from trueup.model.tree import Tree


class ProposedTree:
    """A tree with a few files more. Its revision is that of the tree without them."""

    def __init__(self, tree: Tree, files: Mapping[str, str]) -> None:
        self._tree = tree
        self._files = {path: text.encode() for path, text in files.items()}

    @property
    def revision(self) -> Revision:
        return self._tree.revision

    def paths(self) -> Sequence[str]:
        return sorted({*self._tree.paths(), *self._files})

    def paths_below(self, directory: str) -> Sequence[str]:
        return self._tree.paths_below(directory)

    def source_paths(self) -> Sequence[str]:
        return sorted({*self._tree.source_paths(), *self._files})

    def read(self, path: str) -> bytes:
        return self._files[path] if path in self._files else self._tree.read(path)

    def descends_from(self, commit: str) -> bool | None:
        return self._tree.descends_from(commit)

    def close(self) -> None:
        self._tree.close()
