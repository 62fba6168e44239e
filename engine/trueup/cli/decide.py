"""What `trueup approve` and `trueup reject` share: their options, and what becomes of a verdict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from trueup.cli.options import Call, Function, takes_output, takes_store
from trueup.cli.output import escape, make_console, plain, print_json
from trueup.cli.who import this_person
from trueup.errors import UsageError
from trueup.model.plan import Verdict
from trueup.reconcile.plan_document import FORMAT_VERSION, decision_document

if TYPE_CHECKING:
    from trueup.app import SourceSpec

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def takes_verdict(function: Function) -> Function:
    """Adds SOURCE, the store, DIGEST, and who says why."""
    for decorate in (
        click.option(
            "--as", "who", default="", metavar="WHO", help="Who decides. [default: the user and the host]"
        ),
        click.option("--note", default="", metavar="TEXT", help="Why; it is shown with the plan."),
        takes_output("text", "json"),
        # Arguments are read in the reverse order of what is added.
        click.argument("digest"),
        takes_store,
    ):
        function = decorate(function)
    return function


def decide(call: Call, digest: str, verdict: Verdict, who: str, note: str, output: str) -> None:
    """Writes the verdict into the store and says so."""
    check_digest(digest)
    with call.open_app(needs_store=True) as app:
        stack, decision = app.decide(_source(call), digest, verdict, who or this_person(), note)
    if output == "json":
        print_json({"formatVersion": FORMAT_VERSION, "stack": stack, **decision_document(decision)})
        return
    next_step = "no run carries it out"
    if verdict is Verdict.APPROVED:
        next_step = "it passes if the plan of the next run is this very one, and no hold of it is final"
    make_console().print(
        plain(
            (f"{verdict.value} ", "bold"),
            (f"{escape(digest)} of {escape(stack)} as {escape(decision.who)}: {next_step}.", ""),
        )
    )


def read_approval(digest: str | None) -> str:
    """What `--approve` says, empty where it was not given. The empty text of an unset variable is refused."""
    if digest is None:
        return ""
    check_digest(digest)
    return digest


def check_digest(digest: str) -> None:
    """Raises UsageError for what cannot be the digest of any plan."""
    if not _DIGEST.fullmatch(digest):
        raise UsageError(
            f"{digest!r} is not the digest of a plan",
            hint="`trueup plan` and a held run show it whole: sha256: and 64 digits",
        )


def _source(call: Call) -> SourceSpec:
    """The stack that is meant, also where SOURCE is a saved plan of it."""
    if not Path(call.source_text).is_file():
        return call.source
    from trueup.saved_plan import read_saved_plan

    return read_saved_plan(call.source_text).source
