"""`trueup outputs`: what a stack gives to other stacks and to people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import rich_click as click

from trueup.cli.options import Call, takes_output, takes_stack
from trueup.cli.output import columns, escape, escape_lines, print_json
from trueup.cli.run_json import shown_outputs
from trueup.errors import UsageError
from trueup.model.values import Value


@click.command()
@click.option("--name", default="", metavar="NAME", help="Only this output: a text as it is, else JSON.")
@takes_output("text", "json")
@takes_stack
def outputs(call: Call, name: str, output: str) -> None:
    """Shows the outputs of a stack as its last run left them. Contacts no target.

    A sensitive output is shown as (sensitive), and with --name it is an error: the store holds no secrets.

    \b
    Example:
      trueup outputs ./network
      trueup outputs ./network --name vpcId
    """
    with call.open_app() as app:
        loaded = app.follow(call.source).stack
        stack = loaded.name
        found = app.store.outputs(stack)
    if not found and not loaded.outputs:
        found = {}
        sys.stderr.write(f"stack {escape(stack)} declares no outputs (spec.outputs)\n")
    if found is None:
        raise UsageError(f"stack {stack} has no outputs yet", hint="reconcile it first")
    values = shown_outputs(found)
    if name:
        if name not in values:
            known = ", ".join(sorted(values)) or "none"
            raise UsageError(f"stack {stack} has no output {name}", hint=f"there are: {known}")
        value = values[name]
        if _is_withheld(found[name]):
            raise UsageError(
                f"output {name} is sensitive, and the store holds no secrets",
                hint="read it where the stack reads it: with secret(), or from the live system",
            )
        if output == "json" or not isinstance(value, str):
            print_json(value)
        else:
            sys.stdout.write(_as_it_is(value))
    elif output == "json":
        print_json(values)
    else:
        texts = [
            [key, value if isinstance(value, str) else json.dumps(value)] for key, value in values.items()
        ]
        for row in columns(texts) if texts else ():
            sys.stdout.write("  ".join(escape(cell) for cell in row) + "\n")


def _is_withheld(recorded: Value) -> bool:
    """Whether the store has but the hash of it, or of a part of it."""
    if isinstance(recorded, Mapping):
        return recorded.keys() == {"$sensitive"} or any(map(_is_withheld, recorded.values()))
    return isinstance(recorded, list) and any(map(_is_withheld, recorded))


def _as_it_is(text: str) -> str:
    """A text with all its lines; a terminal gets nothing that it would obey."""
    if sys.stdout.isatty():
        text = "\n".join(escape_lines(text))
    return text if text.endswith("\n") else f"{text}\n"
