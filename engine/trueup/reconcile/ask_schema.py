"""Asks the live system of a target what it says of a kind. Called by app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing

from trueup.errors import UsageError
from trueup.model.resource import Facts, Stack
from trueup.reconcile.observe import Connections
from trueup.sdk.contracts import Catalog, Kind


def ask_schema(
    stack: Stack, target: str, provider: str, kind: Kind, catalog: Catalog, gather: Callable[[], Facts]
) -> Mapping[str, object] | None:
    """The schema of the kind as the target has it. `target` empty: the only one of the provider.

    `gather` gives what the definition of the target needs.
    """
    found = [each for each in stack.targets if each.provider == provider and target in ("", each.name)]
    if len(found) != 1:
        names = ", ".join(each.name for each in stack.targets if each.provider == provider) or "none"
        raise UsageError(
            f"stack {stack.name!r} has {len(found)} targets of provider {provider} that this could mean",
            hint=f"--target says which one; there are: {names}",
        )
    # Nothing is written, so the name of the installation does not matter: no store is opened for it.
    with closing(Connections(catalog, f"-/{stack.name}", gather())) as connections:
        session = connections.session(found[0])
        return catalog.provider(provider).live_schema(session, kind.api_version, kind.name)
