"""One object of each usual kind, as people write them. Used by the tests of import."""

from __future__ import annotations

from typing import Any

POD: dict[str, Any] = {
    "initContainers": [{"name": "zz-first", "image": "busybox"}, {"name": "aa-second", "image": "busybox:1"}],
    "containers": [
        {
            "name": "web",
            "image": "nginx:1.27",
            "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
            "env": [
                {"name": "Z", "value": "1"},
                {"name": "A", "value": "$(Z)"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
            "volumeMounts": [{"name": "config", "mountPath": "/config"}],
            "resources": {"requests": {"cpu": "500m"}},
        },
        {"name": "side", "image": "busybox:latest", "command": ["sleep", "1000"]},
    ],
    "volumes": [{"name": "config", "configMap": {"name": "settings"}}, {"name": "tmp", "emptyDir": {}}],
    "tolerations": [{"key": "a", "operator": "Exists"}],
}
LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS, "annotations": {"note": "x"}}, "spec": POD}
SELECTOR = {"matchLabels": LABELS}
ROLE_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
DISK = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}

# The collection's path below the namespace, and the object as a person writes it.
OBJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ConfigMap": ("api/v1", {"data": {"a": "1", "multi": "a\nb\n"}, "binaryData": {"b": "AAE="}}),
    "ServiceAccount": ("api/v1", {"automountServiceAccountToken": False}),
    "Service": ("api/v1", {"spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]}}),
    "ResourceQuota": ("api/v1", {"spec": {"hard": {"pods": "10"}}}),
    "LimitRange": (
        "api/v1",
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "4"}, "default": {"cpu": "1"}}]}},
    ),
    "PersistentVolumeClaim": ("api/v1", {"spec": {**DISK, "storageClassName": "none"}}),
    "Deployment": (
        "apis/apps/v1",
        {"spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE, "minReadySeconds": 3}},
    ),
    "StatefulSet": (
        "apis/apps/v1",
        {
            "spec": {
                "replicas": 0,
                "serviceName": "web",
                "selector": SELECTOR,
                "template": TEMPLATE,
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": DISK}],
            }
        },
    ),
    "DaemonSet": ("apis/apps/v1", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    "Job": (
        "apis/batch/v1",
        {"spec": {"suspend": True, "template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    ),
    "CronJob": (
        "apis/batch/v1",
        {
            "spec": {
                "schedule": "0 3 * * *",
                "suspend": True,
                "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "OnFailure"}}}},
            }
        },
    ),
    "HorizontalPodAutoscaler": (
        "apis/autoscaling/v2",
        {
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "maxReplicas": 5,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 70},
                        },
                    }
                ],
            }
        },
    ),
    "PodDisruptionBudget": ("apis/policy/v1", {"spec": {"minAvailable": 1, "selector": SELECTOR}}),
    "Ingress": (
        "apis/networking.k8s.io/v1",
        {
            "spec": {
                "rules": [
                    {
                        "host": "shop.example.com",
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": "web", "port": {"number": 80}}},
                                }
                            ]
                        },
                    }
                ]
            }
        },
    ),
    "NetworkPolicy": (
        "apis/networking.k8s.io/v1",
        {
            "spec": {
                "podSelector": SELECTOR,
                "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}],
            }
        },
    ),
    "Role": ("apis/rbac.authorization.k8s.io/v1", {"rules": ROLE_RULES}),
    "RoleBinding": (
        "apis/rbac.authorization.k8s.io/v1",
        {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "web"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "web", "namespace": "default"},
                {"kind": "User", "name": "a"},
            ],
        },
    ),
}
PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


def collection(kind: str, namespace: str) -> str:
    plural = PLURALS.get(kind, f"{kind.lower()}s")
    return f"/{OBJECTS[kind][0]}/namespaces/{namespace}/{plural}"


def manifest(kind: str, namespace: str, name: str = "web") -> dict[str, Any]:
    api_version = OBJECTS[kind][0].removeprefix("apis/").removeprefix("api/")
    labels = {"app": "web", "team": "shop"}
    metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": {"a/b": "no"}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **OBJECTS[kind][1]}
