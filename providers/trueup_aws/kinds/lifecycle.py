"""The LifecycleConfiguration of a bucket, between CloudFormation's form and that of S3. Called by `bucket`.

Such rules delete data, so a set of rules is owned as a whole: a rule that somebody adds, and a part that
somebody adds to a rule, both count as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueup.sdk import Document
from trueup_aws.kinds.properties import Property, block, flag, listing, number, text

YEARS = 36_500
STORAGE_CLASSES = [
    "DEEP_ARCHIVE",
    "GLACIER",
    "GLACIER_IR",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "STANDARD_IA",
]

# What a live rule holds beyond the properties below; never in a manifest.
REST = "Unsupported"

_DAYS = number("Days.", 1, YEARS)
_KEPT = number("How many newer versions are kept at least.", 1, 100)

RULE: dict[str, Property] = {
    "Id": text("The rule's name.", minLength=1, maxLength=255),
    "Status": text("Whether the rule is in force.", enum=["Enabled", "Disabled"]),
    "Prefix": text("The objects whose keys begin with this. Default: all."),
    "TagFilters": listing(
        "The objects that carry all of these tags.",
        block("A tag.", {"Key": text("Its key."), "Value": text("Its value.")}, required=("Key", "Value")),
        minItems=1,
    ),
    "ExpirationInDays": number("Days after which an object is deleted.", 1, YEARS),
    "ExpiredObjectDeleteMarker": flag("Whether delete markers without versions are removed."),
    "NoncurrentVersionExpiration": block(
        "When old versions are deleted.",
        {"NoncurrentDays": _DAYS, "NewerNoncurrentVersions": _KEPT},
        required=("NoncurrentDays",),
    ),
    "Transitions": listing(
        "Where objects are moved, and when.",
        block(
            "A move.",
            {
                "StorageClass": text("Where to.", enum=STORAGE_CLASSES),
                "TransitionInDays": number("Days.", 0, YEARS),
            },
            required=("StorageClass", "TransitionInDays"),
        ),
        minItems=1,
    ),
    "NoncurrentVersionTransitions": listing(
        "Where old versions are moved, and when.",
        block(
            "A move.",
            {
                "StorageClass": text("Where to.", enum=STORAGE_CLASSES),
                "TransitionInDays": number("Days.", 0, YEARS),
                "NewerNoncurrentVersions": _KEPT,
            },
            required=("StorageClass", "TransitionInDays"),
        ),
        minItems=1,
    ),
    "AbortIncompleteMultipartUpload": block(
        "When unfinished uploads are dropped.",
        {"DaysAfterInitiation": _DAYS},
        required=("DaysAfterInitiation",),
    ),
}

LIFECYCLE = block(
    "What happens to objects with time. The rules are owned as a whole. Default: none.",
    {
        "Rules": listing(
            "The rules, in any order.",
            block("A rule.", RULE, required=("Id", "Status")),
            minItems=1,
            maxItems=1000,
        )
    },
    required=("Rules",),
    reset=None,
)


def normal_lifecycle(value: Any) -> Any:
    """A manifest's configuration with every part of every rule, so that an added one shows."""
    rules = value.get("Rules") if isinstance(value, Mapping) else None
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        return value  # unknown, as a whole or in part
    return {"Rules": sorted((_whole(rule) for rule in rules), key=_order)}


def has_equal_ids(value: Any) -> bool:
    """Whether two rules of a manifest's configuration have one Id."""
    rules = value.get("Rules") if isinstance(value, Mapping) else None
    ids = [rule.get("Id") for rule in rules if isinstance(rule, Mapping)] if isinstance(rules, list) else []
    known = [each for each in ids if isinstance(each, str)]
    return len(known) != len(set(known))


def lifecycle_of(rules: list[Mapping[str, Any]]) -> Document | None:
    """The rules that S3 gives in the form of a manifest; None where there is none."""
    if not rules:
        return None
    return {"Rules": sorted((_whole(_rule_of(rule)) for rule in rules), key=_order)}


