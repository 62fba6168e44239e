from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest

from trueup.model.values import to_record
from trueup.sdk import (
    MISSING,
    UNKNOWN,
    Action,
    Address,
    Kind,
    Node,
    Observed,
    Sensitive,
    Target,
)
from trueup_aws.provider import AwsProvider

API_VERSION = "aws.trueup.dev/v1"
QUEUE, TOPIC, BUCKET, PARAMETER = (
    "AWS::SQS::Queue",
    "AWS::SNS::Topic",
    "AWS::S3::Bucket",
    "AWS::SSM::Parameter",
)
TARGET = Target("eu", "aws", config={"region": "eu-west-1"})
ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"


def kind_of(name: str) -> Kind:
    kind = AwsProvider().kind(API_VERSION, name)
    assert kind is not None
    return kind


def node_of(kind: str, spec: object, name: str = "orders") -> Node:
    body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    return Node(Address("shop", kind, name, "eu"), API_VERSION, TARGET, body)


def observed_of(node: Node, spec: Mapping[str, Any]) -> Observed:
    return Observed(node.address, {**node.body, "spec": spec}, "id")


@pytest.mark.parametrize("kind", AwsProvider().kinds(), ids=lambda kind: kind.name)
def test_every_property_is_described_and_closed(kind: Kind) -> None:
    assert kind.schema is not None
    jsonschema_rs.meta.validate(dict(kind.schema))
    assert kind.schema["additionalProperties"] is False
    properties: Mapping[str, Any] = kind.schema["properties"]  # type: ignore[assignment]
    assert all(entry["description"] for entry in properties.values())


@pytest.mark.parametrize(
    ("kind", "spec", "problem"),
    [
        (QUEUE, {"QueueName": "a.fifo"}, "ends in .fifo"),
        (QUEUE, {"QueueName": "a", "FifoQueue": True}, "ends in .fifo"),
        (QUEUE, {"ContentBasedDeduplication": True}, "for FIFO queues"),
        (QUEUE, {"SqsManagedSseEnabled": True, "KmsMasterKeyId": "k"}, "exclude each other"),
        (QUEUE, {"KmsDataKeyReusePeriodSeconds": 60}, "needs KmsMasterKeyId"),
        (QUEUE, {"FifoQueue": True, "FifoThroughputLimit": "perMessageGroupId"}, "needs DeduplicationScope"),
        (QUEUE, {"Tags": [{"Key": "trueup:owner", "Value": "x"}]}, "reserved"),
        (QUEUE, {"Tags": [{"Key": "AWS:x", "Value": "x"}]}, "reserved"),
        (QUEUE, {"Tags": [{"Key": "a", "Value": "x"}, {"Key": "a", "Value": "y"}]}, "twice"),
        (QUEUE, {"KmsMasterKeyId": Sensitive("k")}, "may not hold a secret"),
        (TOPIC, {"TopicName": "a.fifo"}, "ends in .fifo"),
        (TOPIC, {"ContentBasedDeduplication": True}, "for FIFO topics"),
        (TOPIC, {"Subscription": []}, "not supported"),
        (BUCKET, {"BucketName": "a..b"}, "no name for a bucket"),
        (PARAMETER, {"Type": "String", "Value": "x", "Name": "a/b"}, "begins with /"),
        (PARAMETER, {"Type": "String", "Value": "x", "Name": "/AWS/b"}, "reserved"),
        (PARAMETER, {"Type": "String", "Value": Sensitive("x")}, "may not hold a secret"),
    ],
)
def test_what_the_schema_cannot_say_is_a_problem(kind: str, spec: Mapping[str, Any], problem: str) -> None:
    found = list(kind_of(kind).validate(node_of(kind, spec)))
    assert len(found) == 1
    assert problem in found[0].message


def test_a_secret_is_welcome_in_a_secure_string() -> None:
    node = node_of(PARAMETER, {"Type": "SecureString", "Value": Sensitive("x")})
    assert list(kind_of(PARAMETER).validate(node)) == []


