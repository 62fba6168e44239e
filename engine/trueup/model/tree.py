"""What every source gives: the files of exactly one revision, read-only. Read by manifests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trueup.model.resource import Revision


class Tree(Protocol):
    """The files below one path of one revision, the stack's directory, and what else its source holds.

    Paths are relative to the stack's directory, with `/`, sorted. They may begin with `..`, as far as the
    root of the source: the root of the repository, or of the work tree that a plain directory is in. All
    content is of the same commit; of a plain directory, what is outside of the stack's is read when it is
    asked for.
    """

    @property
    def revision(self) -> Revision: ...

    def paths(self) -> Sequence[str]:
        """Every regular file of the stack's directory.

        Raises SourceError for a symbolic link that leaves it.
        """

    def paths_below(self, directory: str) -> Sequence[str]:
        """Every regular file below a directory, which may begin with `..`.

        Raises SourceError where there is none, and for a symbolic link that leaves the source.
        """

    def source_paths(self) -> Sequence[str]:
        """Every regular file of the whole source that can be read."""

    def read(self, path: str) -> bytes:
        """The content of a file. Raises SourceError for any other path or an oversized file."""

    def descends_from(self, commit: str) -> bool | None:
        """Whether a commit is this tree's own or one of its ancestors.

        None where that cannot be said: of a plain directory, and of what is no commit's hash. May be asked
        after `close`.
        """

    def close(self) -> None: ...
