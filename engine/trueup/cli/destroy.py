"""`trueup destroy`: deletes everything that a stack manages."""

from __future__ import annotations

import rich_click as click

from trueup.cli.options import Call, takes_output, takes_stack
from trueup.cli.progress import Progress
from trueup.cli.running import Running
from trueup.reconcile.report import RunReport


@click.command()
@takes_stack
@takes_output("text", "json")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for the name of the stack.")
@click.option("--force", is_flag=True, help="Also where the stack is suspended or pinned.")
@click.pass_context
def destroy(ctx: click.Context, call: Call, output: str, yes: bool, force: bool) -> None:
    """Deletes everything that the stack manages, dependents first.

    With --only or --target, that part and whatever depends on it. What is protected
    (`lifecycle.protect`) refuses it. Packages, services and directories that were there before
    trueup are left in place; other objects that were adopted are deleted.

    Exit code 0: all is gone. 1: something is not. 3: a policy denies it, or the stack is suspended or
    pinned elsewhere. 130: interrupted.

    \b
    Example:
      trueup destroy ./shop --only File/site
    """
    running = Running(
        output=output,
        is_verbose=call.verbose > 0,
        is_agreed=yes,
        question=lambda plan: f"This cannot be undone. Type the name of the stack ({plan.stack}) to go on:",
        answers=lambda plan: (plan.stack,),
        ways=lambda plan: call.ways_out(plan.digest),
    )

    def start(running: Running, progress: Progress) -> RunReport:
        with call.open_app(may_create=True) as app:
            return app.destroy(
                call.source,
                call.selection,
                confirm=running.confirm,
                listener=progress,
                stop=running.interruption.stop,
                is_forced=force,
            )

    ctx.exit(running.run(start))
