"""Finds what lives in a cluster, for import. Called by `kinds.resource` and `provider`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trueup.sdk import Denied, Discovered, Document, Invalid, Missing, choose, has_pattern
from trueup_kubernetes.discovery import Resource
from trueup_kubernetes.kinds.system import SYSTEM_KINDS, is_system
from trueup_kubernetes.marker import read_owner
from trueup_kubernetes.objects import list_objects
from trueup_kubernetes.session import ClusterSession

# What can be listed, read, and taken over.
_VERBS = frozenset({"create", "delete", "get", "list", "patch"})


def importable_resources(cluster: ClusterSession) -> Sequence[Resource]:
    """The kinds whose objects people write, each in the version that the cluster prefers."""
    return [
        resource
        for resource in cluster.discovery().preferred()
        if resource.verbs >= _VERBS and resource.kind not in SYSTEM_KINDS
    ]


def markable_resources(cluster: ClusterSession) -> Sequence[Resource]:
    """The kinds whose objects can be marked and listed, those of the system too."""
    return [each for each in cluster.discovery().preferred() if each.verbs >= {"list", "patch"}]


def discover_objects(
    cluster: ClusterSession, resource: Resource, ids: Sequence[str]
) -> Iterator[Discovered | Missing]:
    """The objects that the ids name, or all of the kind. An id without a namespace is in the target's own."""
    wanted = [_full_id(cluster, resource, each) for each in ids]
    found: dict[str, Document] = {}
    for namespace in _namespaces(wanted) if resource.is_namespaced else [""]:
        try:
            bodies = list_objects(cluster, resource, namespace)
        except Denied as error:
            if resource.is_namespaced and not namespace:
                error.hint = (
                    f"name namespaces in which you may list {resource.plural}: "
                    f"trueup import TARGET {resource.kind} 'shop/*'"
                )
            raise
        found.update((_id_of(body), body) for body in bodies)
    chosen, missing = choose(wanted, found, resource.kind)
    yield from missing
    for key, body in sorted(chosen.items()):
        if not body["metadata"].get("deletionTimestamp"):
            yield Discovered(key, body["metadata"]["uid"], body, read_owner(body), is_system=is_system(body))
        elif key in wanted:
            yield Missing(key, Invalid(f"{resource.kind} {key} is being deleted"))


def _full_id(cluster: ClusterSession, resource: Resource, text: str) -> str:
    if resource.is_namespaced and "/" not in text:
        return f"{cluster.namespace}/{text}"
    return text


def _id_of(body: Document) -> str:
    metadata = body["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def _namespaces(ids: Sequence[str]) -> Sequence[str]:
    """The namespaces to list; empty text for all of them."""
    names = list(dict.fromkeys(each.partition("/")[0] for each in ids))
    return names if names and not any(map(has_pattern, names)) else [""]
