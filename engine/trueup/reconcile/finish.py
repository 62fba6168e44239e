"""Deletes what replacements by a new object have left, once all that used the old one is done.

Called by cycle: the last part of `lifecycle.replace: createFirst`. What cannot be deleted now stays in the
row of the node, and the next plan shows it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from trueup.model.address import Address
from trueup.model.outcome import Outcome, Result
from trueup.reconcile.act import Act
from trueup.reconcile.call import Workshop
from trueup.reconcile.report import Listener
from trueup.reconcile.walk import UNDONE


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
    jobs = {}
    for outcome in waiting:
        user = _find_user(outcome.address, by_address, shop)
        if user:
            kept = replace(outcome, message=f"the old object is kept: {user}")
            by_address[outcome.address] = kept
        elif stop.is_set():
            left.append(outcome.address)
        else:
            jobs[outcome.address] = pool.submit(_drive, shop, outcome, stop)
    for address, job in jobs.items():
        ended = job.result()
        if ended is None:
            left.append(address)
            continue
        by_address[address] = ended
        if ended.result in UNDONE:
            listener.finished(ended)
    return Finished(tuple(by_address.values()), tuple(left))


def _find_user(address: Address, outcomes: dict[Address, Outcome], shop: Workshop) -> str:
    """Which node may still use the old object, and why; empty if none does."""
    situation = shop.situation
    users = dict.fromkeys(situation.graph.dependents(address))
    users.update(
        dict.fromkeys(user for user, record in situation.records.items() if address in record.depends_on)
    )
    for user in users:
        if user == address:
            continue
        if user not in outcomes:
            return f"{user} uses it, and was no part of this run"
        if outcomes[user].result in UNDONE:
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
            wait = next(flow)
        except StopIteration as ended:
            final: Outcome = ended.value
            return final
        if stop.wait(wait.seconds):
            return act.interrupt() if act.has_called else None
