"""Deletes what replacements by a new object have left, once all that used the old one is done.

Called by cycle: the last part of `lifecycle.replace: createFirst`. What cannot be deleted now stays in the
row of the node, and the next plan shows it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass, replace

from trueup.model.address import Address
from trueup.model.outcome import Outcome, Result
from trueup.reconcile.act import Act
from trueup.reconcile.call import Workshop
from trueup.reconcile.report import Listener
from trueup.reconcile.walk import GONE, UNDONE, find_users


@dataclass(frozen=True)
class Finished:
    """The outcomes of the run as they are now; `left` are the nodes whose old object an interruption kept."""

    outcomes: tuple[Outcome, ...]
    left: tuple[Address, ...] = ()


def finish_replacements(
    shop: Workshop, outcomes: Sequence[Outcome], pool: Executor, listener: Listener, stop: threading.Event
) -> Finished:
    """Raises StoreError."""
    by_address = {outcome.address: outcome for outcome in outcomes}
    waiting = [
        outcome
        for outcome in outcomes
        if outcome.result is Result.REPLACED and shop.knowledge.leftovers.get(outcome.address)
    ]
    if not waiting:
        return Finished(tuple(outcomes))
    left: list[Address] = []
    users = find_users(shop.situation.records)
    by_target: dict[str, list[Outcome]] = {}
    for outcome in waiting:
        user = _find_user(outcome.address, users.get(outcome.address, ()), by_address, shop)
        if user:
            by_address[outcome.address] = replace(outcome, message=f"the old object is kept: {user}")
        else:
            by_target.setdefault(outcome.address.target, []).append(outcome)
    jobs = [pool.submit(_finish_in_turn, shop, group, stop) for group in by_target.values()]
    wait(jobs)
    for job in jobs:
        finished, kept = job.result()
        left += kept
        for outcome in finished:
            by_address[outcome.address] = outcome
            if outcome.result in UNDONE:
                listener.finished(outcome)
    return Finished(tuple(by_address.values()), tuple(left))


def _finish_in_turn(
    shop: Workshop, outcomes: Sequence[Outcome], stop: threading.Event
) -> tuple[list[Outcome], list[Address]]:
    """One after the other, so that no target is asked for more at once than it takes."""
    finished: list[Outcome] = []
    left: list[Address] = []
    for outcome in outcomes:
        ended = None if stop.is_set() else _drive(shop, outcome, stop)
        if ended is not None:
            finished.append(ended)
        if stop.is_set() and (ended is None or ended.result in UNDONE):
            left.append(outcome.address)
    return finished, left


def _find_user(
    address: Address, recorded: Sequence[Address], outcomes: Mapping[Address, Outcome], shop: Workshop
) -> str:
    """Which node may still use the old object, and why; empty if none does. `recorded`: its users so far."""
    situation = shop.situation
    for user in dict.fromkeys((*situation.graph.dependents(address), *recorded)):
        if user == address:
            continue
        if user not in outcomes:
            return f"{user} uses it, and was no part of this run"
        is_kept = user in situation.undeclared and outcomes[user].result not in GONE
        if is_kept or outcomes[user].result in UNDONE:
            return f"{user} uses it, and is {outcomes[user].result}"
    return ""


def _drive(shop: Workshop, outcome: Outcome, stop: threading.Event) -> Outcome | None:
    """Removes what one node left. None: interrupted before anything was sent."""
    if outcome.change is None:
        return outcome
    act = Act(shop, outcome.change, is_stale=False)
    flow = act.finish()
    while True:
        try:
            pause = next(flow)
        except StopIteration as ended:
            final: Outcome = ended.value
            return final
        if stop.wait(pause.seconds):
            return act.interrupt() if act.has_called else None
