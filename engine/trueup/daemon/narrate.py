"""Tells the log of a run's progress while it goes on. Handed to the run by `follow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from trueup.errors import Problem
from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.outcome import Outcome, Result
from trueup.model.plan import Plan
from trueup.model.quarantine import Quarantine
from trueup.reconcile.quarantine import describe_quarantine


class Narrator:
    """A listener that logs what happened to each node, except for those to which nothing did."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger, note_progress: Callable[[], None]) -> None:
        self._log = log
        self._note_progress = note_progress

    def planned(self, plan: Plan) -> None:
        self._note_progress()
        if plan.rewritten_from:
            self._log.warning("history rewritten", before=plan.rewritten_from)
        for breach in plan.breaches:
            self._log.warning(
                "policy not fulfilled",
                policy=breach.policy.name,
                enforce=breach.policy.enforce.value,
                address=breach.address.text,
                why=breach.policy.message or breach.policy.rule,
            )
        for change in plan.failures:
            self._log.warning(
                "not judged", address=change.address.text, error=change.problem, hint=change.hint
            )

    def started(self, change: Change) -> None:
        self._note_progress()
        self._log.debug("started", address=change.address.text, action=change.action.value)

    def waiting(self, address: Address, why: str) -> None:
        self._note_progress()
        self._log.info("waiting", address=address.text, why=why)

    def finished(self, outcome: Outcome) -> None:
        self._note_progress()
        if outcome.result is Result.UNCHANGED:
            return
        tell = self._log.error if outcome.result is Result.FAILED else self._log.info
        details = {
            "error" if outcome.result is Result.FAILED else "message": outcome.message,
            "hint": outcome.hint,
            "drift": bool(outcome.change and outcome.change.is_drift),
        }
        tell(
            "step",
            address=outcome.address.text,
            outcome=outcome.result.value,
            seconds=round(outcome.seconds, 3),
            **{key: value for key, value in details.items() if value},
        )


def tell_holds(bound: structlog.typing.FilteringBoundLogger, plan: Plan) -> None:
    """Says what holds the plan of a run, and whose approval was for another one."""
    for hold in plan.holds:
        bound.warning(
            "run held",
            guard=hold.guard,
            why=". ".join(filter(None, (hold.message, hold.hint))),
            final=hold.is_final,
            digest=plan.digest,
        )
    if plan.stale_approval is not None:
        stale = plan.stale_approval
        bound.warning("approval is stale", who=stale.who, approved=stale.digest, digest=plan.digest)


def tell_quarantines(
    bound: structlog.typing.FilteringBoundLogger, before: Sequence[Quarantine], now: Sequence[Quarantine]
) -> None:
    """Says which nodes a run has begun, or ceased, to leave alone; each is told once."""
    for quarantine in now:
        if quarantine not in before:
            bound.warning(
                "quarantined",
                address=quarantine.address.text,
                why=describe_quarantine(quarantine),
                paths=list(quarantine.paths),
                writer=quarantine.writer,
                strikes=quarantine.strikes,
            )
    left = {quarantine.address for quarantine in now}
    for quarantine in before:
        if quarantine.address not in left:
            bound.info("released", address=quarantine.address.text)


def describe_problem(problem: Problem) -> dict[str, str]:
    """A problem as fields of a log line."""
    fields = {"error": problem.message, "place": str(problem.place), "hint": problem.hint}
    return {name: text for name, text in fields.items() if text}
