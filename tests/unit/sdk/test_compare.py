"""The default comparison: each schema keyword, and what is never compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trueup.model.address import Address
from trueup.model.change import MISSING, Action
from trueup.model.observation import Absent, Observed
from trueup.model.resource import Node, Target
from trueup.model.values import UNKNOWN, Sensitive, to_record
from trueup.sdk.compare import compare, is_equal, seal

ADDRESS = Address("shop", "Thing", "a", "here")


def make_node(spec: Mapping[str, Any]) -> Node:
    return Node(ADDRESS, "memory.trueup.dev/v1", Target("here", "memory"), {"kind": "Thing", "spec": spec})


def diff(
    schema: Mapping[str, Any],
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    recorded: Mapping[str, Any] | None = None,
) -> dict[str, tuple[Any, Any]]:
    observed = Observed(ADDRESS, {"spec": live, "status": {"id": "1"}}, "id-1")
    node = make_node(desired)
    recorded_body = None if recorded is None else {"spec": recorded}
    change = compare(schema, False, node, lambda node, _: node.body, observed, recorded_body)
    return {field.path: (field.before, field.after) for field in change.fields}


def test_equal_documents_need_nothing() -> None:
    assert diff({}, {"a": 1, "b": {"c": [1, 2]}}, {"a": 1.0, "b": {"c": [1, 2], "more": 3}}) == {}


def test_only_fields_that_the_manifest_sets_are_compared() -> None:
    assert diff({}, {"a": 2}, {"a": 1, "b": 9}) == {"/spec/a": (1, 2)}


def test_a_field_that_is_not_there_is_missing_rather_than_null() -> None:
    assert diff({}, {"a": None, "b": 1}, {"a": None}) == {"/spec/b": (MISSING, 1)}


def test_true_is_not_one() -> None:
    assert not is_equal(True, 1)
    assert is_equal(1, 1.0)


def test_an_entry_of_a_free_map_that_was_dropped_goes_away() -> None:
    schema = {"properties": {"tags": {"type": "object", "additionalProperties": {"type": "string"}}}}
    found = diff(schema, {"tags": {"a": "1"}}, {"tags": {"a": "1", "b": "2", "c": "3"}}, {"tags": {"b": "2"}})
    assert found == {"/spec/tags/b": ("2", MISSING)}


def test_a_declared_field_that_was_dropped_is_no_longer_managed() -> None:
    schema = {"properties": {"owner": {"type": "string"}}}
    assert diff(schema, {}, {"owner": "root"}, {"owner": "root"}) == {}


def test_a_declared_field_that_was_dropped_falls_back_where_the_schema_says_so() -> None:
    schema = {"properties": {"delay": {"type": "integer", "x-reset-to": 0}}}
    assert diff(schema, {}, {"delay": 5}, {"delay": 5}) == {"/spec/delay": (5, 0)}
    assert diff(schema, {}, {"delay": 5}) == {}


def test_a_default_is_compared_although_the_manifest_does_not_set_it() -> None:
    schema = {"properties": {"mode": {"default": "0644"}}}
    assert diff(schema, {}, {"mode": "0600"}) == {"/spec/mode": ("0600", "0644")}


def test_an_immutable_field_asks_for_a_replacement() -> None:
    schema = {"properties": {"zone": {"x-immutable": True, "type": "object"}}}
    node = make_node({"zone": {"name": "b"}})
    observed = Observed(ADDRESS, {"spec": {"zone": {"name": "a"}}}, "id-1")
    change = compare(schema, False, node, lambda node, _: node.body, observed, None)
    assert change.action is Action.REPLACE
    assert [field.path for field in change.fields] == ["/spec/zone/name"]


def test_the_order_of_an_unordered_list_has_no_meaning() -> None:
    schema = {"properties": {"tags": {"x-unordered": True}}}
    assert diff(schema, {"tags": [{"k": 1}, {"k": 2}]}, {"tags": [{"k": 2}, {"k": 1}]}) == {}
    assert diff(schema, {"tags": [1, 2]}, {"tags": [1, 1]}) == {"/spec/tags": ([1, 1], [1, 2])}


def test_a_keyed_list_is_compared_item_by_item() -> None:
    schema = {"properties": {"ports": {"x-list-key": "name"}}}
    desired = {"ports": [{"name": "b", "port": 2}, {"name": "c", "port": 3}]}
    live = {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 9}, {"name": "z", "port": 0}]}
    recorded = {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}
    assert diff(schema, desired, live, recorded) == {
        "/spec/ports/b/port": (9, 2),
        "/spec/ports/c": (MISSING, {"name": "c", "port": 3}),
        "/spec/ports/a": ({"name": "a", "port": 1}, MISSING),
    }


def test_a_sensitive_field_shows_neither_value() -> None:
    schema = {"properties": {"password": {"x-sensitive": True}}}
    node = make_node({"password": "canary-new"})
    observed = Observed(ADDRESS, {"spec": {"password": Sensitive("canary-old")}}, "id-1")
    change = compare(schema, False, node, lambda node, _: node.body, observed, None)
    assert change.fields[0].sensitive
    assert "canary" not in repr(change)


def test_a_write_only_field_is_compared_with_the_recorded_hash() -> None:
    schema = {"properties": {"key": {"x-write-only": True}}}
    recorded = to_record({"key": Sensitive("one")})
    assert diff(schema, {"key": Sensitive("one")}, {}, recorded) == {}
    assert list(diff(schema, {"key": Sensitive("two")}, {}, recorded)) == ["/spec/key"]


def test_an_unknown_value_is_a_change_to_the_unknown() -> None:
    assert diff({}, {"a": UNKNOWN}, {"a": 1}) == {"/spec/a": (1, UNKNOWN)}


def test_an_absent_object_is_created_with_every_field_shown() -> None:
    schema = {"properties": {"password": {"x-sensitive": True}}}
    node = make_node({"a": {"b": 1}, "password": "canary"})
    change = compare(schema, False, node, lambda node, _: node.body, Absent(ADDRESS), None)
    assert change.action is Action.CREATE
    assert [(f.path, f.sensitive) for f in change.fields] == [("/spec/a/b", False), ("/spec/password", True)]
    assert "canary" not in repr(change)


def test_seal_reaches_into_lists_and_free_maps() -> None:
    schema = {
        "properties": {
            "env": {"items": {"properties": {"value": {"x-sensitive": True}}}},
            "data": {"additionalProperties": {"x-sensitive": True}},
        }
    }
    sealed = seal({"env": [{"name": "a", "value": "x"}], "data": {"k": "y"}}, schema)
    assert sealed == {"env": [{"name": "a", "value": Sensitive("x")}], "data": {"k": Sensitive("y")}}


@pytest.mark.parametrize("live", [{}, {"labels": None}, {"labels": {}}])
def test_an_empty_map_equals_a_missing_one(live: Mapping[str, Any]) -> None:
    assert diff({}, {"labels": {}}, live) == {}
