"""Finds the kind that a person names, and asks a cluster about its own. Used by explain and schema."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rich_click as click

from trueup.cli.options import Call
from trueup.errors import UsageError

if TYPE_CHECKING:
    from trueup.sdk.contracts import Catalog, Kind

_UNDESCRIBED = "look at its apiVersion and its name; a custom resource needs its definition first"

Function = Callable[..., Any]


@dataclass(frozen=True)
class FoundKind:
    """A kind and the name of its provider."""

    provider: str
    kind: Kind

    @property
    def name(self) -> str:
        """A name that means no other kind."""
        return f"{self.kind.api_version}/{self.kind.name}"


def takes_cluster(function: Function) -> Function:
    """Adds --source and --target, for kinds that only a live system knows."""
    for option in (
        click.option("--target", default="", metavar="NAME", help="The target to ask, such as a cluster."),
        click.option("--source", default="", metavar="SOURCE", help="The stack that has the target."),
    ):
        function = option(function)
    return function


def find_kind(catalog: Catalog, name: str) -> FoundKind:
    """The kind by `Kind`, `provider/Kind` or `apiVersion/Kind`. Raises UsageError."""
    prefix, _, wanted = name.rpartition("/")
    everything = list(_kinds(catalog))
    found = [each for each in everything if _is_named(each, prefix, wanted)]
    if prefix and not found and "/" in name:
        found = list(_open_kinds(catalog, prefix, wanted))
    if len(found) > 1 and len({each.provider for each in found}) == 1:
        # Several versions of one kind: the one that stands last in its provider's list is the newest.
        found = found[-1:]
    if len(found) == 1:
        return found[0]
    if found:
        forms = ", ".join(f"{each.provider}/{each.kind.name}" for each in found)
        raise UsageError(f"several kinds are named {wanted}: {forms}", hint="say which one")
    from trueup.manifests.suggestions import suggest

    hint = suggest(wanted, [each.kind.name for each in everything], "kinds")
    if not hint.startswith("did you mean"):
        hint += "; for what else a cluster has, write apiVersion/Kind"
    raise UsageError(f'there is no kind "{name}"', hint=hint)


def _kinds(catalog: Catalog) -> Iterator[FoundKind]:
    for provider in catalog.names():
        for kind in catalog.provider(provider).kinds():
            yield FoundKind(provider, kind)


def _open_kinds(catalog: Catalog, api_version: str, name: str) -> Iterator[FoundKind]:
    """Kinds that no provider lists, but one accepts: custom resources of a cluster."""
    for provider in catalog.names():
        kind = catalog.provider(provider).kind(api_version, name)
        if kind is not None:
            yield FoundKind(provider, kind)


def _is_named(found: FoundKind, prefix: str, name: str) -> bool:
    kind = found.kind
    if prefix not in ("", found.provider, kind.api_version):
        return False
    return name.lower() in (kind.name.lower(), kind.name.rpartition("::")[2].lower())


def live_schema(catalog: Catalog, found: FoundKind, source: str, target: str) -> Mapping[str, Any] | None:
    """What the live system says of a kind whose provider has no schema of it; None without a target.

    Raises UsageError where it says nothing of it.
    """
    if found.kind.schema is not None or not (source or target):
        return None
    call = Call(None, source or ".", config=os.environ.get("TRUEUP_CONFIG", ""))
    with call.open_without_store(catalog) as app:
        live = app.live_schema(call.source, target, found.provider, found.kind)
    if live is None:
        raise UsageError(f"the live system does not describe {found.name}", hint=_UNDESCRIBED)
    return live
