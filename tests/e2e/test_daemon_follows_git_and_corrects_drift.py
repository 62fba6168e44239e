"""The daemon, in a process of its own: a pushed commit, a drift, a bad commit, kill -9 and a clean stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer, Repository


class Daemon:
    """A daemon over one stack of local files, and its repository."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self.folder = folder
        self.repository = repository
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "daemon.log"
        self.config = folder / "trueup.toml"
        self.config.write_text(
            f'store = "{folder / "store.db"}"\n'
            f'[daemon]\nlisten = "127.0.0.1:{self.port}"\ndrain_timeout = "20s"\n'
            f'[[stacks]]\nname = "local"\nlocation = "{repository.url("http")}"\n'
            f'poll = "1s"\ninterval = "2s"\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*TRUEUP, "daemon", "--config", str(self.config)], stdout=log, stderr=log
            )

    def end(self, number: signal.Signals) -> int:
        """Sends a signal and waits for the end; gives the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(40)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """The first sample of a metric, -1 where there is none."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name):
                return float(line.rsplit(" ", 1)[1])
        return -1.0

    def file(self, name: str) -> Path:
        return self.folder / "out" / name

    def push(self, **contents: str) -> None:
        """Commits a file resource for each name."""
        self.repository.commit({f"{name}.yaml": self.manifest(name, text) for name, text in contents.items()})

    def manifest(self, name: str, text: str) -> str:
        return yaml.safe_dump(
            {
                "apiVersion": "ssh.trueup.dev/v1",
                "kind": "File",
                "metadata": {"name": name},
                "spec": {"path": str(self.file(name)), "content": text},
            }
        )


@pytest.fixture
def daemon(tmp_path: Path, git_server: GitServer) -> Iterator[Daemon]:
    repository = git_server.create(f"local-{os.urandom(4).hex()}")
    daemon = Daemon(tmp_path, repository)
    (tmp_path / "out").mkdir()
    config = {"connection": "local", "stateDir": str(tmp_path / "host")}
    stack = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": "local"},
        "spec": {"targets": [{"name": "here", "provider": "ssh", "config": config}]},
    }
    repository.commit({"stack.yaml": yaml.safe_dump(stack), "one.yaml": daemon.manifest("one", "1\n")})
    yield daemon
    if daemon.process is not None and daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.wait()


def has(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() == text


def test_the_daemon_picks_up_a_commit_corrects_drift_and_drains(daemon: Daemon) -> None:
    daemon.start()
    wait_until(lambda: has(daemon.file("one"), "1\n"), "the first commit is applied")
    wait_until(lambda: daemon.get("/readyz")[0] == 200, "the daemon is ready")
    assert daemon.get("/healthz")[0] == 200

    daemon.push(one="1\n", two="2\n")
    wait_until(lambda: has(daemon.file("two"), "2\n"), "a pushed commit is applied")

    daemon.file("one").write_text("by hand\n")
    wait_until(lambda: has(daemon.file("one"), "1\n"), "drift is corrected")
    wait_until(lambda: daemon.metric("trueup_drift_corrected_total") >= 1, "the correction is counted")

    daemon.repository.commit({"two.yaml": "kind: [broken"})
    wait_until(lambda: daemon.metric("trueup_stack_converged") == 0, "the bad commit is reported")
    assert has(daemon.file("two"), "2\n"), "a commit that cannot be read must delete nothing"
    assert daemon.get("/healthz")[0] == 200
    daemon.push(two="3\n")
    wait_until(lambda: has(daemon.file("two"), "3\n"), "the fix is applied at once")

    daemon.repository.commit({"two.yaml": None})
    wait_until(lambda: not daemon.file("two").exists(), "what left Git is deleted")

    assert daemon.end(signal.SIGTERM) == 0
    log = daemon.log.read_text()
    assert "Traceback" not in log, log
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(event.get("stack") == "local" and event.get("commit") for event in events), log


def test_a_daemon_that_was_killed_starts_again_and_converges(daemon: Daemon) -> None:
    names = [f"f{index:02}" for index in range(30)]
    daemon.push(**{name: f"{name}\n" for name in names})
    daemon.start()
    wait_until(lambda: sum(daemon.file(name).exists() for name in names) >= 3, "some files are there")
    assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    daemon.start()
    wait_until(lambda: all(has(daemon.file(name), f"{name}\n") for name in names), "all files are there")
    wait_until(lambda: daemon.metric("trueup_stack_converged") == 1, "the stack converges")
    assert sorted(path.name for path in (daemon.folder / "out").iterdir()) == sorted([*names, "one"])
    assert daemon.end(signal.SIGTERM) == 0


def test_drift_is_corrected_while_git_is_away(daemon: Daemon) -> None:
    daemon.start()
    wait_until(lambda: has(daemon.file("one"), "1\n"), "the first commit is applied")
    away = daemon.repository.path.with_suffix(".away")
    daemon.repository.path.rename(away)
    try:
        daemon.file("one").write_text("by hand\n")
        wait_until(lambda: has(daemon.file("one"), "1\n"), "drift is corrected to the last commit")
        wait_until(lambda: daemon.metric("trueup_source_errors_total") >= 1, "the silence of Git is counted")
    finally:
        away.rename(daemon.repository.path)
    assert daemon.end(signal.SIGTERM) == 0
