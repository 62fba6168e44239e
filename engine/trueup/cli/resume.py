"""`trueup resume`: a stack follows its source again, or a node is left alone no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from trueup.cli.options import Call, takes_output, takes_store, takes_who
from trueup.cli.output import escape, make_console, one_line, plain, print_json
from trueup.cli.past import find_stack
from trueup.cli.who import this_person
from trueup.reconcile.cycle import is_selected
from trueup.reconcile.pin import describe_pin, lift_quarantine
from trueup.reconcile.pin import resume as unpin
from trueup.reconcile.plan_document import FORMAT_VERSION, pin_document
from trueup.reconcile.report import Selection
from trueup.reconcile.situation import exact_address

if TYPE_CHECKING:
    from trueup.app import App


@click.command()
@takes_store
@takes_output("text", "json")
@click.option(
    "--only",
    "address",
    default="",
    metavar="ADDRESS",
    help="Lift the quarantine of this resource instead, such as File/site or shop/File/site@web-1.",
)
@takes_who
def resume(call: Call, output: str, address: str, who: str) -> None:
    """Lets a stack that was suspended or pinned follow its source again, with the next run.

    A daemon notices it with its next look at the source. Contacts no target.

    \b
    Example:
      trueup resume ./shop
      trueup resume ./shop --only Deployment/web
    """
    with call.open_app(needs_store=True) as app:
        stack = find_stack(app, call)
        if address:
            _lift(app, stack, address, who or this_person(), output)
            return
        pin = unpin(app.store, stack, who or this_person())
    if output == "json":
        document = {"pin": pin_document(pin)} if pin is not None else {}
        print_json({"formatVersion": FORMAT_VERSION, "stack": stack, "resumed": pin is not None, **document})
        return
    if pin is None:
        text = f"{escape(stack)} follows its source: it was neither suspended nor pinned."
    else:
        text = f"{escape(stack)} follows its source again. It {one_line(describe_pin(pin))}."
    make_console().print(plain((text, "")))


def _lift(app: App, stack: str, address: str, who: str, output: str) -> None:
    """Ends quarantines; the pin of the stack stays as it is."""
    known, selection = app.store.inventory(stack), Selection(only=(address,))
    found = [
        each
        for each in app.store.quarantines(stack)
        if is_selected(exact_address(known[each]) if each in known else each, selection)
    ]
    lifted = [each for each in found if lift_quarantine(app.store, each, who)]
    if output == "json":
        names = [each.text for each in lifted]
        print_json({"formatVersion": FORMAT_VERSION, "stack": stack, "lifted": names})
        return
    console = make_console()
    for each in lifted:
        console.print(
            plain((f"{escape(each.text)} is in quarantine no longer: the next run acts on it.", ""))
        )
    if not lifted:
        text = f"Nothing that is called {escape(address)} in {escape(stack)} is in quarantine."
        console.print(plain((text, "")))
