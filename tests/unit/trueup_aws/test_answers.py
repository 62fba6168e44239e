"""Which answers are taken for those of AWS."""

from __future__ import annotations

from dataclasses import dataclass, field

import botocore.session
import pytest

from trueup.sdk import Transient
from trueup_aws.answers import check_answer

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
        ("sts", "GetCallerIdentity", b""),
    ],
)
def test_what_is_no_whole_answer_is_an_error(service: str, operation: str, content: bytes) -> None:
    with pytest.raises(Transient, match=f"{service}:{operation}: the answer is damaged, or not one of AWS"):
        check(service, operation, Answer(content))


def test_a_page_for_people_is_no_answer() -> None:
    with pytest.raises(Transient, match="not one of AWS"):
        check("s3", "ListBuckets", Answer(PAGE, headers={"Content-Type": "text/html; charset=utf-8"}))


def test_errors_are_left_to_who_knows_their_codes() -> None:
    check("sqs", "ListQueues", Answer(PAGE, status_code=403))
