"""Which kinds a cluster serves, and at which paths: the two documents of aggregated discovery.

Read by `session`. Nothing is kept on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

ACCEPT = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
)
ROOTS = ("/api", "/apis")


@dataclass(frozen=True, slots=True)
class Resource:
    """How one kind is served."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool
    verbs: frozenset[str]

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of the collection, in one namespace or all, or of one object of it."""
        root = "/apis" if "/" in self.api_version else "/api"
        middle = f"/namespaces/{quote(namespace, safe='')}" if namespace and self.is_namespaced else ""
        last = f"/{quote(name, safe='')}" if name else ""
        return f"{root}/{self.api_version}{middle}/{self.plural}{last}"


class Discovery:
    """What a cluster serves at one moment."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        self._resources: dict[tuple[str, str], Resource] = {}
        self._versions: dict[tuple[str, str], list[str]] = {}
        self._stale: set[str] = set()
        for document in documents:
            for group in document["items"]:
                self._read_group(group)

    def find(self, api_version: str, kind: str) -> Resource | None:
        return self._resources.get((api_version, kind))

    def is_stale(self, api_version: str) -> bool:
        """Whether the server itself does not know at present what this group serves."""
        return group_of(api_version) in self._stale

    def versions(self, api_version: str, kind: str) -> tuple[str, ...]:
        """The versions in which the same group serves the kind."""
        return tuple(self._versions.get((group_of(api_version), kind), ()))

    def preferred(self) -> tuple[Resource, ...]:
        """Every kind once, in the version that comes first in its group."""
        return tuple(self._resources[versions[0], kind] for (_, kind), versions in self._versions.items())

    def kinds(self, api_version: str) -> tuple[str, ...]:
        return tuple(kind for version, kind in self._resources if version == api_version)

    def _read_group(self, group: Mapping[str, Any]) -> None:
        name = (group.get("metadata") or {}).get("name") or ""
        for version in group.get("versions") or ():
            api_version = f"{name}/{version['version']}" if name else version["version"]
            if version.get("freshness", "Current") != "Current":
                self._stale.add(name)
            for resource in version.get("resources") or ():
                self._read_resource(name, api_version, resource)

    def _read_resource(self, group: str, api_version: str, resource: Mapping[str, Any]) -> None:
        kind = (resource.get("responseKind") or {}).get("kind")
        if not kind:
            return
        verbs = frozenset(resource.get("verbs") or ())
        found = Resource(
            api_version, kind, resource["resource"], resource.get("scope") == "Namespaced", verbs
        )
        # Two resources can answer with one kind; the one whose objects can be listed is the kind's own.
        known = self._resources.get((api_version, kind))
        if known is None or ("list" in verbs and "list" not in known.verbs):
            self._resources[api_version, kind] = found
        if known is None:
            self._versions.setdefault((group, kind), []).append(api_version)


def group_of(api_version: str) -> str:
    """`apps` of `apps/v1`; the core group is empty."""
    return api_version.rpartition("/")[0]
