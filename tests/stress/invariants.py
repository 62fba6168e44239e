"""What holds after every fault: the invariants, over any system whose markers can be listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.sdk import Kind, Owned, Session
from trueup.sdk.testing.memory_world import World
from trueup.state.store import Store


@dataclass(frozen=True)
class Sight:
    """What lives and what is recorded, at one moment: `owned` carry a marker of the stack."""

    stack: str
    owned: Sequence[Owned]
    store: Store


def look(kinds: Iterable[Kind], session: Session, store: Store, stack: str) -> Sight:
    """All that carries a marker of the stack, found past the inventory."""
    key = f"{store.installation}/{stack}"
    owned = [found for kind in kinds for found in kind.find_owned(session, key)]
    return Sight(stack, owned, store)


def check_always(sight: Sight) -> None:
    """I1 and I2, which hold at every moment, right after a kill too."""
    records = {address.text: record for address, record in sight.store.inventory(sight.stack).items()}
    begun = {intent.address.text for intent in sight.store.open_intents(sight.stack)}
    counted = Counter(owned.owner.address for owned in sight.owned)
    for address, count in counted.items():
        # I1: at most one live object per marker, but for the old ones that its row says are to go.
        record = records.get(address)
        beside = len(record.replacing.get("objects", ())) if record else 0
        assert count <= 1 + beside, f"I1: {count} objects carry the marker of {address}"
        # I2: no marked object without a row or an intent.
        old = {entry["address"] for row in records.values() for entry in row.replacing.get("objects", ())}
        assert address in records or address in begun or address in old, f"I2: nothing leads to {address}"


def check_at_rest(sight: Sight) -> None:
    """I1 and I2 once a run has converged: rows and objects are the same, and nothing is under way."""
    records = sight.store.inventory(sight.stack)
    live = {(owned.owner.address, owned.external_id) for owned in sight.owned}
    assert len(live) == len(sight.owned), "I1: an object is listed twice"
    recorded = {(address.text, record.external_id) for address, record in records.items()}
    assert live == recorded, f"I1, I2: live {live - recorded}, recorded {recorded - live}"
    assert not sight.store.open_intents(sight.stack), "an intent is left open"
    assert not any(record.replacing for record in records.values()), "a replacement is left open"


def check_removed(world: World, key: str, doomed: Collection[str]) -> None:
    """I3: what was deleted carried our marker, and was an object that had to go."""
    for removed, entry in world.removed():
        assert entry["owner"] is not None, f"I3: {removed} was deleted without a marker"
        assert "/".join(entry["owner"][:2]) == key, f"I3: {removed} of {entry['owner']} was deleted"
        assert entry["id"] in doomed, f"I3: {removed} ({entry['id']}) was deleted"


def check_untouched(world: World, foreign: Mapping[str, Mapping[str, Any]]) -> None:
    """I3: what belongs to nobody, or to somebody else, is as it was, byte for byte."""
    for key, entry in foreign.items():
        assert world.peek(key) == entry, f"I3: {key} was touched"
