from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.samples import address, check_snapshot

from trueup.cli import run
from trueup.cli.graph import render_dot, render_mermaid, render_tree
from trueup.graph.build import EdgeReason, Graph, build_graph
from trueup.model.address import Address
from trueup.model.resource import Node, Target


class NothingImplied:
    """A catalog of kinds that imply nothing."""

    def kind_of(self, _node: Node) -> NothingImplied:
        return self

    def provides(self, _node: Node) -> tuple[str, ...]:
        return ()

    needs = provides


def graph_of(*edges: tuple[Address, Address, EdgeReason], alone: tuple[Address, ...] = ()) -> Graph:
    """Each edge as (what waits, what it waits for, why)."""
    waits_for: dict[Address, tuple[Address, ...]] = {}
    for waiting, awaited, _ in edges:
        waits_for[waiting] = (*waits_for.get(waiting, ()), awaited)
        waits_for.setdefault(awaited, ())
    waits_for.update((one, ()) for one in alone)
    nodes = [
        Node(one, "v1", Target(one.target, "ssh"), {}, depends_on=awaited)
        for one, awaited in waits_for.items()
    ]
    graph = build_graph(nodes, NothingImplied())
    return replace(graph, edges={(awaited, waiting): reason for waiting, awaited, reason in edges})


WEB, API = address("web", "Deployment", "k3s", "prod"), address("api", "Deployment", "k3s", "prod")
QUEUE, NAMESPACE = address("jobs", "AWS::SQS::Queue", "eu"), address("prod", "Namespace", "k3s")
SHOP = graph_of(
    (WEB, API, EdgeReason.DEPENDS_ON),
    (WEB, NAMESPACE, EdgeReason.IMPLIED),
    (API, QUEUE, EdgeReason.REF),
    (API, NAMESPACE, EdgeReason.IMPLIED),
    (address("cron"), API, EdgeReason.REF),
    alone=(address("motd"),),
)
HOSTILE = graph_of((address('a"]; x[`'), address("b\\<script>#quot;\n\x1b"), EdgeReason.REF))


@pytest.mark.parametrize(
    ("name", "render"), [("tree.txt", render_tree), ("dot", render_dot), ("mermaid", render_mermaid)]
)
def test_a_graph_is_drawn_like_this(name: str, render: type[list[str]]) -> None:
    check_snapshot(f"graph.{name}", "\n".join((*render(SHOP), *render(HOSTILE))) + "\n")


def test_a_tree_stays_small_where_paths_are_many() -> None:
    layers = [[address(f"n{depth}-{index}") for index in range(3)] for depth in range(30)]
    edges = [
        (waiting, awaited, EdgeReason.REF)
        for above, below in itertools.pairwise(layers)
        for waiting in above
        for awaited in below
    ]
    lines = list(render_tree(graph_of(*edges)))
    assert len(lines) == len(edges) + 3
    assert sum(line.endswith("(see above)") for line in lines) == len(edges) - 28 * 3 - 3 * 3


def test_a_long_chain_is_no_recursion() -> None:
    chain = [address(f"n{index}") for index in range(3000)]
    edges = [(a, b, EdgeReason.REF) for a, b in itertools.pairwise(chain)]
    assert len(list(render_tree(graph_of(*edges)))) == 3000


def test_the_command_draws_a_stack_from_its_files(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", str(stack)]) == 0
    assert capsys.readouterr().out == "shop/File/index@here\n└── [ref] shop/Directory/www@here\n"
    assert run(["graph", str(stack), "--format", "mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart LR\n")
