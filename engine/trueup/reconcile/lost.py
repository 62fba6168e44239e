"""Tells whether the store may be trusted with a stack: with a lost or an old one, nothing is done to it.

What the inventory does not know would be made a second time, or never be removed. Called by cycle for what
this machine remembers, and by plan for what the live world shows. Until `trueup recover` ran, runs are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from trueup.errors import StoreError
from trueup.model.address import Address, Owner
from trueup.model.change import Change
from trueup.model.observation import Observed, Owned
from trueup.model.plan import Hold
from trueup.reconcile.situation import Knowledge, Situation
from trueup.state.store import Mark, RunRecord, Store

LOST = "store-lost"
OLD = "store-old"
# How the run of a recovery is called in the history.
TRIGGER = "recover"
# So many addresses say well enough what was seen.
_SHOWN = 3
_WAY_OUT = (
    "`trueup recover SOURCE` rebuilds it from what lives; where it finds nothing, as after a store that was"
    " deleted on purpose, it lifts this as well"
)
# What the stack's own objects are then, one by one: no cause of its own, and nothing to take over.
UNKNOWN_HERE = "the store does not know it"


def weigh_store(store: Store, stack: str, last_run: RunRecord | None) -> tuple[Hold, ...]:
    """What holds the stack because this machine has seen more of it than the store knows.

    `last_run` is the latest run in the store.
    """
    mark = store.mark(stack)
    if mark is None:
        return ()
    known = last_run.id if last_run is not None else 0
    is_same = mark.installation == store.installation
    is_behind = not is_same or known < mark.run or _is_counted_anew(store, mark)
    if not is_behind or _was_recovered(store, stack, mark):
        return ()
    when = f"{datetime.fromtimestamp(mark.at, UTC):%Y-%m-%d %H:%M:%SZ}"
    seen = f"on this machine, run {mark.run} of stack {stack!r} began at {when}"
    if is_same:
        latest = f"its latest run here is {known}" if known else "no run of it is here"
        if known >= mark.run:
            latest = f"run {mark.run} is another and earlier one here"
        message = f"{seen}, but {latest}: the store is an older copy, or it lost what was written since"
        return (Hold(OLD, message, is_final=True, hint=_WAY_OUT),)
    message = (
        f"{seen} with the store of installation {mark.installation} in this place, which is not here now: the"
        " store was lost, or replaced by another one"
    )
    return (Hold(LOST, message, is_final=True, hint=_WAY_OUT),)


def _is_counted_anew(store: Store, mark: Mark) -> bool:
    """Whether what has the number of the run is an earlier one: a recovery without a mark began at 1."""
    run = store.run(mark.run)
    return run is not None and run.started_at < mark.at


def _was_recovered(store: Store, stack: str, mark: Mark) -> bool:
    """Whether another machine has recovered the stack since: then what this one remembers is no news."""
    return any(run.started_at > mark.at for run in store.runs(stack, 1, trigger=TRIGGER))


def find_strangers(situation: Situation, knowledge: Knowledge) -> tuple[Hold, ...]:
    """What holds a stack that the store knows nothing of, while objects carry its marker all the same."""
    if situation.records or situation.begun:
        return ()
    marked = find_marked(situation, knowledge)
    if not marked:
        return ()
    shown = [f"{address} of installation {owner.installation}" for address, owner in marked[:_SHOWN]]
    more = f" and {len(marked) - _SHOWN} more" if len(marked) > _SHOWN else ""
    message = (
        f"the store knows nothing of stack {situation.stack.name!r}, but what is declared lives already with"
        f" the stack's own marker: {', '.join(shown)}{more}. The store was lost, or told to forget them,"
        " or another one manages the stack"
    )
    way_out = (
        "`trueup recover SOURCE` rebuilds it from what lives; if another store manages the stack, name that"
        " one with --store"
    )
    return (Hold(LOST, message, is_final=True, hint=way_out),)


def find_marked(situation: Situation, knowledge: Knowledge) -> Sequence[tuple[Address, Owner]]:
    """The declared nodes whose objects carry this stack's marker for them, made by another installation.

    With what only a search has found, whoever made it: no row knows it. What says `adopt: true` is taken over
    from whomever it belongs to.
    """
    found = []
    for address, node in situation.graph.nodes.items():
        observation = knowledge.observations.get(address)
        owner = observation.owner if isinstance(observation, Observed) else None
        if owner is None or owner.installation == situation.installation or node.lifecycle.adopt:
            continue
        if owner.stack == address.stack and owner.address == address.text:
            found.append((address, owner))
    found += [
        (address, stray.owner)
        for address, stray in knowledge.strays.items()
        if isinstance(stray, Owned) and stray.owner.stack == address.stack
    ]
    return found


def shorten_refusals(
    changes: Sequence[Change], situation: Situation, knowledge: Knowledge
) -> Sequence[Change]:
    """The changes of a stack whose store is not trusted: why it is not is said once, not for each node."""
    marked = {address for address, _ in find_marked(situation, knowledge)}
    return [
        replace(change, problem=UNKNOWN_HERE, hint="")
        if change.problem and change.address in marked
        else change
        for change in changes
    ]


def require_trust(store: Store, stack: str, owners: Iterable[Owner | None]) -> None:
    """Raises StoreError where the store is not to be trusted with a stack. `owners`: of what was seen.

    For an import and for what forgets: once they have written, the store would pass for one that knows the
    stack.
    """
    last_run = next(iter(store.runs(stack, 1)), None)
    for hold in weigh_store(store, stack, last_run):
        raise StoreError(hold.message, hint=hold.hint)
    others = {owner.installation for owner in owners if owner is not None and owner.stack == stack}
    others.discard(store.installation)
    if others and not store.addresses(stack):
        raise StoreError(
            f"the store knows nothing of stack {stack!r}, but objects carry the stack's marker by"
            f" installation {', '.join(sorted(others))}: the store was lost, or another one"
            " manages the stack",
            hint="`trueup recover SOURCE` rebuilds it; --store names another one",
        )


def forget_mark(store: Store, stack: str) -> None:
    """Of a stack of which nothing is left, nothing can be lost with the store."""
    if not store.addresses(stack) and not store.open_intents(stack):
        store.forget_mark(stack)
