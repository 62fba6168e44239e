from __future__ import annotations

from typing import Any

import pytest

from trueup.sdk import UNKNOWN
from trueup_aws.kinds.lifecycle import has_equal_ids, lifecycle_of, normal_lifecycle, rules_of

RULES: list[dict[str, Any]] = [
    {"Id": "plain", "Status": "Enabled", "ExpirationInDays": 1},
    {"Id": "prefix", "Status": "Enabled", "Prefix": "a/", "ExpiredObjectDeleteMarker": True},
    {"Id": "tag", "Status": "Disabled", "TagFilters": [{"Key": "a", "Value": "1"}], "ExpirationInDays": 1},
    {
        "Id": "both",
        "Status": "Enabled",
        "Prefix": "a/",
        "TagFilters": [{"Key": "b", "Value": "1"}, {"Key": "a", "Value": "1"}],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
    },
    {
        "Id": "moves",
        "Status": "Enabled",
        "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 0}],
        "NoncurrentVersionTransitions": [{"StorageClass": "GLACIER", "TransitionInDays": 3}],
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    },
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["Id"])
def test_a_rule_comes_back_as_it_was_sent(rule: dict[str, Any]) -> None:
    assert lifecycle_of(rules_of({"Rules": [rule]})) == normal_lifecycle({"Rules": [rule]})


def test_the_order_of_rules_has_no_meaning() -> None:
    assert normal_lifecycle({"Rules": RULES}) == normal_lifecycle({"Rules": RULES[::-1]})


@pytest.mark.parametrize(
    "added",
    [
        {"Expiration": {"Days": 1, "Date": "2030-01-01"}},
        {"Filter": {"And": {"Prefix": "", "ObjectSizeGreaterThan": 5}}},
        {"Filter": {"ObjectSizeLessThan": 5}},
        {"Prefix": "old-style/"},
        {"Something": "new"},
        {"Transitions": [{"Date": "2030-01-01", "StorageClass": "GLACIER"}]},
    ],
)
def test_a_part_that_is_not_understood_is_a_difference(added: dict[str, Any]) -> None:
    manifest = {"Rules": [RULES[0]]}
    live = lifecycle_of([{**rules_of(manifest)[0], **added}])
    assert live != normal_lifecycle(manifest)


def test_no_rules_are_no_configuration() -> None:
    assert lifecycle_of([]) is None


@pytest.mark.parametrize("value", [UNKNOWN, {"Rules": UNKNOWN}, {"Rules": [UNKNOWN]}, None])
def test_what_is_not_known_stays_as_it_is(value: object) -> None:
    assert normal_lifecycle(value) is value
    assert not has_equal_ids(value)


def test_equal_ids_are_found() -> None:
    assert has_equal_ids({"Rules": [RULES[0], RULES[0]]})
    assert not has_equal_ids({"Rules": RULES})
