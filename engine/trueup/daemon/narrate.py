"""Tells the log of a run's progress while it goes on. Handed to the run by `follow`."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.outcome import Outcome, Result
from trueup.model.plan import Plan


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
