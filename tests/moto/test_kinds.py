"""Every kind and every property against moto, through the same rig as the contract suite."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.moto.cases import BY_KIND, CASES, PropertyCase, make_node, tag
from tests.moto.fixtures import Moto

from trueup.model.values import to_record
from trueup.sdk import (
    Absent,
    Action,
    Conflict,
    Failed,
    Observed,
    Transient,
)
from trueup.sdk.testing.rig import Rig

pytestmark = pytest.mark.moto

# What a call reads first, how it creates, and the property that names the object.
CALLS = {
    "AWS::SQS::Queue": ("sqs:GetQueueUrl", "sqs:CreateQueue", "QueueName"),
    "AWS::SNS::Topic": ("sns:GetTopicAttributes", "sns:CreateTopic", "TopicName"),
    "AWS::S3::Bucket": ("s3:GetBucketTagging", "s3:CreateBucket", "BucketName"),
    "AWS::SSM::Parameter": ("ssm:GetParameter", "ssm:PutParameter", "Name"),
}
LISTS = {
    "AWS::SQS::Queue": "sqs:ListQueues",
    "AWS::SNS::Topic": "sns:ListTopics",
    "AWS::S3::Bucket": "s3:ListBuckets",
}


def make_dead_letters(moto: Moto) -> None:
    for name in ("dead", "dead-2"):
        moto.client("sqs").create_queue(QueueName=name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_property_is_set_changed_and_taken_back(moto: Moto, rig: Rig, case: PropertyCase) -> None:
    make_dead_letters(moto)
    first = make_node(rig, case.kind, {**case.rest, case.property: case.before})
    assert list(rig.kind(first).validate(first)) == []
    rig.apply(first)
    if case.after is None:
        return
    second = make_node(rig, case.kind, {**case.rest, case.property: case.after})
    change = rig.diff(second, rig.observed(second), to_record(first.body))
    assert change.action is Action.UPDATE
    rig.apply(second, to_record(first.body))
    rest = make_node(rig, case.kind, case.rest)
    if "x-reset-to" in rig.kind(first).schema["properties"][case.property]:
        rig.apply(first, to_record(second.body))
        dropped = rig.diff(rest, rig.observed(rest), to_record(first.body))
        assert {field.path.split("/")[2] for field in dropped.fields} == {case.property}
        rig.apply(rest, to_record(first.body))
        assert rig.diff(rest, rig.observed(rest), to_record(first.body)).action is Action.NONE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_second_run_with_nothing_to_do_writes_nothing(moto: Moto, rig: Rig, case: PropertyCase) -> None:
    make_dead_letters(moto)
    node = make_node(rig, case.kind, {**case.rest, case.property: case.before})
    rig.apply(node)
    moto.mark()
    rig.apply(node)
    assert moto.writes() == []


@pytest.mark.parametrize("kind", BY_KIND)
def test_an_update_touches_only_what_changed(moto: Moto, rig: Rig, kind: str) -> None:
    first = make_node(rig, kind, {**BY_KIND[kind], "Tags": tag(a="1")})
    rig.apply(first)
    second = make_node(rig, kind, {**BY_KIND[kind], "Tags": tag(a="2")})
    moto.mark()
    rig.apply(second, to_record(first.body))
    assert len(moto.writes()) == 1
    assert "Tag" in moto.writes()[0]


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_order_of_tags_has_no_meaning(rig: Rig, kind: str) -> None:
    rig.apply(make_node(rig, kind, {**BY_KIND[kind], "Tags": tag(a="1", b="2", c="3")}))
    node = make_node(rig, kind, {**BY_KIND[kind], "Tags": tag(c="3", a="1", b="2")})
    assert rig.diff(node, rig.observed(node), to_record(node.body)).action is Action.NONE


@pytest.mark.parametrize("kind", BY_KIND)
def test_foreign_tags_are_left_alone_and_dropped_tags_are_removed(moto: Moto, rig: Rig, kind: str) -> None:
    first = make_node(rig, kind, {**BY_KIND[kind], "Tags": tag(a="1", b="2")})
    seen = rig.apply(first)
    put_tag(moto, kind, seen, "by-hand", "kept")
    assert rig.diff(first, rig.observed(first), to_record(first.body)).action is Action.NONE
    last = make_node(rig, kind, BY_KIND[kind])
    left = rig.apply(last, to_record(first.body))
    assert left.body["spec"]["Tags"] == tag(**{"by-hand": "kept"})
    assert left.owner == rig.owner(first)


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_create_whose_answer_is_lost_makes_one_object_that_is_ours(moto: Moto, rig: Rig, kind: str) -> None:
    node = make_node(rig, kind, {**BY_KIND[kind], "Tags": tag(a="1")})
    moto.drop(CALLS[kind][1], times=2)
    intent = rig.intent(node)
    with pytest.raises(Transient):
        rig.create(node, intent)
    rig.reconnect()
    rig.create(node, intent)
    assert rig.expect_true(node).owner == intent.owner
    assert len(rig.owned(node)) == 1


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_create_that_the_sdk_sent_twice_by_itself_succeeds(moto: Moto, rig: Rig, kind: str) -> None:
    node = make_node(rig, kind, BY_KIND[kind])
    moto.drop(CALLS[kind][1], times=1)
    rig.create(node)
    rig.expect_true(node)
    assert len(rig.owned(node)) == 1


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_foreign_object_in_the_way_is_a_conflict_and_stays(moto: Moto, rig: Rig, kind: str) -> None:
    key = CALLS[kind][2]
    spec = {**BY_KIND[kind], key: "taken-already", "Tags": tag(a="1")}
    make_foreign(moto, kind, "taken-already")
    node = make_node(rig, kind, spec)
    before = rig.observed(node)
    moto.mark()
    with pytest.raises(Conflict, match="carries no marker"):
        rig.create(node)
    assert moto.writes() == []
    assert rig.observed(node) == before
    assert before.owner is None
    adopting = make_node(rig, kind, spec, adopt=True)
    rig.create(adopting)
    assert rig.expect_true(adopting).owner == rig.owner(node)


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_object_of_another_stack_is_a_conflict(moto: Moto, rig: Rig, kind: str) -> None:
    spec = {**BY_KIND[kind], CALLS[kind][2]: "shared-name"}
    rig.apply(make_node(rig, kind, spec, stack="another"))
    node = make_node(rig, kind, spec)
    moto.mark()
    with pytest.raises(Conflict, match="belongs to another/"):
        rig.create(node)
    with pytest.raises(Conflict, match="not deleted"):
        rig.delete(rig.recorded(node, ""))
    assert moto.writes() == []


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_read_that_is_denied_is_failed_not_absent(moto: Moto, rig: Rig, kind: str) -> None:
    node = make_node(rig, kind, BY_KIND[kind])
    moto.fail(CALLS[kind][0], "AccessDenied", status=403)
    seen = rig.observe(node)
    assert isinstance(seen, Failed)
    assert type(seen.error).__name__ == "Denied"
    moto.mark()
    with pytest.raises(type(seen.error)):
        rig.create(node)
    assert moto.writes() == []


@pytest.mark.parametrize("kind", BY_KIND)
def test_tags_that_cannot_be_read_make_the_node_failed(moto: Moto, rig: Rig, kind: str) -> None:
    node = make_node(rig, kind, BY_KIND[kind])
    rig.apply(node)
    action = {"sqs": "ListQueueTags", "s3": "GetBucketTagging"}
    service = CALLS[kind][0].partition(":")[0]
    moto.fail(f"{service}:{action.get(service, 'ListTagsForResource')}", "InternalError", status=500)
    seen = rig.observe(node)
    assert isinstance(seen, Failed)
    assert isinstance(seen.error, Transient)


@pytest.mark.parametrize("kind", LISTS)
def test_a_missing_page_is_failed_not_absent(moto: Moto, rig: Rig, kind: str) -> None:
    nodes = [make_node(rig, kind, BY_KIND[kind], name=f"n-{index}") for index in range(6)]
    moto.fail(LISTS[kind], "ServiceUnavailable", status=503)
    session = rig.session(nodes[0])
    with pytest.raises(Transient):
        list(rig.kind(nodes[0]).observe(session, nodes))


@pytest.mark.parametrize("kind", LISTS)
def test_the_second_page_missing_is_failed_too(moto: Moto, rig: Rig, kind: str) -> None:
    service, key = CALLS[kind][0].partition(":")[0], CALLS[kind][2]
    if service == "s3":
        pytest.skip("moto gives all buckets in one page")
    count = 1001 if service == "sqs" else 100
    client = moto.client(service)
    for index in range(count):
        make = client.create_queue if service == "sqs" else client.create_topic
        make(**{"QueueName" if service == "sqs" else "Name": f"filler-{index}"})
    nodes = [make_node(rig, kind, {key: f"n-{index}"}, name=f"n-{index}") for index in range(6)]
    assert {type(seen) for seen in rig.observe_all(nodes).values()} == {Absent}
    moto.fail(LISTS[kind], "ServiceUnavailable", status=503, skip=1)
    with pytest.raises(Transient):
        list(rig.kind(nodes[0]).observe(rig.session(nodes[0]), nodes))


@pytest.mark.parametrize("kind", BY_KIND)
def test_many_nodes_are_observed_in_bulk_and_each_is_right(moto: Moto, rig: Rig, kind: str) -> None:
    made = [make_node(rig, kind, BY_KIND[kind], name=f"n-{index}") for index in range(12)]
    absent = [make_node(rig, kind, BY_KIND[kind], name=f"absent-{index}") for index in range(12)]
    for node in made:
        rig.create(node)
    moto.mark()
    seen = rig.observe_all([*made, *absent])
    assert all(isinstance(seen[node.address], Observed) for node in made)
    assert all(isinstance(seen[node.address], Absent) for node in absent)
    assert moto.writes() == []
    per_object = {"AWS::SQS::Queue": 2, "AWS::SNS::Topic": 2, "AWS::S3::Bucket": 6, "AWS::SSM::Parameter": 1}
    assert len(moto.requests()) <= per_object[kind] * 12 + 5
    assert {owned.owner for owned in rig.owned(made[0])} == {rig.owner(node) for node in made}


@pytest.mark.parametrize("kind", BY_KIND)
def test_delete_is_done_once_and_again(rig: Rig, kind: str) -> None:
    node = make_node(rig, kind, BY_KIND[kind])
    seen = rig.apply(node)
    gone = rig.recorded(node, seen.external_id)
    rig.delete(gone)
    rig.expect_absent(node)
    rig.delete(gone)


@pytest.mark.parametrize("kind", BY_KIND)
def test_an_object_without_our_marker_is_not_deleted(moto: Moto, rig: Rig, kind: str) -> None:
    node = make_node(rig, kind, BY_KIND[kind])
    seen = rig.apply(node)
    rig.release(node)
    assert rig.observed(node).owner is None
    moto.mark()
    with pytest.raises(Conflict, match="no marker"):
        rig.delete(rig.recorded(node, seen.external_id))
    assert moto.writes() == []


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_changed_name_is_a_replacement_of_the_object_that_was_recorded(rig: Rig, kind: str) -> None:
    key = CALLS[kind][2]
    first = make_node(rig, kind, {**BY_KIND[kind], key: "first-name"})
    seen = rig.apply(first)
    second = make_node(rig, kind, {**BY_KIND[kind], key: "second-name"})
    observed = rig.observe(replace(second, external_id=seen.external_id))
    assert isinstance(observed, Observed)
    change = rig.diff(second, observed, to_record(first.body))
    assert change.action is Action.REPLACE
    assert [field.path for field in change.fields if field.immutable] == [f"/spec/{key}"]


def put_tag(moto: Moto, kind: str, seen: Observed, key: str, value: str) -> None:
    status = seen.body["status"]
    tags = [{"Key": key, "Value": value}]
    if kind == "AWS::SQS::Queue":
        moto.client("sqs").tag_queue(QueueUrl=status["QueueUrl"], Tags={key: value})
    elif kind == "AWS::SNS::Topic":
        moto.client("sns").tag_resource(ResourceArn=status["TopicArn"], Tags=tags)
    elif kind == "AWS::SSM::Parameter":
        moto.client("ssm").add_tags_to_resource(
            ResourceType="Parameter", ResourceId=status["Name"], Tags=tags
        )
    else:
        s3 = moto.client("s3")
        old = s3.get_bucket_tagging(Bucket=status["BucketName"])["TagSet"]
        s3.put_bucket_tagging(Bucket=status["BucketName"], Tagging={"TagSet": [*old, *tags]})


def make_foreign(moto: Moto, kind: str, name: str) -> None:
    if kind == "AWS::SQS::Queue":
        moto.client("sqs").create_queue(QueueName=name, Attributes={"DelaySeconds": "7"})
    elif kind == "AWS::SNS::Topic":
        moto.client("sns").create_topic(Name=name, Attributes={"DisplayName": "theirs"})
    elif kind == "AWS::SSM::Parameter":
        moto.client("ssm").put_parameter(Name=name, Type="String", Value="theirs")
    else:
        place = {"LocationConstraint": "eu-west-1"}
        moto.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)
