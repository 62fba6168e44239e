"""`trueup reconcile`: one run of the loop, or a saved plan carried out."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from trueup.cli.decide import read_approval
from trueup.cli.options import Call, takes_output, takes_stack
from trueup.cli.progress import Progress
from trueup.cli.running import Running
from trueup.cli.who import this_person
from trueup.errors import UsageError
from trueup.reconcile.report import RunReport

_FIXED_BY_PLAN = ("ref", "path", "values", "sets", "targets", "only")


@click.command()
@takes_stack
@takes_output("text", "json")
@click.option("--yes", "-y", is_flag=True, help="Carry out the plan without asking.")
@click.option(
    "--approve",
    metavar="DIGEST",
    help="Carry out the plan of exactly this digest, also if it is held, or none.",
)
@click.option("--force", is_flag=True, help="Also where the stack is suspended or pinned; once.")
@click.pass_context
def reconcile(
    ctx: click.Context, call: Call, output: str, yes: bool, approve: str | None, force: bool
) -> None:
    """Makes the live systems as Git says: shows the plan, asks, carries it out.

    SOURCE may also be a file that `trueup plan --save` wrote: then exactly that plan is carried out, or
    refused as stale.

    Exit code 0: converged. 1: something failed or is blocked. 3: a guard holds the plan, or the stack
    is suspended or pinned. 130: interrupted.

    \b
    Example:
      trueup reconcile ./shop --target web-1 --yes
    """
    approved = read_approval(approve)
    is_saved = Path(call.source_text).is_file()
    if is_saved and call.typed.intersection(_FIXED_BY_PLAN):
        raise UsageError(
            f"{call.source_text} is a saved plan: its source, values and selection are fixed",
            hint="leave out --ref, --path, --values, --set, --target and --only, or name the source itself",
        )
    running = Running(
        output=output,
        is_verbose=call.verbose > 0,
        is_agreed=yes,
        question=lambda _plan: "Carry out this plan? [y/N]",
        answers=lambda _plan: ("y", "Y", "yes", "Yes", "YES"),
        ways=lambda plan: call.ways_out(plan.digest),
        approved=approved,
    )

    def start(running: Running, progress: Progress) -> RunReport:
        with call.open_app(may_create=True) as app:
            if is_saved:
                return app.reconcile_saved(
                    call.source_text,
                    confirm=running.confirm,
                    approved=approved,
                    approved_by=this_person(),
                    listener=progress,
                    stop=running.interruption.stop,
                    is_forced=force,
                )
            return app.reconcile(
                call.source,
                call.selection,
                confirm=running.confirm,
                approved=approved,
                approved_by=this_person(),
                listener=progress,
                stop=running.interruption.stop,
                is_forced=force,
            )

    ctx.exit(running.run(start))
