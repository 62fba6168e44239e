"""What is written for an object of AWS, without AWS."""

from __future__ import annotations

from typing import Any

import pytest

from trueup.sdk import Invalid
from trueup_aws.kinds.bucket import DEFAULTS, Bucket
from trueup_aws.kinds.parameter import Parameter
from trueup_aws.kinds.queue import Queue
from trueup_aws.kinds.topic import Topic

QUEUE = {
    "QueueName": "orders",
    "VisibilityTimeout": 30,
    "DelaySeconds": 5,
    "FifoQueue": False,
    "ContentBasedDeduplication": True,
    "RedrivePolicy": None,
    "KmsMasterKeyId": "",
    "KmsDataKeyReusePeriodSeconds": 60,
    "SqsManagedSseEnabled": True,
    "Tags": [{"Key": "a", "Value": "1"}, {"Key": "aws:x", "Value": "2"}],
}


@pytest.mark.parametrize(
    ("kind", "live", "name", "spec"),
    [
        (
            Queue(),
            QUEUE,
            "orders",
            {"QueueName": "orders", "DelaySeconds": 5, "Tags": [{"Key": "a", "Value": "1"}]},
        ),
        (
            Queue(),
            {"QueueName": "q", "KmsMasterKeyId": "alias/a", "SqsManagedSseEnabled": False, "Tags": []},
            "q",
            {"QueueName": "q", "KmsMasterKeyId": "alias/a"},
        ),
        (
            Topic(),
            {"TopicName": "t.fifo", "FifoTopic": True, "ContentBasedDeduplication": True, "DisplayName": ""},
            "t.fifo",
            {"TopicName": "t.fifo", "FifoTopic": True, "ContentBasedDeduplication": True},
        ),
        (Bucket(), {"BucketName": "b", **DEFAULTS, "Tags": []}, "b", {"BucketName": "b"}),
        (
            Parameter(),
            {"Name": "/shop/db/host", "Type": "String", "Value": "x", "Tier": "Standard", "DataType": "text"},
            "shop-db-host",
            {"Name": "/shop/db/host", "Type": "String", "Value": "x"},
        ),
    ],
    ids=["queue", "queue-with-key", "topic", "bucket", "parameter"],
)
def test_a_resource_says_what_differs_from_a_new_object(
    kind: Any, live: dict[str, Any], name: str, spec: dict[str, Any]
) -> None:
    document = kind.export({"spec": live, "status": {"Arn": "x"}})
    assert document == {
        "apiVersion": "aws.trueup.dev/v1",
        "kind": kind.name,
        "metadata": {"name": name},
        "spec": spec,
    }


def test_a_secure_string_is_refused() -> None:
    with pytest.raises(Invalid, match="secret"):
        Parameter().export({"spec": {"Name": "/a", "Type": "SecureString"}})


@pytest.mark.parametrize("text", ["arn:aws:sqs:eu-west-1:123456789012:a", "https://sqs/123456789012/a", "a"])
def test_what_people_call_a_queue_leads_to_its_name(text: str) -> None:
    assert Queue()._name_in(text) == "a"
