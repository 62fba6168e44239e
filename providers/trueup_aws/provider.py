"""The provider: its kinds, a target's config, and how to connect. Imports boto3 in `connect` alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from trueup.sdk import Kind, Limits, Provider, Session, Target
from trueup_aws.kinds.bucket import Bucket
from trueup_aws.kinds.parameter import Parameter
from trueup_aws.kinds.queue import Queue
from trueup_aws.kinds.topic import Topic

CONFIG_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["region"],
    "properties": {
        "region": {
            "type": "string",
            "pattern": "^[a-z]{2,}(-[a-z]+)+-[0-9]+$",
            "x-plain": True,
            "description": "The region, such as eu-west-1.",
        },
        "accountId": {
            "type": "string",
            "x-plain": True,
            "pattern": "^[0-9]{12}$",
            "description": "The account that the credentials must lead to; another one is refused.",
        },
        "profile": {
            "type": "string",
            "minLength": 1,
            "description": "A profile of the AWS configuration of the machine that trueup runs on.",
        },
        "assumeRole": {
            "type": "string",
            "x-plain": True,
            "pattern": "^arn:[^:]+:iam::[0-9]{12}:role/.+$",
            "description": "The ARN of a role to take on with those credentials.",
        },
        "externalId": {
            "type": "string",
            "minLength": 2,
            "x-sensitive": True,
            "description": "The external id that the role's trust policy asks for.",
        },
        "endpointUrl": {
            "type": "string",
            "pattern": "^https?://",
            "x-plain": True,
            # Signed requests go there, with the session's token and the values of parameters.
            "x-needs-grant": ["AWS_ENDPOINT_URL"],
            "description": "Another endpoint for every service: a test server, or a private endpoint. Other "
            "than on this machine it has to be granted.",
        },
        "maxAttempts": {
            "type": "integer",
            "minimum": 1,
            "maximum": 10,
            "description": "How often a throttled or failing call is sent at most. Default: 3.",
        },
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 60,
            "description": "Seconds to wait for one answer. Default: 20.",
        },
    },
}


class AwsProvider(Provider):
    """AWS by CloudFormation's type and property names."""

    name: ClassVar[str] = "aws"
    config_schema = CONFIG_SCHEMA
    limits = Limits(concurrency=16)

    def __init__(self) -> None:
        self._kinds: tuple[Kind, ...] = (Bucket(), Parameter(), Queue(), Topic())

    def kinds(self) -> Sequence[Kind]:
        return self._kinds

    def discoverable(self, session: Session) -> Sequence[Kind]:
        return self._kinds

    def connect(self, target: Target, owner_key: str) -> Session:
        from trueup_aws.client import Connection

        return Connection(target.config, owner_key, self.limits.concurrency)