@pytest.mark.parametrize("secure", ["SecureString", UNKNOWN])
def test_the_value_of_a_secure_string_is_sealed(secure: object) -> None:
    kind, node = kind_of(PARAMETER), node_of(PARAMETER, {"Type": secure, "Value": "canary"})
    sealed = kind.seal(node.body)
    assert isinstance(sealed["spec"]["Value"], Sensitive)
    assert "canary" not in str(to_record(sealed))


def test_the_value_of_a_string_is_shown() -> None:
    body = node_of(PARAMETER, {"Type": "String", "Value": "plain"}).body
    assert kind_of(PARAMETER).seal(body) == body


def test_the_identity_is_the_name_where_there_is_one() -> None:
    kind = kind_of(QUEUE)
    assert kind.identity(node_of(QUEUE, {"QueueName": "a"}, "x")) == kind.identity(
        node_of(QUEUE, {"QueueName": "a"}, "y")
    )
    assert kind.identity(node_of(QUEUE, {}, "x")) != kind.identity(node_of(QUEUE, {}, "y"))
    assert kind.identity(node_of(QUEUE, {"QueueName": UNKNOWN})) == ""
    assert kind.identity(node_of(QUEUE, UNKNOWN)) == ""


def test_a_queue_needs_its_dead_letter_queue() -> None:
    kind = kind_of(QUEUE)
    user = node_of(QUEUE, {"RedrivePolicy": {"deadLetterTargetArn": ARN, "maxReceiveCount": 3}})
    assert list(kind.needs(user)) == list(kind.provides(node_of(QUEUE, {"QueueName": "orders"})))
    assert list(kind.needs(node_of(QUEUE, {"RedrivePolicy": {"deadLetterTargetArn": UNKNOWN}}))) == []
    assert list(kind.needs(node_of(QUEUE, {}))) == []


def test_a_receive_count_in_quotes_is_a_number() -> None:
    node = node_of(QUEUE, {"RedrivePolicy": {"deadLetterTargetArn": ARN, "maxReceiveCount": "3"}})
    live = observed_of(node, {"RedrivePolicy": {"deadLetterTargetArn": ARN, "maxReceiveCount": 3}})
    assert kind_of(QUEUE).diff(node, live, None).action is Action.NONE


def test_tags_are_dropped_with_their_list() -> None:
    node = node_of(QUEUE, {})
    live = observed_of(node, {"Tags": [{"Key": "a/b", "Value": "1"}, {"Key": "foreign", "Value": "2"}]})
    change = kind_of(QUEUE).diff(node, live, {"spec": {"Tags": [{"Key": "a/b", "Value": "1"}]}})
    assert [(field.path, field.after) for field in change.fields] == [("/spec/Tags/a~1b", MISSING)]


def test_a_property_that_was_never_set_is_not_compared() -> None:
    node = node_of(QUEUE, {"DelaySeconds": 5})
    live = observed_of(node, {"DelaySeconds": 5, "VisibilityTimeout": 999})
    assert kind_of(QUEUE).diff(node, live, None).action is Action.NONE


def test_intelligent_tiering_takes_what_aws_chose() -> None:
    node = node_of(PARAMETER, {"Type": "String", "Value": "x", "Tier": "Intelligent-Tiering"})
    live = observed_of(node, {"Type": "String", "Value": "x", "Tier": "Standard"})
    assert kind_of(PARAMETER).diff(node, live, None).action is Action.NONE


def test_who_put_a_parameter_last_is_said_of_everything_but_its_name_and_tags() -> None:
    node = node_of(PARAMETER, {"Name": "/a", "Type": "String", "Value": "x", "Tags": []})
    status = {"LastModifiedUser": "arn:aws:iam::1:user/bo", "LastModifiedDate": "2026-11-25T17:00:00Z"}
    seen = Observed(node.address, {**node.body, "status": status}, ARN)
    said = "arn:aws:iam::1:user/bo at 2026-11-25T17:00:00Z"
    assert kind_of(PARAMETER).writers(seen) == {"/spec/Type": said, "/spec/Value": said}
    assert kind_of(PARAMETER).writers(Observed(node.address, node.body, ARN)) == {}
