"""`trueup reject`: keeps a plan from being carried out."""

from __future__ import annotations

import rich_click as click

from trueup.cli.decide import decide, takes_verdict
from trueup.cli.options import Call
from trueup.model.plan import Verdict


@click.command()
@takes_verdict
def reject(call: Call, digest: str, note: str, who: str, output: str) -> None:
    """Refuses the plan of exactly this digest, whether or not a guard holds it. Contacts no target.

    The plan stays held, with the name and the note shown, until somebody approves it. It also takes back an
    approval that no run has used yet.

    \b
    Example:
      trueup reject ./shop sha256:16d1... --note "the backup comes first"
    """
    decide(call, digest, Verdict.REJECTED, who, note, output)
