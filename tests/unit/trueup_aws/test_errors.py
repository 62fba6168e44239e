from __future__ import annotations

import pytest

from trueup.sdk import Blocked, Conflict, Denied, Invalid, ProviderError, Throttled, Transient
from trueup_aws.errors import NotFound, error_of


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("AccessDenied", 403, Denied),
        ("AccessDeniedException", 400, Denied),
        ("ExpiredToken", 400, Denied),
        ("InvalidClientTokenId", 403, Denied),
        ("SignatureDoesNotMatch", 403, Denied),
        ("UnrecognizedClientException", 400, Denied),
        ("403", 403, Denied),
        ("NoSuchBucket", 404, NotFound),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, NotFound),
        ("com.amazonaws.sqs#QueueDoesNotExist", 400, NotFound),
        ("ParameterNotFound", 400, NotFound),
        ("BucketAlreadyExists", 409, Conflict),
        ("OperationAborted", 409, Conflict),
        ("ParameterAlreadyExists", 400, Conflict),
        ("QueueNameExists", 400, Conflict),
        ("ThrottlingException", 400, Throttled),
        ("SlowDown", 503, Throttled),
        ("whatever", 429, Throttled),
        ("InternalError", 500, Transient),
        ("whatever", 502, Transient),
        ("RequestTimeout", 400, Transient),
        ("BucketNotEmpty", 409, Blocked),
        ("ValidationException", 400, Invalid),
        ("InvalidAttributeValue", 400, Invalid),
        ("whatever", 418, Invalid),
    ],
)
def test_each_code_is_the_error_that_says_what_to_do_next(
    code: str, status: int, expected: type[ProviderError]
) -> None:
    assert type(error_of(code, status, "text", "sqs:CreateQueue")) is expected


def test_a_404_without_a_code_of_the_service_is_not_absence() -> None:
    assert type(error_of("404", 404, "Not Found", "s3:HeadBucket")) is Invalid


def test_a_message_names_the_call_and_the_code() -> None:
    error = error_of("AccessDenied", 403, "not for you", "sqs:CreateQueue")
    assert error.message == "sqs:CreateQueue: AccessDenied: not for you"
    assert error.hint


def test_a_deleted_queue_waits_for_a_minute() -> None:
    error = error_of("AWS.SimpleQueueService.QueueDeletedRecently", 400, "wait", "sqs:CreateQueue")
    assert isinstance(error, Throttled)
    assert error.retry_after == 60


def test_a_topic_that_exists_with_other_tags_is_a_conflict() -> None:
    text = "Invalid parameter: Tags Reason: Topic already exists with different tags"
    assert type(error_of("InvalidParameter", 400, text, "sns:CreateTopic")) is Conflict
