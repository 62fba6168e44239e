"""The pure comparison, case by case; the real server's spelling is tested in tests/cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup.sdk import MISSING, UNKNOWN, Document, FieldChange, Sensitive
from trueup_kubernetes.comparison import compare_bodies, find_item
from trueup_kubernetes.ownership import token_of

CASES = yaml.safe_load((Path(__file__).parent / "comparison_cases.yaml").read_text())


def with_managers(live: Document, owned: dict[str, Any]) -> Document:
    entries = [
        {
            "manager": name,
            "operation": "Apply" if name == "trueup" else "Update",
            "fieldsV1": tree,
        }
        for name, tree in owned.items()
    ]
    return {**live, "metadata": {**(live.get("metadata") or {}), "managedFields": entries}}


def compare(desired: Document, live: Document, **options: Any) -> list[FieldChange]:
    return compare_bodies(
        desired,
        with_managers(live, options.get("owned") or {}),
        options.get("recorded"),
        lambda path: "fixed" in path,
        options.get("is_builtin", True),
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_comparison(case: dict[str, Any]) -> None:
    options = {key: case[key] for key in ("owned", "recorded", "is_builtin") if key in case}
    changes = compare(case["desired"], case["live"], **options)
    assert [change.path for change in changes] == case["differs"]


def test_a_change_says_what_is_and_what_will_be() -> None:
    [added, changed] = compare({"data": {"a": "1", "b": "2"}}, {"data": {"b": "3"}})
    assert (added.before, added.after) == (MISSING, "1")
    assert (changed.before, changed.after) == ("3", "2")


def test_an_unknown_value_is_a_change_to_unknown() -> None:
    [change] = compare({"data": {"a": UNKNOWN}}, {"data": {"a": "1"}})
    assert change.after is UNKNOWN and change.before == "1"


def test_a_value_that_holds_something_unknown_is_a_change() -> None:
    assert compare({"spec": {"containers": [UNKNOWN]}}, {"spec": {"containers": [{"name": "a"}]}})


def test_a_sensitive_value_hides_both_sides() -> None:
    [change] = compare({"data": {"a": Sensitive("new")}}, {"data": {"a": "old"}})
    assert change.sensitive
    assert "new" not in repr(change) and "old" not in repr(change)
    assert change.after == Sensitive("new")


def test_an_equal_sensitive_value_is_no_change() -> None:
    assert compare({"data": {"a": Sensitive("same")}}, {"data": {"a": "same"}}) == []


def test_a_fixed_field_is_marked() -> None:
    [change] = compare({"spec": {"fixed": 1}}, {"spec": {"fixed": 2}})
    assert change.immutable


def test_nothing_of_the_inputs_is_changed() -> None:
    desired: dict[str, Any] = {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}]}}
    live: dict[str, Any] = {"spec": {"containers": [{"name": "a", "ports": []}]}}
    before = (yaml.safe_dump(desired), yaml.safe_dump(live))
    compare(desired, live)
    assert (yaml.safe_dump(desired), yaml.safe_dump(live)) == before


def test_an_item_is_found_by_the_keys_that_the_manifest_gives() -> None:
    keys = ("port", "protocol")
    live = [{"port": 1, "protocol": "UDP"}, {"port": 1, "protocol": "TCP"}, {"port": 2, "protocol": "UDP"}]
    assert find_item(live, {"port": 1}, keys) == 1
    assert find_item(live, {"port": 1, "protocol": "UDP"}, keys) == 0
    assert find_item(live, {"port": 2}, keys) == 2
    assert find_item(live, {"port": 3}, keys) is None


def test_an_item_is_named_by_all_its_keys() -> None:
    assert token_of({"port": 1}, ("port", "protocol")) == "1,TCP"
    assert token_of({"name": "a", "x": 1}, ("name",)) == "a"
