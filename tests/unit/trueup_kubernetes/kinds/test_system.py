from __future__ import annotations

from typing import Any

import pytest

from trueup_kubernetes.kinds.system import is_system


def body(kind: str, name: str = "web", namespace: str = "shop", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, **more.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def by(*managers: str, subresource: str = "") -> dict[str, Any]:
    entries = [{"manager": manager, "subresource": subresource, "fieldsV1": {}} for manager in managers]
    return {"managedFields": entries}


@pytest.mark.parametrize(
    ("found", "is_made_by_the_cluster"),
    [
        (body("ConfigMap"), False),
        (body("ConfigMap", "kube-root-ca.crt"), True),
        (body("ConfigMap", namespace="kube-system"), True),
        (body("Namespace", "default", ""), True),
        (body("Namespace", "shop", ""), False),
        (body("ServiceAccount", "default"), True),
        (body("Service", "kubernetes", "default"), True),
        (body("Service", "kubernetes", "shop"), False),
        (body("Lease"), True),
        (body("ReplicaSet", metadata={"ownerReferences": [{"uid": "1"}]}), True),
        (body("ClusterRole", "system:node", ""), True),
        (body("ClusterRole", "admin", "", metadata={"labels": {"kubernetes.io/bootstrapping": "x"}}), True),
        (body("Secret", type="helm.sh/release.v1"), True),
        (body("Secret", type="Opaque"), False),
        (body("ConfigMap", metadata=by("kube-controller-manager", "kube-apiserver")), True),
        (body("ConfigMap", metadata=by("kube-controller-manager", "helm")), False),
        # Its status alone says nothing of who made it.
        (body("ConfigMap", metadata=by("kube-controller-manager", subresource="status")), False),
        (body("PersistentVolume", metadata={"annotations": {"pv.kubernetes.io/provisioned-by": "x"}}), True),
    ],
)
def test_what_the_cluster_makes_by_itself_is_told_apart(
    found: dict[str, Any], is_made_by_the_cluster: bool
) -> None:
    assert is_system(found) is is_made_by_the_cluster
