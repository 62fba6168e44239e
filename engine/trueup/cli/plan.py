"""`trueup plan`: what a run would do now. Changes nothing anywhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import rich_click as click

from trueup.cli.exit_codes import CHANGES, ERROR, OK
from trueup.cli.options import Call, takes_output, takes_stack
from trueup.cli.output import make_console, print_json, print_lines
from trueup.cli.plan_markdown import render_markdown
from trueup.cli.plan_text import render_holds, render_plan
from trueup.errors import UsageError
from trueup.model.plan import Plan
from trueup.reconcile.plan_document import plan_document

if TYPE_CHECKING:
    from trueup.app import App


@click.command()
@takes_stack
@takes_output("text", "json", "markdown")
@click.option(
    "--save",
    type=click.Path(),
    default="",
    metavar="FILE",
    help="Write the plan to FILE, for `trueup reconcile FILE`.",
)
@click.pass_context
def plan(ctx: click.Context, call: Call, output: str, save: str) -> None:
    """Shows what a run would do now. Changes nothing anywhere.

    Exit code 0: nothing to do. 2: there is something to do. 1: an error, or a resource could not be judged.

    \b
    Example:
      trueup plan https://git.example.com/estate.git --path shop --save shop.plan
    """
    # A digest counts for one store: what is approved or saved now must still be this plan in the next run.
    may_create = bool(save) or not call.store
    with call.open_app(may_create=may_create) as app:
        made = app.plan(call.source, call.selection)
        if save:
            _save(app, call, made, save)
    ways = call.ways_out(made.digest)
    if output == "json":
        print_json(plan_document(made))
    elif output == "markdown":
        sys.stdout.write(render_markdown(made, ways))
    else:
        console = make_console()
        print_lines(console, (*render_plan(made), *render_holds(made, ways)))
    ctx.exit(exit_code(made))


def _save(app: App, call: Call, made: Plan, file: str) -> None:
    try:
        app.save_plan(made, call.source, call.selection, file)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from error


def exit_code(made: Plan) -> int:
    """What could not be judged counts more than what could: the plan is not the whole truth."""
    if made.failures:
        return ERROR
    return CHANGES if made.has_changes else OK
