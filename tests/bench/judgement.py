"""What the engine's benchmark measured, and whether it keeps what is promised. Pure; called by run.py."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

# How many times faster than terraform, and how time may grow from the small estate to the large one.
LEAST_SPEEDUP = 5.0
MOST_GROWTH = 6.0


@dataclass(frozen=True)
class Sample:
    """Elapsed and processor time in seconds, and the most memory that the process held, in MiB.

    Of a whole process, or of several runs in one that was up already: then the times are the medians of
    `runs`, and `growth` is by how much each run after the first of them added to the memory, in MiB.
    """

    seconds: float
    cpu: float
    memory: float
    runs: tuple[float, ...] = ()
    growth: float = 0.0


@dataclass(frozen=True)
class Round:
    """What was measured one after the other: the peer, a process that was up already, a cold process."""

    peer: Sample | None
    up: Sample
    cold: Sample


@dataclass(frozen=True)
class Promise:
    """A number that has to be met, and whether it was."""

    text: str
    measured: float
    is_kept: bool


# The rounds of each command.
Rounds = Mapping[str, Sequence[Round]]


def judge(small: Rounds, large: Rounds) -> list[Promise]:
    """The promises that could be measured, for a process that is up; those about the peer only with it.

    Against the peer it is elapsed time that a person waits for. Growth is judged by processor time: the
    engine computes on one core here, and the other work of a machine does not show in it.
    """
    promises = []
    for command, rounds in small.items():
        speedup = speedup_of(rounds, lambda found: found.up)
        if speedup is not None:
            text = f"{command}, nothing to do: at least {LEAST_SPEEDUP:g} times faster than terraform plan"
            promises.append(Promise(text, speedup, speedup >= LEAST_SPEEDUP))
        growth = growth_of(rounds, large[command])
        text = f"{command}: 5 times the nodes take at most {MOST_GROWTH:g} times as long"
        promises.append(Promise(text, growth, growth <= MOST_GROWTH))
    return promises


def speedup_of(rounds: Sequence[Round], ours: Callable[[Round], Sample]) -> float | None:
    """How many times as long as ours the peer takes: the median of the rounds' ratios, None without it."""
    ratios = [found.peer.seconds / ours(found).seconds for found in rounds if found.peer is not None]
    return statistics.median(ratios) if ratios else None


def growth_of(small: Sequence[Round], large: Sequence[Round]) -> float:
    """How many times as long the large estate takes: the median of the rounds' ratios."""
    return statistics.median(after.up.cpu / before.up.cpu for before, after in zip(small, large, strict=True))


def median(samples: Iterable[Sample]) -> Sample:
    """The median of each quantity by itself."""
    found = list(samples)
    return Sample(
        statistics.median(sample.seconds for sample in found),
        statistics.median(sample.cpu for sample in found),
        statistics.median(sample.memory for sample in found),
        growth=statistics.median(sample.growth for sample in found),
    )
