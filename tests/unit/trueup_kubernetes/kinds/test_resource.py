"""What the kind says of a manifest without a cluster: problems, edges, immutable fields, secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from trueup.model.values import to_record
from trueup.sdk import UNKNOWN, Absent, Action, Address, Document, Node, Observed, Sensitive, Target
from trueup_kubernetes.kinds.catalog import WELL_KNOWN, is_immutable
from trueup_kubernetes.kinds.resource import kind_of


def node_of(document: Document, **config: Any) -> Node:
    metadata = document["metadata"]
    address = Address("s", document["kind"], metadata["name"], "t", metadata.get("namespace", ""))
    return Node(address, document["apiVersion"], Target("t", "kubernetes", config=config), document)


def document(api_version: str, kind: str, name: str = "x", **parts: Any) -> dict[str, Any]:
    metadata = {"name": name, **parts.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def problems(body: Document) -> list[str]:
    node = node_of(body)
    return [problem.message for problem in kind_of(node.api_version, node.kind).validate(node)]


def needs(body: Document, **config: Any) -> set[str]:
    node = node_of(body, **config)
    return set(kind_of(node.api_version, node.kind).needs(node))


def provides(body: Document, **config: Any) -> set[str]:
    node = node_of(body, **config)
    return set(kind_of(node.api_version, node.kind).provides(node))


# -- validate


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (document("v1", "ConfigMap", "Upper"), "metadata.name 'Upper'"),
        (document("v1", "ConfigMap", "a/b"), "cannot be part of a URL path"),
        (document("v1", "ConfigMap", "a..b"), "metadata.name 'a..b'"),
        (document("example.com/v1", "Thing", ".."), "cannot be part of a URL path"),
        (document("v1", "Service", "a.b"), "is not a DNS label"),
        (document("v1", "ConfigMap", metadata={"namespace": "a/b"}), "metadata.namespace"),
        (document("v1", "Namespace", metadata={"namespace": "a"}), "belongs to no namespace"),
        (document("v1", "ConfigMap", metadata={"uid": "u"}), "metadata.uid is set by the server"),
        (document("v1", "ConfigMap", metadata={"resourceVersion": "1"}), "metadata.resourceVersion"),
        (document("v1", "ConfigMap", metadata={"generateName": "x-"}), "generateName"),
        (document("v1", "Pod", status={"phase": "Running"}), "status is set"),
        (document("v1", "ConfigMap", data={"a": 1}), "data.a is a number, not text"),
        (document("v1", "ConfigMap", data={"a": True}), "data.a is a truth value, not text"),
        (document("v1", "Secret", stringData={"a": 1}), "stringData.a is a number"),
        (document("v1", "ConfigMap", metadata={"labels": {"a": 1}}), "metadata.labels.a is a number"),
        (document("v1", "ConfigMap", metadata={"labels": {"trueup.dev/owner": "x"}}), "own mark"),
        (document("v1", "List", items=[]), "a List is no object"),
    ],
)
def test_what_is_wrong_is_named(body: Document, message: str) -> None:
    found = problems(body)
    assert len(found) == 1 and message in found[0]


@pytest.mark.parametrize(
    "body",
    [
        document("v1", "ConfigMap", "a.b-c", data={"a": "1", "b": UNKNOWN, "c": Sensitive("x"), "d": None}),
        document("rbac.authorization.k8s.io/v1", "ClusterRole", "system:Reader"),
        document("example.com/v1", "Thing", "Any_Name"),
        document("v1", "ConfigMap", metadata={"creationTimestamp": None}, status={}),
        document("v1", "ConfigMap", data=UNKNOWN, status=None),
    ],
)
def test_what_is_right_has_no_problem(body: Document) -> None:
    assert problems(body) == []


def test_all_problems_are_told_at_once() -> None:
    body = document("v1", "ConfigMap", "Upper", metadata={"uid": "u"}, data={"a": 1})
    assert len(problems(body)) == 3


# -- edges


def test_an_object_needs_its_namespace_and_its_kind() -> None:
    body = document("example.com/v1", "Thing", metadata={"namespace": "shop"})
    assert needs(body) == {"namespace:shop", "kind:example.com/Thing"}


def test_the_targets_namespace_counts_where_the_object_names_none() -> None:
    assert "namespace:shop" in needs(document("v1", "ConfigMap"), namespace="shop")
    assert "namespace:shop" not in needs(document("v1", "PersistentVolume"), namespace="shop")


def test_a_namespace_and_a_definition_provide_what_others_need() -> None:
    assert "namespace:shop" in provides(document("v1", "Namespace", "shop"))
    spec = {"group": "example.com", "names": {"kind": "Thing"}}
    definition = document(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.example.com", spec=spec
    )
    assert "kind:example.com/Thing" in provides(definition)


def test_a_workload_needs_what_its_pods_use() -> None:
    pod = {
        "serviceAccountName": "robot",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "a", "configMap": {"name": "conf"}},
            {"name": "b", "secret": {"secretName": "tls"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "d", "projected": {"sources": [{"secret": {"name": "mixed"}}]}},
        ],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "init"}}]}],
        "containers": [
            {
                "name": "w",
                "envFrom": [{"configMapRef": {"name": "env"}}],
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}},
                    {"name": "B", "value": "plain"},
                ],
            }
        ],
    }
    metadata = {"namespace": "shop"}
    template = {"spec": {"template": {"spec": pod}}}
    expected = {
        *("ServiceAccount/shop/robot", "Secret/shop/pull", "ConfigMap/shop/conf", "Secret/shop/tls"),
        *("PersistentVolumeClaim/shop/data", "Secret/shop/mixed", "Secret/shop/init", "ConfigMap/shop/env"),
        "Secret/shop/key",
    }
    wanted = {f"kubernetes:{name}" for name in expected}
    rest = {"namespace:shop", "kind:apps/Deployment"}
    assert needs(document("apps/v1", "Deployment", metadata=metadata, **template)) == wanted | rest
    nightly = {"spec": {"jobTemplate": template}}
    assert wanted <= needs(document("batch/v1", "CronJob", metadata=metadata, **nightly))
    assert "kubernetes:ConfigMap/shop/conf" in provides(
        document("v1", "ConfigMap", "conf", metadata=metadata)
    )


def test_a_binding_needs_its_role_and_its_accounts() -> None:
    body = document(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        metadata={"namespace": "shop"},
        roleRef={"kind": "Role", "name": "reader"},
        subjects=[{"kind": "ServiceAccount", "name": "robot", "namespace": "other"}],
    )
    assert {"kubernetes:Role/shop/reader", "kubernetes:ServiceAccount/other/robot"} <= needs(body)
    body = {**body, "roleRef": {"kind": "ClusterRole", "name": "view"}}
    assert "kubernetes:ClusterRole//view" in needs(body)


def test_every_built_in_kind_answers_for_an_unknown_spec() -> None:
    for api_version, names in WELL_KNOWN.items():
        for name in names:
            body = document(api_version, name, spec=UNKNOWN, data=UNKNOWN)
            assert needs(body) and provides(body)


# -- immutable fields


@pytest.mark.parametrize(
    ("kind", "pointer", "expected"),
    [
        ("Deployment", "spec/selector/matchLabels/app", True),
        ("Deployment", "spec/template/metadata/labels/app", False),
        ("Service", "spec/clusterIP", True),
        ("Service", "spec/ports/80,TCP", False),
        ("Job", "spec/template/spec/containers/a/image", True),
        ("Job", "spec/parallelism", False),
        ("RoleBinding", "roleRef/name", True),
        ("RoleBinding", "subjects/0/name", False),
        ("StatefulSet", "spec/serviceName", True),
        ("StatefulSet", "spec/volumeClaimTemplates/0/spec/resources/requests/storage", True),
        ("StatefulSet", "spec/replicas", False),
        ("StatefulSet", "spec/template/spec/containers/a/image", False),
        ("PersistentVolumeClaim", "spec/storageClassName", True),
        ("PersistentVolumeClaim", "spec/resources/requests/storage", False),
        ("StorageClass", "parameters/type", True),
        ("Pod", "spec/containers/a/image", False),
        ("Pod", "spec/containers/a/command", True),
        ("ConfigMap", "data/a", False),
    ],
)
def test_immutable_fields(kind: str, pointer: str, expected: bool) -> None:
    assert is_immutable(kind, False, tuple(pointer.split("/"))) is expected


@pytest.mark.parametrize(("live", "action"), [({"immutable": True}, Action.REPLACE), ({}, Action.UPDATE)])
def test_an_immutable_config_map_is_replaced(live: Document, action: Action) -> None:
    node = node_of(document("v1", "ConfigMap", data={"a": "2"}))
    observed = Observed(node.address, {**document("v1", "ConfigMap", data={"a": "1"}), **live}, "id")
    assert kind_of("v1", "ConfigMap").diff(node, observed, None).action is action


def test_stateful_kinds_are_marked() -> None:
    assert kind_of("v1", "PersistentVolumeClaim").traits.stateful
    assert kind_of("v1", "Namespace").traits.stateful
    assert not kind_of("apps/v1", "Deployment").traits.stateful
    assert not kind_of("example.com/v1", "Namespace").traits.stateful


# -- secrets

SECRET = kind_of("v1", "Secret")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def observed_secret(node: Node, **data: str) -> Observed:
    return Observed(node.address, document("v1", "Secret", data=data), "id")


def test_text_and_base64_are_the_same_secret() -> None:
    node = node_of(document("v1", "Secret", stringData={"a": "canary"}, data={"b": encoded("x") + "\n"}))
    seen = observed_secret(node, a=encoded("canary"), b=encoded("x"))
    assert SECRET.diff(node, seen, to_record(SECRET.seal(node.body))).action is Action.NONE


def test_a_secret_shows_in_no_diff_though_nobody_sealed_it() -> None:
    node = node_of(document("v1", "Secret", stringData={"a": "canary-new"}))
    change = SECRET.diff(node, observed_secret(node, a=encoded("canary-old")), None)
    assert [field.path for field in change.fields] == ["/data/a"]
    for text in ("canary-new", "canary-old"):
        assert text not in repr(change.fields) and encoded(text) not in repr(change.fields)


def test_a_dropped_key_of_text_goes_away() -> None:
    recorded = to_record(SECRET.seal(document("v1", "Secret", stringData={"a": "1", "b": "2"})))
    node = node_of(document("v1", "Secret", stringData={"a": "1"}))
    change = SECRET.diff(node, observed_secret(node, a=encoded("1"), b=encoded("2")), recorded)
    assert [field.path for field in change.fields] == ["/data/b"]


def test_the_annotation_that_holds_a_whole_secret_is_sealed() -> None:
    last = "kubectl.kubernetes.io/last-applied-configuration"
    body = document("v1", "Secret", metadata={"annotations": {last: "canary", "a": "b"}})
    sealed = SECRET.seal(body)
    assert "canary" not in repr(sealed) and sealed["metadata"]["annotations"]["a"] == "b"


def test_the_create_of_an_object_without_fields_shows_none() -> None:
    node = node_of(document("v1", "Namespace"))
    change = kind_of("v1", "Namespace").diff(node, Absent(node.address), None)
    assert change.action is Action.CREATE and change.fields == ()
