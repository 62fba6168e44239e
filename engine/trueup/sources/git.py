"""Runs git, always with fixed arguments, on a bare mirror of a remote. The only user of GitPython.

There is no work tree, so that no filter, hook or submodule of a repository ever runs. Used by refs,
git_tree and open.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trueup.errors import SourceError
from trueup.sources.child import Bounds, OutOfBounds, run_git, show_size
from trueup.sources.location import Remote, mask_credentials

if TYPE_CHECKING:
    from git import Git

LIST_TIMEOUT = 60.0
FETCH_TIMEOUT = 1800.0
# For what reads the mirror only; the trees of the largest repositories are listed in seconds.
LOCAL_TIMEOUT = 120.0
# A ref takes some 70 bytes, so this is a million of them; large repositories have a hundred thousand.
MAX_LISTING = 64 * 1024 * 1024
# The names of a million files, each with its hash.
MAX_TREE_LISTING = 256 * 1024 * 1024
# Of one fetch. The whole history of the largest public repositories comes to less.
MAX_PACK = 64 * 1024**3
_STALE_LOCK_AGE = 60.0
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What is read of a commit to find its author, and how long a name may be.
_MAX_HEADER = 64 * 1024
_MAX_AUTHOR = 300
_MAX_WORDS = 1000
_SSH_OPTIONS = "-oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15 -oServerAliveCountMax=3"
# The most that git may ask of the memory at once: its table of forty million objects, and no unpacked bomb.
_MAX_ALLOCATION = "2g"
_CONFIG = {
    "core.hooksPath": os.devnull,
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    # Housekeeping runs inside a fetch, under its lock, and keeps what a reader may still need.
    "gc.autoDetach": "false",
    "gc.pruneExpire": "never",
    "maintenance.autoDetach": "false",
    # A transfer of less than 1 kB/s for 30 s is dead.
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    # Files of this size are written to the disk in pieces as they come in: none of them is ever read.
    "core.bigFileThreshold": "16m",
    "protocol.version": "2",
}
# What git says after the line that tells something.
_EMPTY_WORDS = (
    "Please make sure you have the correct access rights",
    "and the repository exists.",
    "fatal: Could not read from remote repository.",
    "fatal: the remote end hung up unexpectedly",
)


@dataclass(frozen=True)
class Listing:
    """What a remote has: the hash of each ref that was asked for, and the branch that HEAD stands for."""

    refs: Mapping[str, str]
    head: str = ""


class Mirror:
    """A bare repository in the cache that holds what was fetched from one remote."""

    def __init__(self, remote: Remote, cache_dir: Path) -> None:
        self.remote = remote
        key = hashlib.sha256(remote.url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._directory = cache_dir / f"{key}.git"
        self._lock_file = cache_dir / f"{key}.lock"
        try:
            cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(f"the cache {cache_dir} cannot be written: {error.strerror}") from error
        _check_owner(cache_dir)
        self._git = open_git(cache_dir)
        self._environment = _build_environment(remote, self._directory)
        self._create()
        if not remote.is_local and "GIT_SSH" not in os.environ:
            # The user's own command counts; git would prefer ours to the one that is configured.
            configured = os.environ.get("GIT_SSH_COMMAND") or self.try_local("config", "core.sshCommand")
            self._environment["GIT_SSH_COMMAND"] = f"{configured or 'ssh'} {_SSH_OPTIONS}"

    def list_remote(self, *patterns: str) -> Listing:
        """The remote's refs of these names, which may be patterns like `refs/heads/*`.

        Raises SourceError only where the remote did not answer or refused: what it holds is not known then.
        """
        out = self._run_remote(
            "ls-remote", "--symref", "--", self.remote.url, *patterns, timeout=LIST_TIMEOUT
        )
        refs: dict[str, str] = {}
        head = ""
        for line in out.decode("utf-8", "surrogateescape").splitlines():
            value, _tab, name = line.partition("\t")
            if value.startswith("ref: "):
                head = value.removeprefix("ref: ") if name == "HEAD" else head
            else:
                refs[name] = value
        return Listing(refs, head)

    def fetch(self, *refspecs: str, prune: bool = False) -> None:
        """Fetches refs with all their history. The caller holds the lock."""
        options = ["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--force"]
        if prune:
            options.append("--prune")
        try:
            self._run_remote("fetch", *options, "--", self.remote.url, *refspecs, timeout=FETCH_TIMEOUT)
        except BaseException:
            if self._remove_parts() >= MAX_PACK:
                raise SourceError(
                    f"the source {self.remote.name} cannot be read: it sends more than {show_size(MAX_PACK)}",
                    hint="is that the right repository? keep large files elsewhere",
                ) from None
            raise

    def _remove_parts(self) -> int:
        """Removes what a fetch that did not end has left, whose lock is held; gives the largest size."""
        largest = 0
        for part in (*self._directory.glob("objects/pack/tmp_*"), *self._directory.glob("objects/??/tmp_*")):
            with suppress(OSError):
                largest = max(largest, part.stat().st_size)
                part.unlink()
        return largest

    def read_ref(self, name: str) -> str:
        """The hash that a ref of the mirror has, empty if there is none."""
        return self.try_local("rev-parse", "--verify", "--quiet", "--end-of-options", name)

    def run_local(self, *arguments: str, take: Callable[[bytes], object] | None = None) -> bytes:
        """The output of a command that reads the mirror only; `take` gets it in pieces instead."""
        status, out, errors = self._execute(arguments, LOCAL_TIMEOUT, MAX_TREE_LISTING, take)
        if status:
            raise self.damaged(_telling_line(errors))
        return out

    def try_local(self, *arguments: str) -> str:
        """The output of a command that reads the mirror, empty if it fails."""
        status, out, _errors = self._execute(arguments, LOCAL_TIMEOUT)
        return "" if status else out.decode("utf-8", "surrogateescape").strip()

    def is_ancestor(self, commit: str, of: str) -> bool | None:
        """Whether a commit is one of another's ancestors, or itself; None for what is no commit's hash."""
        if not _COMMIT.fullmatch(commit):
            return None
        if commit == of:
            return True
        status, _out, errors = self._execute(("merge-base", "--is-ancestor", commit, of), LOCAL_TIMEOUT)
        if status == 0:
            return True
        # What is fetched has all of its history: a commit that is not in the mirror is no ancestor.
        if status == 1 or not self.read_ref(f"{commit}^{{commit}}"):
            return False
        raise self.damaged(_telling_line(errors))

    def damaged(self, reason: str) -> SourceError:
        """The error for a mirror that git cannot read."""
        return SourceError(
            f"the copy of {self.remote.name} cannot be read: {reason}",
            hint=f"remove {self._directory}: it is fetched again",
        )

    def open_reader(self) -> BlobReader:
        """Reads blobs of the mirror, with one child process until it is closed."""
        git = open_git(self._directory)
        git.update_environment(**self._environment)
        return BlobReader(git, self)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes and threads from fetching into the mirror."""
        deadline = time.monotonic() + FETCH_TIMEOUT
        with self._lock_file.open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise SourceError(
                            f"another process has been fetching {self.remote.name} for too long"
                        ) from error
                    time.sleep(0.05)
            self._remove_stale_locks()
            yield

    def _remove_stale_locks(self) -> None:
        # git holds these for moments; one that was killed leaves them for ever. Ours is held, so no other
        # git of trueup writes.
        for lock in (*self._directory.glob("*.lock"), *self._directory.glob("refs/**/*.lock")):
            with suppress(OSError):
                if time.time() - lock.stat().st_mtime > _STALE_LOCK_AGE:
                    lock.unlink()

    def _create(self) -> None:
        if self._directory.exists():
            _check_owner(self._directory)
            return
        with self.lock():
            if self._directory.exists():
                return
            # Made without `git init`, whose templates can hold hooks; it appears whole or not at all.
            part = self._directory.with_suffix(".part")
            try:
                for folder in (part / "objects", part / "refs"):
                    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                (part / "HEAD").write_text("ref: refs/heads/unknown\n")
                (part / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
                part.rename(self._directory)
            except OSError as error:
                raise SourceError(f"the cache {self._directory} cannot be made: {error.strerror}") from error

    def _run_remote(self, *arguments: str, timeout: float) -> bytes:
        status, out, errors = self._execute(arguments, timeout)
        if status:
            raise SourceError(
                f"the source {self.remote.name} cannot be read: {mask_credentials(_telling_line(errors))}",
                hint=_hint_for(self.remote, errors),
            )
        return out

    def _execute(
        self,
        arguments: tuple[str, ...],
        timeout: float,
        most: int | None = None,
        take: Callable[[bytes], object] | None = None,
    ) -> tuple[int, bytes, str]:
        bounds = Bounds(timeout, MAX_LISTING if most is None else most, MAX_PACK)
        try:
            return run_git(self._git, arguments, self._environment, bounds, take)
        except OutOfBounds as error:
            raise SourceError(
                f"the source {self.remote.name} cannot be read: git {arguments[0]} was ended: {error}",
                hint="is that the right repository? docs/limits.md has what is read of one",
            ) from None


class BlobReader:
    """Reads blobs through one `git cat-file --batch`. Not thread safe."""

    def __init__(self, git: Git, mirror: Mirror) -> None:
        self._git = git
        self._mirror = mirror

    def read(self, blob: str) -> bytes:
        try:
            _hash, _kind, size, data = self._git.get_object_data(blob)
        except (OSError, ValueError) as error:
            raise self._mirror.damaged(f"object {blob} is missing") from error
        if len(data) != size:
            raise self._mirror.damaged(f"object {blob} is cut off")
        return bytes(data)

    def read_author(self, commit: str) -> str:
        """Who wrote a commit, as `Name <mail>`; empty where the commit does not say so legibly."""
        try:
            _hash, _kind, _size, stream = self._git.stream_object_data(commit)
            # The rest, a message of any length, is read and dropped in pieces.
            head = stream.read(_MAX_HEADER)
            while stream.read(_MAX_HEADER):
                pass
        except (OSError, ValueError) as error:
            raise self._mirror.damaged(f"object {commit} is missing") from error
        lines = bytes(head).partition(b"\n\n")[0].split(b"\n")
        author = next((line for line in lines if line.startswith(b"author ")), b"")
        # The time stands behind the mail address.
        name, bracket, _time = author.removeprefix(b"author ").decode("utf-8", "replace").rpartition(">")
        return (name + bracket).strip()[:_MAX_AUTHOR]

    def close(self) -> None:
        self._git.clear_cache()


def open_git(directory: Path) -> Git:
    """GitPython's handle for commands in a directory."""
    try:
        from git import Git
    except ImportError as error:
        raise SourceError("the program git is missing", hint="install git 2.31 or newer") from error
    return Git(directory)


def _check_owner(directory: Path) -> None:
    """The configuration of a repository names commands that git runs, so nobody else may write it."""
    try:
        status = directory.stat()
    except OSError as error:
        raise SourceError(f"the cache {directory} cannot be read: {error.strerror}") from error
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SourceError(
            f"the cache {directory} can be written by another user than the one who runs trueup",
            hint="remove it, and let XDG_CACHE_HOME name a directory of this user",
        )


def _build_environment(remote: Remote, directory: Path) -> dict[str, str]:
    config = dict(_CONFIG)
    if remote.authorization is not None:
        token = base64.b64encode(":".join(remote.authorization).encode()).decode()
        config[f"http.{remote.url}.extraHeader"] = f"Authorization: Basic {token}"
    given = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    entries = {
        f"GIT_CONFIG_{part}_{index}": text
        for index, pair in enumerate(config.items(), start=given)
        for part, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    # The variables about a repository are set because a hook that runs trueup has them set to its own.
    return {
        "GIT_DIR": str(directory),
        "GIT_OBJECT_DIRECTORY": str(directory / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_NAMESPACE": "",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS_REQUIRE": "never",
        # SSH and HTTPS together, because `url.<base>.insteadOf` often turns one into the other.
        "GIT_ALLOW_PROTOCOL": "file" if remote.is_local else f"{remote.protocol}:https:ssh",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOC_LIMIT": _MAX_ALLOCATION,
        "GIT_CONFIG_COUNT": str(given + len(config)),
        **entries,
    }


def _telling_line(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if line not in _EMPTY_WORDS]
    last = (telling or lines or ["git gave no reason"])[-1].removeprefix("fatal: ")
    # The remote has a say in it.
    return "".join(char if char.isprintable() else " " for char in last[:_MAX_WORDS])


def _hint_for(remote: Remote, errors: str) -> str:
    hints: dict[str, Callable[[], str]] = {
        "Host key verification failed": lambda: (
            "Add the host's key to ~/.ssh/known_hosts, after checking it."
        ),
        "Permission denied (": lambda: "Check that the key is in the agent or named in ~/.ssh/config.",
        "could not read Username": lambda: "Configure a credential helper of git, or use SSH.",
        "could not read Password": lambda: "Configure a credential helper of git, or use SSH.",
        "Authentication failed": lambda: "Check the user and the token.",
    }
    if remote.authorization is not None and "could not read " in errors:
        # git asks for others, as nobody is there to type them.
        return "The server refuses the user and the password of the URL: check both."
    for words, hint in hints.items():
        if words in errors:
            return hint()
    return "" if remote.is_local else "Check the URL, the network and the access rights."
