"""Secrets of sops and of the environment on their way to a cluster, a cloud and a host.

Each run that there is is made: plans in every format, applies, drift, failures that quote what they were
sent, a daemon. Afterwards the secrets stand at their destinations and in no other place.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml
from tests.cluster.fixtures import Cluster
from tests.e2e.canary import Canary, Watch, files_below
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer, Repository
from tests.hosts.fixtures import Host
from tests.moto.fixtures import Moto

pytestmark = [pytest.mark.hosts, pytest.mark.cluster, pytest.mark.moto, pytest.mark.xdist_group("hosts")]

RESOURCES = """
apiVersion: v1
kind: Namespace
metadata: {name: canary}
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: canary}
stringData:
  password: ${{ secret("sops:secrets.yaml#/db/password") }}
  url: postgres://shop:${{ secret("env:CANARY_ENV") }}@db/shop
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: canary, annotations: {note: 'with ${{ secret("env:CANARY_ENV") }}'}}
data:
  url: postgres://shop:${{ secret("env:CANARY_ENV") }}@db/shop
  again: ${{ ref("Secret/canary/db").stringData.password }}
---
apiVersion: aws.trueup.dev/v1
kind: AWS::SSM::Parameter
metadata: {name: db}
spec:
  Name: /canary/db
  Type: SecureString
  Value: ${{ secret("sops:secrets.yaml#/db/password") }}
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: env}
spec:
  path: /etc/canary.env
  content: |
    # a comment
    PASSWORD=${{ secret("sops:secrets.yaml#/db/password") }}
  mode: "0600"
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: template}
spec:
  path: /etc/canary.conf
  template: "password = {{ password }}; user = {{ user }}\\n"
  data: {user: shop, password: '${{ secret("env:CANARY_ENV") }}'}
"""
FAILING = """
apiVersion: v1
kind: Service
metadata: {name: bad, namespace: canary}
spec: {clusterIP: '${{ secret("env:CANARY_ENV") }}', ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: bad, namespace: canary, labels: {a: '${{ secret("sops:secrets.yaml#/db/password") }}'}}
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: owner}
spec: {path: /etc/canary.owner, content: x, owner: '${{ secret("env:CANARY_ENV") }}'}
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: place}
spec: {path: '/proc/${{ secret("sops:secrets.yaml#/db/password") }}', content: x}
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: expression}
spec: {path: /etc/canary.number, content: '${{ string(int(secret("env:CANARY_ENV"))) }}'}
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: template-error}
spec:
  path: /etc/canary.template
  template: "{{ password + 1 }}"
  data: {password: '${{ secret("env:CANARY_ENV") }}'}
