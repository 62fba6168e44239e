"""AWS::SQS::Queue."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trueup.sdk import Document, Node, Problem, Traits
from trueup_aws.kinds.importable import ImportableKind
from trueup_aws.kinds.live import Live, parse_flag
from trueup_aws.kinds.properties import block, flag, listing, number, spec_schema, text

if TYPE_CHECKING:
    from trueup_aws.client import Connection

INTEGERS = {
    "DelaySeconds": 0,
    "KmsDataKeyReusePeriodSeconds": 300,
    "MaximumMessageSize": 1_048_576,
    "MessageRetentionPeriod": 345_600,
    "ReceiveMessageWaitTimeSeconds": 0,
    "VisibilityTimeout": 30,
}
FLAGS = {"ContentBasedDeduplication": False, "FifoQueue": False, "SqsManagedSseEnabled": False}
TEXTS = {"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue", "KmsMasterKeyId": ""}
POLICIES = ("RedrivePolicy", "RedriveAllowPolicy")
FIFO_ONLY = ("ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")

SCHEMA = spec_schema(
    "A queue of SQS.",
    {"QueueName": "orders", "VisibilityTimeout": 60},
    {
        "QueueName": text(
            "The queue's name, ending in .fifo for a FIFO queue. Left out: made from stack and resource.",
            immutable=True,
            pattern="^([A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}[.]fifo)$",
        ),
        "FifoQueue": flag(
            "Whether the queue keeps the order of messages. Default: false.", reset=False, immutable=True
        ),
        "ContentBasedDeduplication": flag(
            "FIFO queues: derive the deduplication id from the body. Default: false.", reset=False
        ),
        "DeduplicationScope": text(
            "FIFO queues: where duplicates are looked for. Default: queue.",
            reset="queue",
            enum=["queue", "messageGroup"],
        ),
        "FifoThroughputLimit": text(
            "FIFO queues: what the throughput quota counts. Default: perQueue.",
            reset="perQueue",
            enum=["perQueue", "perMessageGroupId"],
        ),
        "DelaySeconds": number("Seconds until a message can be received. Default: 0.", 0, 900, reset=0),
        "MaximumMessageSize": number(
            "The largest message in bytes. Default: 1048576.", 1024, 1_048_576, reset=1_048_576
        ),
        "MessageRetentionPeriod": number(
            "Seconds until an unread message is dropped. Default: 345600 (4 days).",
            60,
            1_209_600,
            reset=345_600,
        ),
        "ReceiveMessageWaitTimeSeconds": number(
            "Seconds that a receive call waits for a message. Default: 0.", 0, 20, reset=0
        ),
        "VisibilityTimeout": number(
            "Seconds for which a received message is hidden. Default: 30.", 0, 43_200, reset=30
        ),
        "RedrivePolicy": block(
            "Where messages go that were received too often.",
            {
                "deadLetterTargetArn": text("The ARN of the dead-letter queue.", pattern="^arn:"),
                "maxReceiveCount": {
                    "description": "After how many receives a message is moved.",
                    "anyOf": [
                        {"type": "integer", "minimum": 1, "maximum": 1000},
                        {"type": "string", "pattern": "^[0-9]{1,4}$"},
                    ],
                },
            },
            required=("deadLetterTargetArn", "maxReceiveCount"),
            reset=None,
        ),
        "RedriveAllowPolicy": block(
            "Which queues may use this one as their dead-letter queue. Default: all of the account.",
            {
                "redrivePermission": text("Who may.", enum=["allowAll", "denyAll", "byQueue"]),
                "sourceQueueArns": listing(
                    "For byQueue: the ARNs of those queues.",
                    {"type": "string", "pattern": "^arn:"},
                    maxItems=10,
                    **{"x-unordered": True},
                ),
            },
            required=("redrivePermission",),
            reset=None,
        ),
        "SqsManagedSseEnabled": flag("Encryption with keys of SQS. Default: true.", reset=True),
        "KmsMasterKeyId": text("Encryption with this KMS key: id, ARN or alias. Default: none.", reset=""),
        "KmsDataKeyReusePeriodSeconds": number(
            "Seconds for which a data key is used again. Default: 300.", 60, 86_400, reset=300
        ),
    },
)


class Queue(ImportableKind):
    """A queue. Not stateful: its messages are in passage, and what must not be lost is protected by name.

    Changed attributes take up to a minute to be seen, and so does the list of queues.
    """

    name: ClassVar[str] = "AWS::SQS::Queue"
    schema = SCHEMA
    traits = Traits(identity="named", settle=60.0)
    service: ClassVar[str] = "sqs"
    name_property: ClassVar[str] = "QueueName"
    name_limit: ClassVar[int] = 80
    noun: ClassVar[str] = "queue"

    def validate(self, node: Node) -> Iterable[Problem]:
        yield from super().validate(node)
        spec = node.spec
        is_fifo, name = spec.get("FifoQueue", False), spec.get("QueueName")
        if isinstance(name, str) and isinstance(is_fifo, bool) and name.endswith(".fifo") != is_fifo:
            yield Problem(
                "QueueName ends in .fifo exactly when FifoQueue is true", node.place, "change one of the two"
            )
        for key in FIFO_ONLY:
            if key in spec and is_fifo is False:
                yield Problem(f"{key} is for FIFO queues", node.place, "remove it, or set FifoQueue: true")
        if spec.get("SqsManagedSseEnabled") is True and spec.get("KmsMasterKeyId", "") != "":
            yield Problem(
                "SqsManagedSseEnabled and KmsMasterKeyId exclude each other",
                node.place,
                "keep one of the two",
            )
        if "KmsDataKeyReusePeriodSeconds" in spec and "KmsMasterKeyId" not in spec:
            yield Problem(
                "KmsDataKeyReusePeriodSeconds needs KmsMasterKeyId", node.place, "set it, or remove this"
            )
        if spec.get("FifoThroughputLimit") == "perMessageGroupId" and spec.get("DeduplicationScope") in (
            None,
            "queue",
        ):
            yield Problem(
                "FifoThroughputLimit: perMessageGroupId needs DeduplicationScope: messageGroup", node.place
            )

    def needs(self, node: Node) -> Iterable[str]:
        policy = node.spec.get("RedrivePolicy")
        arn = policy.get("deadLetterTargetArn") if isinstance(policy, Mapping) else None
        if isinstance(arn, str) and arn.count(":") == 5:
            yield f"aws:{self.name}/{self.name_of(arn)}"

    def suffix(self, spec: Document) -> str | None:
        is_fifo = spec.get("FifoQueue", False)
        if not isinstance(is_fifo, bool):
            return None
        return ".fifo" if is_fifo else ""

    def normal_spec(self, spec: Document, live: Document | None) -> Document:
        policy = spec.get("RedrivePolicy")
        count = policy.get("maxReceiveCount") if isinstance(policy, Mapping) else None
        if not isinstance(count, str):
            return spec
        return {**spec, "RedrivePolicy": {**policy, "maxReceiveCount": int(count)}}  # type: ignore[dict-item]

    def written_spec(self, spec: Document) -> Document:
        left_out = () if spec.get("FifoQueue") else FIFO_ONLY
        # Each of the two ways to encrypt says what the other one is not.
        other = "SqsManagedSseEnabled" if spec.get("KmsMasterKeyId") else "KmsDataKeyReusePeriodSeconds"
        return {key: value for key, value in spec.items() if key != other and key not in left_out}

    def arn(self, connection: Connection, name: str) -> str:
        return f"arn:{connection.partition}:sqs:{connection.region}:{connection.account}:{name}"

    def name_of(self, arn: str) -> str:
        return arn.rpartition(":")[2]

    def list_names(self, connection: Connection) -> Mapping[str, str]:
        urls = connection.pages("sqs", "list_queues", "QueueUrls", MaxResults=1000)
        return {url.rpartition("/")[2]: url for url in urls}

    def read(self, connection: Connection, name: str, handle: str) -> Live:
        url = handle or connection.call("sqs", "get_queue_url", QueueName=name)["QueueUrl"]
        answer = connection.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
        attributes: Mapping[str, str] = answer.get("Attributes") or {}
        arn = attributes["QueueArn"]
        return Live(
            name=name,
            external_id=f"{arn}#{int(float(attributes['CreatedTimestamp']))}",
            handle=url,
            spec={"QueueName": name, **_spec_of(attributes)},
            status={"Arn": arn, "QueueUrl": url},
            tags=self.read_tags(connection, name, url),
        )

    def read_tags(self, connection: Connection, name: str, handle: str) -> Mapping[str, str]:
        answer = connection.call("sqs", "list_queue_tags", QueueUrl=handle)
        return dict(answer.get("Tags") or {})

    def make(self, connection: Connection, name: str, spec: Document, tags: Mapping[str, str]) -> str:
        given = {key for key, value in spec.items() if value is not None}
        attributes = _attributes(spec, given - {"QueueName", "Tags"})
        if attributes.get("FifoQueue") == "false":
            del attributes["FifoQueue"]  # which CreateQueue does not know
        connection.call("sqs", "create_queue", QueueName=name, Attributes=attributes, tags=dict(tags))
        return ""

    def change(self, connection: Connection, live: Live, spec: Document, names: Collection[str]) -> None:
        attributes = _attributes(spec, names)
        if attributes.get("KmsMasterKeyId") == "" and "SqsManagedSseEnabled" not in spec:
            # What a new queue has: without this, dropping the key would end all encryption.
            attributes["SqsManagedSseEnabled"] = "true"
        connection.call("sqs", "set_queue_attributes", QueueUrl=live.handle, Attributes=attributes)

    def write_tags(
        self, connection: Connection, live: Live, tags: Mapping[str, str], removed: Collection[str]
    ) -> None:
        if tags:
            connection.call("sqs", "tag_queue", QueueUrl=live.handle, Tags=dict(tags))
        if removed:
            connection.call("sqs", "untag_queue", QueueUrl=live.handle, TagKeys=sorted(removed))

    def remove(self, connection: Connection, live: Live) -> None:
        connection.call("sqs", "delete_queue", QueueUrl=live.handle)


def _spec_of(attributes: Mapping[str, str]) -> Document:
    spec: dict[str, Any] = {}
    for key, default in INTEGERS.items():
        spec[key] = int(attributes.get(key, default))
    for key, is_set in FLAGS.items():
        spec[key] = parse_flag(attributes.get(key, is_set))
    for key, plain in TEXTS.items():
        spec[key] = attributes.get(key, plain)
    for key in POLICIES:
        spec[key] = json.loads(attributes[key]) if attributes.get(key) else None
    if spec["RedrivePolicy"]:
        spec["RedrivePolicy"]["maxReceiveCount"] = int(spec["RedrivePolicy"]["maxReceiveCount"])
    return spec


def _attributes(spec: Document, names: Collection[str]) -> dict[str, str]:
    """The attributes as SQS takes them; a property that the spec does not hold gets its default."""
    properties: Mapping[str, Any] = SCHEMA["properties"]
    return {key: _text_of(spec.get(key, properties[key].get("x-reset-to"))) for key in sorted(names)}


def _text_of(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return json.dumps(dict(value), sort_keys=True)
    return str(value)
