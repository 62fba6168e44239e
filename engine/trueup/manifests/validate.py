"""Nodes against their kinds: known kinds, schemas, each kind's own rules, and doubles. Called by `load`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trueup.errors import NOWHERE, Place, PluginError, Problem, TrueupError
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.expand import Expanded
from trueup.manifests.named_fields import join_problems, named_field
from trueup.manifests.resource import OWN_KEYS, Declaration
from trueup.manifests.schema import LATER, CompiledSchema
from trueup.manifests.suggestions import suggest
from trueup.model.address import Address
from trueup.model.resource import Node
from trueup.model.values import UNKNOWN, map_leaves
from trueup.sdk.contracts import Catalog, Kind, Traits

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec")
# What a plugin may raise, save an interruption by the user.
_FAULTS = (Exception, SystemExit, GeneratorExit)
# More than anybody reads of one resource; an iterator without an end ends here.
_MAX_PROBLEMS = 1000
_METADATA = ("name", "labels", "annotations")


class Validator:
    """Checks the nodes of one stack; keeps each kind's compiled schema."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._kinds: dict[tuple[str, str, str], Kind | None] = {}
        self._schemas: dict[int, CompiledSchema] = {}

    def check_declaration(self, declaration: Declaration) -> Iterator[Problem]:
        """Whether the provider has such a kind, and whether the document has fields that nobody reads."""
        document = declaration.document
        kind = self._kind(declaration)
        if kind is None:
            yield self._unknown_kind(declaration)
        elif kind.schema is not None and not kind.schema_of_document:
            known = (*_TOP_LEVEL, *OWN_KEYS)
            for key in document.value:
                if key not in known:
                    hint = suggest(key, known, "known fields")
                    yield document.problem(
                        f'unknown field "{key}" of the resource', (key,), hint, at_key=True
                    )
            for key in document.value["metadata"]:
                if key not in _METADATA:
                    hint = suggest(key, _METADATA, "known fields")
                    path: Path = ("metadata", key)
                    yield document.problem(f'unknown field "{key}" of metadata', path, hint, at_key=True)

    def check_nodes(self, nodes: Sequence[Expanded]) -> Iterator[Problem]:
        """What the schema and the kind say about the nodes of one declaration."""
        checked: set[int] = set()
        for expanded in nodes:
            kind = self._kind(expanded.declaration)
            if kind is None:
                continue
            node = expanded.node
            if expanded.triggers and not kind.traits.refreshable:
                yield self._not_refreshable(kind, expanded)
            by_schema: list[Problem] = []
            if kind.schema is not None and id(node.body) not in checked:
                # A body without expressions is one object for all targets.
                checked.add(id(node.body))
                body = expanded.pure.body
                if not expanded.declaration.body.is_static:
                    body = map_leaves(body, lambda leaf: LATER if leaf is UNKNOWN else leaf)
                by_schema = list(self._check_schema(kind, body, expanded.declaration.document))
            by_kind = [_placed(problem, expanded) for problem in _ask_kind(kind, expanded)]
            yield from join_problems(by_schema, by_kind, node.body) if by_schema else by_kind

    def check_doubles(self, nodes: Sequence[Expanded]) -> Iterator[Problem]:
        """Two documents that give the same address, or the same object on one target."""
        addresses: dict[Address, Node] = {}
        identities: dict[tuple[str, str, str], Node] = {}
        for expanded in nodes:
            node = expanded.node
            first = addresses.setdefault(node.address, node)
            if first is not node:
                yield _declared_twice(node, first)
                continue
            kind = self._kind(expanded.declaration)
            if kind is None:
                continue
            identity = _identity_of(kind, expanded)
            if not identity:
                continue
            first = identities.setdefault((node.target.provider, node.target.name, identity), node)
            if first is not node:
                other = first.address.reference
                what = "remove one of the two"
                if node.place == first.place:
                    # Two items of forEach, or two uses of a module.
                    differs = "each.key" if "forEach" in expanded.declaration.own else "vars"
                    what = f"use {differs} in metadata.name, or in the field that names the object"
                yield Problem(
                    f"{node.address.reference} is the same object as {other} at {first.place}",
                    node.place,
                    f"both are {identity} on {node.target.name}: {what}",
                )

    def _kind(self, declaration: Declaration) -> Kind | None:
        key = (declaration.provider, declaration.api_version, declaration.kind)
        if key not in self._kinds:
            provider = self._catalog.provider(declaration.provider)
            try:
                kind = provider.kind(declaration.api_version, declaration.kind)
                _check_kind(kind)
            except TrueupError:
                raise
            except _FAULTS as error:
                what = f"kind of {declaration.api_version} {declaration.kind}"
                raise _broken(declaration.provider, what, error, declaration.document.place) from error
            self._kinds[key] = kind
        return self._kinds[key]

    def _unknown_kind(self, declaration: Declaration) -> Problem:
        kinds = self._catalog.provider(declaration.provider).kinds()
        versions = sorted({kind.api_version for kind in kinds})
        document = declaration.document
        if versions and declaration.api_version not in versions:
            message = f'provider {declaration.provider} has no apiVersion "{declaration.api_version}"'
            hint = suggest(declaration.api_version, versions, "known")
            return document.problem(message, ("apiVersion",), hint)
        names = [kind.name for kind in kinds if kind.api_version == declaration.api_version]
        message = f'there is no kind "{declaration.kind}" in {declaration.api_version}'
        return document.problem(message, ("kind",), suggest(declaration.kind, names, "known kinds"))

    def _not_refreshable(self, kind: Kind, expanded: Expanded) -> Problem:
        kinds = self._catalog.provider(expanded.declaration.provider).kinds()
        names = sorted({other.name for other in kinds if other.traits.refreshable})
        return expanded.declaration.document.problem(
            f"lifecycle.triggers: {kind.name} cannot be restarted or reloaded",
            expanded.triggers[0].path[:-1],
            f"kinds that can: {', '.join(names)}" if names else "use dependsOn for the order alone",
        )

    def _check_schema(
        self, kind: Kind, body: Mapping[str, Any], document: SourceDocument
    ) -> Iterable[Problem]:
        schema = self._schemas.get(id(kind))
        if schema is None:
            schema = self._schemas[id(kind)] = CompiledSchema(kind.schema or {}, kind.name)
        if kind.schema_of_document:
            return schema.check(body, document, ())
        spec = body.get("spec")
        return schema.check({} if spec is None else spec, document, ("spec",))


