"""`trueup recover`: rebuilds a lost or old store from the markers in the live systems."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rich_click as click
from rich.text import Text

from trueup.cli.exit_codes import ERROR, OK
from trueup.cli.options import Call, takes_output, takes_store
from trueup.cli.output import count, escape, make_console, one_line, plain, print_json, print_lines
from trueup.cli.plan_text import describe_revision
from trueup.cli.running import ask
from trueup.errors import UsageError
from trueup.reconcile.plan_document import FORMAT_VERSION

if TYPE_CHECKING:
    from trueup.reconcile.recover import Gap, Recovery


@click.command()
@takes_store
@takes_output("text", "json")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--installation",
    default="",
    metavar="ID",
    help="Whose markers count, where those of several installations are found.",
)
@click.pass_context
def recover(ctx: click.Context, call: Call, output: str, yes: bool, installation: str) -> None:
    """Rebuilds what a lost or old store should know of a stack, from what lives.

    Every target of the stack is searched for objects with the stack's marker. Nothing is written to them: the
    store gets a row for each, and a new one the id of the installation that made them. Until this was done,
    a stack whose store is lost or old is held, and nothing of it is created, changed or deleted.

    Exit code 0: the store knows the stack again, also where nothing was found. 1: an error, or the answer was
    no.

    \b
    Example:
      trueup recover ./shop
    """
    from trueup.reconcile.recover import Order

    if not yes and (output == "json" or not sys.stdin.isatty()):
        raise UsageError("nobody can be asked whether to recover", hint="pass --yes to agree beforehand")
    console = make_console()
    is_declined = False

    def confirm(found: Recovery) -> bool:
        nonlocal is_declined
        if output == "text":
            print_lines(console, render_found(found))
        if yes and found.is_taken_over and not found.is_sure:
            raise UsageError(
                f"this store would become that of installation {found.installation}, of which nothing is"
                " remembered here: another store may be managing its objects",
                hint=f"if that store is lost: --installation {found.installation}; else use it with --store",
            )
        is_declined = not yes and not ask(
            "Let the store know what was found? [y/N]", ("y", "Y", "yes", "Yes")
        )
        return not is_declined

    with call.open_app(may_create=True) as app:
        recovery = app.recover(call.source, Order(installation, confirm))
    if output == "json":
        print_json(recovery_document(recovery))
    else:
        if recovery.refusals:
            print_lines(console, render_found(recovery))
        print_lines(console, render_end(recovery, call.command_line("plan")))
    ctx.exit(OK if recovery.run else ERROR)


def render_found(found: Recovery) -> Iterator[Text]:
    """What carries the stack's marker, what does not, and what could not be looked through."""
    yield plain((escape(found.stack), "bold"), (f" at {describe_revision(found.revision)}", ""))
    whose = "the installation that made them" if found.is_taken_over else "this store's own"
    yield plain((f"Markers of installation {escape(found.installation)}, {whose}:", ""))
    if found.is_taken_over and not found.is_sure:
        yield plain(
            ("  This machine remembers nothing of it. ", "bold yellow"),
            ("If its store is in use anywhere, say no: both would change the same objects.", ""),
        )
    for each in found.found:
        notes = "" if each.is_declared else "  not in Git"
        notes += "  new to the store" if each.is_new else ""
        yield plain(
            ("  @ ", "green"), (escape(each.address.text), "bold"), (f"  {escape(each.external_id)}", "")
        )
        if notes:
            yield plain((f"      {notes.strip()}", "dim"))
    if not found.found:
        yield plain(("  none", "dim"))
    yield from _render_gaps("Not found:", found.missing)
    yield from _render_gaps("Left out:", found.left_out)
    if found.blanks:
        yield plain(("Not looked through:", "bold yellow"))
    for blank in found.blanks:
        what = f"{escape(blank.kind)} on {escape(blank.target)}" if blank.kind else escape(blank.target)
        yield plain((f"  {what}: {one_line(blank.error.message)}", ""))


def _render_gaps(title: str, gaps: tuple[Gap, ...]) -> Iterator[Text]:
    if gaps:
        yield plain((title, "bold yellow"))
    for gap in gaps:
        which = f"  {escape(gap.external_id)}" if gap.external_id else ""
        yield plain(("  ", ""), (escape(gap.address), "bold"), (f"{which}  {one_line(gap.why)}", ""))


def render_end(recovery: Recovery, next_command: str) -> Iterator[Text]:
    """What became of it."""
    yield plain(("", ""))
    if recovery.refusals:
        yield plain(("Nothing was recovered. ", "bold red"), ("The store is as it was:", ""))
        for refusal in recovery.refusals:
            yield plain((f"  {one_line(refusal)}", "red"))
    elif not recovery.run:
        yield plain(("Nothing was done.", "bold"))
    else:
        size = count(len(recovery.found), "resource")
        yield plain(
            ("Recovered ", "bold green"), (f"{size} in run {recovery.run}. See what a run would do now:", "")
        )
        yield plain((f"  {escape(next_command)}", "cyan"))


def recovery_document(recovery: Recovery) -> dict[str, object]:
    """The recovery as JSON."""
    return {
        "formatVersion": FORMAT_VERSION,
        "stack": recovery.stack,
        "commit": recovery.revision.commit,
        "installation": recovery.installation,
        "takenOver": recovery.is_taken_over,
        "found": [
            {
                "address": each.address.text,
                "externalId": each.external_id,
                "declared": each.is_declared,
                "new": each.is_new,
            }
            for each in recovery.found
        ],
        "missing": [_gap_document(gap) for gap in recovery.missing],
        "leftOut": [_gap_document(gap) for gap in recovery.left_out],
        "notLookedThrough": [
            {"target": blank.target, "kind": blank.kind, "error": blank.error.message}
            for blank in recovery.blanks
        ],
        "refusals": list(recovery.refusals),
        "run": recovery.run,
    }


def _gap_document(gap: Gap) -> dict[str, str]:
    return {"address": gap.address, "why": gap.why, "externalId": gap.external_id}