---
apiVersion: aws.trueup.dev/v1
kind: AWS::SQS::Queue
metadata: {name: bad}
spec: {QueueName: canary-bad, KmsMasterKeyId: '${{ secret("sops:secrets.yaml#/db/password") }}'}
---
apiVersion: aws.trueup.dev/v1
kind: AWS::SSM::Parameter
metadata: {name: bad}
spec: {Name: /canary/bad, Type: String, Value: x, Description: '${{ secret("env:CANARY_ENV") }}'}
"""
DESTINATIONS = ("etc/canary.env", "etc/canary.conf", "etc/canary.owner", "etc/canary.template")


@dataclass
class Estate:
    """The stack in its repository, and all that was said about it."""

    folder: Path
    repository: Repository
    sops: Path
    identity: Any
    by_sops: Canary
    by_env: Canary
    said: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        whole = {**os.environ, "NO_COLOR": "1", "TMPDIR": str(self.folder / "tmp")}
        whole["PATH"] = f"{self.sops.parent}:{whole['PATH']}"
        return {**whole, "SOPS_AGE_KEY": str(self.identity), "CANARY_ENV": self.by_env.value}

    def commit(self, targets: Sequence[Any], resources: str, *policies: dict[str, str]) -> str:
        config = [{"name": t.name, "provider": t.provider, "config": dict(t.config)} for t in targets]
        outputs = {"password": '${{ secret("env:CANARY_ENV") }}'}
        document = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "canary"},
            "spec": {
                "targets": config,
                "outputs": outputs,
                "guards": {"maxDeletes": "100%"},
                "policies": list(policies),
            },
        }
        files = {"stack.yaml": yaml.safe_dump(document), "resources.yaml": resources}
        return self.repository.commit({**files, "secrets.yaml": self.encrypt()}, "Change")

    def encrypt(self) -> str:
        file = self.folder / "secrets.yaml"
        file.write_text(yaml.safe_dump({"db": {"password": self.by_sops.value}}))
        key = str(self.identity.to_public())
        done = subprocess.run(
            [self.sops, "-e", "--age", key, file], capture_output=True, text=True, check=True
        )
        file.unlink()
        return done.stdout

    def run(self, command: str, *options: str, expect: int | None = 0) -> str:
        """Runs a command on the stack and keeps what it says."""
        return self.ask(command, self.repository.url("http"), *options, expect=expect)

    def ask(self, command: str, *words: str, expect: int | None = 0) -> str:
        """Runs a command and keeps what it says."""
        line = [*TRUEUP, command, *words]
        if command not in ("validate", "graph") and "--store" not in words:
            line += ["--store", str(self.folder / "store.db")]
        done = subprocess.run(
            line, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=300
        )
        self.said.append((f"trueup {command} {' '.join(words)}: stdout", done.stdout))
        self.said.append((f"trueup {command} {' '.join(words)}: stderr", done.stderr))
        if expect is not None:
            assert done.returncode == expect, (done.stdout + done.stderr).decode()
        return done.stdout.decode()


@pytest.fixture
def host(hosts: Sequence[Host]) -> Iterator[Host]:
    hosts[0].fresh()
    yield hosts[0]
    hosts[0].fresh()


@pytest.fixture
def estate(tmp_path: Path, git_server: GitServer, sops_binary: Path) -> Estate:
    (tmp_path / "tmp").mkdir()
    repository = git_server.create(f"canary-{os.urandom(4).hex()}")
    identity = pyrage.x25519.Identity.generate()
    return Estate(tmp_path, repository, sops_binary, identity, Canary.make(), Canary.make())


def test_a_secret_is_nowhere_but_at_its_destination(
    estate: Estate, cluster: Cluster, moto: Moto, host: Host
) -> None:
    moto.reset()
    targets = [cluster.target("prod"), moto.target("eu"), host.target("web-1")]
    good = estate.commit(targets, RESOURCES)
    with Watch() as watch:
        try:
            _apply(estate, cluster, moto, host)
            _drift(estate, cluster, moto, host)
            _fail(estate, targets, moto)
            _go_back(estate, good)
            _look_back(estate)
            _serve(estate, targets)
            _rotate(estate, targets, cluster, host)
        finally:
            moto.reset()
            cluster.ask("DELETE", "/api/v1/namespaces/canary")
    assert watch.saw(b"sops\0--decrypt"), "the watch saw no sops"
    assert watch.saw(b"trueup\0reconcile"), "the watch saw no trueup"
    _hunt(estate, host, watch)
    wait_until(lambda: cluster.ask("GET", "/api/v1/namespaces/canary")[0] == 404, "the namespace is gone")


def _apply(estate: Estate, cluster: Cluster, moto: Moto, host: Host) -> None:
    estate.run("validate", "-vv")
    estate.run("plan", "-vv", expect=2)
    estate.run("plan", "--save", str(estate.folder / "saved.plan"), expect=2)
    estate.run("graph")
    estate.run("reconcile", "--yes", "-vv")
    _arrived(estate, cluster, moto, host)
    assert json.loads(estate.run("plan", "--output", "json"))["changes"] == []
    forms = [(command, form) for command in ("status", "outputs") for form in ("text", "json")]
    _ask_all(estate, *([command, "-", "--output", form] for command, form in forms), expect=None)


def _arrived(estate: Estate, cluster: Cluster, moto: Moto | None, host: Host) -> None:
    by_sops, by_env = estate.by_sops.value, estate.by_env.value
    secret = cluster.request("GET", "/api/v1/namespaces/canary/secrets/db")["data"]
    assert base64.b64decode(secret["password"]).decode() == by_sops
    assert base64.b64decode(secret["url"]).decode() == f"postgres://shop:{by_env}@db/shop"
    settings = cluster.request("GET", "/api/v1/namespaces/canary/configmaps/settings")
    assert settings["data"] == {"url": f"postgres://shop:{by_env}@db/shop", "again": by_sops}
    assert host.run("cat /etc/canary.env") == f"# a comment\nPASSWORD={by_sops}\n"
    assert host.run("cat /etc/canary.conf") == f"password = {by_env}; user = shop\n"
    if moto is not None:
        parameter = moto.client("ssm").get_parameter(Name="/canary/db", WithDecryption=True)["Parameter"]
        assert parameter["Value"] == by_sops


def _drift(estate: Estate, cluster: Cluster, moto: Moto, host: Host) -> None:
    """Someone changes what lives, and leaves the secrets in it."""
    path = "/api/v1/namespaces/canary"
    cluster.patch(f"{path}/configmaps/settings", {"data": {"url": f"by hand {estate.by_env.value}"}})
    cluster.patch(f"{path}/secrets/db", {"stringData": {"password": f"by hand {estate.by_sops.value}"}})
    moto.client("ssm").put_parameter(
        Name="/canary/db", Value=f"by hand {estate.by_sops.value}", Type="SecureString", Overwrite=True
    )
    host.run("echo by hand >> /etc/canary.env; echo by hand >> /etc/canary.conf; chmod 0644 /etc/canary.env")
    estate.run("plan", "--output", "markdown", expect=2)
    _ask_all(
        estate,
        ["plan", "-", "--output", "text"],
        ["plan", "-", "--output", "json"],
        ["drift", "-", "--suggest"],
        ["drift", "-", "--output", "json"],
        expect=2,
    )
    estate.run("reconcile", "--yes", "-vv", "--output", "json")
    _arrived(estate, cluster, moto, host)


def _ask_all(estate: Estate, *lines: Sequence[str], expect: int | None = 0) -> None:
    """Commands that change nothing, two at once; `-` is the stack."""
    url = estate.repository.url("http")

    def ask(line: Sequence[str]) -> str:
        return estate.ask(*(url if word == "-" else word for word in line), expect=expect)

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(ask, lines))


def _fail(estate: Estate, targets: Sequence[Any], moto: Moto) -> None:
    """What refuses, and quotes what it was sent."""
    estate.commit(targets, RESOURCES + "---" + FAILING)
    for name in ("ssm:PutParameter", "ssm:GetParameter", "ssm:GetParameters"):
        moto.fail(name, "ValidationException", message=f"the value {estate.by_sops.value} is refused")
    forms = ("text", "json", "markdown")
    _ask_all(estate, *(["plan", "-", "-vv", "--output", form] for form in forms), expect=None)
    estate.run("reconcile", "--yes", "-vv", expect=1)
    estate.run("status", "--output", "text", expect=None)
    moto.reset()


def _go_back(estate: Estate, good: str) -> None:
    """Away from what fails, and word of why."""
    estate.run("rollback", "--to", good, "--reason", "it fails", "--yes", "--output", "json")
    estate.run("suspend", "--reason", "somebody looks at it")
    estate.run("reconcile", "--yes", expect=3)
    estate.run("status", "--output", "json", expect=None)
    estate.run("resume")


def _look_back(estate: Estate) -> None:
    """All that the store tells of the runs so far, and what it could be made anew from."""
    runs = json.loads(estate.run("history", "--output", "json"))["runs"]
    failed = next(str(each["run"]) for each in runs if each["status"] == "failed")
    pair, about = (str(runs[-1]["run"]), failed), ("--source", "-")
    secret, bad = "Secret/canary/db", "ConfigMap/canary/bad"
    _ask_all(
        estate,
        ["history", "-"],
        ["events", "-"],
        ["events", "-", "--output", "json"],
        *(["show", failed, "--output", form] for form in ("text", "json")),
        *(["diff", *pair, "--output", form] for form in ("text", "json")),
        *(["blame", f"{secret}.stringData.password", *about, "--output", form] for form in ("text", "json")),
        ["blame", secret, "--offline", *about],
        *(["why", each, *about, "--output", form] for each, form in ((secret, "text"), (bad, "json"))),
    )
    new = ("--store", str(estate.folder / "new.db"))
    refused = estate.run("recover", *new, "--yes", "--output", "json", expect=1)
    named = re.search("--installation ([0-9a-f]+)", refused)
    assert named, refused
    new += ("--installation", named[1], "--yes")
    assert "Secret/canary/db" in estate.run("recover", *new, "--output", "json")


def _serve(estate: Estate, targets: Sequence[Any]) -> None:
    """A daemon, over what fails and over what does not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = estate.folder / "trueup.toml"
    config.write_text(
        f'store = "{estate.folder / "store.db"}"\n[daemon]\nlisten = "127.0.0.1:{port}"\n'
        f'[[stacks]]\nname = "canary"\nlocation = "{estate.repository.url("http")}"\n'
        'poll = "1s"\ninterval = "2s"\n'
    )
    log = estate.folder / "daemon.log"

    def ended(status: str) -> bool:
        return f'"status": "{status}"' in log.read_text()

    with log.open("wb") as stream:
        line = [*TRUEUP, "daemon", "--config", str(config), "--verbose"]
        process = subprocess.Popen(line, env=estate.environment, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: ended("failed"), "a run of the daemon failed", 120)
        estate.commit(targets, RESOURCES)
        wait_until(lambda: ended("converged"), "a run of the daemon converged", 120)
        for page in ("/metrics", "/healthz", "/readyz", "/"):
            estate.said.append((f"the daemon's {page}", _get(f"http://127.0.0.1:{port}{page}")))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    estate.said.append(("the daemon's log", log.read_bytes()))


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return bytes(error.read())


