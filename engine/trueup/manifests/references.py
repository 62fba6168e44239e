"""What `ref("Kind/name")` and `dependsOn` mean: words to nodes. Called by `expand`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trueup.manifests.suggestions import suggest
from trueup.model.address import Address

_FORM = "write Kind/name or Kind/namespace/name, with @target where it is needed"


class Unresolved(Exception):
    """A reference that means no node, or more than one; the message and what to do about it.

    `is_consequence`: what it means is there, but broken, which is reported at its own place.
    """

    def __init__(self, message: str, hint: str = "", *, is_consequence: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.is_consequence = is_consequence


@dataclass(frozen=True)
class _Wanted:
    kind: str
    name: str
    namespace: str
    target: str


@dataclass
class NodeIndex:
    """The addresses of a stack by kind and name, and the names that forEach or when changed."""

    _by_name: dict[tuple[str, str], list[Address]] = field(default_factory=dict)
    _generated: dict[tuple[str, str], list[Address]] = field(default_factory=dict)
    _broken: set[tuple[str, str]] = field(default_factory=set)
    # Whether there are files that could not be read, so that nobody knows what they declare.
    is_partial: bool = False

    def add(self, address: Address) -> None:
        self._by_name.setdefault((address.kind, address.name), []).append(address)

    def add_declared(self, kind: str, name: str, addresses: Sequence[Address]) -> None:
        """A document whose nodes have other names than itself, or that has none because of `when`."""
        self._generated.setdefault((kind, name), []).extend(addresses)

    def add_broken(self, kind: str, name: str) -> None:
        """A document with problems of its own: that it is missing is not reported as well."""
        self._broken.add((kind, name))

    def one(self, text: str, source: Address) -> Address:
        """The node that `ref(text)` means inside the node `source`. Raises Unresolved."""
        wanted = _parse(text)
        found = _narrow(self._matches(wanted), source)
        if len(found) == 1:
            if found[0] == source:
                raise Unresolved(f"{text} refers to itself", "use vars for a value that both need")
            return found[0]
        if not found:
            raise self._dangling(text, wanted)
        names = ", ".join(sorted(f"{address.reference}@{address.target}" for address in found)[:10])
        raise Unresolved(f"{text} means {len(found)} resources: {names}", "say which one with @target")

    def all(self, text: str, source: Address) -> tuple[Address, ...]:
        """The nodes that `dependsOn: [text]` means: those on the same target, else all. Raises Unresolved."""
        wanted = _parse(text)
        key = (wanted.kind, wanted.name)
        found = self._matches(wanted)
        if not found and key in self._generated and not wanted.namespace:
            generated = [a for a in self._generated[key] if wanted.target in ("", a.target)]
            return tuple(_on_same_target(generated, source))
        if not found:
            raise self._dangling(text, wanted)
        found = _on_same_target(found, source)
        if not wanted.namespace:
            found = [a for a in found if a.namespace == source.namespace] or found
        if source in found:
            if len(found) == 1:
                raise Unresolved(f"{text} depends on itself", "remove it")
            found = [address for address in found if address != source]
        return tuple(found)

    def _matches(self, wanted: _Wanted) -> list[Address]:
        return [
            address
            for address in self._by_name.get((wanted.kind, wanted.name), ())
            if wanted.namespace in ("", address.namespace) and wanted.target in ("", address.target)
        ]

    def _dangling(self, text: str, wanted: _Wanted) -> Unresolved:
        if self.is_partial or (wanted.kind, wanted.name) in self._broken:
            return Unresolved(f"{text} is broken", is_consequence=True)
        named = self._by_name.get((wanted.kind, wanted.name))
        if named:
            there = ", ".join(sorted(f"{a.reference}@{a.target}" for a in named)[:10])
            return Unresolved(f"there is no {text} in this stack", f"there is: {there}")
        generated = self._generated.get((wanted.kind, wanted.name))
        if generated:
            there = ", ".join(sorted(address.reference for address in generated)[:10])
            return Unresolved(f"there is no {text} in this stack", f"its forEach makes: {there}")
        if generated is not None:
            message = f"{text} does not exist here: its when is false, or its forEach is empty"
            return Unresolved(message, "give this resource the same when")
        known = {f"{kind}/{name}" for kind, name in self._by_name}
        return Unresolved(
            f"there is no {text} in this stack", suggest(f"{wanted.kind}/{wanted.name}", known, "there is")
        )


def _parse(text: str) -> _Wanted:
    path, at, target = text.partition("@")
    parts = path.split("/")
    if len(parts) not in (2, 3) or not all(parts) or (at and not target) or "@" in target:
        raise Unresolved(f'"{text}" is not a reference', _FORM)
    return _Wanted(parts[0], parts[-1], parts[1] if len(parts) == 3 else "", target)


def _narrow(found: list[Address], source: Address) -> list[Address]:
    """The same target first, then the same namespace, then no namespace."""
    for keep in (
        [address for address in found if address.target == source.target],
        [address for address in found if address.namespace == source.namespace],
    ):
        found = [address for address in found if address in keep] or found
    return [address for address in found if not address.namespace] or found if len(found) > 1 else found


def _on_same_target(found: Iterable[Address], source: Address) -> list[Address]:
    all_found = list(found)
    return [address for address in all_found if address.target == source.target] or all_found
