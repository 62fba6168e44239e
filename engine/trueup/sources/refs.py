"""Finds the one commit that a ref stands for, and fetches it. Used by open."""

from __future__ import annotations

import difflib
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trueup.errors import SourceError
from trueup.sources.git import Listing, Mirror
from trueup.sources.limits import show_path
from trueup.sources.location import check_text

_log = logging.getLogger(__name__)
_HEX = re.compile(r"^[0-9a-f]{4,64}$")
_NOT_IN_REFS = re.compile(r"[\s~^:?*\[\\\x7f]|\.\.|@\{|//|\.lock(/|$)|(^|/)\.|[/.]$|^/|^@$")
_FULL_LENGTHS = (40, 64)
_BRANCHES = "refs/heads/"
_MOST_COMPARED = 10_000
_PIN = "name a tag, or a commit with all of its digits"


@dataclass(frozen=True)
class Found:
    """A commit in the mirror. `offline` says why the remote was not asked, empty if it was."""

    commit: str
    branch: str = ""
    offline: str = ""


def find_commit(mirror: Mirror, ref: str, *, offline_ok: bool = False) -> Found:
    """The commit that the ref stands for at this moment, fetched into the mirror.

    A branch comes before a tag of the same name, and both before a commit. With `offline_ok`, the last
    commit that was fetched stands in for a remote that does not answer.
    """
    names = _candidates(mirror, ref)
    try:
        listing = mirror.list_remote(*names)
    except SourceError as error:
        found = _find_offline(mirror, names, ref) if offline_ok else None
        if found is None:
            raise
        return Found(found.commit, found.branch, error.message)
    name = next((name for name in names if name in listing.refs), "")
    if name:
        try:
            return _fetch_name(mirror, name, listing)
        except SourceError as error:
            # It says what it has, and does not give it: a transfer that breaks off, or no room here.
            found = _find_offline(mirror, names, ref) if offline_ok else None
            if found is None:
                raise
            _log.warning("going on with commit %s: %s", found.commit[:12], error.message)
            return Found(found.commit, found.branch, error.message)
    if _HEX.match(ref):
        return Found(_fetch_commit(mirror, ref))
    raise _missing(mirror, ref)


def find_pinned(mirror: Mirror, ref: str, *, offline_ok: bool = False) -> Found:
    """The commit of a tag or of a full hash, fetched once. Refuses a branch, and a part of a hash."""
    check_text("ref", ref)
    if _HEX.match(ref) and len(ref) in _FULL_LENGTHS:
        return Found(_fetch_commit(mirror, ref))
    short = ref.removeprefix("refs/tags/")
    if not short or short.startswith("refs/") or _NOT_IN_REFS.search(short):
        raise SourceError(f"{ref!r} is not the name of a tag", hint=_PIN)
    name = f"refs/tags/{short}"
    try:
        listing = mirror.list_remote(name, f"{_BRANCHES}{short}")
    except SourceError as error:
        found = _find_offline(mirror, [name], "") if offline_ok else None
        if found is None:
            raise
        return Found(found.commit, "", error.message)
    if name in listing.refs:
        return _fetch_name(mirror, name, listing)
    where = mirror.remote.name
    if f"{_BRANCHES}{short}" in listing.refs:
        raise SourceError(
            f"{short!r} is a branch of {where}, whose content changes: it pins nothing", hint=_PIN
        )
    if _HEX.match(ref):
        raise SourceError(f"{short!r} is no tag of {where}, and too short for a commit", hint=_PIN)
    tags = mirror.list_remote("refs/tags/*").refs
    names = sorted({tag.removeprefix("refs/tags/").removesuffix("^{}") for tag in tags})
    near = _list_near(short, names, names[-5:])
    hint = f"there are: {near}" if near else "there are no tags: name a full commit"
    raise SourceError(f"{where} has no tag {short!r}", hint=hint)


def find_exact(mirror: Mirror, commit: str, *, offline_ok: bool = False) -> Found:
    """A commit by all of its digits, never what a branch or a tag of that name stands for.

    One that was fetched before is found without asking the remote.
    """
    if not (_HEX.match(commit) and len(commit) in _FULL_LENGTHS):
        raise SourceError(f"{commit!r} is not a commit with all of its digits")
    try:
        return Found(_fetch_commit(mirror, commit))
    except SourceError as error:
        if offline_ok and (known := _expand(mirror, commit)):
            return Found(known, "", error.message)
        raise


def find_latest(mirror: Mirror, ref: str) -> str:
    """The commit that the ref stands for at this moment, by one question to the remote if that is enough."""
    names = _candidates(mirror, ref)
    listing = mirror.list_remote(*names, *(f"{name}^{{}}" for name in names))
    for name in names:
        # An annotated tag is listed twice: as itself, and with ^{} as the commit that it names.
        commit = listing.refs.get(f"{name}^{{}}") or listing.refs.get(name)
        if commit:
            return commit
    if _HEX.match(ref):
        return ref if len(ref) in _FULL_LENGTHS else _fetch_commit(mirror, ref)
    raise _missing(mirror, ref)


