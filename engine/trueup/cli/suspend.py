"""`trueup suspend`: no run of a stack until it is resumed."""

from __future__ import annotations

import rich_click as click

from trueup.cli.options import Call, takes_output, takes_store, takes_who
from trueup.cli.output import escape, make_console, plain, print_json, print_lines
from trueup.cli.past import find_stack
from trueup.cli.plan_text import render_pin
from trueup.cli.who import this_person
from trueup.reconcile.pin import suspend as pin_down
from trueup.reconcile.plan_document import FORMAT_VERSION, pin_document


@click.command()
@takes_store
@takes_output("text", "json")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is shown wherever the stack is.")
@click.option("--force", is_flag=True, help="Also where it is suspended; who did and why is replaced.")
@takes_who
def suspend(call: Call, output: str, reason: str, force: bool, who: str) -> None:
    """Lets no run of a stack begin until it is resumed. One under way ends after its calls in flight.

    The daemon and `trueup reconcile` go by it. Plan, status and drift go on working. Contacts no target.

    Exit code 3: it is suspended already, and stays so.

    \b
    Example:
      trueup suspend ./shop --reason "the database is restored by hand"
    """
    with call.open_app(may_create=True) as app:
        stack = find_stack(app, call)
        pin = pin_down(app.store, stack, who or this_person(), reason, is_forced=force)
    if output == "json":
        print_json({"formatVersion": FORMAT_VERSION, "stack": pin.stack, "pin": pin_document(pin)})
        return
    console = make_console()
    print_lines(console, render_pin(pin))
    command = call.command_line("resume", is_whole=True)
    console.print(plain((f"{escape(pin.stack)} is not run until `{escape(command)}`.", "")))
