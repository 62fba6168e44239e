"""Paths as a stack names them: `..` leads out of its directory, as far as the root of the source.

Used by directory and git_tree.
"""

from __future__ import annotations

import re

from trueup.errors import SourceError
from trueup.sources import limits

_UPWARDS = re.compile(r"^(?:\.\./)+")


def path_from_root(base: str, path: str) -> str:
    """The path below the root of the source, for one relative to the stack's directory `base`."""
    done = base.split("/") if base else []
    limits.check_name(path)
    if path.startswith("/"):
        raise SourceError(f"the path {limits.show_path(path)} is not relative to the directory of the stack")
    for part in path.split("/"):
        if part == "..":
            if not done:
                raise SourceError(
                    f"the path {limits.show_path(path)} leads out of the source",
                    hint="name a file below the root of the repository",
                )
            done.pop()
        elif part not in ("", "."):
            done.append(part)
    return "/".join(done)


def path_from_stack(base: str, path: str) -> str:
    """The path relative to the stack's directory, for one below the root of the source."""
    start, parts = base.split("/") if base else [], path.split("/")
    shared = 0
    while shared < min(len(start), len(parts)) and start[shared] == parts[shared]:
        shared += 1
    return "/".join([".."] * (len(start) - shared) + parts[shared:])


def is_below(path: str, directory: str) -> bool:
    """Whether a path below the root is in the directory, which may be the root itself."""
    return not directory or path.startswith(f"{directory}/")


def is_hidden(path: str) -> bool:
    """Whether a directory on the way from the stack to a file is hidden; `..` is not."""
    return limits.is_hidden(_UPWARDS.sub("", path))
