"""Each supported property with a first and a second value: what the tests of the AWS kinds go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueup.sdk import Node
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.rig import Rig

API_VERSION = "aws.trueup.dev/v1"
DEAD_LETTERS = "arn:aws:sqs:eu-west-1:123456789012:dead"
OTHER_DEAD_LETTERS = "arn:aws:sqs:eu-west-1:123456789012:dead-2"


@dataclass(frozen=True)
class PropertyCase:
    """A property, what else the manifest has to say for it, its first and its second value.

    `after` is None for an immutable property.
    """

    kind: str
    property: str
    before: Any
    after: Any
    rest: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.kind.rpartition('::')[2]}-{self.property}"


def make_node(rig: Rig, kind: str, spec: Mapping[str, Any], name: str = "orders", **more: Any) -> Node:
    return rig.node(Case(API_VERSION, kind, name, {"spec": spec}), **more)


def encryption(algorithm: str, key: str | None, is_shared: bool) -> dict[str, Any]:
    chosen = {"SSEAlgorithm": algorithm, **({"KMSMasterKeyID": key} if key else {})}
    rule = {"ServerSideEncryptionByDefault": chosen, "BucketKeyEnabled": is_shared}
    return {"ServerSideEncryptionConfiguration": [rule]}


def tag(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


FIFO: dict[str, Any] = {"FifoQueue": True}
KMS: dict[str, Any] = {"KmsMasterKeyId": "alias/trueup"}
TEXT: dict[str, Any] = {"Type": "String", "Value": "plain"}
BLOCKED = dict.fromkeys(
    ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
)
RULES: list[dict[str, Any]] = [
    {
        "Id": "z-old-things",
        "Status": "Enabled",
        "Prefix": "logs/",
        "ExpirationInDays": 365,
        "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 30}],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
    },
    {
        "Id": "a-tagged",
        "Status": "Disabled",
        "Prefix": "tmp/",
        "TagFilters": [{"Key": "b", "Value": "1"}, {"Key": "a", "Value": "2"}],
        "ExpirationInDays": 1,
        "NoncurrentVersionTransitions": [{"StorageClass": "STANDARD_IA", "TransitionInDays": 30}],
    },
    {"Id": "m-markers", "Status": "Enabled", "ExpiredObjectDeleteMarker": True},
]

CASES = [
    PropertyCase("AWS::SQS::Queue", name, before, after, rest)
    for name, before, after, rest in [
        ("QueueName", "orders", None, {}),
        ("FifoQueue", True, None, {}),
        ("ContentBasedDeduplication", True, False, FIFO),
        ("DeduplicationScope", "messageGroup", "queue", FIFO),
        (
            "FifoThroughputLimit",
            "perMessageGroupId",
            "perQueue",
            {**FIFO, "DeduplicationScope": "messageGroup"},
        ),
        ("DelaySeconds", 5, 6, {}),
        ("MaximumMessageSize", 2048, 4096, {}),
        ("MessageRetentionPeriod", 60, 120, {}),
        ("ReceiveMessageWaitTimeSeconds", 20, 10, {}),
        ("VisibilityTimeout", 0, 43_200, {}),
        (
            "RedrivePolicy",
            {"deadLetterTargetArn": DEAD_LETTERS, "maxReceiveCount": "3"},
            {"deadLetterTargetArn": OTHER_DEAD_LETTERS, "maxReceiveCount": 4},
            {},
        ),
        (
            "RedriveAllowPolicy",
            {"redrivePermission": "byQueue", "sourceQueueArns": [OTHER_DEAD_LETTERS, DEAD_LETTERS]},
            {"redrivePermission": "denyAll"},
            {},
        ),
        ("SqsManagedSseEnabled", False, True, {}),
        ("KmsMasterKeyId", "alias/trueup", "alias/other", {}),
        ("KmsDataKeyReusePeriodSeconds", 60, 86_400, KMS),
        ("Tags", tag(b="1", a="x/y +-=._:@"), tag(a="2"), {}),
    ]
]
CASES += [
    PropertyCase("AWS::SNS::Topic", name, before, after, rest)
    for name, before, after, rest in [
        ("TopicName", "orders", None, {}),
        ("FifoTopic", True, None, {}),
        ("DisplayName", "Orders", "Other orders", {}),
        ("ContentBasedDeduplication", True, False, {"FifoTopic": True}),
        ("KmsMasterKeyId", "alias/trueup", "alias/other", {}),
        ("Tags", tag(b="1", a="2"), tag(a="3"), {}),
    ]
]
CASES += [
    PropertyCase("AWS::S3::Bucket", name, before, after, rest)
    for name, before, after, rest in [
        ("BucketName", "orders-of-trueup", None, {}),
        ("VersioningConfiguration", {"Status": "Enabled"}, {"Status": "Suspended"}, {}),
        ("PublicAccessBlockConfiguration", {"BlockPublicAcls": False}, BLOCKED, {}),
        (
            "BucketEncryption",
            encryption("aws:kms", "alias/trueup", True),
            encryption("AES256", None, False),
            {},
        ),
        (
            "OwnershipControls",
            {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]},
            {"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
            {},
        ),
        ("LifecycleConfiguration", {"Rules": RULES}, {"Rules": [RULES[1]]}, {}),
        ("Tags", tag(b="1", a="2"), tag(a="3"), {}),
    ]
]
CASES += [
    PropertyCase("AWS::SSM::Parameter", name, before, after, rest)
    for name, before, after, rest in [
        ("Name", "/shop/db/host", None, TEXT),
        ("Type", "String", "StringList", TEXT),
        ("Value", "one", "two", TEXT),
        ("Description", "Where it is", "Where it was", TEXT),
        ("AllowedPattern", "^p.*$", "^pl.*$", TEXT),
        ("DataType", "aws:ec2:image", "text", {"Type": "String", "Value": "ami-12345678"}),
        ("Tier", "Standard", "Advanced", TEXT),
        ("Tags", tag(b="1", a="2"), tag(a="3"), TEXT),
    ]
]
BY_KIND = {
    "AWS::SQS::Queue": {},
    "AWS::SNS::Topic": {},
    "AWS::S3::Bucket": {},
    "AWS::SSM::Parameter": TEXT,
}
