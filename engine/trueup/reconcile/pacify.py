"""Notes what a run has corrected, begins quarantines and ends them. Called by cycle.

A run that corrects nothing and knows of no quarantine asks the store once, when it begins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from trueup.model.address import Address
from trueup.model.outcome import Outcome
from trueup.model.quarantine import Quarantine
from trueup.reconcile.call import Workshop
from trueup.reconcile.quarantine import (
    QUIET,
    WINDOW,
    describe_quarantine,
    find_corrections,
    find_fights,
    find_settlement,
    is_in_force,
)
from trueup.reconcile.walk import GONE
from trueup.state.store import Event, Lease, Store

Quarantines = Mapping[Address, Quarantine]


def read_quarantines(store: Store, stack: str, now: float) -> tuple[Quarantines, Quarantines]:
    """The quarantines of the stack: those in force at this time, and those that are over."""
    found = store.quarantines(stack)
    in_force = {address: each for address, each in found.items() if is_in_force(each, now)}
    return in_force, {address: each for address, each in found.items() if address not in in_force}


def settle_fights(
    store: Store, lease: Lease, shop: Workshop, outcomes: Sequence[Outcome], now: float
) -> tuple[Quarantine, ...]:
    """Writes down what the run corrected and what follows from it. Gives the quarantines in force then."""
    situation = shop.situation
    noted = find_corrections(outcomes, situation, shop.knowledge, now)
    begun: Sequence[Quarantine] = ()
    if noted:
        store.note_corrections(lease, noted)
        begun = find_fights(noted, store.corrections(lease.stack, now - WINDOW), situation.spent, now)
    elif not situation.quarantines and not situation.spent:
        return ()
    gone = {outcome.address for outcome in outcomes if outcome.result in GONE}
    gone |= {each for each in (*situation.quarantines, *situation.spent) if each not in situation.records}
    corrected, fought = ({each.address for each in some} for some in (noted, begun))
    doomed = {each for each, old in situation.spent.items() if now - old.until >= QUIET}
    doomed = gone | (doomed - corrected)
    events = _end_spent(store, lease, situation.spent, doomed, fought, now)
    lasting, lifted = _lift(store, shop, outcomes, gone)
    for quarantine in begun:
        store.write_quarantine(lease, quarantine)
        events.append(Event("quarantined", describe_quarantine(quarantine), quarantine.address))
    events += lifted
    if events:
        store.add_events(lease.stack, [replace(event, run=shop.recorder.run, at=now) for event in events])
    return tuple(sorted((*lasting, *begun), key=lambda each: each.address))


def _end_spent(
    store: Store,
    lease: Lease,
    spent: Quarantines,
    doomed: Collection[Address],
    fought: Collection[Address],
    now: float,
) -> list[Event]:
    """Tells of quarantines that have run out, and drops the `doomed`, whose strikes count no more."""
    events = []
    for address, quarantine in spent.items():
        is_told = quarantine.since >= quarantine.until
        if not is_told:
            events.append(Event("released", "its quarantine is over: it is corrected again", address))
        if address in doomed:
            store.clear_quarantine(address)
        elif not is_told and address not in fought:
            over = min(quarantine.until, now)
            store.write_quarantine(lease, replace(quarantine, since=over, until=over))
    return events


def _lift(
    store: Store, shop: Workshop, outcomes: Sequence[Outcome], gone: Collection[Address]
) -> tuple[list[Quarantine], list[Event]]:
    """The quarantines that go on, and what is to be told of the others."""
    in_force = shop.situation.quarantines
    ended = {outcome.address: outcome for outcome in outcomes if outcome.address in in_force}
    lasting, events = [], []
    for address, quarantine in in_force.items():
        why = "its resource is gone" if address in gone else ""
        if not why and address in ended:
            why = find_settlement(quarantine, ended[address], shop.situation, shop.knowledge)
        if why:
            store.clear_quarantine(address)
            events.append(Event("released", f"its quarantine is lifted: {why}", address))
        else:
            lasting.append(quarantine)
    return lasting, events
