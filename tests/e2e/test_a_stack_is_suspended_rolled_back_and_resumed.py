"""A bad commit is rolled back under the eyes of a real daemon, which stays there until it is to go on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP
from tests.e2e.test_daemon_follows_git_and_corrects_drift import Daemon, has
from tests.git.fixtures import GitServer


class Estate(Daemon):
    """The daemon of one stack, and the command line of the same settings and the same store."""

    def trueup(self, verb: str, *options: str, code: int = 0) -> str:
        command = [*TRUEUP, verb, "local", "--config", str(self.config), *options]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def document(self, verb: str, *options: str, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.trueup(verb, *options, "--output", "json", code=code))
        return document

    def look(self) -> None:
        """Lets some looks at the source and some intervals pass."""
        before = self.runs()
        wait_until(lambda: self.runs() >= before + 2, "two more runs")

    def runs(self) -> float:
        text = self.get("/metrics")[1]
        counted = [line for line in text.splitlines() if line.startswith("trueup_runs_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in counted)

    def check_at_rest(self, *names: str) -> None:
        """One object for each resource and nothing else, all of it recorded, and nothing under way."""
        assert sorted(path.name for path in (self.folder / "out").iterdir()) == sorted(names)
        with closing(sqlite3.connect(self.folder / "store.db")) as database:
            rows = database.execute("SELECT address FROM inventory").fetchall()
            assert sorted(row[0] for row in rows) == sorted(f"local/File/{name}@here" for name in names)
            assert database.execute("SELECT count(*) FROM intents").fetchone() == (0,)


@pytest.fixture
def estate(tmp_path: Path, git_server: GitServer) -> Iterator[Estate]:
    estate = Estate(tmp_path, git_server.create(f"pinned-{os.urandom(4).hex()}"))
    (tmp_path / "out").mkdir()
    config = {"connection": "local", "stateDir": str(tmp_path / "host")}
    stack = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": "local"},
        "spec": {"targets": [{"name": "here", "provider": "ssh", "config": config}]},
    }
    estate.repository.commit({"stack.yaml": yaml.safe_dump(stack), "one.yaml": estate.manifest("one", "1\n")})
    yield estate
    if estate.process is not None and estate.process.poll() is None:
        estate.process.kill()
        estate.process.wait()


def test_a_bad_commit_is_rolled_back_and_stays_so_until_the_stack_is_resumed(estate: Estate) -> None:
    estate.start()
    wait_until(lambda: has(estate.file("one"), "1\n"), "the first commit is applied")
    good = estate.repository.find("main")
    estate.push(one="bad\n", two="2\n")
    wait_until(lambda: has(estate.file("two"), "2\n"), "the bad commit is applied")
    wait_until(lambda: estate.metric("trueup_stack_converged") == 1, "it converged")

    shown = estate.trueup("rollback", "--yes", "--reason", "the page is bad", "--as", "bo@desk")
    assert f"Pinned to {good[:12]} by bo@desk" in shown
    wait_until(lambda: has(estate.file("one"), "1\n") and not estate.file("two").exists(), "it is back")
    wait_until(lambda: estate.metric("trueup_pinned") == 1, "the daemon knows it")
    estate.check_at_rest("one")

    # Neither a push, nor a commit that cannot be read, nor a start of the daemon leads away from there.
    estate.push(one="newer\n", three="3\n")
    estate.look()
    estate.repository.commit({"stack.yaml": "kind: [broken"})
    estate.look()
    assert estate.end(signal.SIGTERM) == 0
    estate.start()
    wait_until(lambda: estate.get("/readyz")[0] == 200, "it has run once")
    assert estate.metric("trueup_pinned") == 1
    estate.file("one").write_text("by hand\n")
    wait_until(lambda: has(estate.file("one"), "1\n"), "drift is corrected to the pinned commit")
    assert estate.metric("trueup_stack_converged") == 1
    assert estate.document("plan")["pin"]["commit"] == good
    assert estate.document("status")["commit"] == good
    estate.trueup("reconcile", "--yes")
    estate.check_at_rest("one")

    estate.repository.commit({"stack.yaml": _stack_file(estate, good)})
    estate.trueup("resume", "--as", "eve@desk")
    wait_until(lambda: has(estate.file("three"), "3\n"), "the head is applied")
    wait_until(lambda: estate.metric("trueup_pinned") == 0, "the daemon follows again")
    assert has(estate.file("one"), "newer\n")
    wait_until(lambda: estate.metric("trueup_stack_converged") == 1, "it converged")
    kinds = [event["kind"] for event in estate.document("events")["events"]]
    assert [kind for kind in kinds if kind in ("rolled-back", "resumed")] == ["resumed", "rolled-back"]
    assert any(run["trigger"] == "rollback" for run in estate.document("history", "--limit", "1000")["runs"])
    assert estate.end(signal.SIGTERM) == 0
    estate.check_at_rest("one", "three", "two")
    assert "Traceback" not in estate.log.read_text()


def _stack_file(estate: Estate, commit: str) -> str:
    return estate.repository.git("show", f"{commit}:stack.yaml") + "\n"


def test_a_suspended_stack_is_left_alone_and_is_healthy(estate: Estate) -> None:
    estate.start()
    wait_until(lambda: has(estate.file("one"), "1\n"), "the first commit is applied")
    estate.trueup("suspend", "--reason", "work by hand", "--as", "bo@desk")
    wait_until(lambda: estate.metric("trueup_suspended") == 1, "the daemon knows it")
    estate.file("one").write_text("by hand\n")
    estate.push(two="2\n")
    # Several intervals of the stack, and several looks.
    runs = estate.runs()
    time.sleep(6)
    assert estate.runs() == runs
    assert has(estate.file("one"), "by hand\n"), "drift of a suspended stack is not corrected"
    assert not estate.file("two").exists()
    assert (estate.get("/healthz")[0], estate.get("/readyz")[0]) == (200, 200)
    assert "is suspended by bo@desk: work by hand" in estate.trueup("reconcile", "--yes", code=3)
    assert estate.document("drift", code=2)["pin"]["kind"] == "suspended"

    # A daemon that starts is ready, and leaves the stack alone too.
    assert estate.end(signal.SIGTERM) == 0
    estate.start()
    wait_until(lambda: estate.get("/readyz")[0] == 200, "it is ready")
    assert estate.metric("trueup_suspended") == 1
    assert has(estate.file("one"), "by hand\n")

    estate.trueup("resume")
    wait_until(lambda: has(estate.file("one"), "1\n") and has(estate.file("two"), "2\n"), "it goes on")
    told = [line for line in estate.log.read_text().splitlines() if '"event": "suspended"' in line]
    assert len(told) == 2, "once for each daemon"
    assert estate.end(signal.SIGTERM) == 0
    estate.check_at_rest("one", "two")
