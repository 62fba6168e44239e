"""`trueup blame`: who set a resource, or one of its fields, last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.text import Text

from trueup.cli.fields import describe_drifted
from trueup.cli.options import Call, takes_output, takes_question
from trueup.cli.output import RESULT_STYLES, escape, make_console, moment, plain, print_json, print_lines
from trueup.cli.past import find_past_stack, run_document
from trueup.cli.plan_text import render_fields
from trueup.model.address import Address
from trueup.model.resource import Node
from trueup.reconcile.blame import Blame, find_blames
from trueup.reconcile.drift import DriftedNode
from trueup.reconcile.plan_document import FORMAT_VERSION, field_document
from trueup.reconcile.report import Selection

if TYPE_CHECKING:
    from trueup.app import App, SourceSpec


@click.command()
@click.argument("address")
@click.option(
    "--offline", is_flag=True, help="Ask the store alone: nothing is said of what others changed since then."
)
@takes_question
@takes_output("text", "json")
def blame(call: Call, address: str, offline: bool, output: str) -> None:
    """Tells who set ADDRESS last, or the field behind it: the run, its commit and author, file and line.

    Where the live system has drifted since then, that is told as well. ADDRESS is File/site, File/site@web-1,
    shop/File/site@web-1 or Module/blog; a field stands behind it, with dots: File/site.spec.mode.

    \b
    Example:
      trueup blame Deployment/web.spec.replicas --source ./shop
    """
    with call.open_app() as app:
        if offline:
            found = find_blames(app.store, find_past_stack(app, call), address, {})
        else:
            loaded, source = app.follow(call.source), call.source
            if loaded.pin is not None and loaded.pin.commit == loaded.revision.commit:
                source = replace(source, commit=loaded.pin.commit)
            nodes = loaded.graph.nodes
            found = find_blames(
                app.store, loaded.stack.name, address, nodes, partial(_find_drifted, app, call)
            )
            found = _locate(found, nodes, source)
    if output == "json":
        print_json(blame_document(found))
    else:
        print_lines(make_console(), render_blames(found))


def _find_drifted(app: App, call: Call, addresses: Sequence[Address]) -> Mapping[Address, DriftedNode]:
    """Those of some nodes that drifted; only these and what they depend on are looked at."""
    selection = Selection(only=tuple(address.text for address in addresses))
    return {node.change.address: node for node in app.drift(call.source, selection).nodes}


def _locate(found: Sequence[Blame], nodes: Mapping[Address, Node], source: SourceSpec) -> Sequence[Blame]:
    """The same, with the lines of the fields themselves, as far as they are still declared."""
    from trueup.manifests.field_places import find_field_place
    from trueup.sources.open import open_commit, open_tree

    if not any(each.field and each.address in nodes for each in found):
        return found
    open_it, at = (open_commit, source.commit) if source.commit else (open_tree, source.ref)
    with closing(open_it(source.location, at, source.path, offline_ok=True)) as tree:
        return [
            replace(each, place=str(find_field_place(tree, nodes[each.address].place, each.field)))
            if each.field and each.address in nodes
            else each
            for each in found
        ]


def render_blames(found: Sequence[Blame]) -> Iterator[Text]:
    """Each node with all that is known of who set it."""
    for number, each in enumerate(found):
        if number:
            yield plain(("", ""))
        yield from _render_blame(each)


def _render_blame(found: Blame) -> Iterator[Text]:
    field = f".{found.field}" if found.field else ""
    yield plain((escape(f"{found.address.text}{field}"), "bold"))
    for name, text in _describe(found).items():
        style = RESULT_STYLES[found.result] if name == "result" and found.result is not None else ""
        yield plain((f"  {name + ':':<10}", "dim"), (escape(text), style))
    yield from render_fields(found.fields)
    if found.is_gone:
        yield plain(("  deleted since then outside of Git: ", "yellow"), ("it is gone", ""))
    elif found.drifted:
        yield plain(("  changed since then outside of Git:", "yellow"))
        yield from render_fields(found.drifted, describe_drifted)


def _describe(found: Blame) -> dict[str, str]:
    """What is known, by name, in the order in which it is shown."""
    if not found.commit:
        return {"run": "none that the history keeps has set it"} | (
            {"declared": found.place} if found.place else {}
        )
    run = found.run
    lines = {
        "result": found.result.value if found.result else "",
        "run": f"{found.run_id}, {moment(found.at)}" if found.run_id else "",
        "applied": moment(found.at) if not found.run_id else "",
        "commit": found.commit,
        "author": run.author if run else "",
        "approved": f"by {run.approved_by}" if run and run.approved_by else "",
        "declared": found.place,
    }
    return {name: text for name, text in lines.items() if text}


def blame_document(found: Sequence[Blame]) -> dict[str, Any]:
    """The same as JSON: docs/schemas/blame-v1.json."""
    return {"formatVersion": FORMAT_VERSION, "nodes": [_node_document(each) for each in found]}


def _node_document(found: Blame) -> dict[str, Any]:
    return {
        "address": found.address.text,
        "field": found.field or None,
        "result": found.result.value if found.result else None,
        "runId": found.run_id or None,
        "commit": found.commit or None,
        "at": found.at or None,
        "place": found.place or None,
        "run": run_document(found.run) if found.run else None,
        "fields": [field_document(field) for field in found.fields],
        "drifted": [field_document(field) for field in found.drifted],
        "isGone": found.is_gone,
    }
