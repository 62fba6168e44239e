"""`trueup forget`: drops objects from the inventory, for a target that is gone for good."""

from __future__ import annotations

import rich_click as click

from trueup.cli.options import Call, takes_output, takes_stack
from trueup.cli.progress import Progress
from trueup.cli.running import Running
from trueup.reconcile.report import RunReport


@click.command()
@takes_stack
@takes_output("text", "json")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_context
def forget(ctx: click.Context, call: Call, output: str, yes: bool) -> None:
    """Forgets objects without touching them: for a host, cluster or account that is gone for good.

    The selected objects leave the inventory. No live system is asked or changed: an object that is still
    there stays as it is, with trueup's marker on it, and is taken up again if its resource is still declared.

    Exit code 0: they are forgotten. 1: an error, or the answer was no.

    \b
    Example:
      trueup forget ./shop --target web-3
    """
    running = Running(
        output=output,
        is_verbose=call.verbose > 0,
        is_agreed=yes,
        question=lambda _plan: "Forget these objects and leave them as they are? [y/N]",
        answers=lambda _plan: ("y", "Y", "yes", "Yes"),
        ways=lambda plan: call.ways_out(plan.digest),
    )

    def start(running: Running, progress: Progress) -> RunReport:
        with call.open_app(may_create=True) as app:
            return app.forget(call.source, call.selection, confirm=running.confirm, listener=progress)

    ctx.exit(running.run(start))
