"""What is written to a real cluster, and what is refused: other people's objects and fields stay theirs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.cluster.documents import config_map, node_of, paths
from tests.cluster.fakenode import FakeNode
from tests.cluster.fixtures import Cluster

from trueup.model.values import to_record
from trueup.sdk import (
    Absent,
    Action,
    Blocked,
    Change,
    Conflict,
    Denied,
    Done,
    Failed,
    Invalid,
    Node,
    Observed,
    Pending,
    Readiness,
    Sensitive,
)
from trueup.sdk.testing.rig import Rig
from trueup_kubernetes.apply import apply_new, manifest_of
from trueup_kubernetes.objects import Spot
from trueup_kubernetes.provider import KubernetesProvider
from trueup_kubernetes.session import ClusterSession

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

APPLY = "application/apply-patch+yaml"


@pytest.fixture
def rig(cluster: Cluster, namespace: str) -> Iterator[Rig]:
    rig = Rig(KubernetesProvider(), cluster.target(namespace=namespace))
    yield rig
    rig.close()


@pytest.fixture
def path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/settings"


def make_foreign(cluster: Cluster, path: str, data: dict[str, str]) -> str:
    body = config_map("settings", data)
    return json.dumps(cluster.request("POST", path.rpartition("/")[0], body), sort_keys=True)


def read(cluster: Cluster, path: str) -> str:
    return json.dumps(cluster.request("GET", path), sort_keys=True)


def cluster_session(rig: Rig, node: Node) -> ClusterSession:
    session = rig.session(node)
    assert isinstance(session, ClusterSession)
    return session


def apply_as(cluster: Cluster, path: str, body: Any, manager: str, force: bool = False) -> None:
    query = [("fieldManager", manager), *([("force", "true")] if force else [])]
    cluster.request("PATCH", path, body, query=query, content_type=APPLY)


def change_now(rig: Rig, node: Node, recorded: Node | None = None) -> Change:
    return rig.diff(node, rig.observed(node), to_record((recorded or node).body))


# -- objects of others


def test_a_foreign_object_keeps_every_byte(rig: Rig, cluster: Cluster, path: str) -> None:
    before = make_foreign(cluster, path, {"a": "theirs"})
    node = node_of(rig, config_map("settings", {"a": "ours"}))
    with pytest.raises(Conflict, match="not managed by trueup"):
        rig.create(node)
    assert read(cluster, path) == before


def test_adopting_takes_a_foreign_object_over(rig: Rig, cluster: Cluster, path: str) -> None:
    make_foreign(cluster, path, {"a": "theirs", "b": "theirs"})
    node = node_of(rig, config_map("settings", {"a": "ours"}), adopt=True)
    rig.create(node)
    seen = rig.expect_true(node)
    assert seen.owner == rig.owner(node)
    assert cluster.request("GET", path)["data"] == {"a": "ours", "b": "theirs"}


def test_an_object_made_in_the_same_moment_is_left_as_it_was(
    rig: Rig, cluster: Cluster, namespace: str, path: str
) -> None:
    make_foreign(cluster, path, {"a": "theirs"})
    before = cluster.request("GET", path)
    node = node_of(rig, config_map("settings", {"b": "ours"}))
    session = cluster_session(rig, node)
    spot = Spot(session.resource("v1", "ConfigMap"), namespace, "settings")
    with pytest.raises(Conflict, match="at this very moment"):
        apply_new(session, spot, node, manifest_of(node, node.body, spot, rig.owner(node)))
    after = cluster.request("GET", path)
    for body in (before, after):
        del body["metadata"]["resourceVersion"]
    assert after == before


def test_a_marker_that_was_copied_to_another_object_does_not_make_it_ours(
    rig: Rig, cluster: Cluster, namespace: str, path: str
) -> None:
    node = node_of(rig, config_map("settings", {"a": "1"}))
    rig.create(node)
    live = cluster.request("GET", path)
    marks = {key: live["metadata"][key] for key in ("labels", "annotations")}
    cluster.request("POST", path.rpartition("/")[0], config_map("copy", {"a": "1"}, **marks))
    copy = node_of(rig, config_map("copy", {"a": "1"}))
    assert rig.observed(copy).owner == rig.owner(node) != rig.owner(copy)
    with pytest.raises(Conflict, match="belongs to"):
        rig.delete(copy)
    with pytest.raises(Conflict, match="belongs to"):
        rig.create(copy)


# -- fields of others


def test_a_field_that_another_manager_holds_is_named(rig: Rig, cluster: Cluster, path: str) -> None:
    node = node_of(rig, config_map("settings", {"a": "1"}))
    rig.create(node)
    changed = node_of(rig, config_map("settings", {"a": "1", "b": "ours"}))
    change = change_now(rig, changed, node)
    apply_as(cluster, path, config_map("settings", {"b": "theirs"}), "other-tool")
    with pytest.raises(Conflict, match=r'data\.b: conflict with "other-tool"'):
        rig.update(changed, change)
    assert cluster.request("GET", path)["data"] == {"a": "1", "b": "theirs"}


def test_drift_that_the_plan_shows_is_overwritten(rig: Rig, cluster: Cluster, path: str) -> None:
    node = node_of(rig, config_map("settings", {"a": "1", "b": "1"}))
    rig.create(node)
    cluster.patch(path, {"data": {"a": "edited"}})
    change = change_now(rig, node)
    assert paths(change) == ["/data/a"]
    rig.update(node, change)
    assert cluster.request("GET", path)["data"] == {"a": "1", "b": "1"}
    assert change_now(rig, node).action is Action.NONE


def test_a_dropped_field_goes_away_even_after_an_edit_by_hand(rig: Rig, cluster: Cluster, path: str) -> None:
    node = node_of(rig, config_map("settings", {"a": "1", "b": "1", "c": "1"}))
    rig.create(node)
    cluster.patch(path, {"data": {"b": "edited"}})
    less = node_of(rig, config_map("settings", {"a": "1"}))
    change = change_now(rig, less, node)
    assert paths(change) == ["/data/b", "/data/c"]
    rig.update(less, change)
    assert cluster.request("GET", path)["data"] == {"a": "1"}
    assert change_now(rig, less, node).action is Action.NONE


def test_a_field_that_was_left_to_a_controller_stays(rig: Rig, cluster: Cluster, namespace: str) -> None:
    """The way to give the number of replicas to an autoscaler: take it out of the manifest."""
    node = node_of(rig, deployment("web", {"replicas": 0}))
    rig.create(node)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    cluster.patch(f"{path}/scale", {"spec": {"replicas": 1}}, manager="autoscaler")
    less = node_of(rig, deployment("web", {}))
    assert change_now(rig, less, node).action is Action.NONE
    assert cluster.request("GET", path)["spec"]["replicas"] == 1


def test_a_container_that_others_inject_is_no_difference(rig: Rig, cluster: Cluster, namespace: str) -> None:
    node = node_of(rig, deployment("web", {"replicas": 0}))
    rig.create(node)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    sidecar = {"name": "sidecar", "image": "sidecar:1"}
    body = {"spec": {"template": {"spec": {"containers": [sidecar]}}}}
    merge = "application/strategic-merge-patch+json"
    cluster.request("PATCH", path, body, query=[("fieldManager", "mesh")], content_type=merge)
    assert change_now(rig, node).action is Action.NONE
    assert len(cluster.request("GET", path)["spec"]["template"]["spec"]["containers"]) == 2


def test_an_entry_that_a_person_adds_to_a_selector_is_drift(
    rig: Rig, cluster: Cluster, namespace: str
) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    node = node_of(rig, document)
    rig.create(node)
    path = f"/api/v1/namespaces/{namespace}/services/web"
    cluster.patch(path, {"spec": {"selector": {"broken": "yes"}}})
    change = change_now(rig, node)
    assert paths(change) == ["/spec/selector/broken"]
    rig.update(node, change)
    assert cluster.request("GET", path)["spec"]["selector"] == {"app": "web"}


def test_the_order_of_init_containers_is_kept(rig: Rig, cluster: Cluster, namespace: str) -> None:
    first, second = ({"name": name, "image": "busybox:1"} for name in ("first", "second"))
    node = node_of(rig, deployment("web", {"replicas": 0}, initContainers=[first, second]))
    rig.create(node)
    other = node_of(rig, deployment("web", {"replicas": 0}, initContainers=[second, first]))
    change = change_now(rig, other, node)
    assert paths(change) == ["/spec/template/spec/initContainers"]
    rig.update(other, change)
    assert change_now(rig, other).action is Action.NONE


def deployment(name: str, spec: dict[str, Any], **pod: Any) -> dict[str, Any]:
    containers = [{"name": "web", "image": "nginx:1"}]
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers, **pod}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


# -- another object of the same name


def test_an_object_that_was_made_anew_is_not_touched(rig: Rig, cluster: Cluster, path: str) -> None:
    node = node_of(rig, config_map("settings", {"a": "1"}))
    rig.create(node)
    changed = node_of(rig, config_map("settings", {"a": "2"}))
    change = change_now(rig, changed, node)
    old_id = rig.observed(node).external_id
    cluster.request("DELETE", path)
    with pytest.raises(Conflict):
        rig.update(changed, change)  # gone: an update makes nothing
    assert cluster.ask("GET", path)[0] == 404
    before = make_foreign(cluster, path, {"a": "theirs"})
    with pytest.raises(Conflict, match="no longer the object"):
        rig.update(changed, change)
    with pytest.raises(Conflict, match="another object"):
        rig.delete(replace(node, external_id=old_id))
    assert read(cluster, path) == before


def test_an_object_that_another_stack_took_over_since_the_plan_stays_theirs(
    rig: Rig, cluster: Cluster, path: str
) -> None:
    node = node_of(rig, config_map("settings", {"a": "1"}))
    rig.create(node)
    changed = node_of(rig, config_map("settings", {"a": "2"}))
    change = change_now(rig, changed, node)
    theirs = node_of(rig, config_map("settings", {"a": "theirs"}), adopt=True)
    intent = rig.intent(theirs)
    rig.create(theirs, replace(intent, owner=replace(intent.owner, stack="other")))
    before = read(cluster, path)
    with pytest.raises(Conflict, match="took it over"):
        rig.update(changed, change)
    with pytest.raises(Conflict, match="other"):
        rig.delete(node)
    assert read(cluster, path) == before


def test_an_object_is_not_lost_when_the_targets_namespace_changes(
    rig: Rig, cluster: Cluster, make_namespace: Callable[[], str]
) -> None:
    node = node_of(rig, config_map("settings", {"a": "1"}))
    rig.create(node)
    node = replace(node, external_id=rig.observed(node).external_id)
    moved = Rig(rig.provider, cluster.target(namespace=make_namespace()))
    seen = moved.observe(node)
    assert isinstance(seen, Failed) and isinstance(seen.error, Conflict)
    assert str(rig.target.config["namespace"]) in seen.error.message
    with pytest.raises(Conflict, match="lives in namespace"):
        moved.delete(node)
    moved.close()
    assert isinstance(rig.observed(node), Observed)


# -- deletion


def test_a_deletion_that_a_finalizer_holds_is_pending_and_names_it(
    rig: Rig, cluster: Cluster, path: str
) -> None:
    node = node_of(rig, config_map("settings", {"a": "1"}, finalizers=["example.com/hold"]))
    rig.create(node)
    kind, session = rig.kind(node), rig.session(node)
    answer = kind.delete(session, node, rig.intent(node))
    assert isinstance(answer, Pending) and "waits for finalizer example.com/hold" in answer.why
    assert isinstance(kind.delete(session, node, rig.intent(node)), Pending)
    assert isinstance(kind.poll(session, answer.operation), Pending)
    health = kind.health(rig.observed(node))
    assert health.readiness is Readiness.PROGRESSING and "example.com/hold" in health.why
    with pytest.raises(Blocked, match=r"example\.com/hold"):
        rig.create(node)
    cluster.patch(path, {"metadata": {"finalizers": None}})
    assert kind.poll(session, answer.operation) == Done(str(answer.operation["uid"]))
    assert isinstance(rig.observe(node), Absent)


def test_a_workload_is_gone_when_its_pods_are(
    rig: Rig, cluster: Cluster, namespace: str, fakenode: FakeNode
) -> None:
    node = node_of(rig, deployment("web", {"replicas": 2}))
    rig.create(node)
    rig.expect_true(node)  # waits until it is ready
    assert len(cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]) == 2
    rig.delete(node)
    assert cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"] == []


# -- refusals


def test_a_missing_namespace_blocks(rig: Rig) -> None:
    missing = f"none-{uuid.uuid4().hex[:8]}"
    node = node_of(rig, config_map("settings", namespace=missing))
    assert isinstance(rig.observe(node), Absent)
    with pytest.raises(Blocked) as caught:
        rig.create(node)
    assert caught.value.by == f"Namespace/{missing}"


def test_a_field_that_does_not_exist_is_refused_by_name(rig: Rig) -> None:
    with pytest.raises(Invalid, match=r"\.spec\.replcas"):
        rig.create(node_of(rig, deployment("web", {"replcas": 1})))


def test_a_refusal_does_not_repeat_what_is_sensitive(rig: Rig) -> None:
    document = deployment("web", {"replicas": Sensitive("s3cr3t-canary")})
    with pytest.raises(Invalid) as caught:
        rig.create(node_of(rig, document))
    assert "s3cr3t-canary" not in str(caught.value)
    assert "spec.replicas" in str(caught.value)


def test_a_user_without_rights_is_denied(cluster: Cluster, namespace: str, rig: Rig) -> None:
    node = node_of(rig, config_map("settings"))
    with pytest.raises(Denied, match="kube-system"):
        rig.provider.connect(cluster.limited_target(), "a/b")
    assert isinstance(rig.observe(node), Absent)
