"""What can be seen to be wrong with a manifest without a cluster. Called by `kinds.resource`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from trueup.sdk import UNKNOWN, Node, Problem, Sensitive, Value
from trueup_kubernetes.kinds.catalog import CLUSTER_SCOPED, is_builtin
from trueup_kubernetes.marker import ADDRESS, OWNER

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMED_BY_LABEL = frozenset({"Namespace", "Service", "StatefulSet"})
_NAMED_FREELY = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})

# What only the server says about an object.
_SERVER_METADATA = frozenset(
    {
        *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation"),
        *("managedFields", "resourceVersion", "selfLink", "uid"),
    }
)
_TEXT_MAPS = {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}


def problems_of(node: Node) -> Iterator[Problem]:
    """Everything that is wrong with the manifest, at once."""
    for message, hint in _faults(node):
        yield Problem(message, node.place, hint)


def _faults(node: Node) -> Iterator[tuple[str, str]]:
    metadata = node.body.get("metadata")
    if not isinstance(metadata, Mapping):
        yield "metadata is no map", "write `metadata: {name: ...}`"
        return
    if node.kind.endswith("List") and "items" in node.body:
        yield "a List is no object", "write its items as documents of their own"
    yield from _name_faults(node, metadata)
    for key in sorted(_SERVER_METADATA & metadata.keys()):
        if metadata[key] is not None:
            yield f"metadata.{key} is set by the server", "remove it from the manifest"
    if node.body.get("status") not in (None, {}):
        yield "status is set by the cluster's controllers", "remove it from the manifest"
    for key in ("labels", "annotations"):
        yield from _text_faults(f"metadata.{key}", metadata.get(key))
        values = metadata.get(key)
        for name in (OWNER, ADDRESS):
            if isinstance(values, Mapping) and name in values:
                yield f"metadata.{key}: {name} is trueup's own mark of ownership", "remove it"
    if node.api_version == "v1":
        for key in _TEXT_MAPS.get(node.kind, ()):
            yield from _text_faults(key, node.body.get(key))


def _name_faults(node: Node, metadata: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    if metadata.get("generateName"):
        yield (
            "metadata.generateName is refused: each run would make another object",
            "give the object a name",
        )
    name, namespace = node.name, node.namespace
    if name in (".", "..") or re.search(r"[/%]", name):
        yield f"metadata.name {name!r} cannot be part of a URL path", "use letters, digits, - and ."
    elif is_builtin(node.api_version) and node.kind not in _NAMED_FREELY:
        by_label = node.kind in _NAMED_BY_LABEL
        if len(name) > 253 or not (_LABEL if by_label else _SUBDOMAIN).fullmatch(name):
            form = "a DNS label (lower case letters, digits and -)" if by_label else "a DNS name (and dots)"
            yield f"metadata.name {name!r} is not {form}", "use lower case letters, digits and -"
    if namespace and not _LABEL.fullmatch(namespace):
        yield f"metadata.namespace {namespace!r} is not a DNS label", "use lower case letters, digits and -"
    if namespace and is_builtin(node.api_version) and node.kind in CLUSTER_SCOPED:
        yield f"a {node.kind} belongs to no namespace", "remove metadata.namespace"


def _text_faults(path: str, values: Value) -> Iterator[tuple[str, str]]:
    if values is None or values is UNKNOWN or isinstance(values, Sensitive):
        return
    if not isinstance(values, Mapping):
        yield f"{path} is no map", "write `key: value` pairs"
        return
    for key, value in values.items():
        if value is not None and value is not UNKNOWN and not isinstance(value, str | Sensitive):
            yield f"{path}.{key} is a {_type_name(value)}, not text", "put it in quotes"


def _type_name(value: Value) -> str:
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list | tuple) else "map"
