"""Finds providers by the entry points `trueup.providers` and loads each when it is first used.

The metadata is read without importing anything, so a provider whose libraries are missing breaks only the
stacks that use it. Called by app.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

import pluggy

from trueup.errors import PluginError
from trueup.sdk import hookspecs
from trueup.sdk.contracts import Catalog, Provider

GROUP = "trueup.providers"


class InstalledProviders(Catalog):
    """The providers of all installed distributions."""

    def __init__(self) -> None:
        self._loaded: dict[str, Provider] = {}
        self._lock = threading.Lock()

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}

    def names(self) -> Sequence[str]:
        return sorted(self._entry_points)

    def provider(self, name: str) -> Provider:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def _load(self, name: str) -> Provider:
        point = self._entry_points.get(name)
        if point is None:
            near = difflib.get_close_matches(name, self.names(), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(self.names())}"
            raise PluginError(f"there is no provider {name!r}", hint=hint)
        try:
            plugin = point.load()
        except ImportError as error:
            raise missing_library(name, error) from error
        hooks = pluggy.PluginManager(hookspecs.PROJECT)
        hooks.add_hookspecs(hookspecs)
        hooks.register(plugin, name)
        hooks.check_pending()
        provided = hooks.hook.trueup_provider()
        if len(provided) != 1 or not isinstance(provided[0], Provider):
            raise PluginError(
                f"the plugin of provider {name!r} ({point.value}) does not give a provider",
                hint="its module has to implement the hook trueup_provider, which returns a Provider",
            )
        provider: Provider = provided[0]
        if provider.name != name:
            raise PluginError(f"the provider of entry point {name!r} calls itself {provider.name!r}")
        return provider


def missing_library(provider: str, error: ImportError) -> PluginError:
    """The message for a provider whose library is not installed."""
    module = (error.name or str(error)).partition(".")[0]
    return PluginError(
        f"provider {provider!r} needs the library {module!r}, which is not installed",
        hint=f"pip install 'trueup[{provider}]'",
    )
