"""Policies of a stack and of the installation, over the command line and for a daemon."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {{name: shop}}
spec:
  targets:
    - name: here
      provider: ssh
      labels: {{env: prod}}
      config: {{connection: local, stateDir: {folder}/host}}
  policies:
    - name: no-world-writable
      rule: '!has(change.after) || change.kind != "File" || !change.after.spec.mode.endsWith("6")'
      enforce: deny
      message: everybody could write it
    - name: a-second-pair-of-eyes
      rule: change.action != "create" || change.name != "cron"
      enforce: approve
    - name: short-names
      rule: size(change.name) < 6
      enforce: warn
"""
INSTALLATION = """\
store = "state.db"

[[policies]]
name = "nothing-is-deleted"
rule = 'change.action != "delete" || change.target.labels.env != "prod"'
enforce = "deny"
message = "not in production"
"""
FILE = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {{name: {name}}}
spec: {{path: {live}/{name}, content: "{name}\\n", mode: "{mode}"}}
"""


class Estate:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live = folder / "live"
        self.stack = folder / "shop"
        for each in (self.live, self.stack):
            each.mkdir()
        (self.stack / "stack.yaml").write_text(STACK.format(folder=folder))
        (folder / "trueup.toml").write_text(INSTALLATION)

    def declare(self, name: str, mode: str = "0644") -> None:
        (self.stack / f"{name}.yaml").write_text(FILE.format(name=name, live=self.live, mode=mode))

    def undeclare(self, name: str) -> None:
        (self.stack / f"{name}.yaml").unlink()

    def names(self) -> set[str]:
        return {file.name for file in self.live.iterdir()}

    def trueup(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*TRUEUP, *words], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    return Estate(tmp_path)


def test_over_the_command_line(estate: Estate) -> None:
    estate.declare("site", "0666")
    held = estate.trueup("reconcile", "./shop", "--yes", code=3)
    assert "denied shop/File/site@here  policy no-world-writable of the stack\n" in held
    assert "      everybody could write it\n" in held
    assert "Held back. No approval lifts this:\n  policy: no-world-writable denies the change of" in held
    assert "trueup approve" not in held
    digest = json.loads(estate.trueup("plan", "./shop", "-o", "json", code=2))["digest"]
    estate.trueup("approve", "./shop", digest)
    estate.trueup("reconcile", "./shop", "--approve", digest, "--yes", code=3)
    assert estate.names() == set()

    # A warning is shown, an approval is asked for.
    estate.declare("site")
    estate.declare("a-long-name")
    estate.declare("cron")
    held = estate.trueup("reconcile", "./shop", "--yes", code=3)
    assert "warning shop/File/a-long-name@here  policy short-names of the stack" in held
    assert "policy: a-second-pair-of-eyes asks for an approval of the change of shop/File/cron@here" in held
    plan = json.loads(estate.trueup("plan", "./shop", "-o", "json", code=2))
    assert [(each["policy"], each["origin"], each["enforce"]) for each in plan["verdicts"]] == [
        ("short-names", "stack", "warn"),
        ("a-second-pair-of-eyes", "stack", "approve"),
    ]
    estate.trueup("approve", "./shop", plan["digest"])
    estate.trueup("reconcile", "./shop", "--yes")
    assert estate.names() == {"site", "a-long-name", "cron"}

    # What the installation denies is denied to every stack, whatever that one says, and to a destroy.
    estate.undeclare("cron")
    stack = estate.stack / "stack.yaml"
    stack.write_text(stack.read_text().split("  policies:")[0])
    held = estate.trueup("reconcile", "./shop", "--yes", code=3)
    assert "policy nothing-is-deleted of the installation\n      not in production\n" in held
    estate.trueup("destroy", "./shop", "--yes", code=3)
    assert "nothing-is-deleted" in estate.trueup("plan", "./shop", "-o", "markdown", code=2)
    assert estate.names() == {"site", "a-long-name", "cron"}


def test_a_daemon_does_what_is_allowed_and_tells_why_it_does_not(estate: Estate) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (estate.folder / "trueup.toml").write_text(
        INSTALLATION.replace("[[policies]]", f'[daemon]\nlisten = "127.0.0.1:{port}"\n[[policies]]')
        + '[[stacks]]\nname = "prod"\nlocation = "shop"\npoll = "1s"\ninterval = "1h"\n'
    )
    estate.declare("site")
    estate.declare("motd")
    log = estate.folder / "daemon.log"
    with log.open("wb") as file:
        daemon = subprocess.Popen([*TRUEUP, "daemon"], cwd=estate.folder, stdout=file, stderr=file)
    try:
        wait_until(lambda: estate.names() == {"site", "motd"}, "the files are there")
        estate.undeclare("motd")
        wait_until(lambda: '"run held"' in log.read_text(), "the plan is held")
        (line,) = [line for line in log.read_text().splitlines() if '"policy not fulfilled"' in line]
        told = json.loads(line)
        assert (told["policy"], told["why"]) == ("nothing-is-deleted", "not in production")
        assert estate.names() == {"site", "motd"}
    finally:
        daemon.terminate()
        assert daemon.wait(40) == 0