def _rotate(estate: Estate, targets: Sequence[Any], cluster: Cluster, host: Host) -> None:
    """New secrets take the place of the old ones, of which nothing is left either."""
    old = estate.by_sops, estate.by_env
    estate.by_sops, estate.by_env = Canary.make(), Canary.make()
    rule = {
        "name": "careful",
        "rule": 'change.action != "update"',
        "enforce": "approve",
        "message": "somebody has to look",
    }
    estate.commit(targets, RESOURCES, rule)
    held = json.loads(estate.run("reconcile", "--yes", "-vv", "--output", "json", expect=3))
    estate.run("approve", held["plan"]["digest"], "--note", "looked at")
    estate.run("reconcile", "--yes", "-vv")
    _arrived(estate, cluster, None, host)
    for canary in old:
        assert list(canary.leaks(_everywhere(estate, host))) == []
    estate.run("destroy", "--yes", "-vv")
    for canary in old:
        assert list(canary.leaks(_everywhere(estate, host))) == []


def _everywhere(estate: Estate, host: Host) -> Iterator[tuple[str, bytes]]:
    """All that was said, all that was written here, and all of the host but the destinations."""
    yield from estate.said
    yield from files_below(
        estate.folder, Path(os.environ["XDG_CACHE_HOME"]), Path(os.environ["XDG_STATE_HOME"])
    )
    places = [host.disk / name for name in ("etc", "root", "tmp", "home", "run", "var")]
    destinations = {str(host.disk / name) for name in DESTINATIONS}
    yield from ((path, content) for path, content in files_below(*places) if path not in destinations)