def _candidates(mirror: Mirror, ref: str) -> Sequence[str]:
    check_text("ref", ref)
    if ref in ("", "HEAD"):
        return ["HEAD"]
    if _NOT_IN_REFS.search(ref):
        raise SourceError(f"{ref!r} is not the name of a branch, tag or commit")
    if ref.startswith("refs/"):
        return [ref]
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    if mirror.remote.is_local:
        names.append(f"refs/remotes/{ref}")
    return names


def _fetch_name(mirror: Mirror, name: str, listing: Listing) -> Found:
    source = listing.head if name == "HEAD" and _is_branch(listing.head) else name
    local = _local_name(source)
    with mirror.lock():
        if name == "HEAD" and source != name:
            # Kept for the time when the remote cannot be asked.
            mirror.run_local("symbolic-ref", "HEAD", source)
        # A ref is set only after its objects have arrived whole; that an object exists proves less.
        if mirror.read_ref(local) != listing.refs[name]:
            try:
                mirror.fetch(f"+{source}:{local}")
            except SourceError as error:
                if "couldn't find remote ref" not in error.message:
                    raise
                raise _missing(mirror, source) from error
        return Found(_read_commit(mirror, local, source), _branch_of(source))


def _fetch_commit(mirror: Mirror, ref: str) -> str:
    with mirror.lock():
        if len(ref) in _FULL_LENGTHS:
            local = _local_name(ref)
            if mirror.read_ref(local):
                return _read_commit(mirror, local, ref)
            try:
                mirror.fetch(f"+{ref}:{local}")
                return _read_commit(mirror, local, ref)
            except SourceError:
                # Not every server gives a commit by its hash; all of them give what branches and tags reach.
                pass
        mirror.fetch("+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*", prune=True)
        commit = _expand(mirror, ref)
        if not commit:
            raise _missing(mirror, ref)
        mirror.run_local("update-ref", _local_name(commit), commit)
        return commit


def _expand(mirror: Mirror, ref: str) -> str:
    commit = mirror.read_ref(f"{ref}^{{commit}}")
    if not commit and len(ref) not in _FULL_LENGTHS:
        count = len(mirror.try_local("rev-parse", f"--disambiguate={ref}").split())
        if count > 1:
            raise SourceError(f"the short commit {ref} fits {count} objects", hint="write more of its digits")
    return commit


def _find_offline(mirror: Mirror, names: Sequence[str], ref: str) -> Found | None:
    for name in names:
        source = (mirror.try_local("symbolic-ref", "--quiet", "HEAD") or name) if name == "HEAD" else name
        commit = mirror.read_ref(f"{_local_name(source)}^{{commit}}")
        if commit:
            return Found(commit, _branch_of(source))
    commit = _expand(mirror, ref) if _HEX.match(ref) else ""
    return Found(commit) if commit else None


def _read_commit(mirror: Mirror, local: str, name: str) -> str:
    commit = mirror.read_ref(f"{local}^{{commit}}")
    if not commit:
        raise SourceError(f"{name!r} of {mirror.remote.name} is not a commit")
    return commit


def _local_name(name: str) -> str:
    # Hashed: `a` and `a/b` cannot both be refs, but one can follow the other on the remote.
    return "refs/found/" + hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _is_branch(name: str) -> bool:
    # The remote says what its HEAD is: a name that git would take for something else is not used.
    return name.startswith(_BRANCHES) and not _NOT_IN_REFS.search(name)


def _branch_of(name: str) -> str:
    return name.removeprefix(_BRANCHES) if name.startswith(_BRANCHES) else ""


def _missing(mirror: Mirror, ref: str) -> SourceError:
    where = mirror.remote.name
    short = ref.removeprefix(_BRANCHES).removeprefix("refs/tags/")
    message = f"the source {where} has no branch, tag or commit {short!r}: it was deleted or never existed"
    try:
        listing = mirror.list_remote("refs/heads/*", "refs/tags/*")
    except SourceError:
        # It did answer that there is no such ref; what else there is may be more than is taken in.
        return SourceError(message)
    if not listing.refs:
        return SourceError(
            f"the source {where} holds no commit", hint="push a branch to it first, if this is the right URL"
        )
    if ref in ("", "HEAD"):
        return SourceError(f"the source {where} has no default branch", hint="name a branch with --ref")
    names = sorted({name.split("/", 2)[2].removesuffix("^{}") for name in listing.refs})
    return SourceError(message, hint=f"there are: {_list_near(short, names, names[:5])}")


def _list_near(name: str, names: Sequence[str], others: Sequence[str]) -> str:
    """The names that come near to one that is missing, or else some others, for a message."""
    # Comparing is slow, and a remote may have any number of names of any length.
    near = difflib.get_close_matches(name, names[:_MOST_COMPARED], n=5)
    return ", ".join(map(show_path, near or others))
