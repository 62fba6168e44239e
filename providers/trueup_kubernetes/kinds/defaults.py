"""What the API server fills in: a manifest that leaves it out says the same. Pure. Called by `kinds.export`.

Only for the APIs that come with Kubernetes. An entry that is missing here makes an exported manifest longer,
and no less true.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trueup.sdk import Value

Path = tuple[str, ...]

_POD: Mapping[str, Any] = {
    "dnsPolicy": "ClusterFirst",
    "enableServiceLinks": True,
    "preemptionPolicy": "PreemptLowerPriority",
    "priority": 0,
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
_CONTAINER: Mapping[str, Any] = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE: Mapping[str, Any] = {
    "failureThreshold": 3,
    "periodSeconds": 10,
    "successThreshold": 1,
    "timeoutSeconds": 1,
}
_VOLUME: Mapping[str, Any] = {"defaultMode": 420}
_WEBHOOKS: Mapping[Path, Mapping[str, Any]] = {
    ("webhooks",): {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "reinvocationPolicy": "Never",
        "timeoutSeconds": 10,
    },
    ("webhooks", "clientConfig", "service"): {"port": 443},
}
# By the field that holds the map or the list of maps, wherever that stands inside of a pod.
_IN_POD: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(("containers", "initContainers", "ephemeralContainers"), _CONTAINER),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), _PROBE),
    **dict.fromkeys(("configMap", "downwardAPI", "projected", "secret"), _VOLUME),
    "grpc": {"service": ""},
    "hostPath": {"type": ""},
    "httpGet": {"scheme": "HTTP"},
    "ports": {"protocol": "TCP"},
    "serviceAccountToken": {"expirationSeconds": 3600},
}
_ROLLING = {"maxSurge": "25%", "maxUnavailable": "25%"}
_KEPT = {"whenDeleted": "Retain", "whenScaled": "Retain"}
# By kind, and by the path of the map.
_IN_KIND: Mapping[str, Mapping[Path, Mapping[str, Any]]] = {
    "CronJob": {
        ("spec",): {
            "concurrencyPolicy": "Allow",
            "failedJobsHistoryLimit": 1,
            "successfulJobsHistoryLimit": 3,
            "suspend": False,
        },
    },
    "CustomResourceDefinition": {("spec",): {"conversion": {"strategy": "None"}}},
    "DaemonSet": {
        ("spec",): {
            "revisionHistoryLimit": 10,
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
            },
        },
    },
    "Deployment": {
        ("spec",): {
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _ROLLING},
        },
    },
    "Job": {
        ("spec",): {
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "completions": 1,
            "manualSelector": False,
            "parallelism": 1,
            "podReplacementPolicy": "TerminatingOrFailed",
            "suspend": False,
        },
    },
    "PersistentVolume": {("spec",): {"volumeMode": "Filesystem"}},
    "PersistentVolumeClaim": {("spec",): {"volumeMode": "Filesystem"}},
    "PriorityClass": {(): {"globalDefault": False, "preemptionPolicy": "PreemptLowerPriority"}},
    "Service": {
        ("spec",): {
            "allocateLoadBalancerNodePorts": True,
            "externalTrafficPolicy": "Cluster",
            "internalTrafficPolicy": "Cluster",
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        ("spec", "ports"): {"protocol": "TCP"},
    },
    "StatefulSet": {
        ("spec",): {
            "persistentVolumeClaimRetentionPolicy": _KEPT,
            "podManagementPolicy": "OrderedReady",
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        },
    },
    "StorageClass": {(): {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}},
    "MutatingWebhookConfiguration": _WEBHOOKS,
    "ValidatingWebhookConfiguration": _WEBHOOKS,
}
# Where each kind holds its pod.
_PODS: Mapping[str, Path] = {
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"),
        ("spec", "template", "spec"),
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
}


def defaults_at(kind: str, path: Path, value: Mapping[str, Value]) -> Mapping[str, Value]:
    """The defaults of the map at a path, which leads through lists as if they were their items."""
    found = dict(_IN_KIND.get(kind, {}).get(path, {}))
    pod = _PODS.get(kind)
    if pod is not None and path[: len(pod)] == pod:
        found |= _POD if path == pod else _IN_POD.get(path[-1], {})
        if path[len(pod) :] in (("containers",), ("initContainers",)):
            found["imagePullPolicy"] = _pull_policy(value.get("image"))
    if kind == "Service" and path == ("spec", "ports"):
        found["targetPort"] = value.get("port")
    return found


def generated_at(kind: str, path: Path, value: Mapping[str, Value]) -> Sequence[str]:
    """The fields of the map at a path that the cluster itself chose, or says elsewhere as well."""
    return tuple(_generated(kind, path, value))


def _generated(kind: str, path: Path, value: Mapping[str, Value]) -> Iterator[str]:
    if path == _PODS.get(kind):
        yield "serviceAccount"  # the old name of serviceAccountName
    if kind == "Pod" and path == ("spec",):
        yield "nodeName"
    if kind == "Service" and path == ("spec",):
        if value.get("clusterIP") != "None":
            yield from ("clusterIP", "clusterIPs")
        if value.get("ipFamilyPolicy") in (None, "SingleStack"):
            yield "ipFamilies"
        yield "healthCheckNodePort"
    if kind == "Namespace" and not path:
        yield "spec"
    if kind == "ServiceAccount" and not path:
        yield "secrets"
    if kind == "ClusterRole" and not path and value.get("aggregationRule"):
        yield "rules"
    if kind == "Job" and path == ("spec",) and not value.get("manualSelector"):
        yield "selector"
    if kind == "PersistentVolume" and path == ("spec", "claimRef"):
        yield from ("resourceVersion", "uid")


def _pull_policy(image: Value) -> str:
    """What the server chooses for an image: one without a tag, or with the tag latest, is always pulled."""
    name = str(image).rpartition("/")[2]
    tag = name.partition(":")[2]
    return "Always" if "@" not in name and tag in ("", "latest") else "IfNotPresent"
