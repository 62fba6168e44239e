"""A provider whose system is memory: for tests of the engine, and an example of a whole provider.

Its kinds stand in `memory_kinds` and `memory_identities`, the system itself in `memory_world`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trueup.errors import PluginError
from trueup.sdk import Kind, Limits, Provider, Session, Target, reveal
from trueup.sdk.contracts import Catalog
from trueup.sdk.testing.memory_identities import Nameless, Tagged, Tokened
from trueup.sdk.testing.memory_kinds import (
    API_VERSION,
    PROVIDER,
    MemorySession,
    Named,
    Runner,
    Secretive,
    Shared,
    Slow,
    Thing,
    Vault,
    marker,
    owner_of,
    world_of,
)
from trueup.sdk.testing.memory_world import FileWorld, MemoryWorld, World

__all__ = [
    "API_VERSION",
    "PROVIDER",
    "MemoryCatalog",
    "MemoryProvider",
    "MemorySession",
    "MemoryWorld",
    "Named",
    "Nameless",
    "Runner",
    "Secretive",
    "Shared",
    "Slow",
    "Tagged",
    "Thing",
    "Tokened",
    "Vault",
    "marker",
    "owner_of",
    "world_of",
]


class MemoryProvider(Provider):
    """Things in a world. Without one, a target's `config.directory` names that of a `FileWorld`."""

    name = PROVIDER
    config_schema: Mapping[str, object] = {
        "type": "object",
        "properties": {"directory": {"type": "string"}},
        "additionalProperties": False,
    }
    limits = Limits(concurrency=16)

    def __init__(self, world: World | None = None) -> None:
        self.world = world or MemoryWorld()
        self._has_own_world = world is not None
        self._kinds: tuple[Kind, ...] = (
            *(Thing(), Vault(), Slow(), Secretive(), Shared()),
            *(Runner(), Named(), Tagged(), Tokened(), Nameless()),
        )
        self._by_name = {(kind.api_version, kind.name): kind for kind in self._kinds}

    def kinds(self) -> Sequence[Kind]:
        return self._kinds

    def kind(self, api_version: str, name: str) -> Kind | None:
        return self._by_name.get((api_version, name))

    def discoverable(self, session: Session) -> Sequence[Kind]:
        return [kind for kind in self._kinds if kind.traits.identity == "named"]

    def connect(self, target: Target, owner_key: str) -> Session:
        directory = reveal(target.config.get("directory"))
        world = FileWorld(directory) if directory and not self._has_own_world else self.world
        world.touch("connect")
        return MemorySession(world, owner_key)


class MemoryCatalog(Catalog):
    """A catalog of exactly the given providers."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = {provider.name: provider for provider in providers}

    def names(self) -> Sequence[str]:
        return sorted(self._providers)

    def provider(self, name: str) -> Provider:
        if name not in self._providers:
            raise PluginError(f"there is no provider {name!r}", hint=f"given: {', '.join(self.names())}")
        return self._providers[name]
