"""Which targets a stack may use: what a pattern covers, and that nothing is contacted without a grant."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from trueup.app import App
from trueup.errors import Denied, ManifestError
from trueup.model.outcome import RunStatus
from trueup.model.resource import Grants, Target, TargetGrant
from trueup.model.values import Sensitive
from trueup.reconcile.grant import find_refusal, find_reserved
from trueup.reconcile.observe import Connections
from trueup.reconcile.report import EVERYTHING
from trueup.sdk.testing.memory import MemoryCatalog

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop

GRANT = {"region": "eu-*", "assumeRole": "arn:aws:iam::123456789012:role/shop-*"}
ROLE = "arn:aws:iam::123456789012:role/shop-prod"


def refusal(config: dict[str, Any], *patterns: dict[str, Any] | None) -> str:
    granted = tuple(TargetGrant("aws", pattern) for pattern in patterns)
    return find_refusal(Target("eu", "aws", {}, config), (granted,))


@pytest.mark.parametrize(
    ("config", "pattern"),
    [
        ({"region": "eu-west-1", "assumeRole": ROLE}, GRANT),
        ({"region": "eu-west-1"}, {"region": "eu-*"}),
        ({"region": "eu-west-1"}, {"region": "eu-*", "profile": "*"}),
        ({"region": "eu-west-1", "profile": Sensitive("x")}, {"region": "eu-*", "profile": "*"}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": "1"}}}),
        ({"a": {"b": {"c": 1}}}, {"a": "*"}),
        ({"sudo": True, "port": 22}, {"sudo": True, "port": 22}),
        ({"sudo": True}, {"sudo": "true"}),
        ({"hosts": ["a1", "b"]}, {"hosts": ["a*", "b"]}),
        ({}, {}),
        ({"anything": 1}, None),
    ],
)
def test_a_target_that_a_pattern_covers_may_be_used(
    config: dict[str, Any], pattern: dict[str, Any] | None
) -> None:
    assert refusal(config, {"region": "us-*"}, pattern) == ""


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (
            {"region": "eu-west-1", "assumeRole": f"{ROLE}"[:-9] + "admin"},
            "config.assumeRole has another value",
        ),
        # Without it, the credentials of trueup itself would be used.
        ({"region": "eu-west-1"}, "config.assumeRole is missing"),
        # What is not named may name a credential.
        ({"region": "eu-west-1", "assumeRole": ROLE, "profile": "root"}, "config.profile is not granted"),
        ({"region": "us-east-1", "assumeRole": ROLE}, "config.region has another value"),
        ({"region": "EU-west-1", "assumeRole": ROLE}, "config.region has another value"),
        ({"region": {"eu-": 1}, "assumeRole": ROLE}, "config.region has another value"),
        ({"region": ["eu-west-1"], "assumeRole": ROLE}, "config.region has another value"),
        ({"region": Sensitive("eu-west-1"), "assumeRole": ROLE}, "config.region has another value"),
        ({}, "config.assumeRole is missing, config.region is missing"),
    ],
)
def test_a_target_that_no_pattern_covers_is_refused(config: dict[str, Any], missing: str) -> None:
    found = refusal(config, GRANT)
    assert found == f'this stack may not use target "eu" of provider aws: {missing}'


def test_without_any_grant_of_the_provider_nothing_is_allowed() -> None:
    said = "no entry of allow_targets is for that provider"
    assert refusal({}) == f'this stack may not use target "eu" of provider aws: {said}'
    other = (TargetGrant("ssh"),)
    assert find_refusal(Target("eu", "aws"), (other,)) != ""
    assert find_refusal(Target("eu", "aws"), ()) == ""
    # Each list has to have a grant.
    assert find_refusal(Target("eu", "aws"), ((TargetGrant("aws"),), other)) != ""


SCHEMA = {"properties": {"region": {}, "endpoint": {"x-needs-grant": ["MEMORY_ENDPOINT"]}}}


def reserved(endpoint: object, *grants: Grants) -> bool:
    config: Any = {"region": "eu", "endpoint": endpoint}
    return find_reserved(Target("eu", "aws", {}, config), grants, SCHEMA) is not None


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:5000",
        "https://127.8.9.10/a/b",
        "http://localhost:1",
        "http://localhost",
        "http://[::1]:5000/",
    ],
)
def test_a_field_that_leads_to_this_machine_needs_no_grant(endpoint: str) -> None:
    assert not reserved(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://example.com",
        "http://127.0.0.1@example.com",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1:80@example.com/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1\n.example.com",
        "http://127.0.0.1/\n",
        "http://127.1",
        "http://2130706433",
        "http://0.0.0.0:5000",
        "http://[::ffff:10.0.0.1]",
        "http://[fe80::1]",
        "ftp://127.0.0.1",
        "",
        7,
        None,
        {"a": "http://127.0.0.1"},
        Sensitive("http://127.0.0.1"),
    ],
)
def test_a_field_that_may_lead_elsewhere_needs_a_grant(endpoint: object) -> None:
    assert reserved(endpoint)


def test_a_field_may_say_what_the_environment_of_the_operator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reserved("https://private.example.com")
    monkeypatch.setenv("MEMORY_ENDPOINT", "https://private.example.com")
    assert not reserved("https://private.example.com")
    assert reserved("https://private.example.com/")


def test_a_field_may_say_what_an_entry_that_covers_the_target_names() -> None:
    place = "https://private.example.com"
    whole = (TargetGrant("aws"),)
    assert reserved(place, whole), "an entry for all targets names no field"
    named = (TargetGrant("aws", {"region": "*", "endpoint": "https://*.example.com"}),)
    assert not reserved(place, named)
    assert not reserved(place, whole, named)
    assert reserved("https://example.org", named)
    assert reserved(place, (TargetGrant("aws", {"region": "us", "endpoint": "*"}),))
    assert reserved(place, (TargetGrant("ssh", {"region": "*", "endpoint": "*"}),))
    assert find_reserved(Target("eu", "aws", {}, {"region": "eu"}), (), SCHEMA) is None


def test_a_field_that_needs_a_grant_is_refused_for_what_is_remembered_as_well(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "https://private.example.com"
    schema = {"type": "object", "properties": {"endpoint": {"x-needs-grant": ["MEMORY_ENDPOINT"]}}}
    monkeypatch.setattr(loop.provider, "config_schema", schema, raising=False)
    monkeypatch.setenv("MEMORY_ENDPOINT", place)
    there = {"name": "there", "provider": "memory", "config": {"endpoint": place}}
    loop.write_stack(targets=[there])
    loop.declare("a")
    assert loop.run().status is RunStatus.CONVERGED
    monkeypatch.delenv("MEMORY_ENDPOINT")
    with pytest.raises(ManifestError, match=r"stack\.yaml.* may not say config\.endpoint by itself"):
        loop.run()
    loop.undeclare("a")
    loop.write_stack(targets=[{"name": "here", "provider": "memory"}])
    loop.declare("b")
    report = loop.run()
    assert any("may not say config.endpoint" in (change.problem or "") for change in report.plan.changes)
    assert "Thing/a" in loop.world.list_keys()


def test_a_field_that_was_granted_is_used_for_all_that_a_stack_asks_for(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "https://private.example.com"
    schema = {"type": "object", "properties": {"endpoint": {"x-needs-grant": []}}}
    monkeypatch.setattr(loop.provider, "config_schema", schema, raising=False)
    loop.write_stack(targets=[{"name": "there", "provider": "memory", "config": {"endpoint": place}}])
    loop.declare("a")
    use(loop, (TargetGrant("memory", {"endpoint": place}, is_own=True),))
    with pytest.raises(ManifestError, match="may not say"):
        loop.run()
    use(loop, (TargetGrant("memory", {"endpoint": place}),))
    assert loop.run().status is RunStatus.CONVERGED
    # Secrets are read, and schemas asked for, through targets that were checked when the stack was loaded.
    target = Target("there", "memory", {}, {"endpoint": place})
    with closing(Connections(MemoryCatalog(loop.provider), "i/shop")) as connections:
        assert connections.session(target).fingerprint
    refusing = Connections(MemoryCatalog(loop.provider), "i/shop", grants=())
    with closing(refusing), pytest.raises(Denied, match="may not say"):
        refusing.session(target)


def use(loop: Loop, grants: Grants | None) -> None:
    """Goes on with an installation that grants these targets."""
    loop.app.close()
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider), allow_targets=grants)


def test_a_stack_with_a_target_that_it_was_not_granted_contacts_nothing(loop: Loop) -> None:
    loop.declare("a")
    use(loop, (TargetGrant("ssh"),))
    for call in (loop.plan, loop.run, loop.destroy, lambda: loop.app.load(loop.source)):
        with pytest.raises(ManifestError, match=r"stack\.yaml.* this stack may not use target") as caught:
            call()
        assert "allow_targets" in str(caught.value)
    assert loop.world.calls() == []
    use(loop, (TargetGrant("memory"),))
    assert loop.run().status is RunStatus.CONVERGED


def test_an_entry_for_a_provider_that_is_not_there_is_named_where_a_target_is_refused(loop: Loop) -> None:
    loop.declare("a")
    use(loop, (TargetGrant("memroy"),))
    with pytest.raises(ManifestError, match="entries for providers that are not installed: memroy"):
        loop.plan()


def test_the_stacks_own_entry_narrows_what_the_installation_allows(loop: Loop) -> None:
    loop.declare("a")
    use(loop, (TargetGrant("memory"),))
    with pytest.raises(ManifestError, match="may not use"):
        loop.app.plan(replace(loop.source, targets=()))
    assert loop.app.plan(replace(loop.source, targets=(TargetGrant("memory", {}),))).has_changes


def test_a_saved_plan_keeps_what_was_granted(loop: Loop) -> None:
    loop.declare("a")
    source = replace(loop.source, targets=(TargetGrant("memory", {}), TargetGrant("ssh", {"host": "a*"})))
    plan = loop.app.plan(source)
    file = str(loop.folder / "shop.plan")
    loop.app.save_plan(plan, source, EVERYTHING, file)
    assert loop.app.reconcile_saved(file).status is RunStatus.CONVERGED
    loop.declare("b")
    none = replace(loop.source, targets=(TargetGrant("ssh"),))
    loop.app.save_plan(loop.plan(), none, EVERYTHING, file)
    with pytest.raises(ManifestError, match="may not use"):
        loop.app.reconcile_saved(file)


def test_a_target_that_only_the_inventory_knows_needs_a_grant_as_well(loop: Loop) -> None:
    loop.write_stack(
        targets=[
            {"name": "here", "provider": "memory"},
            {"name": "there", "provider": "memory", "labels": {}},
        ]
    )
    for name in ("a", "b"):
        loop.declare(name, targets={"names": ["there" if name == "b" else "here"]})
    assert loop.run().status is RunStatus.CONVERGED
    loop.undeclare("a")
    loop.undeclare("b")
    loop.write_stack(targets=[])
    use(loop, (TargetGrant("ssh"),))
    before = len(loop.world.calls())
    report = loop.run()
    assert {change.action for change in report.plan.changes} == {"unknown"}
    assert all("may not use target" in change.problem for change in report.plan.changes)
    assert len(loop.world.calls()) == before
    assert loop.world.list_keys() == ["Thing/a", "Thing/b"]
