"""What a run is asked for, what it tells while it goes on, and what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trueup.errors import Problem
from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.outcome import Outcome, Result, RunStatus
from trueup.model.plan import Plan
from trueup.model.quarantine import Quarantine
from trueup.model.values import Value


@dataclass(frozen=True)
class Selection:
    """The part of a stack that a run is about; empty means all of it.

    `targets` are names of targets. `only` are addresses, with or without stack and target
    (`File/site`, `shop/File/site@web-1`); their dependencies are taken along.
    """

    targets: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.targets or self.only)


EVERYTHING = Selection()


class Listener(Protocol):
    """Told of a run's progress, from the run's own thread, one call at a time."""

    def planned(self, plan: Plan) -> None:
        """The plan as it is about to be carried out."""

    def started(self, change: Change) -> None:
        """A step was dispatched."""

    def waiting(self, address: Address, why: str) -> None:
        """A step waits for the system; told when the reason changes."""

    def finished(self, outcome: Outcome) -> None:
        """A node has its outcome. Told for every node, the unchanged ones too."""


class Silent:
    """A listener that does not listen."""

    def planned(self, plan: Plan) -> None: ...

    def started(self, change: Change) -> None: ...

    def waiting(self, address: Address, why: str) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True)
class RunReport:
    """The end of a run. `run` is its id in the history, 0 where nothing was begun (held, refused).

    `left` are the nodes that an interruption left undone. `outputs` are what other stacks may read of this
    one now, `problems` what is wrong with those that could not be evaluated. `quarantines` are those in force
    from now on.
    """

    plan: Plan
    status: RunStatus
    outcomes: tuple[Outcome, ...] = ()
    seconds: float = 0.0
    run: int = 0
    left: tuple[Address, ...] = ()
    outputs: Mapping[str, Value] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()

    @property
    def counts(self) -> Mapping[Result, int]:
        """How many nodes there are for each result, zero included."""
        counts = Counter(outcome.result for outcome in self.outcomes)
        return {result: counts[result] for result in Result}
