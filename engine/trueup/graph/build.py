"""Builds the graph of a stack from references, dependsOn and what kinds imply. Called by app.

Raises ManifestError for cycles, with the path. Dangling references never get here: manifests refuses them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import networkx as nx

from trueup.errors import ManifestError, Problem
from trueup.graph.foresee import foresee, is_foreseeable
from trueup.model.address import Address
from trueup.model.resource import Deferred, Node
from trueup.model.values import Sensitive, Unknown, Value
from trueup.sdk.contracts import Catalog, Kind


class EdgeReason(StrEnum):
    """Why one node waits for another."""

    REF = "ref"
    DEPENDS_ON = "dependsOn"
    TRIGGERS = "triggers"
    IMPLIED = "implied"


@dataclass(frozen=True)
class Graph:
    """The nodes of a stack and who waits for whom. Immutable once built; addresses are in file order.

    `expressions` are those in the body of each node that has any: they read other nodes, secrets or other
    stacks.
    """

    nodes: Mapping[Address, Node]
    edges: Mapping[tuple[Address, Address], EdgeReason]
    expressions: Mapping[Address, Sequence[Deferred]]

    def dependencies(self, address: Address) -> tuple[Address, ...]:
        """What has to be done before the node, directly."""
        return tuple(self._digraph.pred[address])

    def dependents(self, address: Address) -> tuple[Address, ...]:
        """What waits for the node, directly."""
        return tuple(self._digraph.succ[address])

    @cached_property
    def _digraph(self) -> nx.DiGraph[Address]:
        digraph: nx.DiGraph[Address] = nx.DiGraph()
        digraph.add_nodes_from(self.nodes)
        digraph.add_edges_from(self.edges)
        return digraph

    @cached_property
    def order(self) -> tuple[Address, ...]:
        """Dependencies first; among equals as in the files. The same for equal graphs.

        What waits in a circle, and what waits for that, is not in it.
        """
        position = {address: index for index, address in enumerate(self.nodes)}
        ordered: list[Address] = []
        with suppress(nx.NetworkXUnfeasible):
            ordered.extend(nx.lexicographical_topological_sort(self._digraph, key=position.__getitem__))
        return tuple(ordered)

    def select(self, addresses: Iterable[Address]) -> Graph:
        """The part of the graph with those nodes and all that they depend on, in any number of steps."""
        chosen: set[Address] = set()
        waiting = list(addresses)
        while waiting:
            address = waiting.pop()
            if address not in chosen:
                chosen.add(address)
                waiting.extend(self._digraph.pred[address])
        return Graph(
            {address: node for address, node in self.nodes.items() if address in chosen},
            {edge: reason for edge, reason in self.edges.items() if edge[0] in chosen and edge[1] in chosen},
            {address: found for address, found in self.expressions.items() if address in chosen},
        )


def build_graph(nodes: Sequence[Node], catalog: Catalog) -> Graph:
    """The graph of the nodes. An edge leads from what comes first to what waits for it."""
    by_address = {node.address: node for node in nodes}
    edges: dict[tuple[Address, Address], EdgeReason] = {}
    expressions: dict[Address, Sequence[Deferred]] = {}
    for node in nodes:
        found = deferred_in(node.body)
        if found:
            expressions[node.address] = found
        for expression in found:
            for reference in expression.references:
                edges.setdefault((reference.address, node.address), EdgeReason.REF)
        for dependency in node.depends_on:
            edges.setdefault((dependency, node.address), EdgeReason.DEPENDS_ON)
        for trigger in node.lifecycle.triggers:
            edges.setdefault((trigger, node.address), EdgeReason.TRIGGERS)
    foreseen = _foresee(by_address, edges, expressions)
    for edge in _implied_edges(nodes, catalog, foreseen):
        edges.setdefault(edge, EdgeReason.IMPLIED)
    graph = Graph(by_address, edges, expressions)
    if len(graph.order) < len(by_address):
        raise ManifestError(_cycle_problems(graph))
    doubles = list(_find_doubles(graph, catalog, foreseen))
    if doubles:
        raise ManifestError(doubles)
    return graph


def _foresee(
    nodes: Mapping[Address, Node],
    edges: Mapping[tuple[Address, Address], EdgeReason],
    expressions: Mapping[Address, Sequence[Deferred]],
) -> Mapping[Address, Node]:
    """The nodes whose expressions the files alone can answer, with these values."""
    waiting = {address for address, found in expressions.items() if any(map(is_foreseeable, found))}
    if not waiting:
        return {}
    # What waits in a circle is in no order, and is reported.
    order = Graph(nodes, dict(edges), expressions).order
    return foresee(nodes, expressions, [address for address in order if address in waiting])


def deferred_in(value: Value) -> list[Deferred]:
    """Every expression inside a body, or inside any other value."""
    found: list[Deferred] = []
    _add_deferred(value, found)
    return found


_PLAIN_TYPES = frozenset({str, bool, int, float, type(None)})


def _add_deferred(value: Value, found: list[Deferred]) -> None:
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return
    if kind is dict or isinstance(value, Mapping):
        for item in value.values():
            if type(item) is not str:
                _add_deferred(item, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _add_deferred(item, found)
    elif not isinstance(value, Sensitive | Unknown | str | int | float):
        # All else is an expression. To ask for its references would work them out.
        found.append(value)


def _implied_edges(
    nodes: Sequence[Node], catalog: Catalog, foreseen: Mapping[Address, Node]
) -> Iterator[tuple[Address, Address]]:
    kinds: dict[tuple[str, str, str], Kind] = {}
    providers_of: dict[tuple[str, str], list[Address]] = {}
    needed: list[tuple[Node, str]] = []
    for node in nodes:
        key = (node.target.provider, node.api_version, node.kind)
        kind = kinds.get(key)
        if kind is None:
            kind = kinds[key] = catalog.kind_of(node)
        provided, wanted = _tokens(kind, node, foreseen.get(node.address))
        for token in provided:
            providers_of.setdefault((node.target.name, token), []).append(node.address)
        needed.extend((node, token) for token in wanted)
    for node, token in needed:
        for provider in providers_of.get((node.target.name, token), ()):
            if provider != node.address:
                yield provider, node.address


def _tokens(kind: Kind, node: Node, foreseen: Node | None) -> tuple[Iterable[str], Iterable[str]]:
    """What a node provides and needs."""
    if foreseen is None:
        return kind.provides(node), kind.needs(node)
    try:
        return tuple(kind.provides(foreseen)), tuple(kind.needs(foreseen))
    except Exception:  # noqa: BLE001 - a kind may rely on its schema, which these values were not held against
        return (), ()


def _find_doubles(graph: Graph, catalog: Catalog, foreseen: Mapping[Address, Node]) -> Iterator[Problem]:
    """Nodes that are one object by a name that is foreseen. About all others the manifests were checked."""
    targets = {node.target.name for node in foreseen.values()}
    known: dict[tuple[str, str], Node] = {}
    for address, node in graph.nodes.items():
        is_foreseen = address in foreseen
        if node.target.name not in targets or (address in graph.expressions and not is_foreseen):
            continue
        identity = _foreseen_identity(catalog.kind_of(node), foreseen.get(address, node))
        first = known.setdefault((node.target.name, identity), node)
        if identity and first is not node and (is_foreseen or first.address in foreseen):
            yield Problem(
                f"{address.reference} is the same object as {first.address.reference} at {first.place}",
                node.place,
                f"both are {identity} on {node.target.name}: remove one of the two",
            )


def _foreseen_identity(kind: Kind, node: Node) -> str:
    try:
        return kind.identity(node)
    except Exception:  # noqa: BLE001 - as above
        return ""


def _cycle_problems(graph: Graph) -> Iterator[Problem]:
    """One problem for each knot of nodes that wait for each other, with one way around it."""
    digraph = graph._digraph
    for knot in nx.strongly_connected_components(digraph):
        is_loop = len(knot) == 1 and digraph.has_edge(*(tuple(knot) * 2))
        if len(knot) < 2 and not is_loop:
            continue
        first = min(knot)
        cycle = [edge[0] for edge in nx.find_cycle(digraph.subgraph(knot), source=first)]
        start = cycle.index(min(cycle))
        path = [*cycle[start:], *cycle[:start], cycle[start]]
        # An edge leads to what waits; read backwards it says what a person means by "depends on".
        path.reverse()
        steps = [path[0].reference]
        for waiting, awaited in itertools.pairwise(path):
            steps.append(f"{awaited.reference} ({graph.edges[(awaited, waiting)]})")
        yield Problem(
            "these resources wait for each other: " + " -> ".join(steps),
            graph.nodes[path[0]].place,
            "remove one of these dependencies",
        )
