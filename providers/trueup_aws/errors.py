"""What AWS's error codes mean for the engine. Pure: the client gives it codes and texts, never exceptions."""

from __future__ import annotations

from trueup.sdk import Blocked, Conflict, Denied, Invalid, ProviderError, Throttled, Transient


class NotFound(ProviderError):
    """The service itself said, to valid credentials, that there is no such object. Not for the engine."""


NOT_FOUND = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "InvalidResourceId",
        "NoSuchBucket",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "NoSuchTagSet",
        "NotFound",
        "NotFoundException",
        "OwnershipControlsNotFoundError",
        "ParameterNotFound",
        "QueueDoesNotExist",
        "ResourceNotFound",
        "ResourceNotFoundException",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)

THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TooManyUpdates",
    }
)

DENIED = frozenset(
    {
        "403",
        "AWS.SimpleQueueService.AccessDenied",
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "AuthFailure",
        "AuthorizationError",
        "AuthorizationErrorException",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "ExpiredTokenException",
        "Forbidden",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "KMSAccessDenied",
        "KmsAccessDenied",
        "KMSOptInRequired",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClient",
        "UnrecognizedClientException",
    }
)

CONFLICT = frozenset(
    {
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "ConcurrentAccess",
        "ConcurrentAccessException",
        "ConditionalRequestConflict",
        "OperationAborted",
        "ParameterAlreadyExists",
        "PreconditionFailed",
        "QueueAlreadyExists",
        "QueueNameExists",
        "StaleTag",
        "StaleTagException",
    }
)

TRANSIENT = frozenset(
    {
        "503",
        "InternalError",
        "InternalErrorException",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)

HINTS = {
    "ExpiredToken": "sign in again, and start trueup with fresh credentials",
    "ExpiredTokenException": "sign in again, and start trueup with fresh credentials",
    "RequestTimeTooSkewed": "correct the clock of the machine that trueup runs on",
    "RequestExpired": "correct the clock of the machine that trueup runs on",
    "BucketAlreadyExists": "bucket names are shared by all accounts of AWS: choose another BucketName",
    "HierarchyTypeMismatchException": "the type of a parameter cannot be changed: give it another Name",
    "ParameterLimitExceeded": "ask AWS for a higher quota, or remove parameters that are no longer used",
}

PERMISSIONS_HINT = "docs/providers/aws.md lists the permissions that each kind needs"

# SQS keeps the name of a deleted queue for a minute.
DELETED_RECENTLY = frozenset({"QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently"})
DELETED_RECENTLY_PAUSE = 60.0


def error_of(code: str, status: int, message: str, operation: str) -> ProviderError:
    """The sdk error for one answer of AWS.

    `code` is the error code of the answer, `status` its HTTP status, `operation` is `service:Operation`.
    `message` has to be free of sensitive values.
    """
    plain = code.rpartition("#")[2]
    text = f"{operation}: {plain}" + (f": {message}" if message and message != plain else "")
    hint = HINTS.get(plain, "")
    if plain in DELETED_RECENTLY:
        return Throttled(
            text, retry_after=DELETED_RECENTLY_PAUSE, hint="SQS keeps a deleted name for a minute"
        )
    if plain == "BucketNotEmpty":
        return Blocked(
            text,
            by="objects in the bucket",
            hint="empty the bucket, object versions included, or set lifecycle.onDelete: orphan",
        )
    if plain in THROTTLED or status == 429:
        return Throttled(text, hint=hint)
    if plain in DENIED or plain.startswith("AccessDenied"):
        return Denied(text, hint=hint or PERMISSIONS_HINT)
    if plain in NOT_FOUND:
        return NotFound(text, hint=hint)
    if plain in CONFLICT or "already exists with different" in message:  # so says SNS, with InvalidParameter
        return Conflict(text, hint=hint)
    if plain in TRANSIENT or status >= 500:
        return Transient(text, hint=hint)
    if status in (401, 403):
        return Denied(text, hint=hint)
    return Invalid(text, hint=hint)
