from __future__ import annotations

from typing import Any

from trueup_kubernetes.discovery import Discovery


def resource(name: str, kind: str, scope: str = "Namespaced", *verbs: str) -> dict[str, Any]:
    return {"resource": name, "responseKind": {"kind": kind}, "scope": scope, "verbs": [*verbs]}


def group(name: str, version: str, *resources: dict[str, Any], freshness: str = "Current") -> dict[str, Any]:
    return {
        "metadata": {"name": name} if name else {},
        "versions": [{"version": version, "resources": [*resources], "freshness": freshness}],
    }


DISCOVERY = Discovery(
    [
        {
            "items": [
                group("", "v1", resource("configmaps", "ConfigMap"), resource("nodes", "Node", "Cluster"))
            ]
        },
        {
            "items": [
                group("apps", "v1", resource("deployments", "Deployment")),
                group("metrics.k8s.io", "v1", freshness="Stale"),
                group("odd.io", "v1", resource("a", "A", "Cluster"), resource("as", "A", "Cluster", "list")),
            ]
        },
    ]
)


def test_paths_of_objects_and_collections() -> None:
    core, apps = DISCOVERY.find("v1", "ConfigMap"), DISCOVERY.find("apps/v1", "Deployment")
    node = DISCOVERY.find("v1", "Node")
    assert core and apps and node
    assert core.path("shop", "a") == "/api/v1/namespaces/shop/configmaps/a"
    assert core.path() == "/api/v1/configmaps"
    assert apps.path("shop") == "/apis/apps/v1/namespaces/shop/deployments"
    assert node.path("", "a") == "/api/v1/nodes/a"


def test_a_name_cannot_leave_its_path() -> None:
    core = DISCOVERY.find("v1", "ConfigMap")
    assert core and core.path("a/b", "../c?x#y") == "/api/v1/namespaces/a%2Fb/configmaps/..%2Fc%3Fx%23y"


def test_a_group_that_the_server_does_not_know_at_present_is_stale() -> None:
    assert DISCOVERY.is_stale("metrics.k8s.io/v1")
    assert not DISCOVERY.is_stale("apps/v1")
    assert DISCOVERY.find("metrics.k8s.io/v1", "PodMetrics") is None


def test_the_resource_that_can_be_listed_is_the_kinds_own() -> None:
    found = DISCOVERY.find("odd.io/v1", "A")
    assert found and found.plural == "as"
    assert DISCOVERY.versions("odd.io/v2", "A") == ("odd.io/v1",)
