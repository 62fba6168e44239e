"""Chooses whose markers count when a store is rebuilt: those of this installation, or of a former one.

Called by recover. Objects of an installation whose store is still in use must not change hands unseen: two
stores of one id would change, and delete, the same objects. So what this machine remembers goes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trueup.errors import StoreError, UsageError
from trueup.state.store import Store


@dataclass(frozen=True)
class Choice:
    """An installation. `is_sure`: it is this store's own, or somebody or this machine's mark names it."""

    installation: str
    is_sure: bool


def choose_installation(wanted: str, stack: str, markers: Iterable[str], store: Store) -> Choice:
    """Whose markers count, of the installations whose `markers` the stack's objects carry.

    Raises UsageError where that is not clear, StoreError where it cannot be.
    """
    found, own = sorted(set(markers)), store.installation
    busy = [name for name in store.stacks() if store.addresses(name) or store.open_intents(name)]
    mark = store.mark(stack)
    remembered = mark.installation if mark is not None else ""
    if wanted and wanted not in (*found, own):
        raise UsageError(
            f"nothing carries the stack's marker by installation {wanted}",
            hint=f"found: {', '.join(found) or 'none'}; this store's own is {own}",
        )
    if wanted:
        choice = Choice(wanted, is_sure=True)
    elif not found or remembered == own or (busy and own in found):
        choice = Choice(own, is_sure=True)
    elif remembered in found:
        choice = Choice(remembered, is_sure=True)
    elif len(found) == 1:
        choice = Choice(found[0], is_sure=found[0] == own)
    else:
        raise UsageError(
            f"the stack's markers are of several installations: {', '.join(found)}",
            hint="--installation ID says which one this store was, or is to become; ask whose the others are",
        )
    if choice.installation != own and busy:
        raise StoreError(
            f"the markers are of installation {choice.installation}, and this store is {own}, by whose"
            f" markers it manages {', '.join(busy)}: a store has one id",
            hint="give this stack a store of its own, from now on: trueup recover SOURCE --store FILE; or set"
            " lifecycle.adopt: true on its resources, to take them over into this store; or, if another store"
            f" manages them, leave them out with --installation {own}",
        )
    return choice
