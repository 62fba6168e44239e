"""The provider: its settings, its kinds, and how it connects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from trueup.sdk import Kind, Limits, Provider, Session, Target, reveal
from trueup_kubernetes.kinds.catalog import WELL_KNOWN
from trueup_kubernetes.kinds.discover import importable_resources, markable_resources
from trueup_kubernetes.kinds.resource import KubernetesKind, kind_of
from trueup_kubernetes.session import ClusterSession

DEFAULT_TIMEOUT = 30.0
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z]([-a-z0-9]*[a-z0-9])?")
_KIND = re.compile(r"[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?")


class KubernetesProvider(Provider):
    """Any kind that a cluster serves."""

    name = "kubernetes"
    limits = Limits(concurrency=16)
    config_schema: Mapping[str, object] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "kubeconfig": {
                "type": "string",
                "minLength": 1,
                "description": "Path of a kubeconfig file of the machine that runs trueup; a relative one "
                "counts from its working directory. Default: KUBECONFIG, else ~/.kube/config.",
            },
            "context": {
                "type": "string",
                "minLength": 1,
                "description": "The context of the kubeconfig. Default: its current one.",
            },
            "namespace": {
                "type": "string",
                "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
                "x-plain": True,
                "description": "For objects that name none. Default: the context's, else `default`.",
            },
            "timeout": {
                "type": "number",
                "minimum": 1,
                "maximum": 120,
                "description": "Seconds that one request may take. Default: 30.",
            },
        },
    }

    def kinds(self) -> Sequence[Kind]:
        return _well_known()

    def kind(self, api_version: str, name: str) -> KubernetesKind | None:
        group = api_version.rpartition("/")[0]
        if group == "trueup.dev" or group.endswith(".trueup.dev"):
            return None
        if not _API_VERSION.fullmatch(api_version) or not _KIND.fullmatch(name):
            return None
        return kind_of(api_version, name)

    def discoverable(self, session: Session) -> Sequence[Kind]:
        if not isinstance(session, ClusterSession):
            raise TypeError("a session of another provider")
        return [kind_of(each.api_version, each.kind) for each in importable_resources(session)]

    def markable(self, session: Session) -> Sequence[Kind]:
        if not isinstance(session, ClusterSession):
            raise TypeError("a session of another provider")
        return [kind_of(each.api_version, each.kind) for each in markable_resources(session)]

    def connect(self, target: Target, owner_key: str) -> Session:
        from trueup_kubernetes.client import open_client

        config = reveal(target.config)
        client, context_namespace = open_client(
            str(config.get("kubeconfig") or ""),
            str(config.get("context") or ""),
            float(config.get("timeout") or DEFAULT_TIMEOUT),
            self.limits.concurrency + 4,
        )
        namespace = str(config.get("namespace") or context_namespace or "default")
        try:
            return ClusterSession(client, namespace, owner_key)
        except BaseException:
            client.close()
            raise

    def live_schema(self, session: Session, api_version: str, name: str) -> Mapping[str, object] | None:
        from trueup_kubernetes.openapi import read_schema

        if not isinstance(session, ClusterSession):
            raise TypeError(f"not a session of a cluster: {session!r}")
        return read_schema(session, api_version, name)


@lru_cache(maxsize=1)
def _well_known() -> tuple[Kind, ...]:
    return tuple(kind_of(version, name) for version, names in WELL_KNOWN.items() for name in names)