def _hunt(estate: Estate, host: Host, watch: Watch) -> None:
    leaks: list[str] = []
    for canary in (estate.by_sops, estate.by_env):
        leaks += canary.leaks(_everywhere(estate, host))
    commands = [each for each in watch.places() if each[0] == "a command line"]
    leaks += [leak for canary in (estate.by_sops, estate.by_env) for leak in canary.leaks(commands)]
    # The secret of the environment stands in that of trueup, and so in those of its children; no other does.
    leaks += estate.by_sops.leaks(watch.places())
    assert leaks == []


def test_the_hunt_finds_a_secret_in_each_of_its_forms(tmp_path: Path) -> None:
    canary = Canary.make()
    value = canary.value.encode()
    texts = [
        b"x" + value,
        json.dumps(canary.value).encode(),
        *(base64.b64encode(b"x" * count + value + b"y") for count in range(6)),
        value.hex().encode(),
        value.hex().upper().encode(),
        value.hex(" ", 2).encode(),
        *(base64.encodebytes(b"x" * count + value + b"y") for count in range(40, 60)),
        json.dumps(base64.encodebytes(b"x" * 50 + value).decode()).encode(),
        textwrap.indent(textwrap.fill(base64.b64encode(b"x" * 50 + value).decode(), 20), "    ").encode(),
    ]
    for text in texts:
        assert list(canary.leaks([("here", text)])), text
    (tmp_path / "leak").write_bytes(value)
    assert list(canary.leaks(files_below(tmp_path)))
    with Watch() as watch:
        subprocess.run(["sleep", "0.2"], env={"LEAK": canary.value}, check=True)
        subprocess.run(["sh", "-c", f"sleep 0.2; : '{canary.value[:18]}'"], check=True)
    found = list(canary.leaks(watch.places()))
    assert any("a command line" in leak for leak in found)
    assert any("the environment" in leak for leak in found)
