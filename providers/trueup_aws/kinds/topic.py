"""AWS::SNS::Topic."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trueup.sdk import Document, Node, Problem, Traits
from trueup_aws.kinds.importable import ImportableKind
from trueup_aws.kinds.live import Live, join_tags, parse_flag, split_tags
from trueup_aws.kinds.properties import flag, spec_schema, text

if TYPE_CHECKING:
    from trueup_aws.client import Connection

ATTRIBUTES: Mapping[str, Any] = {"ContentBasedDeduplication": False, "DisplayName": "", "KmsMasterKeyId": ""}

SCHEMA = spec_schema(
    "A topic of SNS.",
    {"TopicName": "orders", "DisplayName": "Orders"},
    {
        "TopicName": text(
            "The topic's name, ending in .fifo for a FIFO topic. Left out: made from stack and resource.",
            immutable=True,
            pattern="^([A-Za-z0-9_-]{1,256}|[A-Za-z0-9_-]{1,251}[.]fifo)$",
        ),
        "DisplayName": text(
            "The name that e-mails and text messages show. Default: none.", reset="", maxLength=100
        ),
        "FifoTopic": flag(
            "Whether the topic keeps the order of messages. Default: false.", reset=False, immutable=True
        ),
        "ContentBasedDeduplication": flag(
            "FIFO topics: derive the deduplication id from the body. Default: false.", reset=False
        ),
        "KmsMasterKeyId": text("Encryption with this KMS key: id, ARN or alias. Default: none.", reset=""),
        "Subscription": {"description": "Not supported, and refused."},
    },
)


class Topic(ImportableKind):
    """A topic. Its ARN is made of its name, so a topic that was made anew cannot be told by its id."""

    name: ClassVar[str] = "AWS::SNS::Topic"
    schema = SCHEMA
    traits = Traits(identity="named", settle=10.0)
    service: ClassVar[str] = "sns"
    name_property: ClassVar[str] = "TopicName"
    name_limit: ClassVar[int] = 256
    noun: ClassVar[str] = "topic"

    def validate(self, node: Node) -> Iterable[Problem]:
        yield from super().validate(node)
        spec = node.spec
        is_fifo, name = spec.get("FifoTopic", False), spec.get("TopicName")
        if "Subscription" in spec:
            yield Problem(
                "Subscription is not supported in a topic: trueup does not manage subscriptions yet",
                node.place,
                "remove it; subscriptions that exist are left alone",
            )
        if isinstance(name, str) and isinstance(is_fifo, bool) and name.endswith(".fifo") != is_fifo:
            yield Problem(
                "TopicName ends in .fifo exactly when FifoTopic is true", node.place, "change one of the two"
            )
        if "ContentBasedDeduplication" in spec and is_fifo is False:
            yield Problem(
                "ContentBasedDeduplication is for FIFO topics",
                node.place,
                "remove it, or set FifoTopic: true",
            )

    def suffix(self, spec: Document) -> str | None:
        is_fifo = spec.get("FifoTopic", False)
        if not isinstance(is_fifo, bool):
            return None
        return ".fifo" if is_fifo else ""

    def written_spec(self, spec: Document) -> Document:
        is_fifo = spec.get("FifoTopic")
        return {key: value for key, value in spec.items() if is_fifo or key != "ContentBasedDeduplication"}

    def arn(self, connection: Connection, name: str) -> str:
        return f"arn:{connection.partition}:sns:{connection.region}:{connection.account}:{name}"

    def name_of(self, arn: str) -> str:
        return arn.rpartition(":")[2]

    def list_names(self, connection: Connection) -> Mapping[str, str]:
        topics = connection.pages("sns", "list_topics", "Topics")
        return {self.name_of(topic["TopicArn"]): topic["TopicArn"] for topic in topics}

    def read(self, connection: Connection, name: str, handle: str) -> Live:
        arn = handle or self.arn(connection, name)
        answer = connection.call("sns", "get_topic_attributes", TopicArn=arn)
        attributes: Mapping[str, str] = answer["Attributes"]
        return Live(
            name=name,
            external_id=attributes["TopicArn"],
            handle=arn,
            spec={
                "TopicName": name,
                "DisplayName": attributes.get("DisplayName", ""),
                "KmsMasterKeyId": attributes.get("KmsMasterKeyId", ""),
                "FifoTopic": parse_flag(attributes.get("FifoTopic")),
                "ContentBasedDeduplication": parse_flag(attributes.get("ContentBasedDeduplication")),
            },
            status={"TopicArn": attributes["TopicArn"]},
            tags=self.read_tags(connection, name, arn),
        )

    def read_tags(self, connection: Connection, name: str, handle: str) -> Mapping[str, str]:
        answer = connection.call("sns", "list_tags_for_resource", ResourceArn=handle)
        return split_tags(answer.get("Tags") or ())

    def make(self, connection: Connection, name: str, spec: Document, tags: Mapping[str, str]) -> str:
        given = [key for key in ATTRIBUTES if spec.get(key) not in (None, ATTRIBUTES[key])]
        attributes = {key: _text_of(spec[key]) for key in given}
        if spec.get("FifoTopic"):
            attributes["FifoTopic"] = "true"
        answer = connection.call(
            "sns", "create_topic", Name=name, Attributes=attributes, Tags=join_tags(tags)
        )
        return str(answer["TopicArn"])

    def change(self, connection: Connection, live: Live, spec: Document, names: Collection[str]) -> None:
        for key in sorted(names):
            value = _text_of(spec.get(key, ATTRIBUTES[key]))
            connection.call(
                "sns", "set_topic_attributes", TopicArn=live.handle, AttributeName=key, AttributeValue=value
            )

    def write_tags(
        self, connection: Connection, live: Live, tags: Mapping[str, str], removed: Collection[str]
    ) -> None:
        if tags:
            connection.call("sns", "tag_resource", ResourceArn=live.handle, Tags=join_tags(tags))
        if removed:
            connection.call("sns", "untag_resource", ResourceArn=live.handle, TagKeys=sorted(removed))

    def remove(self, connection: Connection, live: Live) -> None:
        connection.call("sns", "delete_topic", TopicArn=live.handle)


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
