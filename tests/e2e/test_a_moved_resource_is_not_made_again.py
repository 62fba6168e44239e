"""A file and a queue under new addresses: renamed, and handed from one stack to another in either order."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer, Repository
from tests.moto.fixtures import ENVIRONMENT, Moto

pytestmark = pytest.mark.xdist_group("moto")

QUEUE = "AWS::SQS::Queue"


@dataclass
class Estate:
    """A repository with two stacks, `base` and `web`, on this machine and in AWS."""

    folder: Path
    repository: Repository
    moto: Moto

    def push(self, stack: str, file: str, queue: str, moved_from: str = "", mode: str = "0644") -> None:
        """Declares one file and one queue in a stack, or nothing where the names are empty."""
        config = {"connection": "local", "stateDir": str(self.folder / "host")}
        targets = [
            {"name": "here", "provider": "ssh", "config": config},
            {"name": "eu", "provider": "aws", "config": dict(self.moto.target().config)},
        ]
        spec = {"targets": targets, "allowEmpty": True}
        head = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": stack}, "spec": spec}
        path = str(self.folder / "motd")
        resources = [
            ("ssh.trueup.dev/v1", "File", file, "motd", {"path": path, "content": "hello\n", "mode": mode}),
            # Without a QueueName: its name comes from the first address that it had.
            ("aws.trueup.dev/v1", QUEUE, queue, "jobs", {"VisibilityTimeout": 60}),
        ]
        documents = [
            {
                "apiVersion": api_version,
                "kind": kind,
                "metadata": {"name": name},
                **({"lifecycle": {"movedFrom": [f"{moved_from}{kind}/{old}"]}} if name != old else {}),
                "spec": body,
            }
            for api_version, kind, name, old, body in resources
            if name
        ]
        self.repository.commit(
            {
                f"{stack}/stack.yaml": yaml.safe_dump(head),
                f"{stack}/resources.yaml": yaml.safe_dump_all(documents) if documents else None,
            }
        )

    def trueup(self, *words: str, code: int = 0) -> str:
        command = [*TRUEUP, *words, "--store", str(self.folder / "store.db")]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def reconcile(self, stack: str) -> str:
        return self.trueup("reconcile", self.repository.url("http"), "--path", stack, "--yes")

    def plan(self, stack: str, code: int) -> dict[str, Any]:
        url = self.repository.url("http")
        document: dict[str, Any] = json.loads(
            self.trueup("plan", url, "--path", stack, "-o", "json", code=code)
        )
        return document

    def identities(self) -> tuple[int, list[str]]:
        """What tells the objects from others in their place: the file's inode, what the queue holds."""
        sqs = self.moto.client("sqs")
        (url,) = sqs.list_queues()["QueueUrls"]
        (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
        return (self.folder / "motd").stat().st_ino, [url, message["Body"]]

    def put_something_in(self) -> None:
        sqs = self.moto.client("sqs")
        (url,) = sqs.list_queues()["QueueUrls"]
        sqs.send_message(QueueUrl=url, MessageBody="an order that must not be lost")


@pytest.fixture
def estate(tmp_path: Path, git_server: GitServer, moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Estate:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    moto.reset()
    return Estate(tmp_path, git_server.create(f"moves-{os.urandom(4).hex()}"), moto)


def test_a_rename_keeps_the_file_and_the_queue(estate: Estate) -> None:
    estate.push("base", "motd", "jobs")
    estate.reconcile("base")
    estate.put_something_in()
    before = estate.identities()

    estate.push("base", "banner", "work")
    plan = estate.plan("base", code=2)
    moves = {(change["action"], change.get("movedFrom"), change.get("movedTo")) for change in plan["changes"]}
    assert moves == {
        ("adopt", "base/File/motd@here", None),
        ("adopt", f"base/{QUEUE}/jobs@eu", None),
        ("forget", None, "base/File/banner@here"),
        ("forget", None, f"base/{QUEUE}/work@eu"),
    }
    assert "adopt: moved from File/motd" in estate.trueup(
        "plan", estate.repository.url("http"), "--path", "base", code=2
    )
    estate.reconcile("base")
    assert estate.identities() == before
    assert estate.plan("base", code=0)["changes"] == []

    # From here on it is a file like any other: changed in place, and deleted with its resource.
    estate.push("base", "banner", "work", mode="0600")
    estate.reconcile("base")
    assert (estate.folder / "motd").stat().st_mode & 0o777 == 0o600
    assert estate.identities()[1] == before[1]
    estate.trueup("destroy", estate.repository.url("http"), "--path", "base", "--yes")
    assert not (estate.folder / "motd").exists()
    assert "QueueUrls" not in estate.moto.client("sqs").list_queues()


@pytest.mark.parametrize("order", [("base", "web", "base"), ("web", "base")])
def test_a_move_to_another_stack_keeps_the_file_and_the_queue(estate: Estate, order: tuple[str, ...]) -> None:
    estate.push("base", "motd", "jobs")
    estate.reconcile("base")
    estate.put_something_in()
    before = estate.identities()

    estate.push("web", "banner", "work", moved_from="base/")
    estate.push("base", "", "")
    for index, stack in enumerate(order):
        text = estate.reconcile(stack)
        assert estate.identities() == before
        if stack == "base" and index == 0:
            assert "../web/resources.yaml says that another stack takes it over" in text
    for stack in ("base", "web"):
        assert estate.plan(stack, code=0)["changes"] == []
    assert estate.plan("base", code=0)["summary"]["none"] == 0
    estate.trueup("destroy", estate.repository.url("http"), "--path", "web", "--yes")
    assert not (estate.folder / "motd").exists()
