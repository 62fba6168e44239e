"""What holds after every fault: the invariants, over any system whose markers can be listed.

I1: at most one live object per marker. I2: no marked object without a row or an intent. I3: no delete without
a match of marker and identity. I4: it converges, then makes no write. I5: no secret but at its destination.

On real systems, with `systems = [Aws(moto), ClusterPart(cluster, "shop"), Machine(host)]` of
tests.stress.systems, whose targets have the names of those in the stack:

    before = survey(systems)                          # what lives, whoever it belongs to; the logs are marked
    ...                                               # the fault, then
    check_always(look_at(systems, store, "shop"))     # I1, I2: at every moment, right after a kill too
    ...                                               # the runs that mend it, then
    check_at_rest(look_at(systems, store, "shop"))    # I1, I2: rows and objects are the same
    check_spared(before, store, "shop", doomed)       # I3: only objects of ours at these addresses are gone
    check_quiet(systems, run)                         # I4: one more `run()` writes nothing
    check_kept_secret(canary, folders, texts)         # I5

`store` is a `Store`, or the path of one. In memory `look`, `check_removed` and `check_untouched` do the same
with a `World`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.canary import Canary, files_below

from trueup.sdk import Kind, Owned, Session
from trueup.sdk.testing.memory_world import World
from trueup.state.open import open_store
from trueup.state.store import OpenIntent, Record, Store

if TYPE_CHECKING:
    from tests.stress.systems import System, Thing


@dataclass(frozen=True)
class Sight:
    """What lives and what is recorded, at one moment: `owned` carry a marker of the stack.

    `shared` are the names of kinds whose objects may be ours without a marker.
    """

    owned: Sequence[Owned]
    records: Mapping[str, Record]
    intents: Sequence[OpenIntent]
    shared: Collection[str] = field(default=())


def look(kinds: Iterable[Kind], session: Session, store: Store, stack: str) -> Sight:
    """All that carries a marker of the stack, found past the inventory."""
    key = f"{store.installation}/{stack}"
    owned = [found for kind in kinds for found in kind.find_owned(session, key)]
    return _sight(owned, store, stack)


def look_at(systems: Iterable[System], store: Store | Path | str, stack: str) -> Sight:
    """The same over real systems: all kinds that each of them has."""
    with _opened(store) as opened:
        key = f"{opened.installation}/{stack}"
        records = opened.inventory(stack).values()
        owned: list[Owned] = []
        shared: set[str] = set()
        for system in systems:
            session = system.connect(key)
            try:
                kinds = system.kinds(session, records)
                owned += [found for kind in kinds for found in kind.find_owned(session, key)]
                shared |= {kind.name for kind in kinds if kind.traits.shared}
            finally:
                session.close()
        return _sight(owned, opened, stack, shared)


def _sight(owned: Sequence[Owned], store: Store, stack: str, shared: Collection[str] = ()) -> Sight:
    records = {address.text: record for address, record in store.inventory(stack).items()}
    return Sight(owned, records, store.open_intents(stack), shared)


@contextlib.contextmanager
def _opened(store: Store | Path | str) -> Iterator[Store]:
    if not isinstance(store, Path | str):
        yield store
        return
    opened = open_store(str(store))
    try:
        yield opened
    finally:
        opened.close()


def check_always(sight: Sight) -> None:
    """I1 and I2, which hold at every moment, right after a kill too."""
    records = sight.records
    begun = {intent.address.text for intent in sight.intents}
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
    live = {(owned.owner.address, owned.external_id) for owned in sight.owned}
    assert len(live) == len(sight.owned), "I1: an object is listed twice"
    recorded = {(address, record.external_id) for address, record in sight.records.items()}
    unmarked = {each for each in recorded - live if sight.records[each[0]].address.kind in sight.shared}
    assert live == recorded - unmarked, f"I1, I2: live {live - recorded}, recorded {recorded - live}"
    assert not sight.intents, "an intent is left open"
    assert not any(record.replacing for record in sight.records.values()), "a replacement is left open"


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


@dataclass(frozen=True)
class Survey:
    """Everything that lived on some systems at one moment, by external id, whoever it belonged to."""

    things: Sequence[tuple[System, Mapping[str, Thing]]]


def survey(systems: Iterable[System]) -> Survey:
    """Looks at everything, and marks the logs: what is deleted from here on is judged by `check_spared`."""
    things = [(system, system.objects()) for system in systems]
    for system, _ in things:
        system.mark()
    return Survey(things)


def check_spared(before: Survey, store: Store | Path | str, stack: str, doomed: Collection[str] = ()) -> None:
    """I3: what is gone carried our marker for one of the addresses `doomed`; what is not ours is as it was.

    By what lives, and by what the logs say was asked for: a deletion that the system refused counts too.
    """
    with _opened(store) as opened:
        key = f"{opened.installation}/{stack}"
    for system, things in before.things:
        now = system.objects()
        for external_id, thing in things.items():
            is_ours = thing.owner is not None and thing.owner.key == key
            if external_id not in now:
                assert is_ours, f"I3: {thing.name} is gone, which was not ours: {thing.owner}"
                assert thing.owner is not None
                assert thing.owner.address in doomed, f"I3: {thing.name} is gone"
            elif not is_ours:
                owner = now[external_id].owner
                is_taken = owner is not None and owner.key == key
                same = is_taken or now[external_id].content == thing.content
                assert same, f"I3: {thing.name} is not ours and was touched"
        kept = {
            thing.name
            for thing in things.values()
            if thing.owner is None or thing.owner.key != key or thing.owner.address not in doomed
        }
        wrong = [name for name in system.deletes() if system.is_named(name, kept)]
        assert not wrong, f"I3: asked to delete {wrong}"


def check_quiet(systems: Sequence[System], run: Callable[[], object]) -> None:
    """I4: one more run, after one that converged, writes nothing. What `run` gives back is up to the test."""
    for system in systems:
        system.mark()
    run()
    written = {system.target.name: system.writes() for system in systems}
    assert not any(written.values()), f"I4: it writes although nothing is to be done: {written}"


def check_kept_secret(canary: Canary, folders: Iterable[Path], texts: Iterable[str] = ()) -> None:
    """I5: the secret is in no file below the folders and in none of the texts, in no form."""
    places = [*files_below(*folders), *(("a text", text.encode()) for text in texts)]
    leaks = list(canary.leaks(places))
    assert not leaks, f"I5: {leaks}"
