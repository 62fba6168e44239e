"""What is special about one kind, against moto."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.moto.cases import TEXT, encryption, make_node
from tests.moto.fixtures import Moto

from trueup.model.values import to_record
from trueup.sdk import (
    Absent,
    Action,
    Blocked,
    Conflict,
    Failed,
    Observed,
    Owner,
    Sensitive,
    Throttled,
)
from trueup.sdk.testing.rig import INSTALLATION, STACK, Rig

pytestmark = pytest.mark.moto

ABORT = {"DaysAfterInitiation": 3}


def test_a_queue_made_anew_is_told_from_the_one_that_was_recorded(rig: Rig) -> None:
    node = make_node(rig, "AWS::SQS::Queue", {})
    seen = rig.apply(node)
    older = replace(seen, external_id=seen.external_id.partition("#")[0] + "#1")
    with pytest.raises(Conflict, match="made anew"):
        rig.delete(rig.recorded(node, older.external_id))
    change = replace(rig.diff(node, seen), observed=older)
    with pytest.raises(Conflict, match="replaced by another"):
        rig.update(node, change)


def test_a_recorded_queue_that_the_list_lags_behind_is_not_taken_for_absent(moto: Moto, rig: Rig) -> None:
    nodes = [make_node(rig, "AWS::SQS::Queue", {}, name=f"n-{index}") for index in range(6)]
    recorded = [replace(node, external_id=rig.apply(node).external_id) for node in nodes]
    moto.answer("sqs:ListQueues", {}, times=2)
    assert {type(seen) for seen in rig.observe_all(recorded).values()} == {Observed}
    # One that was never recorded is created, and `create` asks by name before it does anything.
    assert {type(seen) for seen in rig.observe_all(nodes).values()} == {Absent}
    rig.create(nodes[0])
    assert len(rig.owned(nodes[0])) == 6


def test_a_queue_deleted_a_moment_ago_is_tried_again_after_a_minute(moto: Moto, rig: Rig) -> None:
    node = make_node(rig, "AWS::SQS::Queue", {})
    moto.fail("sqs:CreateQueue", "AWS.SimpleQueueService.QueueDeletedRecently")
    with pytest.raises(Throttled) as caught:
        rig.create(node)
    assert caught.value.retry_after == 60


def test_dropping_the_key_of_a_queue_leaves_it_encrypted(rig: Rig) -> None:
    first = make_node(rig, "AWS::SQS::Queue", {"KmsMasterKeyId": "alias/trueup"})
    rig.apply(first)
    last = rig.apply(make_node(rig, "AWS::SQS::Queue", {}), to_record(first.body))
    assert last.body["spec"]["KmsMasterKeyId"] == ""
    assert last.body["spec"]["SqsManagedSseEnabled"] is True


def test_a_queue_whose_dead_letter_queue_is_missing_is_blocked(rig: Rig) -> None:
    policy = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:nowhere", "maxReceiveCount": 3}
    with pytest.raises(Blocked, match="DLQ"):
        rig.create(make_node(rig, "AWS::SQS::Queue", {"RedrivePolicy": policy}))


def test_a_bucket_with_objects_is_not_deleted_and_not_emptied(moto: Moto, rig: Rig) -> None:
    node = make_node(rig, "AWS::S3::Bucket", {"BucketName": "full-of-trueup"})
    seen = rig.apply(node)
    moto.client("s3").put_object(Bucket="full-of-trueup", Key="a", Body=b"x")
    moto.mark()
    with pytest.raises(Blocked) as caught:
        rig.delete(rig.recorded(node, seen.external_id))
    assert caught.value.by == "objects in the bucket"
    assert moto.writes() == ["s3:DeleteBucket"]
    assert moto.client("s3").get_object(Bucket="full-of-trueup", Key="a")["Body"].read() == b"x"


def test_a_bucket_keeps_the_blocks_that_the_manifest_does_not_set(rig: Rig) -> None:
    first = make_node(rig, "AWS::S3::Bucket", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}})
    rig.apply(first)
    second = make_node(
        rig, "AWS::S3::Bucket", {"PublicAccessBlockConfiguration": {"BlockPublicPolicy": True}}
    )
    seen = rig.apply(second, to_record(second.body))
    block = seen.body["spec"]["PublicAccessBlockConfiguration"]
    assert block["BlockPublicAcls"] and block["BlockPublicPolicy"] and not block["IgnorePublicAcls"]


def test_a_block_that_the_manifest_drops_is_turned_on_again(rig: Rig) -> None:
    both = {"BlockPublicAcls": False, "BlockPublicPolicy": False}
    first = make_node(rig, "AWS::S3::Bucket", {"PublicAccessBlockConfiguration": both})
    rig.apply(first)
    block = {"BlockPublicPolicy": False}
    second = make_node(rig, "AWS::S3::Bucket", {"PublicAccessBlockConfiguration": block})
    seen = rig.apply(second, to_record(first.body))
    assert seen.body["spec"]["PublicAccessBlockConfiguration"]["BlockPublicAcls"] is True
    assert seen.body["spec"]["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] is False


def test_a_key_that_the_manifest_drops_leaves_the_encryption(rig: Rig) -> None:
    first = make_node(
        rig, "AWS::S3::Bucket", {"BucketEncryption": encryption("aws:kms", "alias/trueup", True)}
    )
    rig.apply(first)
    second = make_node(rig, "AWS::S3::Bucket", {"BucketEncryption": encryption("aws:kms", None, True)})
    assert rig.diff(second, rig.observed(second), to_record(first.body)).action is Action.UPDATE
    rig.apply(second, to_record(first.body))
    assert rig.diff(second, rig.observed(second), to_record(first.body)).action is Action.NONE


def test_a_part_that_somebody_adds_to_a_lifecycle_rule_is_drift(moto: Moto, rig: Rig) -> None:
    rule = {"Id": "all", "Status": "Enabled", "ExpirationInDays": 90, "Prefix": "x/"}
    move = {"Transitions": [{"Days": 30, "StorageClass": "GLACIER"}]}
    node = make_node(
        rig, "AWS::S3::Bucket", {"BucketName": "ruled-by-trueup", "LifecycleConfiguration": {"Rules": [rule]}}
    )
    rig.apply(node)
    s3 = moto.client("s3")
    for added in (move, {"AbortIncompleteMultipartUpload": ABORT}):
        live = s3.get_bucket_lifecycle_configuration(Bucket="ruled-by-trueup")["Rules"][0]
        rules = {"Rules": [{**live, **added}]}
        s3.put_bucket_lifecycle_configuration(Bucket="ruled-by-trueup", LifecycleConfiguration=rules)
        assert rig.diff(node, rig.observed(node), to_record(node.body)).action is Action.UPDATE
        rig.apply(node)


def test_a_bucket_of_another_region_is_not_taken_for_one_of_the_target(moto: Moto, rig: Rig) -> None:
    place = {"LocationConstraint": "us-west-2"}
    far = moto.client("s3", "us-west-2")
    far.create_bucket(Bucket="far-away-of-trueup", CreateBucketConfiguration=place)
    node = make_node(rig, "AWS::S3::Bucket", {"BucketName": "far-away-of-trueup"}, adopt=True)
    seen = rig.observe(node)
    assert isinstance(seen, Failed)
    assert isinstance(seen.error, Conflict)
    with pytest.raises(Conflict, match="us-west-2"):
        rig.create(node)


def test_one_denied_parameter_does_not_hide_the_others(moto: Moto, rig: Rig) -> None:
    nodes = [make_node(rig, "AWS::SSM::Parameter", TEXT, name=f"n-{index}") for index in range(6)]
    for node in nodes:
        rig.create(node)
    # The bulk read is refused, then the first of the single reads that follow.
    moto.fail("ssm:GetParameters", "AccessDeniedException", times=2)
    seen = rig.observe_all(nodes)
    assert sorted(type(found).__name__ for found in seen.values()) == ["Failed", *["Observed"] * 5]


def test_a_secure_value_shows_up_nowhere(moto: Moto, rig: Rig) -> None:
    canary, other = "canary-4711", "canary-0815"
    first = make_node(rig, "AWS::SSM::Parameter", {"Type": "SecureString", "Value": canary})
    rig.apply(first)
    assert (
        moto.client("ssm").get_parameters(
            Names=[rig.observed(first).body["status"]["Name"]], WithDecryption=True
        )["Parameters"][0]["Value"]
        == canary
    )
    second = make_node(rig, "AWS::SSM::Parameter", {"Type": "SecureString", "Value": other})
    seen = rig.observed(second)
    change = rig.diff(second, seen, to_record(first.body))
    assert change.action is Action.UPDATE
    shown = f"{first!r} {seen!r} {change!r} {to_record(first.body)!r} {rig.owned(first)!r}"
    moto.fail("ssm:PutParameter", "ValidationException", message=f"Value {other} at value is wrong")
    with pytest.raises(Exception) as caught:
        rig.update(second, change)
    error: BaseException | None = caught.value
    while error is not None:
        shown += f" {error!r} {error.__dict__}"
        error = error.__cause__ or error.__context__
    assert canary not in shown
    assert other not in shown


def test_a_secret_in_a_property_that_aws_shows_is_refused(rig: Rig) -> None:
    node = make_node(rig, "AWS::SSM::Parameter", {"Type": "String", "Value": Sensitive("canary")})
    assert [problem.message for problem in rig.kind(node).validate(node)] == ["Value may not hold a secret"]
    with pytest.raises(Exception, match="may not hold a secret"):
        rig.create(node)


def test_owners_with_letters_that_tags_refuse_are_found_again(rig: Rig) -> None:
    node = make_node(rig, "AWS::SQS::Queue", {"QueueName": "odd"}, name="ä b=c")
    assert rig.apply(node).owner == Owner(INSTALLATION, STACK, node.address.text)
