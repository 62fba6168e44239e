"""The only file that imports boto3: one connection to one account and region, shared by all threads.

Used by the kinds through `Connection.call` and `Connection.pages`; botocore's exceptions end here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, TypeVar

import boto3
import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.session
import urllib3.exceptions

from trueup.sdk import Denied, Invalid, ProviderError, Session, Transient, read_bounded, reveal
from trueup_aws.answers import check_answer
from trueup_aws.errors import error_of

Item = TypeVar("Item")
Result = TypeVar("Result")

CREDENTIALS_HINT = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, where trueup runs,"
    " or profile in the target's config"
)
_UNREACHABLE_HINT = "look at the target's region and endpointUrl, and whether the network leads there"
CONNECT_TIMEOUT = 5
# The largest answers are lists of a thousand names; a secret has 64 KiB.
MAX_ANSWER = 64 * 1024 * 1024
ANSWER_SECONDS = 120.0
# At 50 items a page, more than any quota of AWS lets an account have.
MAX_PAGES = 40_000
# Secrets are asked for in groups, one group after the other.
SECRET_READERS = 2


class Connection(Session):
    """An authenticated session of one target."""

    def __init__(self, config: Mapping[str, Any], owner_key: str, concurrency: int) -> None:
        """Signs in and asks STS, once, which account that leads to."""
        _keep_bodies_out_of_logs()
        expected = config.get("accountId")
        config = reveal(config)
        self.region = str(config["region"])
        self.owner_key = owner_key
        self._endpoint = config.get("endpointUrl")
        self._settings = _settings_of(config, concurrency)
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._session: Any = _sign_in(config, self._settings)
        caller = self.call("sts", "get_caller_identity")
        self.account, arn = str(caller.get("Account") or ""), str(caller.get("Arn") or "")
        if not self.account or arn.count(":") < 5:
            raise Transient("sts:GetCallerIdentity: the answer is not one of AWS", hint=_UNREACHABLE_HINT)
        self.partition = arn.split(":")[1]
        if expected and str(config["accountId"]) != self.account:
            raise Invalid(
                f"the credentials lead to account {self.account}, and the target's accountId is {expected}",
                hint="use the credentials of that account, or correct accountId",
            )
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="aws-read")

    @property
    def fingerprint(self) -> str:
        return f"{self.partition}/{self.account}/{self.region}"

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()

    def call(
        self, service: str, operation: str, *, is_secret: bool = False, **parameters: Any
    ) -> Mapping[str, Any]:
        """One call of an API; raises sdk errors, and NotFound where AWS says that there is no such object.

        `is_secret`: the call carries a sensitive value. AWS likes to repeat what it refuses, so neither its
        message nor its exception is kept.
        """
        name = f"{service}:{_camel(operation)}"
        failure: ProviderError
        try:
            answer: Mapping[str, Any] = getattr(self._client(service), operation)(**parameters)
            return answer
        except (LookupError, RecursionError, ValueError) as error:
            # The parsers of botocore fall over what is shaped in no way of AWS, or nested without bottom.
            failure = Transient(f"{name}: the answer is not one of AWS ({type(error).__name__})")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            failure = _translate(error, name, is_secret)
            if not is_secret:
                raise failure from error
        raise failure

    def pages(
        self,
        service: str,
        operation: str,
        key: str,
        *,
        token_in: str = "NextToken",  # noqa: S107 - the name of a field
        token_out: str = "NextToken",  # noqa: S107
        **parameters: Any,
    ) -> Iterator[Any]:
        """The items under `key` of every page. Raises before its end if any page is missing."""
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            answer = self.call(service, operation, **parameters)
            yield from answer.get(key) or ()
            token = answer.get(token_out)
            if not token:
                return
            if token in seen:
                raise Transient(f"{service}:{_camel(operation)}: the same page was announced twice")
            seen.add(token)
            parameters[token_in] = token
        raise Transient(f"{service}:{_camel(operation)}: the pages do not come to an end")

    def run_all(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results of `task` for each item, in order, made by the session's few threads at once."""
        try:
            results = self._pool.map(task, items)
        except RuntimeError as error:
            raise Transient("the connection was closed") from error
        try:
            yield from results
        except CancelledError as error:
            raise Transient("the connection was closed") from error

    def _client(self, service: str) -> Any:
        with self._lock:
            client = self._clients.get(service)
            if client is None:
                try:
                    client = self._session.client(
                        service, region_name=self.region, endpoint_url=self._endpoint, config=self._settings
                    )
                except ValueError as error:
                    raise Invalid(f"target's region or endpointUrl is wrong: {error}") from error
                client.meta.events.register("after-call", check_answer)
                _bound_answers(client, service)
                self._clients[service] = client
            return client


def _bound_answers(client: Any, service: str) -> None:
    """Has the client read no answer to its end that has none, or that would fill the memory."""
    http = client._endpoint.http_session  # botocore has no public place for it
    send = http.send

    def send_bounded(request: Any) -> Any:
        request.stream_output = True  # the answer is left to us
        response = send(request)
        raw = response.raw
        try:
            response._content = read_bounded(raw.read1, MAX_ANSWER, ANSWER_SECONDS, service)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise botocore.exceptions.ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise botocore.exceptions.ResponseStreamingError(error=error) from error
        except BaseException:
            raw.close()  # what is left of it must not be taken for the next answer
            raise
        finally:
            raw.release_conn()
        return response

    http.send = send_bounded


