"""Registers the provider; loaded by trueup.plugins when a stack first uses `provider: ssh`."""

from __future__ import annotations

from trueup.sdk import Provider, hookimpl
from trueup_ssh.provider import SshProvider


@hookimpl
def trueup_provider() -> Provider:
    return SshProvider()
