"""Edges from references, dependsOn and what kinds imply; cycles are told with their path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pytest

from trueup.errors import ManifestError, Place
from trueup.graph.build import EdgeReason, build_graph
from trueup.model.address import Address
from trueup.model.resource import Lifecycle, Node, Reference, Target
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, Thing

TARGET = Target("here", "memory")
CATALOG = MemoryCatalog(MemoryProvider())


@dataclass(frozen=True)
class Stub:
    """A deferred value with one reference."""

    references: tuple[Reference, ...]


def make_node(name: str, *refs: str, depends_on: Sequence[str] = (), line: int = 1) -> Node:
    stubs = [Stub((Reference(make_address(ref)),)) for ref in refs]
    return Node(
        make_address(name),
        "memory.trueup.dev/v1",
        TARGET,
        {"spec": {"value": stubs}},
        depends_on=tuple(map(make_address, depends_on)),
        place=Place("a.yaml", line, 1),
    )


def make_address(name: str) -> Address:
    return Address("shop", "Thing", name, "here")


def names(addresses: Iterable[Address]) -> list[str]:
    return [address.name for address in addresses]


def test_dependencies_come_first_and_equals_stay_in_file_order() -> None:
    graph = build_graph(
        [make_node("z", "m"), make_node("y"), make_node("m", depends_on=["b"]), make_node("b")], CATALOG
    )
    assert names(graph.order) == ["y", "b", "m", "z"]
    assert names(graph.dependencies(make_address("z"))) == ["m"]
    assert names(graph.dependents(make_address("b"))) == ["m"]
    assert graph.edges[(make_address("m"), make_address("z"))] is EdgeReason.REF
    assert graph.edges[(make_address("b"), make_address("m"))] is EdgeReason.DEPENDS_ON


def test_a_node_comes_after_what_triggers_it() -> None:
    lifecycle = Lifecycle(triggers=(make_address("conf"),))
    graph = build_graph([replace(make_node("web"), lifecycle=lifecycle), make_node("conf")], CATALOG)
    assert dict(graph.edges) == {(make_address("conf"), make_address("web")): EdgeReason.TRIGGERS}


def test_a_selection_takes_its_dependencies_along_and_nothing_else() -> None:
    graph = build_graph(
        [make_node("a"), make_node("b", "a"), make_node("c", "b"), make_node("d", "a")], CATALOG
    )
    assert names(graph.select([make_address("b")]).nodes) == ["a", "b"]
    assert names(graph.nodes) == ["a", "b", "c", "d"]


def test_the_graph_has_the_expressions_of_each_node_and_a_part_of_it_those_of_its_nodes() -> None:
    graph = build_graph([make_node("a"), make_node("b", "a"), make_node("c", "a", "b")], CATALOG)
    assert {address.name: len(found) for address, found in graph.expressions.items()} == {"b": 1, "c": 2}
    assert names(graph.select([make_address("b")]).expressions) == ["b"]


def test_a_cycle_is_told_with_its_path_and_reasons() -> None:
    nodes = [make_node("a", "c", line=3), make_node("b", depends_on=["a"]), make_node("c", "b")]
    with pytest.raises(ManifestError) as caught:
        build_graph(nodes, CATALOG)
    (problem,) = caught.value.problems
    assert problem.message == (
        "these resources wait for each other: "
        "Thing/a -> Thing/c (ref) -> Thing/b (ref) -> Thing/a (dependsOn)"
    )
    assert problem.place == Place("a.yaml", 3, 1)


def test_a_resource_that_refers_to_itself_is_a_cycle() -> None:
    with pytest.raises(ManifestError, match="Thing/a -> Thing/a"):
        build_graph([make_node("a", "a")], CATALOG)


def test_each_knot_is_a_problem_of_its_own() -> None:
    nodes = [
        make_node("a", "b"),
        make_node("b", "a"),
        make_node("c", "d"),
        make_node("d", "c"),
        make_node("e"),
    ]
    with pytest.raises(ManifestError) as caught:
        build_graph(nodes, CATALOG)
    assert len(caught.value.problems) == 2


def test_an_implied_edge_joins_nodes_of_one_target_only() -> None:
    other = replace(make_node("there"), target=Target("there", "memory"))

    class Chained(Thing):
        def provides(self, node: Node) -> Iterable[str]:
            return [f"token:{node.name}"]

        def needs(self, node: Node) -> Iterable[str]:
            return ["token:a", "token:there", "token:nobody"]

    class Chaining(MemoryProvider):
        def kind(self, api_version: str, name: str) -> Chained:
            return Chained()

    graph = build_graph([make_node("b"), make_node("a"), other], MemoryCatalog(Chaining()))
    assert dict(graph.edges) == {(make_address("a"), make_address("b")): EdgeReason.IMPLIED}
