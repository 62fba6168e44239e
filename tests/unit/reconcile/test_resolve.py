"""What expressions see of other nodes, and how ignored fields keep their live value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from trueup.model.address import Address
from trueup.model.observation import Observed
from trueup.model.resource import Lifecycle, Node, Target
from trueup.model.values import UNKNOWN
from trueup.reconcile.resolve import keep_ignored, known_document, overlay
from trueup.sdk.testing.memory import Thing

KIND = Thing()
ADDRESS = Address("shop", "Thing", "a", "here")


def make_node(spec: Any, ignore: Sequence[str] = ()) -> Node:
    return Node(
        ADDRESS,
        "memory.trueup.dev/v1",
        Target("here", "memory"),
        {"spec": spec},
        Lifecycle(ignore=tuple(ignore)),
    )


def observe(spec: Any) -> Observed:
    return Observed(ADDRESS, {"spec": spec, "status": {"id": 7}}, "x")


def test_desired_is_laid_over_what_lives() -> None:
    document = known_document(make_node({"a": 2}), observe({"a": 1, "b": 3}), is_made_anew=False)
    assert document == {"spec": {"a": 2, "b": 3}, "status": {"id": 7}}


@pytest.mark.parametrize("observed", [None, observe({"a": 1})])
def test_a_node_that_is_made_anew_has_no_status_yet(observed: Observed | None) -> None:
    document = known_document(make_node({"a": 2}), observed, is_made_anew=True)
    assert document["status"] is UNKNOWN
    assert document["spec"] == {"a": 2}


def test_lists_are_not_merged() -> None:
    assert overlay({"a": [1, 2], "b": 1}, {"a": [3]}) == {"a": [3], "b": 1}


@pytest.mark.parametrize(
    ("pointer", "desired", "live", "kept"),
    [
        ("/spec/replicas", {"replicas": 2, "x": 1}, {"replicas": 5, "x": 1}, {"replicas": 5, "x": 1}),
        ("/spec/replicas", {"replicas": 2}, {}, {}),
        ("/spec/replicas", {}, {"replicas": 5}, {"replicas": 5}),
        ("/spec/a~1b/c", {"a/b": {"c": 1, "d": 2}}, {"a/b": {"c": 9}}, {"a/b": {"c": 9, "d": 2}}),
        ("/spec/list/1", {"list": [1, 2]}, {"list": [7, 8]}, {"list": [1, 8]}),
        ("/spec/list/5", {"list": [1, 2]}, {"list": [7, 8]}, {"list": [1, 2]}),
        ("/spec/list/0/v", {"list": [{"v": 1, "w": 2}]}, {"list": [{"v": 3}]}, {"list": [{"v": 3, "w": 2}]}),
        ("/spec/text/deep", {"text": "plain"}, {"text": {"deep": 1}}, {"text": "plain"}),
    ],
)
def test_an_ignored_field_keeps_its_live_value(pointer: str, desired: Any, live: Any, kept: Any) -> None:
    node = make_node(desired, [pointer])
    assert keep_ignored(node, observe(live), KIND).body == {"spec": kept}
    assert node.body == {"spec": desired}


class Keyed(Thing):
    schema = {
        "type": "object",
        "properties": {"ports": {"type": "array", "x-list-key": "name", "items": {"type": "object"}}},
    }


def test_an_item_of_a_keyed_list_is_ignored_by_its_key() -> None:
    desired = {"ports": [{"name": "b", "port": 2}, {"name": "c", "port": 3}]}
    live = {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 9}]}
    kept = keep_ignored(make_node(desired, ["/spec/ports/b/port"]), observe(live), Keyed())
    assert kept.body == {"spec": {"ports": [{"name": "b", "port": 9}, {"name": "c", "port": 3}]}}
