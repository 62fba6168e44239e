"""A store that is deleted, or an old copy of it: runs are held, nothing is made twice, `recover` mends it.

Over a cluster, an AWS account, and this machine as a host.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fixtures import Cluster
from tests.e2e.shop import TRUEUP, read_json, results, run_trueup
from tests.moto.fixtures import Moto

pytestmark = [pytest.mark.cluster, pytest.mark.moto]

KUBERNETES: Mapping[str, Any] = {
    "settings": ("v1", "ConfigMap", {"data": {"colour": "blue"}}),
    "passwords": ("v1", "Secret", {"stringData": {"password": "tr0ub4dor"}}),
    "robot": ("v1", "ServiceAccount", {}),
}
AWS: Mapping[str, Any] = {
    "jobs": ("AWS::SQS::Queue", {"VisibilityTimeout": 45}),
    "news": ("AWS::SNS::Topic", {}),
    "limit": ("AWS::SSM::Parameter", {"Type": "String", "Value": "v"}),
    "store": ("AWS::S3::Bucket", {}),
}
COUNT = 1 + len(KUBERNETES) + len(AWS) + 2


@dataclass
class Estate:
    """The stack in a directory, its store, and a look at all that lives."""

    folder: Path
    namespace: str
    cluster: Cluster
    moto: Moto

    @property
    def store(self) -> Path:
        return self.folder / "state" / "store.db"

    @property
    def www(self) -> Path:
        return self.folder / "www"

    def declare(self, name: str, api_version: str, kind: str, body: Mapping[str, Any], target: str) -> None:
        metadata: dict[str, Any] = {"name": name}
        if target == "k3s" and kind != "Namespace":
            metadata["namespace"] = self.namespace
        document = {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": metadata,
            "targets": {"names": [target]},
            **body,
        }
        (self.folder / "stack" / f"{name}.yaml").write_text(yaml.safe_dump(document))

    def undeclare(self, name: str) -> None:
        (self.folder / "stack" / f"{name}.yaml").unlink()

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        return run_trueup(command, str(self.folder / "stack"), "--store", str(self.store), *options)

    def json(self, command: str, *options: str, expect: int = 0) -> dict[str, Any]:
        return read_json(self.run(command, "--output", "json", *options), expect)

    def lose(self) -> None:
        for file in self.store.parent.glob("store.db*"):
            file.unlink()

    def look(self) -> dict[str, Any]:
        """Every object with what changes whenever it is written to."""
        live: dict[str, Any] = {}
        for plural in ("configmaps", "secrets", "serviceaccounts"):
            body = self.cluster.ask("GET", f"/api/v1/namespaces/{self.namespace}/{plural}")[1]
            for item in body["items"]:
                live[f"{plural}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
        for file in self.www.rglob("*"):
            live[str(file)] = (file.read_bytes() if file.is_file() else b"", file.stat().st_mtime_ns)
        owners = self.folder / "owners"
        live |= {file.name: file.read_bytes() for file in owners.rglob("*") if file.is_file()}
        live["queues"] = sorted(self.moto.client("sqs").list_queues().get("QueueUrls", []))
        live["topics"] = sorted(each["TopicArn"] for each in self.moto.client("sns").list_topics()["Topics"])
        live["buckets"] = sorted(each["Name"] for each in self.moto.client("s3").list_buckets()["Buckets"])
        return live


@pytest.fixture
def estate(cluster: Cluster, moto: Moto, tmp_path: Path) -> Iterator[Estate]:
    """The stack, applied."""
    moto.reset()
    estate = Estate(tmp_path, f"lost-{os.urandom(3).hex()}", cluster, moto)
    for folder in ("stack", "state"):
        (tmp_path / folder).mkdir()
    host = {"connection": "local", "stateDir": str(tmp_path / "owners")}
    targets = [
        {"name": "k3s", "provider": "kubernetes", "config": dict(cluster.target("k3s").config)},
        {"name": "eu", "provider": "aws", "config": dict(moto.target("eu").config)},
        {"name": "here", "provider": "ssh", "config": host},
    ]
    stack = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": estate.namespace},
        "spec": {"targets": targets},
    }
    (tmp_path / "stack" / "stack.yaml").write_text(yaml.safe_dump(stack))
    estate.declare(estate.namespace, "v1", "Namespace", {}, "k3s")
    for name, (version, kind, body) in KUBERNETES.items():
        estate.declare(name, version, kind, body, "k3s")
    for name, (kind, spec) in AWS.items():
        estate.declare(name, "aws.trueup.dev/v1", kind, {"spec": spec}, "eu")
    ssh = "ssh.trueup.dev/v1"
    estate.declare("www", ssh, "Directory", {"spec": {"path": str(estate.www)}}, "here")
    page = {"spec": {"path": str(estate.www / "index.html"), "content": "hello\n"}}
    estate.declare("page", ssh, "File", {**page, "dependsOn": ["Directory/www"]}, "here")
    report = estate.json("reconcile", "--yes")
    assert set(results(report).values()) == {"created"}
    assert len(results(report)) == COUNT
    yield estate
    cluster.ask("DELETE", f"/api/v1/namespaces/{estate.namespace}")


def test_a_deleted_store_is_rebuilt_and_what_left_git_is_pruned(estate: Estate) -> None:
    live = estate.look()
    estate.lose()
    estate.moto.mark()
    held = estate.json("reconcile", "--yes", expect=3)
    assert [hold["guard"] for hold in held["plan"]["holds"]] == ["store-lost"]
    assert (estate.look(), estate.moto.writes()) == (live, [])
    found = estate.json("recover", "--yes")
    assert len(found["found"]) == COUNT
    assert found["missing"] == found["leftOut"] == found["refusals"] == []
    plan = estate.json("plan")
    assert (plan["changes"], plan["holds"]) == ([], [])
    assert set(results(estate.json("reconcile", "--yes")).values()) == {"unchanged"}
    assert (estate.look(), estate.moto.writes()) == (live, [])

    # Once more, and one object of each system has left Git meanwhile.
    estate.lose()
    for name in ("settings", "jobs", "page"):
        estate.undeclare(name)
    found = estate.json("recover", "--yes")
    gone = {each["address"] for each in found["found"] if not each["declared"]}
    assert {address.partition("/")[2].partition("/")[0] for address in gone} == {
        "ConfigMap",
        "AWS::SQS::Queue",
        "File",
    }
    held = estate.json("reconcile", "--yes", expect=3)
    assert "recovered" in [hold["guard"] for hold in held["plan"]["holds"]]
    report = estate.json("reconcile", "--yes", "--approve", held["plan"]["digest"])
    assert {address for address, result in results(report).items() if result == "deleted"} == gone
    assert not (estate.www / "index.html").exists()
    assert estate.look()["queues"] == []
    assert "configmaps/settings" not in estate.look()
    assert estate.json("plan")["changes"] == []


def test_an_old_copy_of_the_store_makes_no_duplicate(estate: Estate) -> None:
    backup = estate.folder / "backup"
    shutil.copytree(estate.store.parent, backup)
    estate.declare("late", "v1", "ConfigMap", {"data": {"a": "b"}}, "k3s")
    estate.declare("mail", "aws.trueup.dev/v1", "AWS::SQS::Queue", {"spec": {}}, "eu")
    note = {"spec": {"path": str(estate.www / "note"), "content": "n\n"}}
    estate.declare("note", "ssh.trueup.dev/v1", "File", note, "here")
    estate.json("reconcile", "--yes")
    live = estate.look()
    estate.lose()
    for file in backup.iterdir():
        shutil.copy(file, estate.store.parent)
    estate.moto.mark()
    held = estate.json("reconcile", "--yes", expect=3)
    assert [hold["guard"] for hold in held["plan"]["holds"]] == ["store-old"]
    found = estate.json("recover", "--yes")
    new = {each["address"].partition("/")[2] for each in found["found"] if each["new"]}
    assert new == {f"ConfigMap/{estate.namespace}/late@k3s", "AWS::SQS::Queue/mail@eu", "File/note@here"}
    assert estate.json("plan")["changes"] == []
    assert set(results(estate.json("reconcile", "--yes")).values()) == {"unchanged"}
    assert (estate.look(), estate.moto.writes()) == (live, [])


def test_a_recovery_that_is_killed_leaves_what_another_mends(estate: Estate) -> None:
    live = estate.look()
    estate.lose()
    command = [*TRUEUP, "recover", str(estate.folder / "stack"), "--store", str(estate.store), "--yes"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert estate.run("reconcile", "--yes").returncode in (0, 3)
    estate.json("recover", "--yes")
    assert estate.json("plan")["changes"] == []
    assert estate.look() == live
