"""After a create nothing differs: the comparison knows how a real API server spells what it is given."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from tests.cluster.documents import load_documents, node_of, paths
from tests.cluster.fixtures import Cluster

from trueup.model.values import to_record
from trueup.sdk import Action, Node
from trueup.sdk.testing.rig import Rig
from trueup_kubernetes.provider import KubernetesProvider

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

NAMESPACED = load_documents("round_trips.yaml")


@pytest.fixture
def rig(cluster: Cluster, namespace: str) -> Iterator[Rig]:
    rig = Rig(KubernetesProvider(), cluster.target(namespace=namespace))
    yield rig
    rig.close()


def expect_round_trip(rig: Rig, node: Node) -> None:
    kind = rig.kind(node)
    assert list(kind.validate(node)) == []
    rig.create(node)
    seen = rig.observed(node)
    for recorded in (None, to_record(node.body)):
        change = rig.diff(node, seen, recorded)
        assert change.action is Action.NONE, [(f.path, f.before, f.after) for f in change.fields]


@pytest.mark.parametrize(
    "index", range(len(NAMESPACED)), ids=[f"{d['kind']}-{d['metadata']['name']}" for d in NAMESPACED]
)
def test_a_second_plan_is_empty(rig: Rig, index: int) -> None:
    namespace = str(rig.target.config["namespace"])
    expect_round_trip(rig, node_of(rig, load_documents("round_trips.yaml", NS=namespace)[index]))


def test_a_second_plan_is_empty_for_what_belongs_to_no_namespace(rig: Rig) -> None:
    """In one go, the custom resource right after its definition."""
    unique = f"t{uuid.uuid4().hex[:10]}"
    kind = unique.capitalize()
    made = []
    try:
        for document in load_documents("cluster_wide.yaml", UNIQUE=unique, KIND=kind):
            node = node_of(rig, document)
            made.append(node)
            expect_round_trip(rig, node)
    finally:
        for node in reversed(made):
            rig.delete(node)


def test_a_second_plan_sees_each_kind_of_edit(rig: Rig, cluster: Cluster) -> None:
    """The silence of the round trips is not deafness: real edits of the same object show, one by one."""
    namespace = str(rig.target.config["namespace"])
    document = load_documents("round_trips.yaml")[0]
    node = node_of(rig, document)
    rig.create(node)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    container = "/spec/template/spec/containers/web"
    edits = [
        ("/spec/replicas", 1, "/spec/replicas"),
        (
            "/spec/template/spec/containers/0/resources/limits/cpu",
            "1001m",
            f"{container}/resources/limits/cpu",
        ),
        ("/spec/template/spec/containers/0/env/0/value", "x", f"{container}/env/Z/value"),
        ("/spec/template/spec/containers/0/ports/0/containerPort", 81, f"{container}/ports/80,TCP"),
        ("/spec/template/spec/hostNetwork", True, "/spec/template/spec/hostNetwork"),
        (
            "/spec/template/spec/volumes/1/emptyDir/medium",
            "Memory",
            "/spec/template/spec/volumes/tmp/emptyDir/medium",
        ),
        ("/spec/template/spec/tolerations/0/key", "other", "/spec/template/spec/tolerations/0/key"),
        ("/metadata/labels/app", "other", "/metadata/labels/app"),
    ]
    for pointer, value, expected in edits:
        operation = {"op": "add", "path": pointer, "value": value}
        if pointer.endswith("hostNetwork"):  # the server wants host ports to be the same
            value_of = cluster.request("GET", path)["spec"]["template"]["spec"]["containers"][0]["ports"]
            ports = [{**port, "hostPort": port["containerPort"]} for port in value_of]
            operations = [
                operation,
                {"op": "add", "path": "/spec/template/spec/containers/0/ports", "value": ports},
            ]
        else:
            operations = [operation]
        cluster.request(
            "PATCH",
            path,
            operations,
            query=[("fieldManager", "kubectl-edit")],
            content_type="application/json-patch+json",
        )
        seen = rig.observed(node)
        change = rig.diff(node, seen, to_record(node.body))
        assert expected in paths(change)
        rig.update(node, change)
        assert rig.diff(node, rig.observed(node), to_record(node.body)).action is Action.NONE, pointer
