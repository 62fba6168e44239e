"""Over the command line: a held run, who may let it pass, and a daemon that goes on by itself."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
from pathlib import Path

import pytest
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP

FILE = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {{name: f{number}}}
spec: {{path: {live}/f{number}, content: "{number}\\n"}}
"""
STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {{name: shop}}
spec:
  guards: {{maxDeletes: 2}}
  targets:
    - {{name: here, provider: ssh, config: {{connection: local, stateDir: {folder}/host}}}}
"""


class Estate:
    """A directory of files, the files that they make, and a trueup.toml for both ways to run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live = folder / "live"
        self.stack = folder / "shop"
        for each in (self.live, self.stack):
            each.mkdir()
        (self.stack / "stack.yaml").write_text(STACK.format(folder=folder))
        for number in range(6):
            self.declare(number)

    def declare(self, number: int) -> None:
        (self.stack / f"f{number}.yaml").write_text(FILE.format(number=number, live=self.live))

    def undeclare(self, *numbers: int) -> None:
        for number in numbers:
            (self.stack / f"f{number}.yaml").unlink()

    def names(self) -> set[str]:
        return {file.name for file in self.live.iterdir()}

    def trueup(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*TRUEUP, *words], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def type(self, line: str) -> str:
        """Runs a command as trueup printed it."""
        return self.trueup(*shlex.split(line)[1:])


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    return Estate(tmp_path)


ALL = {f"f{number}" for number in range(6)}


def commands(text: str, verb: str) -> str:
    (found,) = [line.strip() for line in text.splitlines() if line.startswith(f"  trueup {verb} ")]
    return found


def test_an_approval_counts_for_that_very_plan_and_once(estate: Estate) -> None:
    (estate.folder / "trueup.toml").write_text('store = "state.db"\n')
    estate.trueup("reconcile", "./shop", "--yes")
    estate.undeclare(0, 1, 2)
    held = estate.trueup("reconcile", "./shop", "--yes", code=3)
    assert "deletion-budget: 3 deletes and replaces, where the stack may have 2 in one run" in held
    assert estate.names() == ALL

    rejected = estate.type(f"{commands(held, 'reject')} --as bo --note 'the backup comes first'")
    assert rejected.endswith(" of shop as bo: no run carries it out.\n")
    again = estate.trueup("reconcile", "./shop", "--yes", code=3)
    assert "rejected: bo rejected this very plan: the backup comes first" in again

    # The world moves after the approval: what was approved is another plan.
    estate.type(f"{commands(held, 'approve')} --as bo")
    (estate.live / "f1").write_text("by hand\n")
    stale = estate.trueup("reconcile", "./shop", "--yes", code=3)
    assert "The last approval does not count here: what bo approved is another plan" in stale
    assert estate.names() == ALL
    document = json.loads(estate.trueup("plan", "./shop", "-o", "json", code=2))
    assert document["staleApproval"]["who"] == "bo"
    assert document["staleApproval"]["digest"] != document["digest"]

    estate.type(commands(stale, "approve"))
    estate.trueup("reconcile", "./shop", "--yes")
    assert estate.names() == {"f3", "f4", "f5"}


def test_a_daemon_goes_on_after_an_approval(estate: Estate) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (estate.folder / "trueup.toml").write_text(
        f'store = "state.db"\n[daemon]\nlisten = "127.0.0.1:{port}"\n'
        '[[stacks]]\nname = "prod"\nlocation = "shop"\npoll = "1s"\ninterval = "1h"\n'
    )
    log = estate.folder / "daemon.log"
    with log.open("wb") as file:
        daemon = subprocess.Popen([*TRUEUP, "daemon"], cwd=estate.folder, stdout=file, stderr=file)
    try:
        wait_until(lambda: estate.names() == ALL, "the files are there")
        estate.undeclare(0, 1, 2)
        wait_until(lambda: '"run held"' in log.read_text(), "the plan is held")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        digest = next(line["digest"] for line in lines if line["event"] == "run held")
        assert estate.names() == ALL
        estate.trueup("approve", "prod", digest, "--as", "bo")
        wait_until(lambda: estate.names() == {"f3", "f4", "f5"}, "the approved plan is carried out")
    finally:
        daemon.terminate()
        assert daemon.wait(40) == 0