def _ask_kind(kind: Kind, expanded: Expanded) -> Sequence[Problem]:
    """What the kind itself says is wrong with a node. Raises PluginError where it breaks the contract."""
    try:
        found = list(itertools.islice(kind.validate(expanded.pure), _MAX_PROBLEMS))
        if not all(isinstance(problem, Problem) for problem in found):
            raise TypeError("what validate gives are no problems")
        return found
    except TrueupError:
        raise
    except _FAULTS as error:
        raise _broken_at(kind, expanded, "validate", error) from error


def _identity_of(kind: Kind, expanded: Expanded) -> str:
    try:
        found = kind.identity(expanded.pure)
        # Anything else would be one name for many objects.
        if not isinstance(found, str):
            raise TypeError("what identity gives is no text")
        return found
    except TrueupError:
        raise
    except _FAULTS as error:
        raise _broken_at(kind, expanded, "identity", error) from error


def _check_kind(kind: Kind | None) -> None:
    """Raises TypeError for what is no kind, or not a whole one."""
    if kind is None:
        return
    if not isinstance(kind, Kind) or not isinstance(kind.traits, Traits):
        raise TypeError("it is no kind, or has no traits")
    if kind.schema is not None and not isinstance(kind.schema, Mapping):
        raise TypeError("its schema is no map")


def _broken_at(kind: Kind, expanded: Expanded, call: str, error: BaseException) -> PluginError:
    node = expanded.node
    what = f"{call} of {kind.api_version} {kind.name}"
    return _broken(node.target.provider, what, error, node.place, f"{node.address.reference} at ")


def _broken(provider: str, call: str, error: BaseException, place: Place, resource: str = "") -> PluginError:
    """What a bug of a plugin becomes. The exception's text is not repeated: it may hold a secret."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return PluginError(
        f"a bug in provider {provider!r}: {call} raised {type(error).__name__}{where}, for {resource}{place}",
        hint="please report it to the provider's authors",
    )


def _placed(problem: Problem, expanded: Expanded) -> Problem:
    """A problem that a kind tells, at the field that it names."""
    if problem.place not in (NOWHERE, expanded.node.place):
        return problem
    path = named_field(problem.message, expanded.node.body)
    return replace(problem, place=expanded.declaration.document.place_of(path))


def _declared_twice(node: Node, first: Node) -> Problem:
    if node.place == first.place:
        message = f"forEach gives several resources the name {node.address.reference}"
        return Problem(message, node.place, "put each.key into metadata.name")
    return Problem(
        f"{node.address.reference} is declared twice, first at {first.place}",
        node.place,
        "rename one of the two, or give them different targets",
    )
