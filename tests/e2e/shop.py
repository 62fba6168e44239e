"""The shop example on real systems: its files in a real Git repository, its targets the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
FILES = ("cloud.yaml", "cluster.yaml", "hosts.yaml")


@dataclass
class Shop:
    """A stack in Git, driven through the command line as a user would."""

    repository: Any
    store: Path
    environment: Mapping[str, str]
    scheme: str = "http"
    files: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        url: str = self.repository.url(self.scheme)
        return url

    def commit(self, message: str, **changes: str | None) -> str:
        """Commits changed files; `cloud=...` is cloud.yaml, None removes it."""
        named = {f"shop/{name}.yaml": text for name, text in changes.items()}
        commit: str = self.repository.commit(named, message)
        return commit

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Runs trueup with this shop's store and environment."""
        return subprocess.run(
            [*trueup(), *arguments, "--store", str(self.store)],
            env={**os.environ, **self.environment, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def plan(self) -> dict[str, Any]:
        """The plan as JSON."""
        done = self.run("plan", self.url, "--path", "shop", "--output", "json")
        assert done.returncode in (0, 2), done.stdout + done.stderr
        plan: dict[str, Any] = json.loads(done.stdout)
        return plan

    def reconcile(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """One run; its report as JSON."""
        done = self.run("reconcile", self.url, "--path", "shop", "--yes", "--output", "json", *arguments)
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        report: dict[str, Any] = json.loads(done.stdout)
        return report


def trueup() -> list[str]:
    """The command line of the interpreter that runs the tests."""
    return [sys.executable, "-m", "trueup"]


def start_files(targets: Sequence[Any]) -> dict[str, str]:
    """The example's files with these targets instead of its own."""
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
    files = {f"shop/{name}": (EXAMPLE / name).read_text() for name in FILES}
    files["shop/stack.yaml"] = yaml.safe_dump(stack, sort_keys=False)
    return files


def results(report: Mapping[str, Any]) -> dict[str, str]:
    """Each address and what became of it."""
    return {outcome["address"]: outcome["result"] for outcome in report["outcomes"]}