def rules_of(value: Document) -> list[dict[str, Any]]:
    """The rules as S3 takes them."""
    return [_request_of(rule) for rule in value["Rules"]]


def _whole(rule: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**dict.fromkeys((*RULE, REST)), **rule}
    whole["Prefix"] = whole["Prefix"] or None
    tags = whole["TagFilters"]
    if isinstance(tags, list):
        whole["TagFilters"] = sorted(tags, key=str)
    expiration, moves = whole["NoncurrentVersionExpiration"], whole["NoncurrentVersionTransitions"]
    if isinstance(expiration, Mapping):
        whole["NoncurrentVersionExpiration"] = {"NewerNoncurrentVersions": None, **expiration}
    if isinstance(moves, list) and all(isinstance(move, Mapping) for move in moves):
        whole["NoncurrentVersionTransitions"] = [{"NewerNoncurrentVersions": None, **move} for move in moves]
    return whole


def _order(rule: Mapping[str, Any]) -> str:
    return str(rule["Id"])


def _rule_of(rule: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(rule)
    made: dict[str, Any] = {"Id": rest.pop("ID", ""), "Status": rest.pop("Status", None)}
    made["Prefix"], made["TagFilters"] = _filter_of(rest)
    expiration = dict(rest.pop("Expiration", {}))
    made["ExpirationInDays"] = expiration.pop("Days", None)
    made["ExpiredObjectDeleteMarker"] = expiration.pop("ExpiredObjectDeleteMarker", None)
    for key in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        made[key] = rest.pop(key, None)
    for key, days in (("Transitions", "Days"), ("NoncurrentVersionTransitions", "NoncurrentDays")):
        moves = [dict(move) for move in rest.pop(key, ())]
        made[key] = [{"TransitionInDays": move.pop(days, None), **move} for move in moves] or None
    if expiration:
        rest["Expiration"] = expiration
    if rest:
        made[REST] = str(rest)
    return made


def _filter_of(rest: dict[str, Any]) -> tuple[str | None, list[dict[str, str]] | None]:
    """The prefix and tags of a rule; takes out of `rest` what it understands."""
    chosen = dict(rest.pop("Filter", {}))
    both = dict(chosen.pop("And", {}))
    prefix = rest.pop("Prefix", None) or chosen.pop("Prefix", None) or both.pop("Prefix", None)
    tags = [*both.pop("Tags", ()), *([chosen.pop("Tag")] if "Tag" in chosen else ())]
    chosen.pop("Prefix", None)
    if chosen or both:
        rest["Filter"] = {**chosen, **both}
    return prefix, [dict(tag) for tag in tags] or None


def _request_of(rule: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"ID": rule["Id"], "Status": rule["Status"], "Filter": _request_filter(rule)}
    expiration: dict[str, Any] = {}
    if rule.get("ExpirationInDays") is not None:
        expiration["Days"] = rule["ExpirationInDays"]
    if rule.get("ExpiredObjectDeleteMarker") is not None:
        expiration["ExpiredObjectDeleteMarker"] = rule["ExpiredObjectDeleteMarker"]
    if expiration:
        request["Expiration"] = expiration
    for key in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if rule.get(key) is not None:
            request[key] = dict(rule[key])
    for key, days in (("Transitions", "Days"), ("NoncurrentVersionTransitions", "NoncurrentDays")):
        if rule.get(key) is not None:
            request[key] = [
                {days if name == "TransitionInDays" else name: value for name, value in move.items()}
                for move in rule[key]
            ]
    return request


def _request_filter(rule: Mapping[str, Any]) -> dict[str, Any]:
    prefix, tags = rule.get("Prefix") or "", list(rule.get("TagFilters") or ())
    if not tags:
        return {"Prefix": prefix}
    if len(tags) == 1 and not prefix:
        return {"Tag": tags[0]}
    return {"And": {**({"Prefix": prefix} if prefix else {}), "Tags": tags}}
