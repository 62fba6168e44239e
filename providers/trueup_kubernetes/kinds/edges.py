"""What has to be there first: the tokens that objects provide and need. Called by `kinds.resource`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trueup.sdk import Node, Value
from trueup_kubernetes.discovery import group_of

_ACCOUNTS = "ServiceAccount"
_POD_PATHS: Mapping[str, tuple[str, ...]] = {
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "Pod": ("spec",),
    "ReplicaSet": ("spec", "template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
}
# Where a pod's volumes name the object they mount: the volume's source, its property, the kind.
_VOLUMES = (
    ("configMap", "name", "ConfigMap"),
    ("secret", "secretName", "Secret"),
    ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
)


def tokens_provided(node: Node, namespace: str) -> Iterator[str]:
    """What this object is to others."""
    yield _token(node.kind, namespace, node.name)
    if node.kind == "Namespace" and node.api_version == "v1":
        yield f"namespace:{node.name}"
    if node.kind == "CustomResourceDefinition":
        group, kind = _walk(node.body, ("spec", "group")), _walk(node.body, ("spec", "names", "kind"))
        if isinstance(group, str) and isinstance(kind, str):
            yield f"kind:{group}/{kind}"


def tokens_needed(node: Node, namespace: str) -> Iterator[str]:
    """What this object needs of others. A token that nothing in the stack provides is no edge."""
    yield f"kind:{group_of(node.api_version)}/{node.kind}"
    if namespace:
        yield f"namespace:{namespace}"
    path = _POD_PATHS.get(node.kind)
    if path is not None:
        yield from _pod_tokens(_walk(node.body, path), namespace)
    if node.kind == "StatefulSet":
        yield from _named(node.body.get("spec"), "serviceName", "Service", namespace)
    if node.kind in ("RoleBinding", "ClusterRoleBinding"):
        yield from _binding_tokens(node, namespace)
    if node.kind == "PersistentVolumeClaim":
        yield from _named(node.body.get("spec"), "storageClassName", "StorageClass", "")
    if node.kind == "Ingress":
        yield from _named(node.body.get("spec"), "ingressClassName", "IngressClass", "")


def _pod_tokens(pod: Value, namespace: str) -> Iterator[str]:
    if not isinstance(pod, Mapping):
        return
    yield from _named(pod, "serviceAccountName", _ACCOUNTS, namespace)
    yield from _named(pod, "priorityClassName", "PriorityClass", "")
    for pull_secret in _maps(pod.get("imagePullSecrets")):
        yield from _named(pull_secret, "name", "Secret", namespace)
    for volume in _maps(pod.get("volumes")):
        for volume_source, key, kind in _VOLUMES:
            yield from _named(volume.get(volume_source), key, kind, namespace)
        for projected in _maps(_walk(volume, ("projected", "sources"))):
            yield from _named(projected.get("configMap"), "name", "ConfigMap", namespace)
            yield from _named(projected.get("secret"), "name", "Secret", namespace)
    for container in [*_maps(pod.get("initContainers")), *_maps(pod.get("containers"))]:
        for source in _maps(container.get("envFrom")):
            yield from _named(source.get("configMapRef"), "name", "ConfigMap", namespace)
            yield from _named(source.get("secretRef"), "name", "Secret", namespace)
        for variable in _maps(container.get("env")):
            yield from _named(
                _walk(variable, ("valueFrom", "configMapKeyRef")), "name", "ConfigMap", namespace
            )
            yield from _named(_walk(variable, ("valueFrom", "secretKeyRef")), "name", "Secret", namespace)


def _binding_tokens(node: Node, namespace: str) -> Iterator[str]:
    role = node.body.get("roleRef")
    if isinstance(role, Mapping) and isinstance(kind := role.get("kind"), str):
        yield from _named(role, "name", kind, namespace if kind == "Role" else "")
    for subject in _maps(node.body.get("subjects")):
        if subject.get("kind") == _ACCOUNTS:
            where = subject.get("namespace")
            yield from _named(subject, "name", _ACCOUNTS, where if isinstance(where, str) else namespace)


def _token(kind: str, namespace: str, name: str) -> str:
    return f"kubernetes:{kind}/{namespace}/{name}"


def _named(value: Value, key: str, kind: str, namespace: str) -> Iterator[str]:
    if isinstance(value, Mapping) and isinstance(name := value.get(key), str) and name:
        yield _token(kind, namespace, name)


def _maps(value: Value) -> Sequence[Mapping[str, Value]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _walk(value: Value, path: Sequence[str]) -> Value:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
