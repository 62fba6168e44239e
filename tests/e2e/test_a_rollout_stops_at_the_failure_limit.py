"""A file and what depends on it, rolled out over four places: batch by batch, until one of them fails."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.shop import TRUEUP

PLACES = ("one", "two", "three", "four")


class Fleet:
    """A stack with four targets, each a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report: dict[str, Any] = {}
        (folder / "stack").mkdir()
        targets = [
            {
                "name": place,
                "provider": "ssh",
                "labels": {"fleet": "web"},
                "config": {"connection": "local", "stateDir": str(folder / "state" / place)},
            }
            for place in PLACES
        ]
        head = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "fleet"}}
        self.write("stack.yaml", [{**head, "spec": {"targets": targets}}])

    def write(self, name: str, documents: list[dict[str, Any]]) -> None:
        (self.folder / "stack" / name).write_text(yaml.safe_dump_all(documents))

    def declare(self, content: str, max_failures: int = 0) -> None:
        """A configuration, and a note that is written once the configuration of its place is."""
        documents = []
        for name, needs in (("config", []), ("note", ["File/config"])):
            documents.append(
                {
                    "apiVersion": "ssh.trueup.dev/v1",
                    "kind": "File",
                    "metadata": {"name": name},
                    "targets": {"matchLabels": {"fleet": "web"}},
                    "dependsOn": needs,
                    "rollout": {"batch": "25%", "maxFailures": max_failures},
                    "spec": {
                        "path": f"{self.folder}/${{{{ target.name }}}}/{name}",
                        "content": f"{content} for ${{{{ target.name }}}}\n",
                    },
                }
            )
        self.write("files.yaml", documents)

    def trueup(self, *words: str, code: int) -> str:
        command = [*TRUEUP, words[0], "stack", *words[1:], "--store", str(self.folder / "store.db")]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def reconcile(self, code: int) -> dict[str, dict[str, str]]:
        """The result of each node, by resource and place, in the order of their ends."""
        self.report = json.loads(self.trueup("reconcile", "--yes", "-o", "json", code=code))
        found: dict[str, dict[str, str]] = {"config": {}, "note": {}}
        for outcome in self.report["outcomes"]:
            name, _, place = outcome["address"].partition("/File/")[2].partition("@")
            found[name][place] = outcome["result"]
        return found

    def content(self, place: str, name: str = "config") -> str:
        file = self.folder / place / name
        return file.read_text() if file.exists() else ""


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path)
    for place in PLACES:
        (tmp_path / place).mkdir()
    return fleet


def test_a_failure_stops_the_batches_that_are_left_and_the_next_run_goes_on(fleet: Fleet) -> None:
    fleet.declare("first")
    assert set(fleet.reconcile(0)["note"].values()) == {"created"}

    # The second place cannot take the change: a directory stands where the file should be.
    fleet.declare("second")
    (fleet.folder / "two" / "config").unlink()
    (fleet.folder / "two" / "config").mkdir()
    text = fleet.trueup("plan", code=1)
    assert "fleet/File/config@one  update: the manifest changed  (batch 1 of 4)" in text
    assert fleet.reconcile(1) == {
        "config": {"one": "updated", "two": "failed", "three": "blocked", "four": "blocked"},
        "note": {"one": "updated", "two": "blocked", "three": "blocked", "four": "blocked"},
    }
    message = next(o["message"] for o in outcomes_of(fleet) if o["address"] == "fleet/File/config@three")
    assert message == "the rollout of File/config stopped: it failed on two, and rollout.maxFailures is 0"
    assert [fleet.content(place) for place in ("one", "three", "four")] == [
        "second for one\n",
        "first for three\n",
        "first for four\n",
    ]

    (fleet.folder / "two" / "config").rmdir()
    assert fleet.reconcile(0)["config"] == {
        "one": "unchanged",
        "two": "created",
        "three": "updated",
        "four": "updated",
    }
    assert {fleet.content(place, "note") for place in PLACES} == {f"second for {place}\n" for place in PLACES}
    assert json.loads(fleet.trueup("plan", "-o", "json", code=0))["changes"] == []


def test_as_many_failures_as_are_allowed_leave_the_others_to_go_on(fleet: Fleet) -> None:
    fleet.declare("first", max_failures=1)
    (fleet.folder / "two" / "config").mkdir()
    assert fleet.reconcile(1) == {
        "config": {"one": "created", "two": "failed", "three": "created", "four": "created"},
        "note": {"one": "created", "two": "blocked", "three": "created", "four": "created"},
    }


def outcomes_of(fleet: Fleet) -> list[dict[str, Any]]:
    outcomes: list[dict[str, Any]] = fleet.report["outcomes"]
    return outcomes
