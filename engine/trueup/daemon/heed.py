"""Heeds what people say of a stack in the store: verdicts on its held plan, and pins. Called by `follow`."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from trueup.daemon.engine import EventLog
from trueup.daemon.metrics import Metrics
from trueup.errors import TrueupError
from trueup.state.store import Decision, Pin


class Heed:
    """What was said of one stack so far. Used by both threads of a follower, under no lock of theirs."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], EventLog],
        metrics: Metrics,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._name = name
        self._ask = ask
        self._metrics = metrics
        self._log = log
        self.pin: Pin | None = None
        # While the last run's plan is held: what was decided on the stack last before that run.
        self._is_held = False
        self._decision: Decision | None = None

    def note_held(self, before: Decision | None) -> None:
        """A run was held; `before` is what was decided last when it began."""
        self._decision, self._is_held = before, True

    def note_begun(self) -> None:
        """A run begins, so what was decided before is known to it."""
        self._is_held = False

    def find_decision(self, stack: str) -> bool:
        """Whether somebody decided on the stack since its held plan was made; one small question."""
        if not self._is_held:
            return False
        try:
            decision = self._ask().latest_decision(stack)
        except TrueupError as error:
            self._log.warning("could not look for an approval", error=error.message)
            return False
        except Exception:  # noqa: BLE001 - the thread must go on; the next run asks again
            self._log.warning("could not look for an approval", exc_info=True)
            return False
        if decision is None or decision == self._decision:
            return False
        self._decision = decision
        self._log.info("decided", verdict=decision.verdict.value, who=decision.who, digest=decision.digest)
        return True

    def find_pin(self, stack: str) -> Pin | None:
        """The pin of the stack now, the one known last where the store gives no answer."""
        if stack:
            try:
                self.note_pin(self._ask().pin_of(stack))
            except TrueupError as error:
                self._log.warning("could not look for a pin", error=error.message)
            except Exception:  # noqa: BLE001 - as above; a run asks again, and does nothing without an answer
                self._log.warning("could not look for a pin", exc_info=True)
        return self.pin

    def note_pin(self, pin: Pin | None) -> None:
        """Tells once of each pin, and of its end."""
        before, self.pin = self.pin, pin
        self._metrics.note_pin(self._name, pin)
        if pin == before:
            return
        if pin is None:
            self._log.info("resumed")
        else:
            details = {"commit": pin.commit, "reason": pin.reason}
            self._log.warning(
                pin.kind.value, who=pin.who, **{key: said for key, said in details.items() if said}
            )
