"""`trueup events`: what happened to a stack and its resources beside the steps of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import rich_click as click
from rich.text import Text

from trueup.cli.options import Call, takes_output, takes_store
from trueup.cli.output import (
    escape,
    make_console,
    moment,
    one_line,
    plain,
    print_json,
    print_lines,
    render_table,
)
from trueup.cli.past import find_past_stack
from trueup.reconcile.history import find_events
from trueup.reconcile.plan_document import FORMAT_VERSION
from trueup.state.store import Event

_HEADER = ("AT", "KIND", "RUN", "ABOUT", "MESSAGE")
_STYLES = {"quarantined": "yellow", "rejected": "yellow", "retry": "yellow", "waits": "yellow"}


@click.command()
@takes_store
@click.argument("address", default="")
@takes_output("text", "json")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="So many events at most.",
)
def events(call: Call, address: str, output: str, limit: int) -> None:
    """Lists what happened to a stack beside the steps of runs, the newest first.

    Approvals, pins, waits and tries of the daemon, quarantines. ADDRESS (File/site, File/site@web-1 or
    shop/File/site@web-1): those of one resource alone. SOURCE may also be the name of a stack that the store
    knows. Contacts no target.

    \b
    Example:
      trueup events ./shop Deployment/web --limit 10
    """
    with call.open_app() as app:
        stack = find_past_stack(app, call)
        found = find_events(app.store, stack, address, limit)
    if output == "json":
        print_json(events_document(stack, found))
    else:
        print_lines(make_console(), render_events(stack, found))


def render_events(stack: str, found: Sequence[Event]) -> Iterator[Text]:
    """A table of events."""
    if not found:
        yield plain((f"{escape(stack)} has no events yet", ""))
        return
    styles = [_STYLES.get(event.kind, "") for event in found]
    yield from render_table(_HEADER, [_row(event) for event in found], _HEADER.index("KIND"), styles)


def _row(event: Event) -> tuple[str, ...]:
    about = event.address.text if event.address is not None else "-"
    run = str(event.run) if event.run else "-"
    return moment(event.at), escape(event.kind), run, escape(about), one_line(event.message)


def events_document(stack: str, found: Sequence[Event]) -> dict[str, Any]:
    """The same as JSON: docs/schemas/events-v1.json."""
    return {
        "formatVersion": FORMAT_VERSION,
        "stack": stack,
        "events": [
            {
                "id": event.id,
                "at": event.at,
                "kind": event.kind,
                "address": event.address.text if event.address is not None else None,
                "run": event.run or None,
                "message": event.message,
            }
            for event in found
        ],
    }
