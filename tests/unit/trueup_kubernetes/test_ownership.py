from __future__ import annotations

from typing import Any

from trueup_kubernetes.ownership import writers_of


def entry(manager: str, fields: dict[str, Any], time: str = "", **more: str) -> dict[str, Any]:
    made: dict[str, Any] = {"manager": manager, "operation": "Update", "fieldsV1": fields, **more}
    return {**made, "time": time} if time else made


def body(*entries: dict[str, Any]) -> dict[str, Any]:
    web = {"name": "web", "image": "web:2", "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    return {
        "metadata": {
            "name": "web",
            "annotations": {"example.com/note": "by hand"},
            "finalizers": ["example.com/a"],
            "managedFields": list(entries),
        },
        "spec": {"replicas": 5, "containers": [web, {"name": "side", "image": "side:1"}]},
        "status": {"replicas": 5},
    }


def container(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"f:spec": {"f:containers": {f'k:{{"name":"{name}"}}': fields}}}


REPLICAS = {"f:spec": {"f:replicas": {}}}
OURS = {
    **entry("trueup", container("web", {".": {}, "f:name": {}}), "2026-11-25T18:00:00Z"),
    "operation": "Apply",
}


def test_the_last_manager_of_a_field_is_named_and_we_are_not() -> None:
    found = writers_of(
        body(
            entry("hand", REPLICAS, "2026-11-25T17:00:02Z"),
            entry("first", REPLICAS, "2026-11-25T17:00:01Z"),
            entry("trueup", REPLICAS, "2026-11-25T18:00:00Z"),
        )
    )
    assert found == {"/spec/replicas": "hand (Update) at 2026-11-25T17:00:02Z"}


def test_a_subresource_is_named_and_the_status_is_left_out() -> None:
    found = writers_of(
        body(
            entry("kubectl", REPLICAS, subresource="scale"),
            entry("controller", {"f:status": {"f:replicas": {}}}, subresource="status"),
        )
    )
    assert found == {"/spec/replicas": "kubectl (Update of scale)"}


def test_items_are_named_as_plans_name_them_and_as_a_whole_only_where_they_are_not_ours() -> None:
    port = {"f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}}
    hand = entry("hand", container("web", {".": {}, "f:image": {}, **port}))
    other = entry("other", container("side", {".": {}, "f:image": {}}))
    assert writers_of(body(OURS, hand, other)) == {
        "/spec/containers/web/image": "hand (Update)",
        "/spec/containers/web/ports/80,TCP": "hand (Update)",
        "/spec/containers/web/ports/80,TCP/containerPort": "hand (Update)",
        "/spec/containers/side": "other (Update)",
        "/spec/containers/side/image": "other (Update)",
    }


def test_keys_are_escaped_and_a_set_is_one_field() -> None:
    annotations = {".": {}, "f:example.com/note": {}}
    sets = {".": {}, 'v:"example.com/a"': {}}
    found = writers_of(
        body(entry("hand", {"f:metadata": {"f:annotations": annotations, "f:finalizers": sets}}))
    )
    assert found == {
        "/metadata/annotations/example.com~1note": "hand (Update)",
        "/metadata/finalizers": "hand (Update)",
    }


def test_what_no_longer_lives_is_not_named() -> None:
    gone = {**container("gone", {".": {}}), "f:data": {"f:key": {}}}
    assert writers_of(body(entry("hand", gone))) == {}
    assert writers_of({"metadata": {}}) == {}
