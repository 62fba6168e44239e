"""Ends quarantines by hand. Called by `trueup resume --only`."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.model.address import Address
from trueup.reconcile.cycle import is_selected
from trueup.reconcile.report import Selection
from trueup.reconcile.situation import exact_address
from trueup.state.store import Event, Store


def lift_quarantines(store: Store, stack: str, selection: Selection, who: str) -> Sequence[Address]:
    """Ends those that the selection names, and forgets their strikes. Needs no lease."""
    found = store.quarantines(stack)
    known = {each: exact_address(record) for each, record in store.inventory(stack).items()} if found else {}
    lifted = [each for each in found if is_selected(known.get(each, each), selection)]
    for address in lifted:
        store.clear_quarantine(address)
    if lifted:
        said = f"its quarantine was lifted by {who}"
        store.add_events(stack, [Event("released", said, address) for address in lifted])
    return lifted
