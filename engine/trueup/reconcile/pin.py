"""Suspends stacks, pins them to commits, and lets them follow their source again.

Called by app, cycle and reading. A pin is a line in the store: whoever runs the stack goes by it, the daemon
and people alike.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from trueup.errors import PinnedStack, StackBusy, StoreError, UsageError
from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.outcome import Outcome, RunStatus
from trueup.model.plan import Pin, PinKind, Plan
from trueup.model.resource import Revision, Stack
from trueup.reconcile.report import Listener, RunReport
from trueup.state.store import Event, Store

# Seconds between two looks of a run at the pin of its stack.
LOOK_AGAIN = 5.0
# Seconds that a rollback waits for the run under way.
LONGEST_WAIT = 60.0
# So far back a commit to return to is looked for.
_MAX_RUNS = 1_000_000
# Runs that made nothing as their commit says: none of them is gone back to.
_OTHER_TRIGGERS = frozenset({"destroy", "forget", "recover"})


class HasStack(Protocol):
    """A stack as it was read."""

    @property
    def stack(self) -> Stack: ...


Stacked = TypeVar("Stacked", bound=HasStack)


@dataclass(frozen=True)
class Return:
    """An order to go back: to a commit, tag or branch; empty for the last commit that did well before."""

    to: str
    who: str
    reason: str = ""
    is_forced: bool = False


def suspend(store: Store, stack: str, who: str, reason: str, *, is_forced: bool = False) -> Pin:
    """No run from now on. A stack that was pinned stays at its commit for all that only looks.

    Raises PinnedStack where it is suspended already: who did it first, and why, is what others go by. With
    `is_forced` that is replaced.
    """
    before = store.pin_of(stack)
    if before is not None and before.is_suspended and not is_forced:
        raise PinnedStack(
            f"stack {stack!r} is already suspended by {before.who}{_why(before.reason)}",
            hint="it stays so; --force puts your name and reason in place of these",
        )
    commit = before.commit if before is not None else ""
    pin = store.pin(stack, PinKind.SUSPENDED, who, commit=commit, reason=reason)
    store.add_events(stack, [Event("suspended", f"{pin.who} suspended the stack{_why(reason)}")])
    return pin


def pin_to(store: Store, stack: str, commit: str, who: str, reason: str) -> Pin:
    """Runs of this commit alone from now on."""
    pin = store.pin(stack, PinKind.PINNED, who, commit=commit, reason=reason)
    message = f"{pin.who} pinned the stack to {commit}{_why(reason)}"
    store.add_events(stack, [Event("rolled-back", message)])
    return pin


def resume(store: Store, stack: str, who: str) -> Pin | None:
    """Lets the stack follow its source again; what it did instead, None where it did follow it."""
    pin = store.unpin(stack)
    if pin is not None:
        message = f"{who} resumed the stack, which {describe_pin(pin)}"
        store.add_events(stack, [Event("resumed", message)])
    return pin


def lift_quarantine(store: Store, address: Address, who: str) -> bool:
    """Lets a node be acted on again that somebody fights for; whether it was left alone."""
    is_lifted = store.clear_quarantine(address)
    if is_lifted:
        store.add_events(address.stack, [Event("released", f"its quarantine was lifted by {who}", address)])
    return is_lifted


def describe_pin(pin: Pin) -> str:
    """`was pinned to 3f2a1bc09d1e by bo@web: the new image does not start`."""
    at = f"{' at' if pin.is_suspended else ' to'} {pin.commit[:12]}" if pin.commit else ""
    return f"was {pin.kind.value}{at} by {pin.who}{_why(pin.reason)}"


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


def check_pin(pin: Pin | None, revision: Revision) -> None:
    """Raises PinnedStack where the stack must not be run, or not at this revision."""
    if pin is None:
        return
    if pin.is_suspended:
        raise PinnedStack(
            f"stack {pin.stack!r} is suspended by {pin.who}{_why(pin.reason)}",
            hint="`trueup resume SOURCE` lets it be run again, --force runs it this once",
        )
    if pin.commit != revision.commit:
        raise PinnedStack(
            f"stack {pin.stack!r} is pinned to {pin.commit[:12]} by {pin.who}{_why(pin.reason)}: "
            f"it is not run at {revision.commit[:12]}",
            hint="leave out --ref to run the pinned commit; `trueup resume SOURCE` lets it follow its source "
            "again, --force runs this commit this once",
        )


def check_import(loaded: Stacked, store: Store) -> Stacked:
    """The stack that objects are imported to. Raises PinnedStack where it does not follow its source.

    At a pinned commit, what was imported would be missing, and deleted by the next run.
    """
    pin = store.pin_of(loaded.stack.name)
    if pin is not None:
        raise PinnedStack(
            f"nothing is imported to stack {pin.stack!r}, which {describe_pin(pin)}",
            hint="`trueup resume SOURCE` lets it follow its source again",
        )
    return loaded


def find_earlier(store: Store, stack: str, url: str, path: str, *, head: str = "", pinned: str = "") -> str:
    """The last commit that did well before the one that is to be left. Raises UsageError if there is none.

    That is the `pinned` one, or else the `head` of the source. One that was never applied, or not to the end,
    is left for the last that converged. Where the head is not known, it is taken for the last one that ran.
    Runs of the commit to leave may stand before and after a bad one: what counts is what was applied before
    the first of them, or going back twice would lead to the bad one again.
    """
    hint = "name one: --to COMMIT; `trueup history SOURCE` lists them"
    found = [run for run in store.runs(stack, _MAX_RUNS) if is_of_place(run.url, url, path)]
    runs = [run for run in found if run.trigger not in _OTHER_TRIGGERS]
    if not runs:
        raise UsageError(f"there is no run of stack {stack!r} from this source in the history", hint=hint)
    last = next((run.commit for run in runs if run.status is RunStatus.CONVERGED), "")
    now = pinned or head or runs[0].commit
    if last and last != now and not pinned:
        return last
    if all(run.commit != now for run in runs):
        # It was gone back to this one already, and no run of it has begun.
        now = runs[0].commit
    first = max(index for index, run in enumerate(runs) if run.commit == now)
    for run in runs[first + 1 :]:
        if run.status is RunStatus.CONVERGED:
            return run.commit
    raise UsageError(
        f"the history has no commit of stack {stack!r} that converged before {now[:12]}", hint=hint
    )


def is_of_place(source: str, url: str, path: str) -> bool:
    """Whether a source, as the history has it, is this directory of this repository, with whatever values."""
    place = f"{url}//{path}" if path else url
    return source == place or source.startswith(f"{place} with ")


@contextmanager
def watch_pin(
    store: Store, stack: str, pin: Pin | None, commit: str, stop: threading.Event
) -> Iterator[None]:
    """While the block runs: sets `stop` once somebody suspends the stack, or pins it to another commit.

    `pin` is the one that the stack was read with. What was said between that and the lease, for which a run
    may have waited, raises PinnedStack.
    """
    is_over = threading.Event()

    def find_other() -> Pin | None:
        now = store.pin_of(stack)
        is_other = now is not None and now != pin and (now.is_suspended or now.commit != commit)
        return now if is_other else None

    def look() -> None:
        while not is_over.wait(LOOK_AGAIN):
            try:
                other = find_other()
            except StoreError:
                # The run itself finds out what is wrong with the store.
                continue
            if other is not None:
                stop.set()
                return

    if (said := find_other()) is not None:
        raise PinnedStack(
            f"stack {stack!r} {describe_pin(said)}, after this run had read it",
            hint="run again: it is read anew then",
        )

    watcher = threading.Thread(target=look, name=f"pin-{stack}", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def name_stopper(report: RunReport, store: Store) -> RunReport:
    """The report of a run that was interrupted, with the pin that may be why."""
    if report.status is not RunStatus.INTERRUPTED:
        return report
    return replace(report, plan=replace(report.plan, pin=store.pin_of(report.plan.stack)))


class Retold:
    """A listener to which a plan that was shown before is not shown again."""

    def __init__(self, inner: Listener, shown: Plan) -> None:
        self._inner = inner
        self._shown = shown

    def planned(self, plan: Plan) -> None:
        if plan.digest != self._shown.digest or plan.holds != self._shown.holds:
            self._inner.planned(plan)

    def started(self, change: Change) -> None:
        self._inner.started(change)

    def waiting(self, address: Address, why: str) -> None:
        self._inner.waiting(address, why)

    def finished(self, outcome: Outcome) -> None:
        self._inner.finished(outcome)


def run_when_free(run: Callable[[], RunReport], stop: threading.Event | None) -> RunReport:
    """Runs a stack to which its pin was just set, once the run that is under way has ended.

    A run that sees the pin ends soon. Raises StackBusy for one that does not.
    """
    stop = stop or threading.Event()
    deadline = time.monotonic() + LONGEST_WAIT
    while True:
        try:
            return run()
        except StackBusy as error:
            if time.monotonic() > deadline or stop.wait(0.5):
                raise StackBusy(
                    f"{error.message}; it is pinned all the same",
                    hint="a daemon carries out the pinned commit by itself; without one, `trueup reconcile` "
                    "does when that run has ended",
                ) from error


def confirm_once(shown: Plan, confirm: Callable[[Plan], bool]) -> Callable[[Plan], bool]:
    """A confirmation that asks again only for a plan that is another one than was shown and agreed to."""
    return lambda plan: plan.digest == shown.digest or confirm(plan)


def confirm_at(commit: str, confirm: Callable[[Plan], bool]) -> Callable[[Plan], bool]:
    """A confirmation of this commit alone: raises PinnedStack where somebody has moved the pin meanwhile."""

    def ask(plan: Plan) -> bool:
        if plan.revision.commit == commit:
            return confirm(plan)
        raise PinnedStack(
            f"stack {plan.stack!r} was pinned to {commit[:12]}, and somebody has resumed it or pinned it "
            f"elsewhere since: nothing is done at {plan.revision.commit[:12]}",
            hint="`trueup events SOURCE` tells who",
        )

    return ask
