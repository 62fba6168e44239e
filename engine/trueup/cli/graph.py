"""`trueup graph`: who waits for whom, as a tree, as DOT or as Mermaid."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rich_click as click

from trueup.cli.options import Call, takes_source
from trueup.cli.output import escape
from trueup.model.address import Address

if TYPE_CHECKING:
    from trueup.graph.build import Graph


@click.command()
@takes_source
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "dot", "mermaid"]),
    default="tree",
    show_default=True,
    help="How to draw the graph.",
)
def graph(call: Call, form: str) -> None:
    """Shows which resource waits for which. Contacts no target.

    Each edge says where it comes from: a `ref`, a `dependsOn`, or what the kinds imply.

    \b
    Example:
      trueup graph ./shop --format dot | dot -Tsvg -o shop.svg
    """
    with call.open_app() as app:
        loaded = app.load(call.source)
    render = {"tree": render_tree, "dot": render_dot, "mermaid": render_mermaid}[form]
    for line in render(loaded.graph):
        sys.stdout.write(line + "\n")


def render_tree(graph: Graph) -> Iterator[str]:
    """Each node that nothing waits for, and below it what it waits for; a node's own part stands once."""
    drawn: set[Address] = set()
    for root in graph.nodes:
        if graph.dependents(root):
            continue
        waiting: list[tuple[Address, str, str]] = [(root, "", "")]
        while waiting:
            address, lead, below = waiting.pop()
            dependencies = graph.dependencies(address)
            is_repeated = address in drawn and bool(dependencies)
            yield lead + escape(address.text) + (" (see above)" if is_repeated else "")
            if address in drawn:
                continue
            drawn.add(address)
            children = []
            for index, dependency in enumerate(dependencies):
                is_last = index == len(dependencies) - 1
                branch = "└── " if is_last else "├── "
                reason = graph.edges[(dependency, address)]
                children.append(
                    (dependency, f"{below}{branch}[{reason}] ", below + ("    " if is_last else "│   "))
                )
            waiting.extend(reversed(children))


def render_dot(graph: Graph) -> Iterator[str]:
    """For Graphviz; an arrow leads from what waits to what it waits for."""
    yield "digraph stack {"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for address in graph.nodes:
        yield f"  {_dot(address.text)};"
    for (awaited, waiting), reason in graph.edges.items():
        yield f"  {_dot(waiting.text)} -> {_dot(awaited.text)} [label={_dot(reason)}];"
    yield "}"


def _dot(text: str) -> str:
    """A string of DOT: JSON's escapes for quotes and backslashes are the ones that it knows."""
    return json.dumps(escape(text), ensure_ascii=False)


def render_mermaid(graph: Graph) -> Iterator[str]:
    """For Markdown; an arrow leads from what waits to what it waits for."""
    names = {address: f"n{index}" for index, address in enumerate(graph.nodes)}
    yield "flowchart LR"
    for address, name in names.items():
        yield f'  {name}["{_mermaid(address.text)}"]'
    for (awaited, waiting), reason in graph.edges.items():
        yield f"  {names[waiting]} -->|{reason}| {names[awaited]}"


def _mermaid(text: str) -> str:
    """A label of Mermaid: its own escape is `#code;`, and it reads HTML and Markdown in labels."""
    return "".join(char if char.isalnum() or char in " /.-" else f"#{ord(char)};" for char in escape(text))
