"""The shop example, driven through the command line as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trueup.sdk import Target

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
TRUEUP = [sys.executable, "-m", "trueup"]


@dataclass
class Shop:
    """The stack in its repository, and a store of its own."""

    repository: Any
    store: Path

    @property
    def source(self) -> list[str]:
        """The arguments that name the stack."""
        return [self.repository.url("http"), "--path", "shop"]

    def commit(self, message: str, **files: str | None) -> str:
        """Commits changed files: `cloud=...` is shop/cloud.yaml, None removes it."""
        changes = {f"shop/{name}.yaml": text for name, text in files.items()}
        commit: str = self.repository.commit(changes, message)
        return commit

    def run(self, command: str, *options: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Runs a command on the stack."""
        return run_trueup(command, *self.source, "--store", str(self.store), *options, timeout=timeout)

    def plan(self, expect: int = 2) -> dict[str, Any]:
        """The plan as JSON."""
        return read_json(self.run("plan", "--output", "json"), expect)

    def reconcile(self, *options: str, expect: int = 0) -> dict[str, Any]:
        """One run; its report as JSON."""
        return read_json(self.run("reconcile", "--yes", "--output", "json", *options), expect)


def run_trueup(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    return subprocess.run(
        [*TRUEUP, *arguments],
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def read_json(done: subprocess.CompletedProcess[str], expect: int) -> dict[str, Any]:
    """The document on the standard output of a command that ended as expected."""
    assert done.returncode == expect, f"exit {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}"
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def start_files(targets: Sequence[Target]) -> dict[str, str]:
    """The example's files, with these targets instead of its own."""
    stack = yaml.safe_load((EXAMPLE / "stack.yaml").read_text())
    stack["spec"]["targets"] = [
        {
            "name": target.name,
            "provider": target.provider,
            "labels": dict(target.labels),
            "config": dict(target.config),
        }
        for target in targets
    ]
    files = {f"shop/{file.name}": file.read_text() for file in EXAMPLE.glob("*.yaml")}
    return {**files, "shop/stack.yaml": yaml.safe_dump(stack, sort_keys=False)}


def results(report: Mapping[str, Any]) -> dict[str, str]:
    """Each address and what became of it."""
    return {outcome["address"]: outcome["result"] for outcome in report["outcomes"]}
