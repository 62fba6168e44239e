"""A force push that loses a file: flagged in every output, its delete held until it is approved."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {{name: shop}}
spec:
  targets:
    - {{name: here, provider: ssh, config: {{connection: local, stateDir: {folder}/host}}}}
"""
FILE = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {{name: {name}}}
spec: {{path: {live}/{name}, content: "{name}\\n"}}
"""


def test_over_the_command_line(tmp_path: Path, git_server: GitServer) -> None:
    live = tmp_path / "live"
    live.mkdir()
    repository = git_server.create(f"history-{os.urandom(4).hex()}")
    files = {"stack.yaml": STACK.format(folder=tmp_path)}
    files |= {f"{name}.yaml": FILE.format(name=name, live=live) for name in ("a", "b", "c")}

    def trueup(*words: str, code: int = 0) -> str:
        command = [*TRUEUP, words[0], repository.url("http"), *words[1:], "--store", "store.db"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    before = repository.commit(files)
    trueup("reconcile", "--yes")

    # Rewritten, with nothing to do: said all the same.
    again = repository.force_push(files)
    assert f"History was rewritten: the commit of the last run, {before[:12]}, is no" in trueup("plan")
    assert json.loads(trueup("plan", "-o", "json"))["rewrittenFrom"] == before
    trueup("reconcile", "--yes")
    assert "rewritten" not in trueup("plan")

    lost = {name: text for name, text in files.items() if name != "c.yaml"}
    repository.force_push(lost)
    held = trueup("reconcile", "--yes", code=3)
    assert f"  history-rewritten: the commit of the last run, {again[:12]}, is no ancestor of" in held
    assert sorted(file.name for file in live.iterdir()) == ["a", "b", "c"]
    assert "**History was rewritten**" in trueup("plan", "-o", "markdown", code=2)

    digest = json.loads(trueup("plan", "-o", "json", code=2))["digest"]
    trueup("approve", digest)
    trueup("reconcile", "--yes")
    assert sorted(file.name for file in live.iterdir()) == ["a", "b"]

    # The next commit on top is an ordinary one.
    repository.commit({"b.yaml": None})
    trueup("reconcile", "--yes")
    assert sorted(file.name for file in live.iterdir()) == ["a"]
