"""What is written for a live object, by who set which of its fields."""

from __future__ import annotations

from typing import Any

import pytest

from trueup_kubernetes.kinds.export import export_object
from trueup_kubernetes.provider import KubernetesProvider


def live(
    kind: str = "Deployment",
    api_version: str = "apps/v1",
    *,
    metadata: dict[str, Any] | None = None,
    **body: Any,
) -> dict[str, Any]:
    """An object as the server gives it back."""
    server = {
        "name": "web",
        "namespace": "shop",
        "uid": "1-2-3",
        "resourceVersion": "7",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "selfLink": "/x",
        "finalizers": ["x/y"],
        "ownerReferences": [{"uid": "9"}],
    }
    whole = {**server, **(metadata or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": whole, "status": {"replicas": 1}, **body}


def managed(manager: str, fields: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    entry = {"manager": manager, "operation": "Update", "fieldsV1": fields}
    return {**entry, "subresource": subresource} if subresource else entry


def test_server_fields_status_and_foreign_marks_are_left_out() -> None:
    annotations = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "deployment.kubernetes.io/revision": "3",
        "trueup.dev/owner": "me/other",
        "trueup.dev/protect": "true",
        "team": "shop",
    }
    labels = {"app": "web", "trueup.dev/owner": "abc"}
    document = export_object(
        live(metadata={"annotations": annotations, "labels": labels}, spec={"replicas": 1})
    )
    assert document == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "labels": {"app": "web"},
            "annotations": {"team": "shop"},
        },
        "spec": {"replicas": 1},
    }
    assert list(document["metadata"]) == ["name", "namespace", "labels", "annotations"]


def test_marks_of_one_kind_are_anything_on_another() -> None:
    template = {"metadata": {"labels": {"job-name": "x", "app": "y"}}, "spec": {}}
    job = export_object(live("Job", "batch/v1", spec={"template": template}))
    assert job["spec"]["template"]["metadata"]["labels"] == {"app": "y"}
    assert (
        export_object(live(spec={"template": template}))["spec"]["template"]["metadata"]
        == template["metadata"]
    )


def test_only_what_somebody_set_is_written_where_the_object_says_who() -> None:
    fields = {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:hostname": {}}}},
    }
    body = live(
        metadata={
            "labels": {"app": "web", "added": "by nobody"},
            "managedFields": [
                managed("kubectl", fields),
                managed("kube-controller-manager", {"f:spec": {"f:paused": {}}}),
                managed("kube-controller-manager", {"f:status": {"f:replicas": {}}}, "status"),
            ],
        },
        spec={
            "replicas": 2,
            "paused": True,
            "minReadySeconds": 5,
            "template": {"spec": {"hostname": "a", "x": 1}},
        },
    )
    document = export_object(body)
    assert document["metadata"]["labels"] == {"app": "web"}
    assert document["spec"] == {"replicas": 2, "template": {"spec": {"hostname": "a"}}}


def test_what_can_only_be_set_as_a_whole_stays_whole() -> None:
    fields = {
        "f:spec": {"f:selector": {}, "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}
    }
    body = live(
        "Service",
        "v1",
        metadata={"managedFields": [managed("kubectl", fields)]},
        spec={
            "selector": {"type": "ClusterIP", "app": None, "b": "c"},
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "protocol": "TCP"}],
            "clusterIP": "10.0.0.1",
        },
    )
    assert export_object(body)["spec"] == {
        "selector": {"type": "ClusterIP", "b": "c"},
        "ports": [{"port": 80}],
    }


def test_keyed_items_keep_their_order_and_their_keys() -> None:
    names = ["zz", "aa", "mm"]
    items = {f'k:{{"name":"{name}"}}': {".": {}, "f:image": {}} for name in sorted(names)}
    fields = {"f:spec": {"f:template": {"f:spec": {"f:initContainers": items}}}}
    containers = [{"image": f"i:{name}", "name": name, "resources": {}} for name in names]
    body = live(
        metadata={"managedFields": [managed("kubectl", fields)]},
        spec={"template": {"spec": {"initContainers": containers}}},
    )
    written = export_object(body)["spec"]["template"]["spec"]["initContainers"]
    assert written == [{"image": f"i:{name}", "name": name} for name in names]


@pytest.mark.parametrize(
    ("image", "policy", "is_kept"),
    [
        ("nginx", "Always", False),
        ("nginx:latest", "Always", False),
        ("nginx:1", "IfNotPresent", False),
        ("host:5000/nginx", "Always", False),
        ("nginx@sha256:1", "IfNotPresent", False),
        ("nginx:1", "Always", True),
        ("nginx", "Never", True),
    ],
)
def test_the_pull_policy_that_an_image_has_anyway_is_left_out(image: str, policy: str, is_kept: bool) -> None:
    pod = {"containers": [{"name": "a", "image": image, "imagePullPolicy": policy}]}
    document = export_object(live("Pod", "v1", spec=pod))
    assert ("imagePullPolicy" in document["spec"]["containers"][0]) is is_kept


def test_a_pod_is_written_without_its_node_and_token() -> None:
    pod = {
        "nodeName": "n1",
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "containers": [
            {
                "name": "a",
                "image": "a:1",
                "volumeMounts": [
                    {"name": "kube-api-access-x", "mountPath": "/var/run"},
                    {"name": "data", "mountPath": "/data"},
                ],
            }
        ],
        "volumes": [{"name": "kube-api-access-x", "projected": {}}, {"name": "data", "emptyDir": {}}],
    }
    spec = export_object(live("Pod", "v1", spec=pod))["spec"]
    assert "nodeName" not in spec and "serviceAccount" not in spec
    assert [volume["name"] for volume in spec["volumes"]] == ["data"]
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["data"]


@pytest.mark.parametrize(
    ("kind", "api_version", "spec", "written"),
    [
        (
            "Service",
            "v1",
            {"clusterIP": "None", "clusterIPs": ["None"], "type": "ClusterIP"},
            {"clusterIP", "clusterIPs"},
        ),
        ("Service", "v1", {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}, set()),
        (
            "Service",
            "v1",
            {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"]},
            {"ipFamilyPolicy", "ipFamilies"},
        ),
        ("Job", "batch/v1", {"selector": {}, "backoffLimit": 6}, set()),
        ("Job", "batch/v1", {"selector": {}, "manualSelector": True}, {"selector", "manualSelector"}),
        ("CronJob", "batch/v1", {"suspend": False, "schedule": "@daily"}, {"schedule"}),
        ("Widget", "example.com/v1", {"suspend": False, "type": "ClusterIP"}, {"suspend", "type"}),
    ],
)
def test_defaults_and_what_the_cluster_chose_are_left_out(
    kind: str, api_version: str, spec: dict[str, Any], written: set[str]
) -> None:
    assert set(export_object(live(kind, api_version, spec=spec))["spec"]) == written


def test_a_secret_keeps_its_data_for_the_engine_to_refuse() -> None:
    kind = KubernetesProvider().kind("v1", "Secret")
    assert kind is not None
    document = kind.export(live("Secret", "v1", data={"a": "Y2FuYXJ5"}, type="Opaque"))
    assert document["data"] == {"a": "Y2FuYXJ5"}
    assert "Y2FuYXJ5" not in repr(kind.seal(document))


def test_exporting_changes_nothing() -> None:
    body = live(metadata={"labels": {"a": "b"}}, spec={"template": {"spec": {"containers": [{"name": "a"}]}}})
    before = repr(body)
    assert export_object(body) == export_object(body)
    assert repr(body) == before
