"""Where the engine calls a plugin's code: what becomes of an exception that breaks the contract."""

from __future__ import annotations

from collections.abc import Mapping

from trueup.errors import ProviderError
from trueup.model.observation import Health, Observed, degraded
from trueup.sdk.contracts import Kind

# What a plugin may raise in a thread that an interruption by the user reaches too; in others it is anything.
PLUGIN_FAULTS = (Exception, SystemExit, GeneratorExit)


def broken_plugin(provider: str, call: str, error: BaseException) -> ProviderError:
    """What a provider's own bug becomes. The exception's text is not repeated: it may hold a secret."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return ProviderError(
        f"a bug in provider {provider!r}: {call} raised {type(error).__name__}{where}",
        hint="please report it to the provider's authors",
    )


def health_of(kind: Kind, observed: Observed, provider: str) -> Health:
    """The kind's verdict; a bug in it is a bad one, and no more than that."""
    try:
        return kind.health(observed)
    except PLUGIN_FAULTS as error:  # a hostile plugin must not take the others down
        return degraded(broken_plugin(provider, "health", error).message)


def writers_of(kind: Kind, observed: Observed, provider: str) -> Mapping[str, str]:
    """Whom the kind names for the object's fields; a bug in it is told in their place."""
    try:
        return kind.writers(observed)
    except PLUGIN_FAULTS as error:  # a hostile plugin must not take the others down
        return {"": f"(unknown: {broken_plugin(provider, 'writers', error).message})"}
