"""Which objects a cluster makes by itself: they are imported only when they are named. Pure.

Called by `kinds.discover`, for `trueup import`.
"""

from __future__ import annotations

from collections.abc import Mapping

from trueup.sdk import Document
from trueup_kubernetes.ownership import managers_of

# Kinds of which no object is ever written by a person.
SYSTEM_KINDS = frozenset(
    {
        *("CSINode", "CSIStorageCapacity", "CertificateSigningRequest", "ComponentStatus"),
        *("ControllerRevision", "EndpointSlice", "Endpoints", "Event", "IPAddress", "Lease"),
        *("LeaseCandidate", "Node", "ResourceSlice", "ServiceCIDR", "StorageVersion"),
        *("StorageVersionMigration", "VolumeAttachment"),
    }
)
# Field managers that are parts of the cluster itself.
CONTROLLERS = frozenset({"cloud-controller-manager", "kube-controller-manager", "kube-scheduler", "kubelet"})
_SERVER = "kube-apiserver"
_NAMESPACES = frozenset({"kube-node-lease", "kube-public", "kube-system"})
_NAMES: Mapping[str, frozenset[str]] = {
    "ConfigMap": frozenset({"kube-root-ca.crt"}),
    "Namespace": frozenset({"default", *_NAMESPACES}),
    "ServiceAccount": frozenset({"default"}),
}
_SECRET_TYPES = frozenset({"bootstrap.kubernetes.io/token", "helm.sh/release.v1"})
_SECRET_TYPES |= {"kubernetes.io/service-account-token"}
# What the cluster's own components leave on what they made.
_LABELS = ("kubernetes.io/bootstrapping", "kube-aggregator.kubernetes.io/automanaged")
_ANNOTATIONS = (
    "apf.kubernetes.io/autoupdate-spec",
    "kubernetes.io/config.mirror",
    "pv.kubernetes.io/provisioned-by",
)


def is_system(body: Document) -> bool:
    """Whether the cluster, one of its controllers, or another object made it."""
    metadata = body["metadata"]
    kind, name, namespace = body["kind"], metadata["name"], metadata.get("namespace") or ""
    if kind in SYSTEM_KINDS or namespace in _NAMESPACES or metadata.get("ownerReferences"):
        return True
    if name in _NAMES.get(kind, ()) or name.startswith("system:"):
        return True
    if (kind, namespace, name) == ("Service", "default", "kubernetes"):
        return True
    if kind == "Secret" and body.get("type") in _SECRET_TYPES:
        return True
    if any(key in (metadata.get("labels") or {}) for key in _LABELS):
        return True
    if any(key in (metadata.get("annotations") or {}) for key in _ANNOTATIONS):
        return True
    managers = managers_of(body)
    return bool(managers) and managers <= {*CONTROLLERS, _SERVER}
