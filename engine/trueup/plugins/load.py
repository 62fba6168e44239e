"""Finds plugins by their entry points and loads each when it is first used.

The metadata is read without importing anything, so a plugin whose libraries are missing breaks only the
stacks that use it. Called by app.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

import pluggy

from trueup.errors import PluginError
from trueup.sdk import hookspecs
from trueup.sdk.contracts import Catalog, Provider
from trueup.sdk.secrets import SecretSource, SecretSources

Plugin = TypeVar("Plugin", Provider, SecretSource)


class InstalledProviders(Catalog):
    """The providers of all installed distributions, found by the entry points `trueup.providers`."""

    def __init__(self) -> None:
        self._plugins: _Plugins[Provider] = _Plugins(
            "trueup.providers", "trueup_provider", "provider", Provider
        )

    def names(self) -> Sequence[str]:
        return self._plugins.names()

    def provider(self, name: str) -> Provider:
        return self._plugins.plugin(name)


class InstalledSecretSources(SecretSources):
    """The secret sources of all installed distributions, found by the entry points `trueup.secrets`."""

    def __init__(self) -> None:
        self._plugins: _Plugins[SecretSource] = _Plugins(
            "trueup.secrets", "trueup_secret_source", "secret source", SecretSource
        )

    def names(self) -> Sequence[str]:
        return self._plugins.names()

    def source(self, name: str) -> SecretSource:
        return self._plugins.plugin(name)


class _Plugins(Generic[Plugin]):
    """The plugins of one group of entry points: each one's module implements `hook`. Thread safe."""

    def __init__(self, group: str, hook: str, noun: str, contract: type[Any]) -> None:
        self._group = group
        self._hook = hook
        self._noun = noun
        self._contract = contract
        self._loaded: dict[str, Plugin] = {}
        self._lock = threading.Lock()

    @cached_property
    def _entry_points(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self._group):
            found.setdefault(point.name, []).append(point)
        return found

    def names(self) -> Sequence[str]:
        return sorted(self._entry_points)

    def plugin(self, name: str) -> Plugin:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def _load(self, name: str) -> Plugin:
        points = self._entry_points.get(name, [])
        if not points:
            near = difflib.get_close_matches(name, self.names(), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(self.names())}"
            raise PluginError(f"there is no {self._noun} {name!r}", hint=hint)
        if len({point.value for point in points}) > 1:
            # Whoever comes last must not get what is meant for the other.
            values = " and ".join(sorted(point.value for point in points))
            raise PluginError(f"there are several of {self._noun} {name!r}: {values}", hint="uninstall one")
        point = points[0]
        try:
            module = point.load()
        except ImportError as error:
            raise missing_library(name, error, self._noun) from error
        except Exception as error:
            raise PluginError(
                f"the plugin of {self._noun} {name!r} ({point.value}) cannot be loaded: "
                f"it raised {type(error).__name__}",
                hint="please report it to its authors",
            ) from error
        hooks = pluggy.PluginManager(hookspecs.PROJECT)
        hooks.add_hookspecs(hookspecs)
        hooks.register(module, name)
        hooks.check_pending()
        provided = getattr(hooks.hook, self._hook)()
        if len(provided) != 1 or not isinstance(provided[0], self._contract):
            raise PluginError(
                f"the plugin of {self._noun} {name!r} ({point.value}) does not give a {self._noun}",
                hint=f"its module has to implement the hook {self._hook},"
                f" which returns a {self._contract.__name__}",
            )
        plugin: Plugin = provided[0]
        if plugin.name != name:
            raise PluginError(f"the {self._noun} of entry point {name!r} calls itself {plugin.name!r}")
        return plugin


def missing_library(name: str, error: ImportError, noun: str = "provider") -> PluginError:
    """The message for a plugin whose library is not installed; a provider's extra has its name."""
    module = (error.name or str(error)).partition(".")[0]
    return PluginError(
        f"{noun} {name!r} needs the library {module!r}, which is not installed",
        hint=f"pip install 'trueup[{name}]'" if noun == "provider" else "pip install 'trueup[all]'",
    )
