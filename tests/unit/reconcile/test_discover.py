"""Which kinds a word names, and what becomes of what cannot be read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from trueup.errors import Denied, UsageError
from trueup.model.resource import Target
from trueup.reconcile.discover import Survey, discover_objects
from trueup.reconcile.imports import Fate, Wanted
from trueup.reconcile.observe import Connections
from trueup.sdk import Kind
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, Thing
from trueup.sdk.testing.memory_world import Fault, MemoryWorld


class Queue(Thing):
    name = "AWS::SQS::Queue"


class OldThing(Thing):
    api_version = "other.example.com/v1"


class NewerThing(Thing):
    api_version = "memory.trueup.dev/v2"


def survey(world: MemoryWorld, word: str, *more: Kind, targets: int = 1, ids: tuple[str, ...] = ()) -> Survey:
    provider = MemoryProvider(world)
    provider._kinds = (*provider._kinds, *more)
    catalog = MemoryCatalog(provider)
    places = [Target(f"t{number}", "memory") for number in range(targets)]
    with ThreadPoolExecutor(4) as pool, closing(Connections(catalog, "me/shop")) as connections:
        return discover_objects(Wanted(kind=word, ids=ids), places, connections, catalog, pool)


def full_world() -> MemoryWorld:
    entry = {"id": "i", "version": 1, "owner": None, "spec": {}}
    return MemoryWorld({f"{kind}/a": entry for kind in ("Thing", "Vault", "AWS::SQS::Queue")})


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("Thing", "Thing"),
        ("thing", "Thing"),
        ("Things", "Thing"),
        ("memory.trueup.dev/v1/Thing", "Thing"),
        ("Queue", "AWS::SQS::Queue"),
        ("aws::sqs::queue", "AWS::SQS::Queue"),
    ],
)
def test_a_kind_is_named_as_people_type_it(word: str, kind: str) -> None:
    found = survey(full_world(), word, Queue()).found
    assert [each.kind.name for each in found] == [kind]


def test_a_word_for_kinds_of_two_groups_is_an_error() -> None:
    with pytest.raises(UsageError, match="could be several") as error:
        survey(full_world(), "Thing", OldThing())
    assert "other.example.com/v1/Thing" in error.value.hint
    found = survey(full_world(), "other.example.com/v1/Thing", OldThing()).found
    assert [each.kind.api_version for each in found] == ["other.example.com/v1"]


def test_of_two_versions_of_a_group_the_first_is_taken() -> None:
    found = survey(full_world(), "Thing", NewerThing()).found
    assert [each.kind.api_version for each in found] == ["memory.trueup.dev/v1"]


def test_a_word_that_is_no_kind_is_an_error_with_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match="has no kind 'Valt'") as error:
        survey(full_world(), "Valt")
    assert "Vault" in error.value.hint


def test_a_kind_that_fails_for_a_moment_is_asked_again() -> None:
    world = full_world()
    world.inject(Fault("discover", "Transient"))
    assert len(survey(world, "Thing").found) == 1


def test_a_target_that_fails_beside_others_is_told_and_the_others_are_searched() -> None:
    world = full_world()
    world.inject(Fault("connect", "Denied"))
    result = survey(world, "Thing", targets=2)
    assert len(result.found) == 1
    (unread,) = result.unread
    assert (unread.fate, unread.kind, unread.id) == (Fate.FAILED, "", "")
    world.inject(Fault("connect", "Denied"))
    with pytest.raises(Denied):
        survey(world, "Thing")


def test_an_object_that_two_ids_name_is_given_once() -> None:
    assert len(survey(full_world(), "Thing", ids=("a", "a*", "?")).found) == 1
