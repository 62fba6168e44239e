"""Registers the provider; loaded through the entry point `kubernetes` of `trueup.providers`."""

from __future__ import annotations

from trueup.sdk import Provider, hookimpl
from trueup_kubernetes.provider import KubernetesProvider


@hookimpl
def trueup_provider() -> Provider:
    return KubernetesProvider()
