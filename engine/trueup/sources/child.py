"""One run of git that ends: in bounded time, with bounded output. Called by git.

What a remote says, and what its objects make git do, is not ours to choose: a few kilobytes of trees can
name more files than any disk holds.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from git import Git

_CHUNK = 65536
# Of what git says about a failure, the end is kept: there it says why.
_MAX_ERRORS = 64 * 1024


class OutOfBounds(Exception):
    """git was ended because it took too long or said too much; the message says which."""


@dataclass(frozen=True)
class Bounds:
    """How long a run may take, in seconds, how many bytes it may print, and how large a file it may write."""

    seconds: float
    output: int
    file: int | None = None


def run_git(
    git: Git,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    bounds: Bounds,
    take: Callable[[bytes], object] | None = None,
) -> tuple[int, bytes, str]:
    """The exit status, the output, and the end of what git said about errors. Raises OutOfBounds.

    `take` is given the output piece by piece instead; what it raises ends git as well.
    """
    child = git.execute(["git", *arguments], env=environment, as_process=True, start_new_session=True)
    # The wrapper of the library raises for an exit status; the process itself tells it.
    process = child.proc
    if process is None or process.stdout is None or process.stderr is None:
        raise OutOfBounds("git could not be started")
    output, errors = bytearray(), bytearray()
    pieces = output.extend if take is None else take
    deadline = time.monotonic() + bounds.seconds
    try:
        if bounds.file is not None and hasattr(resource, "prlimit"):
            with suppress(ProcessLookupError, PermissionError, ValueError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (bounds.file, bounds.file))
        _collect(process.stdout, pieces, process.stderr, errors, bounds.output, deadline)
        process.wait(max(0.1, deadline - time.monotonic()))
    except BaseException as error:
        # With what it started: ssh, or the program that takes the objects in.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, TimeoutError | subprocess.TimeoutExpired):
            raise OutOfBounds(f"it took longer than {bounds.seconds:.0f} s") from None
        raise
    finally:
        process.stdout.close()
        process.stderr.close()
    return process.returncode, bytes(output), errors.decode("utf-8", "replace").strip()


def _collect(
    stdout: IO[bytes],
    take: Callable[[bytes], object],
    stderr: IO[bytes],
    errors: bytearray,
    most: int,
    deadline: float,
) -> None:
    """Both streams to their ends. Raises TimeoutError, OutOfBounds."""
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(stderr, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _events in selector.select(left):
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is stderr:
                    errors += data
                    if len(errors) > _MAX_ERRORS:
                        del errors[: len(errors) - _MAX_ERRORS // 2]
                else:
                    size += len(data)
                    if size > most:
                        raise OutOfBounds(f"it gave more than {show_size(most)}")
                    take(data)


def show_size(size: int) -> str:
    """A number of bytes in words, as they stand in messages."""
    if size >= 1024**3:
        return f"{size // 1024**3} GiB"
    return f"{size // 1024**2} MiB" if size >= 1024**2 else f"{size} bytes"
