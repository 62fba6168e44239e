"""What every source gives: the files of exactly one revision, read-only. Read by manifests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trueup.model.resource import Revision


class Tree(Protocol):
    """The files below one path of one revision. Paths are relative to it, with `/`, sorted."""

    @property
    def revision(self) -> Revision: ...

    def paths(self) -> Sequence[str]:
        """Every regular file. Raises SourceError for a symbolic link that leaves the tree."""

    def read(self, path: str) -> bytes:
        """The content of one of `paths`. Raises SourceError for any other path or an oversized file."""

    def close(self) -> None: ...
