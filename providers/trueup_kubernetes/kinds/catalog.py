"""The kinds that come with Kubernetes, and how they differ. Read by `provider` and `kinds.resource`.

Everything here can be known without a cluster; a kind that is missing works all the same.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

WELL_KNOWN: dict[str, tuple[str, ...]] = {
    "v1": (
        *("ConfigMap", "Endpoints", "LimitRange", "Namespace", "PersistentVolume", "PersistentVolumeClaim"),
        *(
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ),
    ),
    "apps/v1": ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
    "batch/v1": ("CronJob", "Job"),
    "autoscaling/v1": ("HorizontalPodAutoscaler",),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("IPAddress", "Ingress", "IngressClass", "NetworkPolicy", "ServiceCIDR"),
    "rbac.authorization.k8s.io/v1": ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    "storage.k8s.io/v1": ("CSIDriver", "StorageClass", "VolumeAttributesClass"),
    "scheduling.k8s.io/v1": ("PriorityClass",),
    "node.k8s.io/v1": ("RuntimeClass",),
    "coordination.k8s.io/v1": ("Lease",),
    "discovery.k8s.io/v1": ("EndpointSlice",),
    "apiextensions.k8s.io/v1": ("CustomResourceDefinition",),
    "apiregistration.k8s.io/v1": ("APIService",),
    "admissionregistration.k8s.io/v1": (
        *("MutatingWebhookConfiguration", "ValidatingAdmissionPolicy"),
        *("ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"),
    ),
    "certificates.k8s.io/v1": ("CertificateSigningRequest",),
    "resource.k8s.io/v1": ("DeviceClass", "ResourceClaim", "ResourceClaimTemplate"),
    "flowcontrol.apiserver.k8s.io/v1": ("FlowSchema", "PriorityLevelConfiguration"),
}
_GROUPS = frozenset(api_version.rpartition("/")[0] for api_version in WELL_KNOWN)

CLUSTER_SCOPED = frozenset(
    {
        *("APIService", "CSIDriver", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding"),
        *("CustomResourceDefinition", "DeviceClass", "FlowSchema", "IPAddress", "IngressClass"),
        *("MutatingWebhookConfiguration", "Namespace", "PersistentVolume", "PriorityClass", "RuntimeClass"),
        *("PriorityLevelConfiguration", "ServiceCIDR", "StorageClass", "ValidatingAdmissionPolicy"),
        *("ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "VolumeAttributesClass"),
    }
)

STATEFUL = frozenset(
    {"CustomResourceDefinition", "Namespace", "PersistentVolume", "PersistentVolumeClaim", "StatefulSet"}
)

# Kinds whose dependents have to be gone before the object is: its pods do its work.
WORKLOADS = frozenset(
    {"CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"}
)

# Kinds that can be told to roll out again.
ROLLED_OUT = frozenset({"DaemonSet", "Deployment", "StatefulSet"})

# Fields that the server refuses to change, as patterns of paths; a leading `!` takes fields out again.
_IMMUTABLE: dict[str, tuple[str, ...]] = {
    "CertificateSigningRequest": ("/spec/*",),
    "ClusterRoleBinding": ("/roleRef", "/roleRef/*"),
    "CronJob": (),
    "CustomResourceDefinition": ("/spec/group", "/spec/scope", "/spec/names/plural", "/spec/names/kind"),
    "DaemonSet": ("/spec/selector", "/spec/selector/*"),
    "Deployment": ("/spec/selector", "/spec/selector/*"),
    "IngressClass": ("/spec/controller",),
    "Job": (
        *("/spec/selector", "/spec/selector/*", "/spec/template", "/spec/template/*", "/spec/completions"),
        *(
            "/spec/completionMode",
            "/spec/podFailurePolicy",
            "/spec/podFailurePolicy/*",
            "/spec/successPolicy/*",
        ),
        *(
            "/spec/backoffLimitPerIndex",
            "/spec/podReplacementPolicy",
            "/spec/managedBy",
            "/spec/manualSelector",
        ),
    ),
    "PersistentVolume": (
        *("/spec/volumeMode", "/spec/csi", "/spec/csi/*", "/spec/nfs", "/spec/nfs/*", "/spec/local"),
        *(
            "/spec/local/*",
            "/spec/hostPath",
            "/spec/hostPath/*",
            "/spec/nodeAffinity",
            "/spec/nodeAffinity/*",
        ),
    ),
    "PersistentVolumeClaim": (
        *("/spec/*", "!/spec/resources", "!/spec/resources/*", "!/spec/volumeAttributesClassName"),
    ),
    "Pod": (
        *("/spec/*", "!/spec/containers/*/image", "!/spec/initContainers/*/image", "!/spec/tolerations"),
        *("!/spec/tolerations/*", "!/spec/activeDeadlineSeconds", "!/spec/schedulingGates"),
        *("!/spec/terminationGracePeriodSeconds",),
    ),
    "PriorityClass": ("/value", "/preemptionPolicy"),
    "ReplicaSet": ("/spec/selector", "/spec/selector/*"),
    "ResourceClaim": ("/spec", "/spec/*"),
    "RoleBinding": ("/roleRef", "/roleRef/*"),
    "RuntimeClass": ("/handler",),
    "Secret": ("/type",),
    "Service": ("/spec/clusterIP", "/spec/clusterIPs", "/spec/clusterIPs/*"),
    "StatefulSet": (
        *("/spec/*", "!/spec/replicas", "!/spec/ordinals*", "!/spec/template", "!/spec/template/*"),
        *("!/spec/updateStrategy", "!/spec/updateStrategy/*", "!/spec/minReadySeconds"),
        *("!/spec/persistentVolumeClaimRetentionPolicy*", "!/spec/revisionHistoryLimit"),
    ),
    "StorageClass": ("/provisioner", "/parameters", "/parameters/*", "/reclaimPolicy", "/volumeBindingMode"),
    "VolumeAttributesClass": ("/driverName", "/parameters", "/parameters/*"),
}
# What a ConfigMap or Secret that calls itself immutable cannot change any more.
_FROZEN = ("/data", "/data/*", "/binaryData", "/binaryData/*", "/immutable")


def is_builtin(api_version: str) -> bool:
    """Whether the API comes with Kubernetes, so that its values are normalised in ways that are known."""
    return api_version.rpartition("/")[0] in _GROUPS


def is_known(api_version: str, name: str) -> bool:
    return name in WELL_KNOWN.get(api_version, ())


def is_immutable(kind: str, is_frozen: bool, path: tuple[str, ...]) -> bool:
    """Whether the object has to be replaced to change that field. Only for built-in APIs."""
    pointer = "/" + "/".join(path)
    patterns = (*_IMMUTABLE.get(kind, ()), *(_FROZEN if is_frozen else ()))
    if any(fnmatchcase(pointer, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(fnmatchcase(pointer, pattern) for pattern in patterns)
