from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.unit.reconcile.conftest import Loop

from trueup.model.address import Address
from trueup.model.change import FieldChange
from trueup.model.observation import Observed
from trueup.reconcile.attribute import find_writer, name_writers
from trueup.reconcile.history import read_fields
from trueup.sdk.testing.memory import Thing

SEEN = Observed(Address("shop", "Thing", "a", "here"), {"status": {}}, "id")


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/spec/a", "near"),
        ("/spec/a/b", "near"),
        ("/spec/ab", "far"),
        ("/spec", "far"),
        ("/metadata/labels", ""),
    ],
)
def test_the_nearest_pointer_around_a_field_counts(path: str, who: str) -> None:
    assert find_writer(path, {"/spec": "far", "/spec/a": "near"}) == who


def test_a_pointer_to_the_root_counts_for_all() -> None:
    assert find_writer("/metadata/labels", {"": "anybody"}) == "anybody"


def test_a_bug_in_a_kind_is_told_in_the_place_of_a_name() -> None:
    class Broken(Thing):
        def writers(self, observed: Observed) -> Mapping[str, str]:
            raise KeyError("secret")

    (field,) = name_writers([FieldChange("/spec/a", 1, 2)], SEEN, Broken(), "memory")
    assert "a bug in provider 'memory': writers raised KeyError" in field.by
    assert "secret" not in field.by


def test_drift_is_shown_with_who_did_it_and_a_change_of_the_manifest_without(loop: Loop) -> None:
    loop.declare("a", {"value": 1, "size": 3})
    loop.run()
    loop.edit("Thing/a", value=2)
    entry = loop.world.peek("Thing/a")
    assert entry is not None
    loop.world.put("Thing/a", {**entry, "writers": {"/spec/value": "bo at noon"}})
    assert [field.by for field in loop.plan().changes[0].fields] == ["bo at noon"]
    digest = loop.plan().digest
    loop.world.put("Thing/a", {**entry, "writers": {"/spec/value": "ada at noon"}})
    assert loop.plan().digest == digest
    loop.declare("a", {"value": 3, "size": 3})
    assert [field.by for field in loop.plan().changes[0].fields] == [""]


def test_the_history_keeps_who_did_what_was_corrected(loop: Loop) -> None:
    loop.declare("a", {"value": 1})
    loop.run()
    loop.edit("Thing/a", value=2)
    loop.world.put("Thing/a", {**(loop.world.peek("Thing/a") or {}), "writers": {"/spec": "bo at noon"}})
    report = loop.run()
    (step,) = loop.app.store.steps(report.run)
    assert [field.by for field in read_fields(step)] == ["bo at noon"]
    assert loop.app.drift(loop.source).nodes == ()
