"""Opens the files of a source: a commit of a Git repository, or a directory. Called by app and daemon."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from trueup.errors import SourceError
from trueup.model.resource import Revision
from trueup.model.tree import Tree
from trueup.sources.directory import DirectoryTree
from trueup.sources.limits import clean_path
from trueup.sources.location import Remote, mask_credentials, parse_location

if TYPE_CHECKING:
    from trueup.sources.git import Mirror


def open_tree(
    location: str,
    ref: str = "",
    path: str = "",
    *,
    cache_dir: Path | None = None,
    allow_file_urls: bool = True,
    allow_git_protocol: bool = False,
    offline_ok: bool = False,
) -> Tree:
    """The files below `path` of what `location` holds now: a Git URL at `ref`, or a directory.

    A local repository is read by Git if a ref is given or if it is bare, else its work tree is read as the
    directory that it is. With `offline_ok`, the last commit fetched stands in for a remote that does not
    answer; the tree's `offline` says why. Raises SourceError.
    """
    place = parse_location(location, allow_file_urls=allow_file_urls, allow_git_protocol=allow_git_protocol)
    path = clean_path(path)
    if isinstance(place, Path):
        found = _find_repository(place, ref)
        if found is None:
            return DirectoryTree(place, path)
        place, below = found
        path = clean_path(f"{below}/{path}" if below else path)
    return _open_git_tree(place, ref, path, cache_dir or default_cache_dir(), offline_ok)


def find_directory(location: str, ref: str = "", path: str = "") -> Path:
    """The directory of this machine that a source is, and that new files can be written to.

    Raises SourceError for every other source.
    """
    hint = "name the stack's directory in a work tree, and commit what was written there"
    place = parse_location(location)
    if isinstance(place, Path) and not ref and not _is_bare(place):
        directory = place / clean_path(path)
        if directory.is_dir():
            return directory
        raise SourceError(f"there is no directory {directory}", hint=hint)
    raise SourceError(f"{mask_credentials(location)} is no directory to write new files to", hint=hint)


def open_pinned(
    location: str,
    ref: str,
    path: str = "",
    *,
    cache_dir: Path | None = None,
    allow_file_urls: bool = False,
    offline_ok: bool = False,
) -> Tree:
    """The files below `path` of a Git repository at a tag or a full commit: a module's. Raises SourceError.

    A commit that was fetched before is read without asking the remote.
    """
    from trueup.sources.git_tree import GitTree
    from trueup.sources.refs import find_pinned

    place = parse_location(location, allow_file_urls=allow_file_urls)
    if isinstance(place, Path):
        raise SourceError(f"{location!r} is not the URL of a repository", hint="use https:// or ssh://")
    mirror = _open_mirror(place, cache_dir or default_cache_dir())
    found = find_pinned(mirror, ref, offline_ok=offline_ok)
    revision = Revision(url=place.name, path=clean_path(path), commit=found.commit, ref=ref)
    return GitTree(mirror, revision, found.offline)


def open_commit(
    location: str,
    commit: str,
    path: str = "",
    *,
    cache_dir: Path | None = None,
    allow_file_urls: bool = True,
    offline_ok: bool = False,
) -> Tree:
    """The files below `path` of a Git repository at exactly this commit, whatever its refs stand for.

    A commit that was fetched before is read without asking the remote. Raises SourceError.
    """
    from trueup.sources.git_tree import GitTree
    from trueup.sources.refs import find_exact

    place = parse_location(location, allow_file_urls=allow_file_urls)
    path = clean_path(path)
    if isinstance(place, Path):
        found = _find_repository(place, commit)
        if found is None:
            raise SourceError(f"{place} is not in a Git repository")
        place, below = found
        path = clean_path(f"{below}/{path}" if below else path)
    mirror = _open_mirror(place, cache_dir or default_cache_dir())
    exact = find_exact(mirror, commit, offline_ok=offline_ok)
    revision = Revision(url=place.name, path=path, commit=exact.commit, ref=commit)
    return GitTree(mirror, revision, exact.offline)


def name_place(location: str, ref: str = "", path: str = "") -> tuple[str, str]:
    """The URL and the path of the revision that `open_tree` would read, found without reading anything."""
    place = parse_location(location)
    path = clean_path(path)
    if isinstance(place, Path):
        found = _find_repository(place, ref)
        if found is None:
            return str(place), path
        place, below = found
        path = clean_path(f"{below}/{path}" if below else path)
    return place.name, path


def has_commits(location: str, ref: str = "") -> bool:
    """Whether a source is read from a Git repository; a work tree without a ref is not."""
    place = parse_location(location)
    return not isinstance(place, Path) or _find_repository(place, ref) is not None


def find_root(location: str) -> Path | None:
    """The directory that holds all of a source: its work tree, or itself; None for a remote."""
    place = parse_location(location)
    if not isinstance(place, Path):
        return Path(place.url.removeprefix("file://")) if place.is_local else None
    place = place.resolve()
    return next((folder for folder in (place, *place.parents) if (folder / ".git").exists()), place)


def is_local(location: str) -> bool:
    """Whether a source is on this machine."""
    place = parse_location(location)
    return isinstance(place, Path) or place.is_local


def latest_commit(
    location: str,
    ref: str = "",
    path: str = "",
    *,
    cache_dir: Path | None = None,
    allow_file_urls: bool = True,
    allow_git_protocol: bool = False,
) -> str:
    """The commit that a tree opened now would have, by one question to the remote and without a fetch.

    `path` matters for a directory alone, whose commit is the hash of what is below it.
    """
    from trueup.sources.refs import find_latest

    place = parse_location(location, allow_file_urls=allow_file_urls, allow_git_protocol=allow_git_protocol)
    if isinstance(place, Path):
        found = _find_repository(place, ref)
        if found is None:
            return DirectoryTree(place, clean_path(path)).revision.commit
        place = found[0]
    return find_latest(_open_mirror(place, cache_dir or default_cache_dir()), ref)


def default_cache_dir() -> Path:
    """Where mirrors are kept: `$XDG_CACHE_HOME/trueup/git`, by default below ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return root / "trueup" / "git"


def _open_git_tree(remote: Remote, ref: str, path: str, cache_dir: Path, offline_ok: bool) -> Tree:
    from trueup.sources.git_tree import GitTree
    from trueup.sources.refs import find_commit

    mirror = _open_mirror(remote, cache_dir)
    found = find_commit(mirror, ref, offline_ok=offline_ok)
    revision = Revision(url=remote.name, path=path, commit=found.commit, branch=found.branch, ref=ref)
    return GitTree(mirror, revision, found.offline)


def _open_mirror(remote: Remote, cache_dir: Path) -> Mirror:
    from trueup.sources.git import Mirror

    return Mirror(remote, cache_dir)


def _find_repository(place: Path, ref: str) -> tuple[Remote, str] | None:
    """The local repository to read by Git, and the path in it; None where the directory itself is read."""
    if _is_bare(place):
        return _local_remote(place), ""
    if not ref:
        return None
    place = place.resolve()
    top = next((folder for folder in (place, *place.parents) if (folder / ".git").exists()), None)
    if top is None:
        raise SourceError(
            f"{place} is not in a Git repository: it has no ref {ref!r}", hint="leave out --ref"
        )
    return _local_remote(top), place.relative_to(top).as_posix()


def _is_bare(place: Path) -> bool:
    return (place / "HEAD").is_file() and (place / "objects").is_dir() and (place / "refs").is_dir()


def _local_remote(place: Path) -> Remote:
    return Remote(str(place), str(place), "file")
