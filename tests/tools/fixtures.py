"""The real helm, kustomize and sops, built from the modules beside this file when a test first asks for one.

Loaded by tests/conftest.py. Nothing is downloaded prebuilt. A test that gets none is skipped, and fails with
CI=true.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.tools.go_builds import NoBuild, build_once, find_go, run_build

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Tool:
    """A program: the module that it comes from, its main package in there, and what carries its version."""

    name: str
    module: str
    package: str
    version_variable: str


HELM = Tool("helm", "helm.sh/helm/v3", "cmd/helm", "helm.sh/helm/v3/internal/version.version")
KUSTOMIZE = Tool(
    "kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "", "sigs.k8s.io/kustomize/api/provenance.version"
)
SOPS = Tool("sops", "github.com/getsops/sops/v3", "cmd/sops", "github.com/getsops/sops/v3/version.Version")


@pytest.fixture(scope="session")
def helm_binary() -> Path:
    """The path of helm."""
    return _find(HELM)


@pytest.fixture(scope="session")
def kustomize_binary() -> Path:
    """The path of kustomize."""
    return _find(KUSTOMIZE)


@pytest.fixture(scope="session")
def sops_binary() -> Path:
    """The path of sops."""
    return _find(SOPS)


@pytest.fixture(scope="session")
def cel_conformance_tests() -> Path:
    """CEL's own conformance tests as JSON: on each line a file of them."""
    return _find_made(
        "the conformance tests of CEL", HERE / "cel_conformance", "tests.jsonl", _write_cel_tests
    )


def _find_made(what: str, module: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A file that is made once from a module."""
    try:
        folder = build_once(module.name, module, lambda folder: (folder / name).is_file(), make)
    except NoBuild as why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} cannot be had: {why}")
        pytest.skip(f"NO {what.upper()}: {why}")
    return folder / name


def _write_cel_tests(folder: Path) -> None:
    go, module = find_go(), HERE / "cel_conformance"
    environment = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
    failure = "the conformance tests of CEL cannot be read"
    run_build([go, "mod", "download", "cel.dev/expr"], failure, module, **environment)
    asked = [go, "list", "-m", "-f", "{{.Dir}}", "cel.dev/expr"]
    data = Path(run_build(asked, failure, module, **environment).strip()) / "tests" / "simple" / "testdata"
    made = run_build([go, "run", ".", str(data)], failure, module, **environment)
    folder.mkdir(exist_ok=True)
    (folder / "tests.jsonl").write_text(made, encoding="utf-8")


def _find(tool: Tool) -> Path:
    def is_whole(folder: Path) -> bool:
        return os.access(folder / tool.name, os.X_OK)

    def build(folder: Path) -> None:
        _build(tool, folder)

    try:
        return build_once(tool.name, HERE / tool.name, is_whole, build) / tool.name
    except NoBuild as why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no {tool.name}: {why}")
        pytest.skip(f"NO {tool.name.upper()}, so nothing that needs it is tested: {why}")


def _build(tool: Tool, folder: Path) -> None:
    go, module = find_go(), HERE / tool.name
    environment = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
    failure = f"{tool.name} cannot be built"
    asked = [go, "list", "-m", "-f", "{{.Version}}", tool.module]
    version = run_build(asked, failure, module, **environment).strip()
    # sops compares its version with others, and takes no `v` before it.
    stamp = f"-s -w -X {tool.version_variable}={version.removeprefix('v') if tool is SOPS else version}"
    package = f"{tool.module}/{tool.package}".rstrip("/")
    command = [go, "build", "-trimpath", "-ldflags", stamp, "-o", str(folder / tool.name), package]
    run_build(command, failure, module, **environment)
