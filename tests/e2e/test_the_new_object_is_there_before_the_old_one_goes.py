"""`lifecycle.replace: createFirst` with files of this machine and queues of AWS, and when a run is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.shop import read_json, results, run_trueup
from tests.moto.fixtures import Moto

FIRST = {"replace": "createFirst"}
# The command line, in a process that dies right before it deletes something.
DIES = """
import os, signal, sys
from {module} import {kind}
{kind}.delete = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
import runpy
runpy.run_module("trueup", run_name="__main__")
"""


class Stack:
    """A stack in a directory, reconciled by the command line."""

    def __init__(self, folder: Path, provider: str, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.arguments = [str(folder / "stack"), "--store", str(folder / "store.db")]
        (folder / "stack").mkdir()
        spec = {"targets": [{"name": "there", "provider": provider, "config": dict(config)}]}
        self.write("stack", apiVersion="trueup.dev/v1", kind="Stack", metadata={"name": "shop"}, spec=spec)

    def write(self, file: str, **document: Any) -> None:
        (self.folder / "stack" / f"{file}.yaml").write_text(yaml.safe_dump(document))

    def plan(self) -> list[Mapping[str, Any]]:
        done = run_trueup("plan", *self.arguments, "--output", "json")
        changes: list[Mapping[str, Any]] = read_json(done, done.returncode)["changes"]
        return changes

    def reconcile(self, expect: int = 0) -> dict[str, str]:
        done = run_trueup("reconcile", *self.arguments, "--yes", "--output", "json")
        outcomes = results(read_json(done, expect))
        return {address.partition("@")[0].rpartition("/")[2]: result for address, result in outcomes.items()}

    def reconcile_and_die(self, module: str, kind: str) -> None:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                DIES.format(module=module, kind=kind),
                "reconcile",
                *self.arguments,
                "--yes",
            ],
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr


class TestFiles:
    @pytest.fixture
    def stack(self, tmp_path: Path) -> Stack:
        stack = Stack(tmp_path, "ssh", {"connection": "local", "stateDir": str(tmp_path / "host")})
        self.write(stack, "old")
        assert stack.reconcile() == {"key": "created", "user": "created"}
        return stack

    @staticmethod
    def write(stack: Stack, name: str) -> None:
        head = {"apiVersion": "ssh.trueup.dev/v1", "kind": "File"}
        path = str(stack.folder / name)
        stack.write(
            "key", **head, metadata={"name": "key"}, lifecycle=FIRST, spec={"path": path, "content": "k"}
        )
        content = "${{ ref('File/key').spec.path }} ${{ ref('File/key').status.sha256 }}\n"
        spec = {"path": str(stack.folder / "user"), "content": content}
        stack.write("user", **head, metadata={"name": "user"}, spec=spec)

    def test_a_file_moves_to_another_path(self, stack: Stack) -> None:
        self.write(stack, "new")
        assert stack.plan()[0]["action"] == "replace"
        assert stack.reconcile() == {"key": "replaced", "user": "updated"}
        assert (stack.folder / "new").read_text() == "k"
        assert str(stack.folder / "new") in (stack.folder / "user").read_text()
        assert not (stack.folder / "old").exists()
        assert stack.plan() == []
        assert len(list((stack.folder / "host").rglob("*.json"))) == 2

    def test_a_run_that_was_killed_before_the_old_file_went_is_finished(self, stack: Stack) -> None:
        self.write(stack, "new")
        stack.reconcile_and_die("trueup_ssh.kinds.file", "File")
        assert (stack.folder / "old").exists()
        assert (stack.folder / "new").exists()
        assert str(stack.folder / "new") in (stack.folder / "user").read_text()
        (change,) = stack.plan()
        assert (change["action"], change["fields"]) == ("replace", [])
        assert change["reasons"] == [f"file:{stack.folder}/old, which it replaces, is still there"]
        assert stack.reconcile() == {"key": "replaced", "user": "unchanged"}
        assert not (stack.folder / "old").exists()
        assert (stack.folder / "new").read_text() == "k"
        assert stack.plan() == []
        assert run_trueup("destroy", *stack.arguments, "--yes").returncode == 0
        assert not list((stack.folder / "host").rglob("*.json"))


@pytest.mark.moto
class TestQueues:
    @pytest.fixture
    def stack(self, moto: Moto, tmp_path: Path) -> Stack:
        moto.reset()
        stack = Stack(tmp_path, "aws", moto.target("eu").config)
        self.write(stack, QueueName="orders-1")
        assert stack.reconcile() == {"orders": "created", "url": "created"}
        return stack

    @staticmethod
    def write(stack: Stack, **spec: Any) -> None:
        head = {"apiVersion": "aws.trueup.dev/v1"}
        stack.write(
            "orders", **head, kind="AWS::SQS::Queue", metadata={"name": "orders"}, lifecycle=FIRST, spec=spec
        )
        value = "${{ ref('AWS::SQS::Queue/orders').status.QueueUrl }}"
        stack.write(
            "url",
            **head,
            kind="AWS::SSM::Parameter",
            metadata={"name": "url"},
            spec={"Name": "/orders", "Type": "String", "Value": value},
        )

    @staticmethod
    def queues(moto: Moto) -> list[str]:
        urls = moto.client("sqs").list_queues().get("QueueUrls", [])
        return sorted(url.rpartition("/")[2] for url in urls)

    @staticmethod
    def used(moto: Moto) -> str:
        value: str = moto.client("ssm").get_parameter(Name="/orders")["Parameter"]["Value"]
        return value.rpartition("/")[2]

    def test_a_queue_gets_another_name(self, stack: Stack, moto: Moto) -> None:
        self.write(stack, QueueName="orders-2")
        assert stack.reconcile() == {"orders": "replaced", "url": "updated"}
        assert (self.queues(moto), self.used(moto)) == (["orders-2"], "orders-2")
        assert stack.plan() == []

    def test_a_run_that_was_killed_before_the_old_queue_went_is_finished(
        self, stack: Stack, moto: Moto
    ) -> None:
        self.write(stack, QueueName="orders-2")
        stack.reconcile_and_die("trueup_aws.kinds.queue", "Queue")
        assert (self.queues(moto), self.used(moto)) == (["orders-1", "orders-2"], "orders-2")
        assert stack.reconcile() == {"orders": "replaced", "url": "unchanged"}
        assert (self.queues(moto), self.used(moto)) == (["orders-2"], "orders-2")
        assert stack.plan() == []

    def test_a_fifo_queue_needs_another_name_to_be_replaced_so(self, stack: Stack, moto: Moto) -> None:
        self.write(stack, QueueName="orders.fifo", FifoQueue=True)
        assert stack.reconcile() == {"orders": "replaced", "url": "updated"}
        assert self.queues(moto) == ["orders.fifo"]
        assert stack.plan() == []
