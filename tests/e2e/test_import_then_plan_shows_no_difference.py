"""What lives in a cluster, a cloud and on a host is written down and taken over: the next plan is empty."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fakenode import FakeNode
from tests.cluster.fixtures import Cluster
from tests.cluster.written import OBJECTS, collection, manifest
from tests.e2e.shop import read_json, run_trueup
from tests.hosts.fixtures import Host
from tests.moto.fixtures import Moto

pytestmark = [pytest.mark.hosts, pytest.mark.cluster, pytest.mark.moto, pytest.mark.xdist_group("hosts")]

# At least this many objects of each system are imported.
MANY = 50
SECRET = "canary-of-import-9b1d"
UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
# What a resource file could say something else with: to YAML, to our expressions, to editors.
TEXTS = (
    *("no\n", "a: b\n", "x ${{ vars.y }} $${{ z\n", "\ttabs\tin it\n", "trailing \n", "no newline", ""),
    *("\n\nlate\n", "unicode äöü 😀\n", "#!/bin/sh\necho 'hi' \"there\" \\\n", "0644\n", "{{ jinja }}\n"),
    "---\n...\n",
)


class Stack:
    """A stack with one target of each system and no resource, and a store of its own."""

    def __init__(self, folder: Path, targets: list[Any]) -> None:
        self.folder = folder / "stack"
        self.store = folder / "store.db"
        self.folder.mkdir()
        spec = {
            "targets": [
                {"name": target.name, "provider": target.provider, "config": dict(target.config)}
                for target in targets
            ]
        }
        document = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "found"},
            "spec": spec,
        }
        (self.folder / "stack.yaml").write_text(yaml.safe_dump(document))

    def run(self, *words: str, expect: int = 0) -> dict[str, Any]:
        done = run_trueup(*words, "--store", str(self.store), "--output", "json", timeout=600)
        assert SECRET not in done.stdout + done.stderr
        return read_json(done, expect)

    def take_over(self, *words: str, expect: int = 0) -> Counter[str]:
        """Imports; how many objects there are for each fate."""
        report = self.run("import", *words, "--yes", "--into", str(self.folder), expect=expect)
        failed = [each for each in report["objects"] if each["result"] == "failed"]
        assert not failed or expect, json.dumps(failed, indent=1)
        return Counter(each["result"] for each in report["objects"])

    def plan(self) -> dict[str, Any]:
        return self.run("plan", str(self.folder))


@pytest.fixture
def stack(tmp_path: Path, cluster: Cluster, moto: Moto, fresh_host: Host) -> Iterator[Stack]:
    moto.reset()
    yield Stack(tmp_path, [cluster.target("prod"), moto.target("eu"), fresh_host.target("web-1")])
    fresh_host.fresh()


def test_import_then_plan_shows_no_difference(
    stack: Stack, cluster: Cluster, fakenode: FakeNode, namespace: str, moto: Moto, fresh_host: Host
) -> None:
    fill_cluster(cluster, namespace)
    fill_cloud(moto)
    fill_host(fresh_host)
    before = snapshot(cluster, namespace, fresh_host)
    for kind in OBJECTS:
        assert stack.take_over("prod", kind, f"{namespace}/*") == {"imported": 3}, kind
    assert stack.take_over("eu", "--all") == {"imported": 52, "skipped": 2}
    packages_and_services = stack.take_over("web-1", "--all")
    files = stack.take_over("web-1", "File", "/srv/files", "/etc/systemd/system/t-*.service")
    directories = stack.take_over("web-1", "Directory", "/srv/files", "/srv/box-*")
    assert packages_and_services["imported"] + files["imported"] + directories["imported"] >= MANY

    everything = yaml_of(stack.folder)
    assert SECRET not in everything
    assert len(OBJECTS) * 3 >= MANY
    plan = stack.plan()
    assert plan["changes"] == []
    assert snapshot(cluster, namespace, fresh_host) == before

    _imports_nothing_twice(stack, namespace, moto, cluster)
    _reconciles_without_a_write(stack, moto, cluster)


def _imports_nothing_twice(stack: Stack, namespace: str, moto: Moto, cluster: Cluster) -> None:
    files = sorted(stack.folder.rglob("*.yaml"))
    moto.mark()
    cluster.mark()
    assert set(stack.take_over("prod", "ConfigMap", f"{namespace}/web")) == {"managed"}
    assert set(stack.take_over("eu", "--all")) == {"managed", "skipped"}
    assert set(stack.take_over("web-1", "--all")) == {"managed"}
    assert set(stack.take_over("web-1", "File", "/srv/files")) == {"managed"}
    assert sorted(stack.folder.rglob("*.yaml")) == files
    assert moto.writes() == [] and cluster.writes() == []


def _reconciles_without_a_write(stack: Stack, moto: Moto, cluster: Cluster) -> None:
    report = stack.run("reconcile", str(stack.folder), "--yes")
    assert report["status"] == "converged"
    assert {outcome["result"] for outcome in report["outcomes"]} == {"unchanged"}
    assert moto.writes() == [] and cluster.writes() == []


def test_a_secret_that_is_named_is_refused_and_nothing_is_written(
    stack: Stack, cluster: Cluster, namespace: str, moto: Moto, fresh_host: Host
) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db"},
        "stringData": {"password": SECRET},
    }
    cluster.request("POST", f"/api/v1/namespaces/{namespace}/secrets", body)
    moto.client("ssm").put_parameter(Name="/shop/password", Value=SECRET, Type="SecureString")
    fresh_host.run(f"echo {SECRET} > /etc/shop.key; chmod 600 /etc/shop.key")
    before = yaml_of(stack.folder)
    for words in (
        ("prod", "Secret", f"{namespace}/db"),
        ("eu", "AWS::SSM::Parameter", "/shop/password"),
        ("web-1", "File", "/etc/shop.key"),
    ):
        assert stack.take_over(*words, expect=1) == {"failed": 1}
    assert yaml_of(stack.folder) == before
    assert stack.take_over("prod", "Secret", f"{namespace}/*") == {"skipped": 1}


def fill_cluster(cluster: Cluster, namespace: str) -> None:
    """Three objects of each kind, as three tools make them."""
    for kind in OBJECTS:
        for number, manager in enumerate(("kubectl-create", "kubectl-client-side-apply", "helm")):
            name = "web" if number == 0 else f"{manager.rpartition('-')[2]}-web"
            body = manifest(kind, namespace, name)
            query = [("fieldManager", manager)]
            if manager == "kubectl-client-side-apply":
                last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(body)}
                body["metadata"]["annotations"] |= last
            cluster.request("POST", collection(kind, namespace), body, query=query)


def fill_cloud(moto: Moto) -> None:
    """52 objects with odd settings, and two that hold secrets."""
    sqs, sns, s3, ssm = (moto.client(name) for name in ("sqs", "sns", "s3", "ssm"))
    for number in range(12):
        sqs.create_queue(
            QueueName=f"q{number}", Attributes={"VisibilityTimeout": str(number)}, tags={"n": "no"}
        )
        sns.create_topic(Name=f"t{number}", Attributes={"DisplayName": f"Topic {number}"})
    sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})
    dead = "arn:aws:sqs:eu-west-1:123456789012:q0"
    policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 4})
    sqs.create_queue(QueueName="with-dead-letters", Attributes={"RedrivePolicy": policy})
    place = {"LocationConstraint": "eu-west-1"}
    for number in range(6):
        s3.create_bucket(Bucket=f"bucket-{number}-of-import", CreateBucketConfiguration=place)
    versioned = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket="bucket-0-of-import", VersioningConfiguration=versioned)
    for number in range(20):
        ssm.put_parameter(Name=f"/shop/n{number}", Value=TEXTS[number % 6 or 9], Type="String")
    for name in ("/shop/password", "/shop/token"):
        ssm.put_parameter(Name=name, Value=SECRET, Type="SecureString")


def fill_host(host: Host) -> None:
    """Packages, services, files and directories that people made there."""
    host.run("apt-get -qqy install t-one t-two t-three </dev/null")
    for number in range(3):
        path = f"/etc/systemd/system/t-{number}.service"
        host.run(
            f"cat > {path} <<'X'\n{UNIT}X\nsystemctl daemon-reload; systemctl enable -q --now t-{number}"
        )
    host.run(
        "install -d /srv/files; install -d -m 0750 /srv/box-1;"
        " install -d -o daemon -g daemon /srv/box-2 '/srv/box-a b'"
    )
    for number in range(40):
        text = TEXTS[number % len(TEXTS)]
        lines = ["base64 -d > $f <<'X'", base64.b64encode(text.encode()).decode(), "X"]
        # An old time, so that a file that is written anew shows.
        lines += [f"chmod {'0644' if number % 2 else '0755'} $f", "touch -d @1000000000 $f"]
        host.run("\n".join([f"f=/srv/files/f{number}.conf", *lines]))


def snapshot(cluster: Cluster, namespace: str, host: Host) -> list[Any]:
    """What must be the same before and after: all but the markers."""
    specs = [
        {key: value for key, value in item.items() if key not in ("metadata", "status")}
        for kind in OBJECTS
        for item in cluster.request("GET", collection(kind, namespace))["items"]
    ]
    files = host.run("find /srv -printf '%p %i %m %u %g %T@\\n' | sort; cat /srv/files/* | sha256sum")
    units = host.run("systemctl show -p MainPID,ActiveState,UnitFileState t-0 t-1 t-2")
    return [specs, files, units, host.run("dpkg-query -W")]


def yaml_of(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted(folder.rglob("*.yaml")))
