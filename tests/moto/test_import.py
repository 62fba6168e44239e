"""What import makes of AWS objects: each property, each way to name an object, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.moto.cases import CASES, PropertyCase, make_node, tag
from tests.moto.fixtures import ACCOUNT, REGION, Moto

from trueup.errors import Problem
from trueup.manifests.document import SourceDocument, SourceText
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.print_yaml import print_documents
from trueup.manifests.schema import CompiledSchema
from trueup.sdk import Action, Discovered, Invalid, Missing
from trueup.sdk.testing.rig import Rig
from trueup_aws.provider import AwsProvider

pytestmark = pytest.mark.moto
QUEUE, TOPIC, BUCKET, PARAMETER = (
    "AWS::SQS::Queue",
    "AWS::SNS::Topic",
    "AWS::S3::Bucket",
    "AWS::SSM::Parameter",
)


@pytest.fixture
def rig(moto: Moto) -> Iterator[Rig]:
    moto.reset()
    rig = Rig(AwsProvider(), moto.target())
    yield rig
    rig.close()


def discover(rig: Rig, kind: str, *ids: str) -> list[Discovered | Missing]:
    node = make_node(rig, kind, {})
    return list(rig.kind(node).discover(rig.session(node), ids))


def found(rig: Rig, kind: str, *ids: str) -> list[str]:
    """The ids of what is found, and what is not with a mark."""
    return [each.id if isinstance(each, Discovered) else f"!{each.id}" for each in discover(rig, kind, *ids)]


def export(rig: Rig, kind: str, *ids: str) -> dict[str, Any]:
    """The resource of the one object that there is."""
    (each,) = discover(rig, kind, *ids)
    assert isinstance(each, Discovered)
    document: dict[str, Any] = dict(rig.kind(make_node(rig, kind, {})).export(each.body))
    return document


def read_back(document: dict[str, Any]) -> SourceDocument:
    problems: list[Problem] = []
    (read,) = parse_yaml(SourceText("a.yaml", print_documents([document])), problems)
    assert problems == []
    return read


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_each_property_is_exported_so_that_nothing_differs(rig: Rig, moto: Moto, case: PropertyCase) -> None:
    name = "orders.fifo" if case.rest.get("FifoQueue") or case.rest.get("FifoTopic") else "orders"
    name = "orders.fifo" if case.property in ("FifoQueue", "FifoTopic") else name
    names = {QUEUE: "QueueName", TOPIC: "TopicName", BUCKET: "BucketName", PARAMETER: "Name"}
    name = "orders-of-trueup" if case.property == "BucketName" else name
    name = "/shop/db/host" if case.property == "Name" else name
    spec = {names[case.kind]: name, **case.rest, case.property: case.before}
    for letters in ("dead", "dead-2") if case.kind == QUEUE else ():
        moto.client("sqs").create_queue(QueueName=letters)
    rig.apply(make_node(rig, case.kind, spec))
    document = export(rig, case.kind, name)
    kind = rig.kind(make_node(rig, case.kind, {}))
    written = read_back(document)
    assert list(CompiledSchema(kind.schema or {}, "test").check(document["spec"], written, ("spec",))) == []
    node = make_node(rig, case.kind, written.value["spec"])
    assert list(kind.validate(node)) == []
    assert rig.diff(node, rig.observed(node), None).action is Action.NONE
    # What was set says more than the defaults do, so it stands there.
    is_default = case.before in ("Standard",)
    assert is_default or case.property in document["spec"]


def test_defaults_names_of_aws_and_markers_are_left_out(rig: Rig, moto: Moto) -> None:
    rig.apply(make_node(rig, QUEUE, {"QueueName": "orders", "Tags": tag(team="shop")}))
    moto.client("sqs").tag_queue(
        QueueUrl=f"{moto.endpoint}/{ACCOUNT}/orders", Tags={"aws:cloudformation:stack-name": "x"}
    )
    document = export(rig, QUEUE)
    assert document["metadata"] == {"name": "orders"}
    assert document["spec"]["Tags"] == tag(team="shop")
    assert document["spec"].keys() <= {"QueueName", "Tags", "SqsManagedSseEnabled"}
    assert "status" not in document


def test_objects_are_named_by_name_arn_url_or_pattern(rig: Rig, moto: Moto) -> None:
    sqs = moto.client("sqs")
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("orders", "orders-dead", "news")]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:news"
    assert sorted(found(rig, QUEUE)) == ["news", "orders", "orders-dead"]
    assert found(rig, QUEUE, "orders", arn, urls[1]) == ["orders", "news", "orders-dead"]
    assert found(rig, QUEUE, "orders*", "x*") == ["!x*", "orders", "orders-dead"]
    assert found(rig, QUEUE, "nothing", "orders") == ["!nothing", "orders"]


def test_more_than_one_page_of_each_kind_is_listed(rig: Rig, moto: Moto) -> None:
    ssm, sns = moto.client("ssm"), moto.client("sns")
    for number in range(60):
        ssm.put_parameter(Name=f"/a/{number:03}", Value="x", Type="String")
    for number in range(120):
        sns.create_topic(Name=f"t{number:03}")
    assert len(found(rig, PARAMETER)) == 60
    assert len(found(rig, TOPIC)) == 120


def test_a_name_with_slashes_becomes_a_name_of_a_resource(rig: Rig, moto: Moto) -> None:
    moto.client("ssm").put_parameter(Name="/shop/db/host", Value="db-1", Type="String", Description="")
    document = export(rig, PARAMETER)
    assert document["metadata"] == {"name": "shop-db-host"}
    assert document["spec"] == {"Name": "/shop/db/host", "Type": "String", "Value": "db-1"}


def test_a_secure_string_is_not_even_decrypted(rig: Rig, moto: Moto) -> None:
    moto.client("ssm").put_parameter(Name="/shop/password", Value="canary-77", Type="SecureString")
    moto.mark()
    (each,) = discover(rig, PARAMETER)
    assert isinstance(each, Discovered)
    assert "canary-77" not in repr(each)
    assert "ssm:GetParameters" not in {request.action for request in moto.requests()}
    assert "ssm:GetParameter" not in {request.action for request in moto.requests()}
    with pytest.raises(Invalid, match="secret") as refused:
        rig.kind(make_node(rig, PARAMETER, {})).export(each.body)
    assert "secret(...)" in refused.value.hint


def test_a_marker_is_seen_and_what_cannot_be_read_is_no_absence(rig: Rig, moto: Moto) -> None:
    node = make_node(rig, TOPIC, {"TopicName": "news"})
    rig.apply(node)
    (each,) = discover(rig, TOPIC)
    assert isinstance(each, Discovered) and each.owner == rig.owner(node)
    moto.fail("sns:GetTopicAttributes", "AuthorizationError", status=403)
    (denied,) = discover(rig, TOPIC)
    assert isinstance(denied, Missing) and "AuthorizationError" in denied.error.message


def test_a_lifecycle_rule_with_unknown_parts_is_refused(rig: Rig) -> None:
    kind = rig.kind(make_node(rig, BUCKET, {}))
    rule = {"Id": "odd", "Status": "Enabled", "Unsupported": "{'Date': 1}"}
    body = {"spec": {"BucketName": "b", "LifecycleConfiguration": {"Rules": [rule]}}}
    with pytest.raises(Invalid, match="'odd' has parts that trueup does not know"):
        kind.export(body)


def test_parameters_of_aws_itself_are_of_the_system(rig: Rig) -> None:
    kind: Any = rig.kind(make_node(rig, PARAMETER, {}))
    assert [kind.is_system(name) for name in ("/aws/x", "ssm-x", "/shop/x")] == [True, True, False]
