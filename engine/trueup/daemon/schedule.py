"""When one stack is looked at and run, as plain arithmetic on a clock that the caller reads.

Called by `follow`. Level-triggered: everything follows from the newest commit seen and from the end of the
last run, so a look that was missed costs time and nothing else.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from trueup.model.outcome import RunStatus

FIRST_BACKOFF = 5.0
LONGEST_BACKOFF = 600.0
LONGEST_STORE_BACKOFF = 60.0
# Seconds after which a stack that another process works on is asked for again.
STAND_BY = 15.0

# A fault of ours is retried like a failure: the stack may work again with the next commit.
CRASHED = "crashed"


def backoff(
    failures: int, jitter: Callable[[], float] = random.random, most: float = LONGEST_BACKOFF
) -> float:
    """The pause after that many failures in a row: doubling up to ten minutes, less up to a half at random.

    The jitter keeps stacks that failed for one common reason from coming back all at once.
    """
    longest = min(most, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))
    return longest * (1 - jitter() / 2)


@dataclass
class Schedule:
    """Times are in seconds of the caller's clock. `interval` is the stack's own once it was read.

    `commit` is what the source told last, empty until it told one; `has_news` that it told another since
    the last run began, `is_woken` that what the run depends on has changed since then, `is_first_run` that no
    run of the commit has ended. `answered_at` is when the source answered last, None if it never did; an
    answer that tells of a commit which the source then does not give is none. `ran` is the commit of the
    last run, `withheld` the one that was told and not given, `refusals` how often in a row.
    """

    poll: float
    interval: float
    started_at: float
    jitter: Callable[[], float] = random.random
    commit: str = ""
    has_news: bool = False
    is_woken: bool = False
    is_first_run: bool = False
    answered_at: float | None = None
    failures: int = 0
    ran: str = ""
    withheld: str = ""
    refusals: int = 0
    next_fetch: float = -math.inf
    next_poll: float = field(init=False)
    # The first run follows the first look at the source, whatever that look came to.
    next_run: float = math.inf

    def __post_init__(self) -> None:
        self.next_poll = self.started_at

    def saw_commit(self, now: float, commit: str) -> bool:
        """Notes what the source told; whether it is news.

        A commit that it did not give when it was asked for is none until it is time to ask again.
        """
        self.next_poll = now + self.poll
        if commit == self.ran:
            self.withheld, self.refusals = "", 0
        if not self.withheld:
            self.answered_at = now
        elif commit == self.withheld and now < self.next_fetch:
            return False
        return self.took_commit(now, commit)

    def took_commit(self, now: float, commit: str) -> bool:
        """Notes the commit to run; whether it is news. News is run at once, whatever failed before it."""
        if commit == self.commit:
            return False
        self.commit = commit
        self.has_news = True
        self.failures = 0
        self.next_run = now
        return True

    def ran_commit(self, now: float, told: str, commit: str) -> bool:
        """Notes the commit that a run was of; whether it is the one that the source had told.

        A commit that the source told but did not give is news once more when it is told again, and each time
        later than the last time. One that is not known yet may be newer than what was told.
        """
        if commit != self.ran:
            self.withheld, self.refusals = "", 0
        elif told not in ("", commit):
            self.withheld, self.refusals = told, self.refusals + 1
            self.next_fetch = now + backoff(self.refusals, self.jitter)
        self.ran = commit
        if told != commit and told == self.commit and not self.has_news:
            self.commit = commit
        return told == commit

    def missed_source(self, now: float) -> None:
        """Notes that the source did not answer. Drift goes on being corrected to the commit fetched last."""
        self.next_poll = now + self.poll
        if self.next_run == math.inf:
            self.next_run = now

    def is_due(self, now: float) -> bool:
        """Whether a run should start."""
        return now >= self.next_run

    def waits(self, now: float, longest: float | None = None) -> None:
        """Notes that the run that is due has to wait; it is asked again with the next poll at the latest."""
        pause = self.poll if longest is None else min(self.poll, longest)
        self.next_run = now if self.has_news or self.is_woken else now + pause

    def woke(self, now: float) -> None:
        """Notes that what the run depends on has changed. A run under way may have read what was before."""
        self.is_woken = True
        self.next_run = min(self.next_run, now)

    def began_run(self) -> str:
        """Notes that a run starts; what made it start, as the history says it."""
        self.is_first_run = self.is_first_run or self.has_news
        self.has_news = self.is_woken = False
        if self.is_first_run:
            return "commit"
        return "retry" if self.failures else "interval"

    def ended_run(self, now: float, status: RunStatus | str, longest: float = LONGEST_BACKOFF) -> None:
        """Notes how the run ended and sets the time of the next one.

        A held run waits for a person: it is looked at again with the interval, not as a failure. A run
        that a newer commit superseded is followed by that commit's run at once, and so is one during which
        something changed that it depends on. `longest` bounds the pause after a failure.
        """
        self.is_first_run = False
        if self.has_news:
            self.next_run = now
        elif status == RunStatus.INTERRUPTED:
            # Nothing of ours stops a run without news; a pause, so that this can never spin.
            self.next_run = now + FIRST_BACKOFF
        elif status in (RunStatus.CONVERGED, RunStatus.HELD):
            self.failures = 0
            self.next_run = now + self.interval
        else:
            self.failures += 1
            self.next_run = now + backoff(self.failures, self.jitter, longest)
        if self.is_woken:
            self.next_run = now
