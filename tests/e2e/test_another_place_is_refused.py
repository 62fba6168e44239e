"""The same config leads somewhere else, to another account, region, cluster or host: nothing is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tests.moto.serve
import yaml
from tests.cluster.fixtures import Cluster
from tests.e2e.account import Account, document
from tests.faults.proxy import Fault, Mode, Proxy, Relay, name_of_aws, name_of_kubernetes, with_field
from tests.faults.sshd import Sshd
from tests.git.fixtures import GitServer
from tests.moto.fixtures import Moto

from trueup.app import App, SourceSpec
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.model.plan import Plan
from trueup.sdk import Target

OTHER_ACCOUNT = "210987654321"


@pytest.fixture
def other_moto(aws_credentials: None) -> Iterator[Moto]:
    """Another server, whose account is another one."""
    environment = {**os.environ, "MOTO_ACCOUNT_ID": OTHER_ACCOUNT}
    command = [sys.executable, tests.moto.serve.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield Moto(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        finally:
            process.kill()


def check_refused(plan: Plan, count: int) -> None:
    """Every node is refused: what lives, what is new and what left Git."""
    assert len(plan.changes) == count
    assert {change.action for change in plan.changes} == {Action.UNKNOWN}
    for change in plan.changes:
        assert "is another place than the one where this stack was applied" in change.problem, change
    assert not plan.has_changes


@pytest.mark.moto
@pytest.mark.parametrize("other", ["server", "account", "region"])
def test_another_account_or_region(
    moto: Moto, other_moto: Moto, git_server: GitServer, tmp_path: Path, other: str
) -> None:
    moto.reset()
    with Proxy(moto.endpoint, name_of_aws) as proxy:
        account = Account(moto, git_server.create(f"estate-{os.urandom(4).hex()}"), tmp_path, proxy.url)
        for name in ("a", "b", "c"):
            account.declare(
                **{f"p{name}": document("parameter", name), f"q{name}": document("queue", f"q{name}")}
            )
        account.commit()
        account.converge()
        first, look = account.target, account.look()
        if other == "server":
            # Another server under the same URL.
            proxy.lead_to(other_moto.endpoint)
        elif other == "account":
            role = f"arn:aws:iam::{OTHER_ACCOUNT}:role/deploy"
            account.target = Target("eu", "aws", config={**first.config, "assumeRole": role})
        else:
            account.target = Target("eu", "aws", config={**first.config, "region": "eu-central-1"})
        account.configure()
        account.declare(pa=None, pb=document("parameter", "b", 2), pd=document("parameter", "d"))
        account.commit()
        proxy.mark()
        other_moto.mark()
        check_refused(account.reconcile(RunStatus.FAILED).plan, 7)
        assert proxy.writes() == other_moto.writes() == []
        look.check_untouched()
        # Back home, it goes on.
        account.target = first
        proxy.lead_to(moto.endpoint)
        account.configure()
        account.commit()
        account.converge()
        look.check_spared("shop/AWS::SSM::Parameter/a@eu")
        account.check_at_rest()


def write_stack(folder: Path, target: Target, *documents: str) -> SourceSpec:
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    targets = [{"name": target.name, "provider": target.provider, "config": dict(target.config)}]
    stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}}
    (folder / "stack.yaml").write_text(yaml.safe_dump({**stack, "spec": {"targets": targets}}))
    for number, text in enumerate(documents):
        (folder / f"{number}.yaml").write_text(text)
    return SourceSpec(str(folder))


def server_of(cluster: Cluster) -> str:
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    return str(config["clusters"][0]["cluster"]["server"])


def lead_through(proxy: Proxy, cluster: Cluster, file: Path) -> Path:
    """The kubeconfig of the cluster with another server in it."""
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    config["clusters"][0]["cluster"] = {"server": proxy.url}
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.mark.cluster
@pytest.mark.xdist_group("cluster")
def test_another_cluster(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    def bag(name: str, value: str = "1") -> str:
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}
        return yaml.safe_dump(body)

    place = f"/api/v1/namespaces/{namespace}/configmaps"
    with Proxy(server_of(cluster), name_of_kubernetes) as proxy, App(str(tmp_path / "store.db")) as app:
        target = cluster.target("prod", kubeconfig=str(lead_through(proxy, cluster, tmp_path / "kubeconfig")))
        source = write_stack(tmp_path / "shop", target, bag("a"), bag("b"), bag("c"))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        before = cluster.request("GET", place)["items"]
        # The kubeconfig leads to another cluster now, which has the same names.
        other = Fault(Mode.BODY, body=with_field(("metadata", "uid"), "another-cluster"))
        proxy.spoil(lambda asked: asked.name == "GET /api/v1/namespaces/kube-system", other)
        write_stack(tmp_path / "shop", target, bag("b", "2"), bag("c"), bag("d"))
        proxy.mark()
        report = app.reconcile(source)
        assert report.status is RunStatus.FAILED
        check_refused(report.plan, 4)
        assert proxy.writes() == []
        assert cluster.request("GET", place)["items"] == before
        proxy.heal()
        assert app.reconcile(source).status is RunStatus.CONVERGED
        names = {item["metadata"]["name"] for item in cluster.request("GET", place)["items"]}
        assert {"b", "c", "d"} <= names
        assert "a" not in names


def test_another_host(tmp_path: Path) -> None:
    """Behind one address and port, first one host and then another one; both host keys are known."""

    def file(name: str, content: str = "1") -> str:
        path = str(tmp_path / "live" / name)
        body = {"apiVersion": "ssh.trueup.dev/v1", "kind": "File", "metadata": {"name": name}}
        return yaml.safe_dump({**body, "spec": {"path": path, "content": content}})

    live = tmp_path / "live"
    live.mkdir()
    with (
        Sshd(tmp_path / "one") as one,
        Sshd(tmp_path / "two", "ecdsa") as two,
        Relay(one.port) as relay,
        App(str(tmp_path / "store.db")) as app,
    ):
        target = one.target("web", relay.port, stateDir=str(tmp_path / "state"))
        one.know(relay.port, one, two)
        source = write_stack(tmp_path / "shop", target, file("a"), file("b"), file("c"))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        write_stack(tmp_path / "shop", target, file("b", "2"), file("c"), file("d"))
        relay.lead_to(two.port)
        report = app.reconcile(source)
        assert report.status is RunStatus.FAILED
        check_refused(report.plan, 4)
        assert {path.name: path.read_text() for path in live.iterdir()} == dict.fromkeys("abc", "1")
        # And with a key that is not known: it is not even logged in to.
        one.know(relay.port, one)
        two.log_since_last_look()
        report = app.reconcile(source)
        assert {change.action for change in report.plan.changes} == {Action.UNKNOWN}
        assert "its host key is not" in report.plan.changes[0].problem
        assert "Accepted" not in two.log_since_last_look()
        relay.lead_to(one.port)
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert {path.name: path.read_text() for path in live.iterdir()} == {"b": "2", "c": "1", "d": "1"}
