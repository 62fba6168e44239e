"""What import makes of objects that people made with kubectl, tools and controllers, on a real cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from tests.cluster.fixtures import Cluster
from tests.cluster.written import OBJECTS, collection, manifest

from trueup.sdk import Action, Change, Discovered, Document, Missing
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.rig import Rig
from trueup_kubernetes.provider import KubernetesProvider

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def post(cluster: Cluster, body: Mapping[str, Any], namespace: str, manager: str = "kubectl-create") -> None:
    """As `kubectl create` does."""
    cluster.request("POST", collection(body["kind"], namespace), body, query=[("fieldManager", manager)])


def client_side_apply(cluster: Cluster, body: Mapping[str, Any], namespace: str) -> None:
    """As `kubectl apply` does: the manifest in an annotation."""
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(body) + "\n"}
    metadata = {**body["metadata"], "annotations": {**body["metadata"]["annotations"], **last}}
    post(cluster, {**body, "metadata": metadata}, namespace, "kubectl-client-side-apply")


def server_side_apply(cluster: Cluster, body: Mapping[str, Any], namespace: str) -> None:
    """As `kubectl apply --server-side` and most controllers of GitOps do."""
    path = f"{collection(body['kind'], namespace)}/{body['metadata']['name']}"
    query = [("fieldManager", "flux"), ("force", "true")]
    cluster.request("PATCH", path, body, query=query, content_type="application/apply-patch+yaml")


@pytest.fixture
def rig(cluster: Cluster, namespace: str) -> Iterator[Rig]:
    rig = Rig(KubernetesProvider(), cluster.target(namespace=namespace))
    yield rig
    rig.close()


def case_of(document: Mapping[str, Any]) -> Case:
    rest = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = document["metadata"]
    more = {key: value for key, value in metadata.items() if key not in ("name", "namespace")}
    return Case(
        document["apiVersion"],
        document["kind"],
        metadata["name"],
        rest,
        namespace=metadata.get("namespace", ""),
        metadata=more,
    )


def discover(rig: Rig, api_version: str, kind: str, *ids: str) -> list[Discovered | Missing]:
    node = rig.node(Case(api_version, kind, "any", {}))
    rig.touched.clear()
    return list(rig.kind(node).discover(rig.session(node), ids))


def export(rig: Rig, api_version: str, kind: str, name: str = "web") -> Document:
    (found,) = discover(rig, api_version, kind, name)
    assert isinstance(found, Discovered)
    node = rig.node(Case(api_version, kind, name, {}))
    rig.touched.clear()
    return rig.kind(node).export(found.body)


def adopt(rig: Rig, document: Mapping[str, Any]) -> None:
    """Fails unless a plan is empty before the object is taken over, and after."""
    node = rig.node(case_of(document), adopt=True)
    rig.touched.clear()
    assert list(rig.kind(node).validate(node)) == []
    before = rig.observed(node)
    assert rig.diff(node, before, None).fields == ()
    rig.update(node, Change(node.address, Action.ADOPT, observed=before))
    after = rig.observed(node)
    assert after.owner == rig.owner(node)
    assert after.body.get("spec") == before.body.get("spec"), "taking it over changed the object"
    assert rig.diff(node, after, node.body).fields == ()
    assert rig.diff(node, after, None).fields == ()


@pytest.mark.parametrize("make", [post, client_side_apply, server_side_apply])
@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_comes_back_as_it_was_written(
    rig: Rig, cluster: Cluster, namespace: str, kind: str, make: Callable[..., None]
) -> None:
    body = manifest(kind, namespace)
    make(cluster, body, namespace)
    document = export(rig, body["apiVersion"], kind)
    adopt(rig, document)
    assert document["metadata"] == body["metadata"]
    lost = [path for path, value in flat(body) if value != dict(flat(document)).get(path, value)]
    assert lost == []
    added = {path for path, _ in flat(document)} - {path for path, _ in flat(body)}
    assert added <= ALLOWED.get(kind, set()), sorted(added)


# What only the server says and what cannot be left out, since it is part of a value that is set as a whole.
FIELD_REF = "spec/containers/0/env/2/valueFrom/fieldRef/apiVersion"
ALLOWED: dict[str, set[str]] = {
    **{kind: {f"/spec/template/{FIELD_REF}"} for kind in ("DaemonSet", "Deployment", "Job")},
    "CronJob": {f"/spec/jobTemplate/spec/template/{FIELD_REF}"},
    "HorizontalPodAutoscaler": {"/spec/minReplicas"},
    "LimitRange": {"/spec/limits/0/defaultRequest/cpu"},
    "NetworkPolicy": {"/spec/ingress/0/ports/0/protocol", "/spec/policyTypes/0"},
    "RoleBinding": {"/subjects/1/apiGroup"},
    "StatefulSet": {
        f"/spec/template/{FIELD_REF}",
        *(f"/spec/volumeClaimTemplates/0/{name}" for name in ("apiVersion", "kind")),
        *(f"/spec/volumeClaimTemplates/0/{name}" for name in ("spec/volumeMode", "status/phase")),
    },
}


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flat(item, f"{path}/{key}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from flat(item, f"{path}/{index}")
    else:
        yield path, value


def ids(found: list[Discovered | Missing]) -> list[str]:
    return [each.id if isinstance(each, Discovered) else f"!{each.id}" for each in found]


def test_objects_are_named_with_or_without_a_namespace_and_by_patterns(
    rig: Rig, cluster: Cluster, make_namespace: Callable[[], str], namespace: str
) -> None:
    other = make_namespace()
    for where, name in ((namespace, "web-1"), (namespace, "web-2"), (other, "web-1")):
        post(cluster, manifest("ConfigMap", where, name), where)
    assert ids(discover(rig, "v1", "ConfigMap", "web-1")) == [f"{namespace}/web-1"]
    assert ids(discover(rig, "v1", "ConfigMap", f"{other}/web-1", "none")) == [
        f"!{namespace}/none",
        f"{other}/web-1",
    ]
    assert ids(discover(rig, "v1", "ConfigMap", "web-*")) == [f"{namespace}/web-1", f"{namespace}/web-2"]
    assert f"{other}/web-1" in ids(discover(rig, "v1", "ConfigMap", "*/web-?"))
    everywhere = ids(discover(rig, "v1", "ConfigMap"))
    assert {f"{namespace}/web-1", f"{other}/web-1", "kube-system/kube-root-ca.crt"} <= set(everywhere)
    assert ids(discover(rig, "v1", "Namespace", namespace)) == [namespace]


def test_what_the_cluster_and_its_controllers_made_is_of_the_system(
    rig: Rig, cluster: Cluster, namespace: str
) -> None:
    post(cluster, manifest("Deployment", namespace), namespace)
    post(cluster, manifest("ServiceAccount", namespace), namespace)
    made: dict[str, bool] = {}
    for api_version, kind in (
        *(("v1", "ServiceAccount"), ("v1", "ConfigMap"), ("v1", "Namespace"), ("v1", "Service")),
        *(("apps/v1", "ReplicaSet"), ("apps/v1", "Deployment")),
        *(("rbac.authorization.k8s.io/v1", "ClusterRole"), ("scheduling.k8s.io/v1", "PriorityClass")),
    ):
        for found in discover(rig, api_version, kind):
            assert isinstance(found, Discovered)
            made[f"{kind}/{found.id}"] = found.is_system
    assert made["Service/default/kubernetes"]
    assert made["Namespace/kube-system"] and made["Namespace/default"] and not made[f"Namespace/{namespace}"]
    assert made["ClusterRole/cluster-admin"] and made["PriorityClass/system-node-critical"]
    assert made[f"ServiceAccount/{namespace}/default"] and not made[f"ServiceAccount/{namespace}/web"]
    assert made[f"ConfigMap/{namespace}/kube-root-ca.crt"]
    assert not made[f"Deployment/{namespace}/web"]
    sets = [key for key in made if key.startswith(f"ReplicaSet/{namespace}/")]
    assert len(sets) == 1 and made[sets[0]]


def test_only_kinds_that_people_write_are_looked_for(rig: Rig) -> None:
    node = rig.node(Case("v1", "ConfigMap", "any", {}))
    rig.touched.clear()
    kinds = {(kind.api_version, kind.name) for kind in rig.provider.discoverable(rig.session(node))}
    assert {
        ("v1", "ConfigMap"),
        ("apps/v1", "Deployment"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
    } <= kinds
    names = {name for _, name in kinds}
    assert not names & {"Event", "Endpoints", "EndpointSlice", "Lease", "Node", "TokenReview", "Binding"}
    assert ("autoscaling/v1", "HorizontalPodAutoscaler") not in kinds


@pytest.mark.parametrize(("manager", "is_kept"), [("kubectl", True), ("kube-controller-manager", False)])
def test_replicas_that_an_autoscaler_chose_are_not_for_git_to_say(
    rig: Rig, cluster: Cluster, namespace: str, manager: str, is_kept: bool
) -> None:
    post(cluster, manifest("Deployment", namespace), namespace)
    path = f"{collection('Deployment', namespace)}/web/scale"
    body = {"spec": {"replicas": 3}}
    query = [("fieldManager", manager)]
    cluster.request("PATCH", path, body, query=query, content_type="application/merge-patch+json")
    document = export(rig, "apps/v1", "Deployment")
    assert ("replicas" in document["spec"]) is is_kept
    adopt(rig, document)


def test_a_custom_resource_keeps_what_its_writer_set(rig: Rig, cluster: Cluster, namespace: str) -> None:
    group = f"{namespace}.example.com"
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "default": 1},
                    "list": {
                        "type": "array",
                        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    },
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Thing", "plural": "things", "singular": "thing"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    cluster.request("POST", root, definition)
    try:
        body = {
            "apiVersion": f"{group}/v1",
            "kind": "Thing",
            "metadata": {"name": "a", "namespace": namespace},
            "spec": {"list": [{"b": 1, "a": "no"}]},
        }
        wait_for(
            lambda: cluster.ask("POST", f"/apis/{group}/v1/namespaces/{namespace}/things", body)[0] == 201
        )
        found = discover(rig, f"{group}/v1", "Thing")
        assert ids(found) == [f"{namespace}/a"]
        document = export(rig, f"{group}/v1", "Thing", "a")
        assert document["spec"]["list"] == [{"b": 1, "a": "no"}]
        adopt(rig, document)
        exported = export(rig, "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"things.{group}")
        assert "status" not in exported and "conversion" not in exported["spec"]
        adopt(rig, exported)
    finally:
        cluster.ask("DELETE", f"{root}/things.{group}")


def test_a_namespace_is_written_without_what_the_server_adds(rig: Rig, namespace: str) -> None:
    document = export(rig, "v1", "Namespace", namespace)
    assert document == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    adopt(rig, document)


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
