"""What a rule makes of a change: true, not true, and what it may not see."""

from __future__ import annotations

from typing import Any

import pytest

from trueup.manifests.policy import Facts, find_breach
from trueup.model.resource import Enforce, Policy
from trueup.model.values import UNKNOWN, Sensitive

LATER = "is known only after something else is applied"


def change(**given: Any) -> dict[str, Any]:
    return {
        "address": "shop/Thing/a@here",
        "stack": "shop",
        "kind": "Thing",
        "name": "a",
        "namespace": "",
        "action": "update",
        "isDrift": False,
        "fields": [
            {"path": "/spec/size", "before": 1, "after": 2},
            {"path": "/spec/token", "before": Sensitive("old"), "after": Sensitive("new")},
            {"path": "/spec/url", "after": UNKNOWN},
        ],
        "target": {"name": "here", "provider": "memory", "labels": {"zone": "a"}},
        "before": {"spec": {"size": 1, "token": Sensitive("old")}},
        "after": {
            "metadata": {"name": "a", "labels": {"app": "shop"}},
            "spec": {
                "size": 2,
                "token": Sensitive("hunter2"),
                "url": UNKNOWN,
                "rules": [{"cidr": "10.0.0.0/8"}, {"cidr": UNKNOWN}],
                "ports": [80, 443],
            },
        },
        **given,
    }


def breach(rule: str, **given: Any) -> str | None:
    git = {"commit": "c0ffee", "branch": "main"}
    facts = Facts(change(**given), {"limit": 3, "zones": ["a", "b"]}, git)
    return find_breach(Policy("p", rule, Enforce.DENY), facts)


@pytest.mark.parametrize(
    "rule",
    [
        'change.kind == "Thing"',
        "change.after.spec.size <= vars.limit",
        "change.after.spec.size - change.before.spec.size == 1",
        'change.target.labels["zone"] in vars.zones',
        'git.branch == "main" || change.action == "create"',
        "!change.isDrift",
        "has(change.after) && has(change.after.spec.size)",
        "change.after.spec.ports.all(port, port < 1024)",
        'change.fields.all(field, !field.path.startsWith("/metadata"))',
        "size(change.fields) == 3",
        # What is not known or sensitive matters only where it decides.
        'change.kind != "Bucket" || change.after.spec.url == "https://a"',
        'change.kind == "Thing" || change.after.spec.rules.all(r, r.cidr != "0.0.0.0/0")',
        "has(change.after.spec.token) && has(change.after.spec.url)",
        "!has(change.after.spec.acl)",
    ],
)
def test_a_rule_that_is_true_is_fulfilled(rule: str) -> None:
    assert breach(rule) is None


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ('change.kind == "Bucket"', ""),
        ("change.after.spec.size > vars.limit", ""),
        ("change.after.spec.size", "the rule gives an integer, not true or false"),
        (
            'change.after.spec.acl == "private"',
            "there is no acl in what the rule reads: let it ask has() first",
        ),
        ("change.after.spec.size > 'a'", "> cannot be applied to (int, string)"),
        # Not known yet.
        ('change.after.spec.url == "https://a"', f"change.after.spec.url {LATER}"),
        ('change.after.spec.url != "https://a"', f"change.after.spec.url {LATER}"),
        (
            '!has(change.after.spec.url) || change.after.spec.url != "https://a"',
            f"change.after.spec.url {LATER}",
        ),
        ('change.after.spec.rules.all(r, r.cidr != "0.0.0.0/0")', f"change.after.spec.rules {LATER}"),
        (
            'change.after.spec.rules.all(r, !has(r.cidr) || r.cidr != "0.0.0.0/0")',
            f"change.after.spec.rules {LATER}",
        ),
        ('!("url" in change.after.spec)', "change.after.spec is sensitive"),
        ("size(change.after.spec) == 5", "change.after.spec is sensitive"),
        ("has(change.after.spec.url.host)", f"change.after.spec.url {LATER}"),
        ("!has(change.after.spec.url.host)", f"change.after.spec.url {LATER}"),
        (
            'change.fields.all(f, f.path != "/spec/url" || !has(f.after) || f.after != "a")',
            "change.fields is sensitive",
        ),
        # Sensitive.
        ('change.after.spec.token != ""', "change.after.spec.token is sensitive"),
        ('change["after"]["spec"]["token"] != ""', "change.after.spec.token is sensitive"),
    ],
)
def test_a_rule_that_is_not_true_is_not_fulfilled(rule: str, why: str) -> None:
    found = breach(rule)
    assert found is not None
    assert found.startswith(why)
    if not why:
        assert found == ""


def test_no_reason_holds_a_sensitive_value() -> None:
    for rule in (
        "change.after.spec.token > 5",
        "change.after.spec.token.x == 1",
        "int(change.after.spec.token) > 1",
    ):
        found = breach(rule)
        assert found is not None
        assert "hunter2" not in found


def test_what_a_delete_leaves_is_nothing() -> None:
    given = change(action="delete")
    del given["after"]
    facts = Facts(given, {}, {})
    assert find_breach(Policy("p", "!has(change.after)", Enforce.DENY), facts) is None
    assert find_breach(Policy("p", "change.after.spec.size < 5", Enforce.DENY), facts) is not None


def test_a_rule_that_costs_too_much_is_not_fulfilled() -> None:
    rule = "change.big.all(a, change.big.all(b, change.big.all(c, a + b + c == '')))"
    found = breach(rule, big=["x" * 100] * 2000)
    assert found is not None
    assert "expensive" in found
