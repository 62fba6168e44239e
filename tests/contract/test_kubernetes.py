"""The kubernetes provider keeps every promise of the contract, against a real cluster."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.fixtures import Cluster

from trueup.sdk import Node, Target
from trueup.sdk.testing.contract import Case, ProviderContract, Rig
from trueup_kubernetes.provider import KubernetesProvider
from trueup_kubernetes.session import ClusterSession

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

CANARY, OTHER_CANARY = "tr0ub4dor-and-3", "c0rrect-h0rse"


def deployment(image: str, replicas: int = 0, app: str = "web") -> dict[str, object]:
    pod = {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]}
    template = {"metadata": {"labels": {"app": app}}, "spec": pod}
    return {"spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template}}


def service(*ports: dict[str, object]) -> dict[str, object]:
    return {"spec": {"selector": {"app": "web"}, "ports": list(ports)}}


class TestKubernetes(ProviderContract):
    plugin_module = "trueup_kubernetes.plugin"
    sdk_modules = ("kubernetes", "urllib3")
    cases = (
        Case(
            *("v1", "ConfigMap", "settings", {"data": {"a": "1", "b": "2"}}, {"data": {"a": "3"}}),
            replaced=None,
            metadata={"labels": {"app": "shop"}},
        ),
        Case(
            *("v1", "ConfigMap", "frozen", {"immutable": True, "data": {"a": "1"}}),
            replaced={"immutable": True, "data": {"a": "2"}},
        ),
        Case(
            *("v1", "Secret", "password", {"stringData": {"password": CANARY}}),
            {"stringData": {"password": OTHER_CANARY}},
            sensitive=(CANARY, OTHER_CANARY),
        ),
        Case(
            *("apps/v1", "Deployment", "web", deployment("nginx:1"), deployment("nginx:2")),
            replaced=deployment("nginx:1", app="other"),
            is_refreshable=True,
        ),
        Case(
            *("v1", "Service", "web", service({"name": "http", "port": 80})),
            service({"name": "http", "port": 80}, {"name": "tls", "port": 443}),
        ),
    )

    @pytest.fixture
    def provider(self) -> KubernetesProvider:
        return KubernetesProvider()

    @pytest.fixture
    def target(self, cluster: Cluster, namespace: str) -> Target:
        self.cluster = cluster
        return cluster.target(namespace=namespace)

    def prepare(self, rig: Rig, case: Case) -> Case:
        """Waits for what an earlier test left to the deletion of its namespace: its markers are not ours."""
        node = rig.node(case)
        rig.touched.pop()
        deadline = time.monotonic() + 60
        while rig.owned(node) and time.monotonic() < deadline:
            time.sleep(0.1)
        return case

    @pytest.fixture
    def unreachable_target(self, cluster: Cluster, tmp_path: Path) -> Iterator[Target]:
        with socket.socket() as taken:  # bound, but it does not listen: refused
            taken.bind(("127.0.0.1", 0))
            config = json.loads(Path(cluster.kubeconfig).read_text())
            config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{taken.getsockname()[1]}"
            path = tmp_path / "kubeconfig"
            path.write_text(json.dumps(config))
            yield Target("cluster", "kubernetes", config={"kubeconfig": str(path)})

    @pytest.fixture
    def denied_target(self, cluster: Cluster) -> Target:
        return cluster.limited_target()

    def count_writes(self, rig: Rig) -> int:
        return len(self.cluster.writes())

    def snapshot(self, rig: Rig, node: Node) -> bytes:
        session = rig.session(node)
        assert isinstance(session, ClusterSession)
        resource = session.resource(node.api_version, node.kind)
        body = self.cluster.request("GET", resource.path(session.namespace, node.name))
        metadata = {
            key: value
            for key, value in body["metadata"].items()
            if key not in ("resourceVersion", "managedFields")
        }
        return json.dumps({**body, "metadata": metadata, "status": None}, sort_keys=True).encode()

    def test_each_kind_is_found_by_its_own_name(self, provider: KubernetesProvider, target: Target) -> None:  # type: ignore[override]
        for kind in provider.kinds():
            assert provider.kind(kind.api_version, kind.name) is kind
        # Only the cluster knows which kinds there are, so only other providers' are refused.
        assert provider.kind("aws.trueup.dev/v1", "AWS::SQS::Queue") is None
        assert provider.kind("ssh.trueup.dev/v1", "File") is None
