"""What `ref("Kind/name")` and `dependsOn` mean: words to nodes. Called by `expand`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from trueup.manifests.suggestions import suggest
from trueup.model.address import Address
from trueup.model.values import Document

MODULE = "Module"
_FORM = "write Kind/name or Kind/namespace/name, with @target where it is needed"
_ISOLATED = "a module sees its own resources: pass what it needs of others as an input"


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
    """A reference taken apart. `splits` are what it may mean: a namespace (or none), and a name in it."""

    kind: str
    splits: tuple[tuple[str, str], ...]
    target: str

    @property
    def is_namespaced(self) -> bool:
        return len(self.splits) > 1


@dataclass(frozen=True)
class _Module:
    """One use of a module: its nodes, and what `ref()` gives of it on a target."""

    members: Sequence[Address]
    describe: Callable[[str], Document]


@dataclass
class NodeIndex:
    """The nodes that can be named in one place, by kind and name: those of a stack or of one module in it.

    `prefix` is the module's part of their names, as in `site/`, and `outer` the index around the module. The
    names that forEach or when changed are kept as well.
    """

    prefix: str = ""
    outer: NodeIndex | None = None
    # Whether there are files that could not be read, so that nobody knows what they declare.
    is_partial: bool = False
    # How many nodes there are, those of the modules inside among them.
    count: int = 0
    # How often a document was tried for an item and a target, and how much text its expressions made: both
    # of the outermost index alone, for all that is inside.
    tries: int = 0
    size: int = 0
    _by_name: dict[tuple[str, str], list[Address]] = field(default_factory=dict)
    # In a fleet one name is on a thousand targets.
    _by_target: dict[tuple[str, str, str], list[Address]] = field(default_factory=dict)
    _generated: dict[tuple[str, str], list[Address]] = field(default_factory=dict)
    _broken: set[tuple[str, str]] = field(default_factory=set)
    _modules: dict[str, _Module] = field(default_factory=dict)

    def add(self, address: Address) -> None:
        """A node, here and in the indexes around."""
        key = (address.kind, address.name.removeprefix(self.prefix))
        self._by_name.setdefault(key, []).append(address)
        self._by_target.setdefault((*key, address.target), []).append(address)
        self.count += 1
        if self.outer is not None:
            self.outer.add(address)

    @property
    def outermost(self) -> NodeIndex:
        """The index of the stack itself."""
        index = self
        while index.outer is not None:
            index = index.outer
        return index

    def add_module(self, name: str, members: Sequence[Address], describe: Callable[[str], Document]) -> None:
        """One use of a module: its nodes, and what `ref("Module/name")` gives to a node on a target."""
        self._modules[name] = _Module(members, describe)
        if self.outer is not None:
            self.outer.add_module(self._outer_name(name), members, describe)

    def add_declared(self, kind: str, name: str, addresses: Sequence[Address]) -> None:
        """A document whose nodes have other names than itself, or that has none because of `when`."""
        self._generated.setdefault((kind, name), []).extend(addresses)
        if self.outer is not None:
            self.outer.add_declared(kind, self._outer_name(name), addresses)

    def add_broken(self, kind: str, name: str) -> None:
        """A document with problems of its own: that it is missing is not reported as well."""
        self._broken.add((kind, name))
        if self.outer is not None:
            self.outer.add_broken(kind, self._outer_name(name))

    def _outer_name(self, name: str) -> str:
        return f"{self.prefix.removeprefix(self.outer.prefix if self.outer else '')}{name}"

    def one(self, text: str, source: Address) -> Address:
        """The node that `ref(text)` means inside the node `source`. Raises Unresolved."""
        wanted = _parse(text)
        found = self._matches(wanted, source.target) or self._matches(wanted)
        if len(found) > 1:
            found = _narrow(found, source)
        if len(found) == 1:
            if found[0] == source:
                raise Unresolved(f"{text} refers to itself", "use vars for a value that both need")
            return found[0]
        if not found:
            raise self._dangling(text, wanted)
        names = ", ".join(sorted(f"{self._shown(address)}@{address.target}" for address in found)[:10])
        raise Unresolved(f"{text} means {len(found)} resources: {names}", "say which one with @target")

    def module(self, text: str, source: Address) -> Document | None:
        """What `ref("Module/name")` gives, None for a reference to something else. Raises Unresolved.

        The module's own references mean what is on the same target as `source`, as all references do.
        """
        if not text.startswith(f"{MODULE}/"):
            return None
        wanted = _parse(text)
        name = wanted.splits[0][1]
        if self._is_resource(wanted):
            return None
        if wanted.target:
            raise Unresolved(f"{text} names a target, and a module has none", f"write {MODULE}/{name}")
        if name not in self._modules:
            raise self._dangling(text, wanted)
        return self._modules[name].describe(source.target)

    def all(self, text: str, source: Address) -> tuple[Address, ...]:
        """The nodes that `dependsOn: [text]` means: those on the same target, else all. Raises Unresolved.

        For a module they are all of its nodes.
        """
        wanted = _parse(text)
        key = (wanted.kind, wanted.splits[0][1])
        if wanted.kind == MODULE and not self._is_resource(wanted):
            return self._members(text, wanted, key, source)
        found = self._matches(wanted, source.target) or self._matches(wanted)
        if not found and key in self._generated:
            generated = [a for a in self._generated[key] if wanted.target in ("", a.target)]
            return tuple(_on_same_target(generated, source))
        if not found:
            raise self._dangling(text, wanted)
        found = _on_same_target(found, source)
        if not wanted.is_namespaced:
            found = [a for a in found if a.namespace == source.namespace] or found
        if source in found:
            if len(found) == 1:
                raise Unresolved(f"{text} depends on itself", "remove it")
            found = [address for address in found if address != source]
        return tuple(found)

    def _members(
        self, text: str, wanted: _Wanted, key: tuple[str, str], source: Address
    ) -> tuple[Address, ...]:
        if wanted.target:
            name = f"{MODULE}/{key[1]}"
            raise Unresolved(f"{text} names a target, and a module has none", f"write {name}")
        module = self._modules.get(key[1])
        members = module.members if module else self._generated.get(key)
        if members is None:
            raise self._dangling(text, wanted)
        if source in members:
            raise Unresolved(f"{text} depends on itself", "remove it")
        return tuple(members)

    def _is_resource(self, wanted: _Wanted) -> bool:
        """Whether `Module/name` is a resource: a cluster can have a kind of that name."""
        return wanted.splits[0][1] not in self._modules and bool(self._matches(wanted))

    def _matches(self, wanted: _Wanted, target: str = "") -> list[Address]:
        """What it may mean, on the target that it names, or else on the given one; on all without either."""
        target = wanted.target or target
        return [
            address
            for namespace, name in wanted.splits
            for address in self._named(wanted.kind, name, target)
            if namespace in ("", address.namespace)
        ]

    def _named(self, kind: str, name: str, target: str) -> Sequence[Address]:
        if target:
            return self._by_target.get((kind, name, target), ())
        return self._by_name.get((kind, name), ())

    def _dangling(self, text: str, wanted: _Wanted) -> Unresolved:
        keys = [(wanted.kind, name) for _, name in wanted.splits]
        if self.is_partial or any(self._is_broken(*key) for key in keys):
            return Unresolved(f"{text} is broken", is_consequence=True)
        missing = f"there is no {text} in this {'module' if self.prefix else 'stack'}"
        named = [address for key in keys for address in self._by_name.get(key, ())]
        if named:
            there = ", ".join(sorted(f"{self._shown(a)}@{a.target}" for a in named)[:10])
            return Unresolved(missing, f"there is: {there}")
        for key in keys:
            generated = self._generated.get(key)
            if generated:
                there = ", ".join(sorted({self._made(key, address) for address in generated})[:10])
                return Unresolved(missing, f"its forEach makes: {there}")
            if generated is not None:
                message = f"{text} does not exist here: its when is false, or its forEach is empty"
                return Unresolved(message, "give this resource the same when")
        if self._is_outside(wanted):
            return Unresolved(missing, _ISOLATED)
        known = {f"{kind}/{name}" for kind, name in self._by_name}
        known |= {f"{MODULE}/{name}" for name in self._modules}
        return Unresolved(missing, suggest(f"{wanted.kind}/{wanted.splits[0][1]}", known, "there is"))

    def _is_broken(self, kind: str, name: str) -> bool:
        """Whether the document of that name has problems, or the module whose part it would be."""
        parts = name.split("/")[:-1]
        modules = ("/".join(parts[: index + 1]) for index in range(len(parts)))
        return (kind, name) in self._broken or any((MODULE, module) in self._broken for module in modules)

    def _is_outside(self, wanted: _Wanted) -> bool:
        index = self.outer
        while index is not None:
            if index._matches(wanted) or (wanted.kind == MODULE and wanted.splits[0][1] in index._modules):
                return True
            index = index.outer
        return False

    def _shown(self, address: Address) -> str:
        """The address as it is named here."""
        name = address.name.removeprefix(self.prefix)
        return "/".join(part for part in (address.kind, address.namespace, name) if part)

    def _made(self, key: tuple[str, str], address: Address) -> str:
        """A node that a document made, or the use of the module that the node is part of."""
        kind, name = key
        if kind != MODULE:
            return self._shown(address)
        parts = address.name.removeprefix(self.prefix).split("/")
        return f"{MODULE}/{'/'.join(parts[: name.count('/') + 1])}"


@lru_cache(maxsize=50_000)
def _parse(text: str) -> _Wanted:
    path, at, target = text.partition("@")
    kind, *parts = path.split("/")
    if not kind or not parts or not all(parts) or (at and not target) or "@" in target:
        raise Unresolved(f'"{text}" is not a reference', _FORM)
    splits = [("", "/".join(parts))]
    if len(parts) > 1:
        splits.append((parts[0], "/".join(parts[1:])))
    return _Wanted(kind, tuple(splits), target)


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