def connect_by_environment() -> Connection:
    """A connection for secrets that no target leads to: as the AWS command line would sign in."""
    try:
        region = boto3.session.Session().region_name
    except botocore.exceptions.BotoCoreError as error:
        raise _translate(error, "sts:GetCallerIdentity", False) from error
    if not region:
        raise Invalid(
            "no AWS region is known, and the stack has no target of provider aws",
            hint="set AWS_REGION where trueup runs, or add a target",
        )
    return Connection({"region": region}, "", SECRET_READERS)


def _keep_bodies_out_of_logs() -> None:
    # botocore writes every request with its body, and every answer, at the level DEBUG.
    logger = logging.getLogger("botocore")
    if logger.getEffectiveLevel() < logging.WARNING:
        logger.setLevel(logging.WARNING)


def _settings_of(config: Mapping[str, Any], concurrency: int) -> botocore.config.Config:
    return botocore.config.Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=float(config.get("timeout", 20)),
        retries={"mode": "standard", "total_max_attempts": int(config.get("maxAttempts", 3))},
        # The engine's own threads call too, while the session's threads read.
        max_pool_connections=2 * concurrency + 2,
        s3={"addressing_style": "path"} if config.get("endpointUrl") else {},
        user_agent_extra="trueup",
    )


def _sign_in(config: Mapping[str, Any], settings: botocore.config.Config) -> boto3.session.Session:
    region = str(config["region"])
    try:
        session = boto3.session.Session(profile_name=config.get("profile"), region_name=region)
        if session.get_credentials() is None:
            raise Denied("there are no AWS credentials", hint=CREDENTIALS_HINT)
    except botocore.exceptions.BotoCoreError as error:
        raise _translate(error, "sts:GetCallerIdentity", False) from error
    if "assumeRole" not in config:
        return session
    return _assume_role(session, config, settings)


def _assume_role(
    session: boto3.session.Session, config: Mapping[str, Any], settings: botocore.config.Config
) -> boto3.session.Session:
    """A session of the role, whose credentials renew themselves before they expire."""
    client: Any = session.client(
        "sts", region_name=config["region"], endpoint_url=config.get("endpointUrl"), config=settings
    )
    request = {"RoleArn": config["assumeRole"], "RoleSessionName": "trueup"}
    if "externalId" in config:
        request["ExternalId"] = config["externalId"]

    def fetch() -> dict[str, str]:
        answer = client.assume_role(**request)["Credentials"]
        return {
            "access_key": answer["AccessKeyId"],
            "secret_key": answer["SecretAccessKey"],
            "token": answer["SessionToken"],
            "expiry_time": answer["Expiration"].isoformat(),
        }

    try:
        first = fetch()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise _translate(error, "sts:AssumeRole", False) from error
    inner = botocore.session.Session()
    # botocore offers no public way to hand renewing credentials to a session.
    inner._credentials = botocore.credentials.RefreshableCredentials.create_from_metadata(  # type: ignore[attr-defined]
        metadata=first, refresh_using=fetch, method="sts-assume-role"
    )
    return boto3.session.Session(botocore_session=inner, region_name=str(config["region"]))


def _translate(error: Exception, operation: str, is_secret: bool) -> ProviderError:
    if isinstance(error, botocore.exceptions.ClientError):
        answer: Mapping[str, Any] = error.response
        detail = answer.get("Error", {})
        message = "" if is_secret else str(detail.get("Message") or "")
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        return error_of(str(detail.get("Code") or status), status, message, operation)
    kind = type(error).__name__
    if isinstance(
        error,
        botocore.exceptions.NoCredentialsError
        | botocore.exceptions.PartialCredentialsError
        | botocore.exceptions.CredentialRetrievalError
        | botocore.exceptions.TokenRetrievalError
        | botocore.exceptions.SSOError,
    ):
        return Denied(f"{operation}: {error}", hint=CREDENTIALS_HINT)
    text = f"{operation}: {kind}" if is_secret else f"{operation}: {error}"
    if isinstance(error, botocore.exceptions.ProfileNotFound):
        return Invalid(
            text, hint="correct the target's profile, or add it to ~/.aws/config where trueup runs"
        )
    if isinstance(error, botocore.exceptions.ParamValidationError | botocore.exceptions.InvalidRegionError):
        return Invalid(text)
    if isinstance(error, botocore.exceptions.HTTPClientError | botocore.exceptions.ConnectionError):
        return Transient(text, hint=_UNREACHABLE_HINT)
    if isinstance(
        error, botocore.exceptions.IncompleteReadError | botocore.exceptions.ResponseStreamingError
    ):
        return Transient(text)
    return ProviderError(text)


def _camel(operation: str) -> str:
    return "".join(part.capitalize() for part in operation.split("_"))
