"""What is read of a real cluster, and with how many requests; what cannot be read is never absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from tests.cluster.documents import config_map, node_of
from tests.cluster.fixtures import Cluster

from trueup.sdk import Absent, Denied, Failed, Invalid, Node, Observed, Transient
from trueup.sdk.testing.rig import Rig
from trueup_kubernetes import objects
from trueup_kubernetes.client import Client
from trueup_kubernetes.errors import Answer
from trueup_kubernetes.provider import KubernetesProvider
from trueup_kubernetes.session import ClusterSession

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture
def rig(cluster: Cluster, namespace: str) -> Iterator[Rig]:
    rig = Rig(KubernetesProvider(), cluster.target(namespace=namespace))
    yield rig
    rig.close()


@pytest.fixture
def limited(cluster: Cluster, namespace: str) -> Iterator[Rig]:
    """As a user who may read the cluster's identity, and nothing else."""
    cluster.ask(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles",
        {
            "metadata": {"name": "identity"},
            "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
        },
    )
    bind(cluster, "kube-system", "identity")
    rig = Rig(KubernetesProvider(), cluster.limited_target(namespace=namespace))
    yield rig
    rig.close()
    for kind in ("rolebindings", "roles"):
        cluster.ask("DELETE", f"/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/{kind}/identity")


def bind(cluster: Cluster, namespace: str, role: str) -> None:
    cluster.ask(
        "POST",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
        {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}],
        },
    )


def allow_reading(cluster: Cluster, namespace: str) -> None:
    cluster.request(
        "POST",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
        {
            "metadata": {"name": "reader"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}],
        },
    )
    bind(cluster, namespace, "reader")


def make_config_maps(cluster: Cluster, namespace: str, count: int) -> None:
    for number in range(count):
        cluster.request(
            "POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map(f"foreign-{number:03}")
        )


def in_namespace(rig: Rig, name: str, namespace: str) -> Node:
    return node_of(rig, config_map(name, namespace=namespace))


def test_one_list_observes_all_nodes_of_a_kind(
    rig: Rig, cluster: Cluster, make_namespace: Callable[[], str]
) -> None:
    nodes = [in_namespace(rig, f"m{n}", make_namespace()) for n in range(3)]
    nodes += [in_namespace(rig, f"n{n}", nodes[0].namespace) for n in range(20)]
    for node in nodes[:5]:
        rig.create(node)
    cluster.mark()
    answers = rig.observe_all(nodes)
    assert [type(answers[node.address]) for node in nodes] == [Observed] * 5 + [Absent] * 18
    assert [event["objectRef"]["resource"] for event in cluster.audit("list")] == ["configmaps"]
    assert cluster.audit("get") == [] and cluster.writes() == []


def test_one_node_is_observed_without_a_list(rig: Rig, cluster: Cluster) -> None:
    node = node_of(rig, config_map("one"))
    rig.create(node)
    cluster.mark()
    assert isinstance(rig.observe(node), Observed)
    assert [event["verb"] for event in cluster.audit()] == ["get"]


def test_connecting_and_discovery_take_three_requests(rig: Rig, cluster: Cluster) -> None:
    cluster.mark()
    rig.observe(node_of(rig, config_map("none")))
    assert [event["requestURI"].partition("?")[0] for event in cluster.audit()] == [
        "/api/v1/namespaces/kube-system",
        "/api",
        "/apis",
        f"/api/v1/namespaces/{rig.target.config['namespace']}/configmaps/none",
    ]


def test_every_page_is_read(
    rig: Rig, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 4)
    make_config_maps(cluster, namespace, 10)
    nodes = [node_of(rig, config_map(name)) for name in ("foreign-000", "foreign-009", "zzz", "aaa")]
    rig.create(nodes[2])
    cluster.mark()
    answers = rig.observe_all(nodes)
    assert [type(answers[node.address]) for node in nodes] == [Observed, Observed, Observed, Absent]
    assert len(cluster.audit("list")) >= 3


class Meddler(Client):
    """A client whose answers to later pages of a list are taken from `faults`, while there are any."""

    def __init__(self, client: Client, *faults: Answer) -> None:
        self._inner = client
        self.faults = list(faults)

    def request(self, method: str, path: str, **options):  # type: ignore[no-untyped-def,override]
        if any(key == "continue" for key, _ in options.get("query", ())) and self.faults:
            return self.faults.pop(0)
        return self._inner.request(method, path, **options)

    def close(self) -> None:
        self._inner.close()


EXPIRED = Answer(410, {"kind": "Status", "reason": "Expired", "message": "the continue token is too old"})


def meddle(rig: Rig, node: Node, *faults: Answer) -> None:
    session = rig.session(node)
    assert isinstance(session, ClusterSession)
    session.client = Meddler(session.client, *faults)


