"""The pluggy hooks that a plugin implements. Each is documented in docs/providers.md."""

from __future__ import annotations

import pluggy

from trueup.sdk.contracts import Provider
from trueup.sdk.secrets import SecretSource

PROJECT = "trueup"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def trueup_provider() -> Provider:
    """The provider of this plugin.

    Called once, when a stack first uses the provider. It must not import the SDK of its system: that
    happens in `Provider.connect`, so that validation works without it.
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def trueup_secret_source() -> SecretSource:
    """The secret source of this plugin.

    Called once, when a stack first names the source in a `secret()`. It must not import the SDK of its
    system: that happens in `SecretSource.read`, so that validation works without it.
    """
    raise AssertionError("a hook specification is never called")
