"""What was rendered before, by the hash of everything that it depends on. Used by render.

`$XDG_CACHE_HOME/trueup/render` holds one file for each; it may hold secrets that a generator made, so it
belongs to the user alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 256 * 1024 * 1024
MAX_ENTRIES = 2000

_log = logging.getLogger(__name__)


def cache_directory() -> Path:
    """Where renderings are kept: `$XDG_CACHE_HOME/trueup/render`, by default below ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return root / "trueup" / "render"


def make_key(*parts: str) -> str:
    """One name for what all the parts say together."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode("utf-8", "surrogateescape")).digest())
    return total.hexdigest()


def read_entry(key: str) -> bytes | None:
    """What was written under the key; None where there is nothing, or it is damaged."""
    file = cache_directory() / key
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor has no path
            status = os.fstat(descriptor)
            # Who can write where the cache is could give us resources of their own.
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
                return None
            stored = stream.read()
        os.utime(file)  # what is used stays
    except OSError:
        return None
    digest, _newline, content = stored.partition(b"\n")
    if digest.decode("ascii", "replace") != hashlib.sha256(content).hexdigest():
        with suppress(OSError):
            file.unlink()
        return None
    return content


def write_entry(key: str, content: bytes) -> None:
    """Keeps what was rendered. Where that cannot be written it is rendered again the next time."""
    directory = cache_directory()
    part = directory / f".{key}.{secrets.token_hex(8)}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(part, flags, 0o600), "wb") as stream:  # noqa: PTH123 - a descriptor has no path
            stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        part.replace(directory / key)
        _prune(directory)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        _log.warning("what was rendered cannot be kept in %s: %s", directory, error.strerror)


def _prune(directory: Path) -> None:
    """Removes what was not used for the longest time, until the rest is within bounds."""
    entries = []
    for entry in os.scandir(directory):
        with suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            entries.append((status.st_mtime_ns, status.st_size, entry.path))
    total, count = sum(size for _time, size, _path in entries), len(entries)
    for _time, size, path in sorted(entries):
        if total <= MAX_BYTES and count <= MAX_ENTRIES:
            break
        with suppress(OSError):
            Path(path).unlink()
        total, count = total - size, count - 1