def test_an_expired_list_is_read_again_from_the_start(
    rig: Rig, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 4)
    make_config_maps(cluster, namespace, 6)
    nodes = [node_of(rig, config_map(name)) for name in ("foreign-000", "foreign-005", "none")]
    meddle(rig, nodes[0], EXPIRED)
    answers = rig.observe_all(nodes)
    assert [type(answers[node.address]) for node in nodes] == [Observed, Observed, Absent]


@pytest.mark.parametrize(
    "fault", [(EXPIRED, EXPIRED), (Answer(500, None),), (Answer(200, {}),), (Answer(404, None),)]
)
def test_a_missing_page_is_an_error_and_nothing_is_absent(
    rig: Rig, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, fault: tuple[Answer, ...]
) -> None:
    monkeypatch.setattr(objects, "PAGE", 4)
    make_config_maps(cluster, namespace, 6)
    nodes = [node_of(rig, config_map(name)) for name in ("foreign-000", "none")]
    meddle(rig, nodes[0], *fault)
    with pytest.raises(Transient):
        rig.observe_all(nodes)


def test_what_a_user_may_not_read_is_denied_and_not_absent(limited: Rig) -> None:
    one, two = node_of(limited, config_map("a")), node_of(limited, config_map("b"))
    with pytest.raises(Denied, match="limited"):
        limited.observe(one)
    with pytest.raises(Denied, match="limited"):
        limited.observe_all([one, two])


def test_a_user_of_some_namespaces_is_told_how_to_import_from_them(
    limited: Rig, cluster: Cluster, namespace: str
) -> None:
    allow_reading(cluster, namespace)
    make_config_maps(cluster, namespace, 2)
    node = node_of(limited, config_map("a"))
    kind, session = limited.kind(node), limited.session(node)
    with pytest.raises(Denied, match="limited") as refused:
        list(kind.discover(session, []))
    assert "trueup import TARGET ConfigMap 'shop/*'" in refused.value.hint
    found = [each.id for each in kind.discover(session, [f"{namespace}/foreign-*"])]
    assert found == [f"{namespace}/foreign-000", f"{namespace}/foreign-001"]


def test_a_user_of_some_namespaces_reads_those(
    limited: Rig, cluster: Cluster, make_namespace: Callable[[], str]
) -> None:
    open_one, open_two, closed = make_namespace(), make_namespace(), make_namespace()
    for name in (open_one, open_two):
        allow_reading(cluster, name)
    make_config_maps(cluster, open_two, 1)
    nodes = [
        in_namespace(limited, "none", open_one),
        in_namespace(limited, "foreign-000", open_two),
        in_namespace(limited, "none", closed),
    ]
    answers = limited.observe_all(nodes)
    assert [type(answers[node.address]) for node in nodes] == [Absent, Observed, Failed]
    refused = answers[nodes[2].address]
    assert isinstance(refused, Failed) and isinstance(refused.error, Denied)


def test_a_recorded_object_that_cannot_be_looked_for_elsewhere_is_not_absent(
    limited: Rig, cluster: Cluster, namespace: str
) -> None:
    allow_reading(cluster, namespace)
    node = replace(node_of(limited, config_map("none")), external_id="recorded")
    refused = limited.observe(node)
    assert isinstance(refused, Failed) and isinstance(refused.error, Denied)
    assert isinstance(limited.observe(node_of(limited, config_map("none"))), Absent)


def test_a_kind_without_a_definition_is_absent(rig: Rig) -> None:
    document = {"apiVersion": "none.example.com/v1", "kind": "Nothing", "metadata": {"name": "a"}}
    assert isinstance(rig.observe(node_of(rig, document)), Absent)


def test_a_slip_of_the_pen_is_an_error_with_a_suggestion(rig: Rig) -> None:
    document = {"apiVersion": "apps/v1", "kind": "Deploymnet", "metadata": {"name": "a"}}
    with pytest.raises(Invalid) as caught:
        rig.observe(node_of(rig, document))
    assert caught.value.hint == "did you mean Deployment?"


def test_a_version_that_is_not_served_says_nothing_about_the_object(rig: Rig) -> None:
    document = {"apiVersion": "networking.k8s.io/v1beta9", "kind": "Ingress", "metadata": {"name": "a"}}
    with pytest.raises(Invalid) as caught:
        rig.observe(node_of(rig, document))
    assert caught.value.hint == "it serves networking.k8s.io/v1"


def test_the_fingerprint_is_the_uid_of_kube_system(rig: Rig, cluster: Cluster) -> None:
    uid = cluster.request("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert rig.session(node_of(rig, config_map("a"))).fingerprint == uid


def test_a_cluster_scoped_object_with_a_namespace_is_refused_alone(rig: Rig) -> None:
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "namespace": "b"}}
    other = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    wrong, right = node_of(rig, document), node_of(rig, other)
    answers = rig.observe_all([wrong, replace(right)])
    assert isinstance(answers[wrong.address], Failed)
    assert isinstance(answers[right.address], Observed)
