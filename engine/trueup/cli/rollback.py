"""`trueup rollback`: pins a stack to an earlier commit, and reconciles it to that."""

from __future__ import annotations

import rich_click as click

from trueup.cli.decide import read_approval
from trueup.cli.options import Call, takes_output, takes_who, takes_whole_stack
from trueup.cli.output import escape, make_console, plain, print_lines
from trueup.cli.plan_text import render_pin
from trueup.cli.progress import Progress
from trueup.cli.running import Running
from trueup.cli.who import this_person
from trueup.model.plan import Pin
from trueup.reconcile.pin import Return
from trueup.reconcile.report import RunReport


def _check_commit(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Git has no such name, but who forgets the commit writes its next option there."""
    if value.startswith("-"):
        raise click.UsageError(f"--to needs a commit, tag or branch, and {value} is none")
    return value


@click.command()
@takes_whole_stack
@takes_output("text", "json")
@click.option(
    "--to",
    default="",
    metavar="COMMIT",
    callback=_check_commit,
    help="A commit, tag or branch. [default: the last that converged before the one to leave]",
)
@click.option("--reason", default="", metavar="TEXT", help="Why; it is shown wherever the stack is.")
@click.option("--yes", "-y", is_flag=True, help="Carry out the plan without asking.")
@click.option(
    "--approve",
    metavar="DIGEST",
    help="Carry out the plan of exactly this digest, also if it is held, or none.",
)
@click.option("--force", is_flag=True, help="Also where the stack is suspended; it is pinned then.")
@takes_who
@click.pass_context
def rollback(
    ctx: click.Context,
    call: Call,
    output: str,
    to: str,
    reason: str,
    yes: bool,
    approve: str | None,
    force: bool,
    who: str,
) -> None:
    """Pins a stack to an earlier commit, and makes the live systems as that says.

    Where the source has a commit that was never applied, or failed, that is the last one that converged; else
    the one before.

    Every later run stays at that commit until `trueup resume`, those of the daemon too. A plan that a guard
    holds, or a run that fails, leaves the pin.

    Exit codes are those of reconcile.

    \b
    Example:
      trueup rollback ./shop --ref main --reason "the new image does not start"
      trueup rollback shop --to 3f2a1bc --yes
    """
    approved = read_approval(approve)
    running = Running(
        output=output,
        is_verbose=call.verbose > 0,
        is_agreed=yes,
        question=lambda _plan: "Pin the stack to this commit, and carry out this plan? [y/N]",
        answers=lambda _plan: ("y", "Y", "yes", "Yes", "YES"),
        ways=lambda plan: call.ways_out(plan.digest, is_at_ref=False),
        approved=approved,
    )
    order = Return(to, who or this_person(), reason, is_forced=force)
    pinned: list[Pin] = []
    is_there = False

    def start(running: Running, progress: Progress) -> RunReport:
        nonlocal is_there
        with call.open_app(may_create=True) as app:
            report = app.rollback(
                call.source,
                order,
                confirm=running.confirm,
                is_agreed=yes,
                approved=approved,
                listener=progress,
                stop=running.interruption.stop,
            )
            pinned.extend([report.plan.pin] if report.plan.pin is not None else [])
            is_there = not to and not report.plan.has_changes
            return report

    code = running.run(start)
    for pin in pinned if output == "text" else ():
        _tell(call, pin, is_there=is_there)
    ctx.exit(code)


def _tell(call: Call, pin: Pin, *, is_there: bool) -> None:
    """Where the stack stays, and how it goes on from there. `is_there`: it was there before."""
    console = make_console()
    print_lines(console, render_pin(pin))
    command = call.command_line("resume", is_whole=True, is_at_ref=False)
    console.print(plain((f"{escape(pin.stack)} stays there until `{escape(command)}`.", "")))
    if is_there:
        again = call.command_line("rollback", is_whole=True, is_at_ref=False)
        text = f"It was at that commit already; to go further back: `{escape(again)}`."
        console.print(plain((text, "")))
