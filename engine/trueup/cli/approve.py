"""`trueup approve`: lets a held plan pass."""

from __future__ import annotations

import rich_click as click

from trueup.cli.decide import decide, takes_verdict
from trueup.cli.options import Call
from trueup.model.plan import Verdict


@click.command()
@takes_verdict
def approve(call: Call, digest: str, note: str, who: str, output: str) -> None:
    """Lets the held plan of exactly this digest pass, with the next run. Contacts no target.

    A daemon notices it with its next look at the source. The approval counts once, and for that very plan: if
    Git or the world has moved on by then, the plan is another one and is held again.

    \b
    Example:
      trueup approve ./shop sha256:16d1... --note "the old queues are empty"
    """
    decide(call, digest, Verdict.APPROVED, who, note, output)
