"""Registers the AWS provider; named by the entry point `aws` of the group `trueup.providers`."""

from __future__ import annotations

from trueup.sdk import Provider, hookimpl
from trueup_aws.provider import AwsProvider


@hookimpl
def trueup_provider() -> Provider:
    return AwsProvider()
