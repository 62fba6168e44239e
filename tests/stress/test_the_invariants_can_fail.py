"""The checks that other tests end with find what they are there for, on a real system."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.e2e.canary import Canary
from tests.e2e.shop import run_trueup
from tests.moto.fixtures import Moto
from tests.stress.invariants import (
    check_always,
    check_at_rest,
    check_kept_secret,
    check_quiet,
    check_spared,
    look_at,
    survey,
)
from tests.stress.systems import Aws

from trueup.sdk import Owner
from trueup.state.open import open_store
from trueup_aws.markers import tags_of

pytestmark = [pytest.mark.moto]


def test_a_broken_promise_is_found(moto: Moto, tmp_path: Path) -> None:
    moto.reset()
    systems = [Aws(moto)]
    store = tmp_path / "store.db"
    _make_topic(moto, tmp_path)
    sns = moto.client("sns")
    foreign = sns.create_topic(Name="foreign")["TopicArn"]
    ours = f"{foreign.rpartition(':')[0]}:ours"
    before = survey(systems)
    check_always(look_at(systems, store, "shop"))
    check_at_rest(look_at(systems, store, "shop"))
    check_spared(before, store, "shop")
    check_quiet(systems, lambda: None)

    with pytest.raises(AssertionError, match="I4"):
        check_quiet(systems, lambda: sns.tag_resource(ResourceArn=foreign, Tags=[{"Key": "a", "Value": "b"}]))
    with pytest.raises(AssertionError, match="I3: foreign is not ours and was touched"):
        check_spared(before, store, "shop")

    before = survey(systems)
    sns.delete_topic(TopicArn=ours)
    with pytest.raises(AssertionError, match="I3: ours is gone"):
        check_spared(before, store, "shop")
    check_spared(before, store, "shop", ["shop/AWS::SNS::Topic/ours@eu"])
    with pytest.raises(AssertionError, match="recorded"):
        check_at_rest(look_at(systems, store, "shop"))
    sns.delete_topic(TopicArn=foreign)
    with pytest.raises(AssertionError, match="I3: foreign is gone, which was not ours"):
        check_spared(before, store, "shop", ["shop/AWS::SNS::Topic/ours@eu"])


def test_a_second_object_and_one_that_nothing_leads_to_are_found(moto: Moto, tmp_path: Path) -> None:
    moto.reset()
    systems = [Aws(moto)]
    _make_topic(moto, tmp_path)
    store = open_store(str(tmp_path / "store.db"))
    try:
        for name, match in (("ours", "I1: 2 objects"), ("lost", "I2: nothing leads to")):
            owner = Owner(store.installation, "shop", f"shop/AWS::SNS::Topic/{name}@eu")
            tags = [{"Key": key, "Value": value} for key, value in tags_of(owner).items()]
            arn = moto.client("sns").create_topic(Name="second", Tags=tags)["TopicArn"]
            with pytest.raises(AssertionError, match=match):
                check_always(look_at(systems, store, "shop"))
            moto.client("sns").delete_topic(TopicArn=arn)
    finally:
        store.close()


def test_a_secret_is_found_in_a_file_and_in_a_text(tmp_path: Path) -> None:
    canary = Canary.make()
    check_kept_secret(canary, [tmp_path], ["nothing"])
    with pytest.raises(AssertionError, match="I5"):
        check_kept_secret(canary, [], [f"an error about {canary.value}"])
    (tmp_path / "log").write_text(canary.value)
    with pytest.raises(AssertionError, match="I5"):
        check_kept_secret(canary, [tmp_path])


def _make_topic(moto: Moto, folder: Path) -> None:
    target = {"name": "eu", "provider": "aws", "config": dict(moto.target("eu").config)}
    documents = [
        {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "shop"},
            "spec": {"targets": [target]},
        },
        {
            "apiVersion": "aws.trueup.dev/v1",
            "kind": "AWS::SNS::Topic",
            "metadata": {"name": "ours"},
            "spec": {"TopicName": "ours"},
        },
    ]
    stack = folder / "stack"
    stack.mkdir()
    (stack / "stack.yaml").write_text(yaml.safe_dump(documents[0]))
    (stack / "topic.yaml").write_text(yaml.safe_dump(documents[1]))
    done = run_trueup("reconcile", str(stack), "--store", str(folder / "store.db"), "--yes")
    assert done.returncode == 0, done.stderr
