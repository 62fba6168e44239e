"""Which answers are taken for those of AWS."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from trueup.sdk import Transient
from trueup_aws.answers import _roots_of, check_answer
from trueup_aws.kinds import bucket

MODELS = botocore.session.get_session()
PAGE = b"<html><body>Please sign in</body></html>"


@dataclass
class Answer:
    content: bytes
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def check(service: str, operation: str, answer: Answer) -> None:
    check_answer(answer, MODELS.get_service_model(service).operation_model(operation))


@pytest.mark.parametrize(
    ("service", "operation", "content"),
    [
        ("sqs", "ListQueues", b"{}"),
        ("sqs", "DeleteQueue", b""),
        ("ssm", "GetParameters", b'{"Parameters": []}'),
        ("s3", "HeadBucket", b""),
        ("s3", "DeleteBucket", b""),
        ("s3", "CreateBucket", b""),
        ("s3", "ListBuckets", b"<ListAllMyBucketsResult/>"),
        ("s3", "ListBuckets", b"<?xml version='1.0'?>\n<!-- x --><ListAllMyBucketsResult xmlns='urn:x'/>"),
        ("s3", "ListBuckets", b"<ListBucketsResult/>"),
        ("s3", "GetBucketTagging", b"<Tagging><TagSet/></Tagging>"),
        ("s3", "GetBucketVersioning", b"<VersioningConfiguration/>"),
        ("s3", "GetBucketEncryption", b"<ServerSideEncryptionConfiguration/>"),
        ("s3", "GetPublicAccessBlock", b"<PublicAccessBlockConfiguration/>"),
        ("s3", "GetBucketOwnershipControls", b"<OwnershipControls/>"),
        ("s3", "GetBucketLifecycleConfiguration", b"<LifecycleConfiguration/>"),
        ("sns", "ListTopics", b"<ListTopicsResponse/>"),
    ],
)
def test_an_answer_of_aws_is_taken(service: str, operation: str, content: bytes) -> None:
    check(service, operation, Answer(content))


@pytest.mark.parametrize(
    ("service", "operation", "content"),
    [
        ("sqs", "ListQueues", b""),
        ("sqs", "ListQueues", b'{"QueueUrls": ["http'),
        ("sqs", "ListQueues", PAGE),
        ("sqs", "ListQueues", b"[]"),
        ("ssm", "DescribeParameters", b"null"),
        ("s3", "ListBuckets", b""),
        ("s3", "ListBuckets", b"<html/>"),
        ("s3", "ListBuckets", b"<Error><Code>SlowDown</Code></Error>"),
        ("s3", "ListBuckets", b"<Tagging/>"),
        ("s3", "ListBuckets", b"plain text"),
        ("s3", "GetBucketTagging", b"<ListAllMyBucketsResult/>"),
        ("s3", "GetBucketVersioning", b"<methodResponse/>"),
        ("s3", "GetBucketLifecycleConfiguration", b"<Envelope xmlns='urn:soap'><Body/></Envelope>"),
        ("sns", "ListTopics", b"<ListQueuesResponse/>"),
        ("sts", "GetCallerIdentity", b""),
    ],
)
def test_what_is_no_whole_answer_is_an_error(service: str, operation: str, content: bytes) -> None:
    with pytest.raises(Transient, match=f"{service}:{operation}: the answer is damaged, or not one of AWS"):
        check(service, operation, Answer(content))


def test_every_answer_of_s3_that_a_bucket_is_read_from_has_a_name_of_its_own() -> None:
    source = Path(bucket.__file__).read_text(encoding="utf-8")
    model = MODELS.get_service_model("s3")
    names = {xform_name(name): name for name in model.operation_names}
    read = {names[word] for word in re.findall(r'"((?:get|list)_\w+)"', source)}
    assert len(read) >= 6
    for name in read:
        assert len(_roots_of(model.operation_model(name))) > 3, name


def test_a_page_for_people_is_no_answer() -> None:
    with pytest.raises(Transient, match="not one of AWS"):
        check("s3", "ListBuckets", Answer(PAGE, headers={"Content-Type": "text/html; charset=utf-8"}))


def test_errors_are_left_to_who_knows_their_codes() -> None:
    check("sqs", "ListQueues", Answer(PAGE, status_code=403))
