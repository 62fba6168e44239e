"""Fights over a world in memory: somebody changes a node back after each run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.reconcile.conftest import Loop, results

from trueup.errors import StoreError
from trueup.model.change import Action, Change
from trueup.model.outcome import Result, RunStatus
from trueup.model.quarantine import MARKER
from trueup.reconcile.pin import lift_quarantine
from trueup.reconcile.quarantine import QUIET
from trueup.reconcile.report import RunReport
from trueup.sdk.testing.memory_world import Entry, Fault, MemoryWorld
from trueup.state.store import Quarantine

WRITER = "cron (Update) at 2026-11-25T17:04:05Z"


class Rival(MemoryWorld):
    """A world in which somebody answers each write of a key at once. `answer` None: he deletes the object."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Mapping[str, Any] | None] = {}

    def change(self, verb: str, key: str, change: Callable[[Entry | None], Entry | None]) -> Entry | None:
        new = super().change(verb, key, change)
        if new is not None and key in self.answers:
            answer = self.answers[key]
            spec = {**new["spec"], **(answer or {})}
            written = {**new, "spec": spec, "version": new["version"] + 1, "writers": {"/spec": WRITER}}
            self.put(key, None if answer is None else written)
        return new


class Fight:
    """A loop whose runs are 30 s apart, and the rival between them."""

    def __init__(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = loop
        self.now = time.time()
        clock = SimpleNamespace(monotonic=time.monotonic, time=lambda: self.now)
        monkeypatch.setattr("trueup.reconcile.cycle.time", clock)

    def run(self, **options: Any) -> RunReport:
        self.now += 30
        return self.loop.run(**options)

    def edit(self, name: str = "a", **spec: Any) -> None:
        key = f"Thing/{name}"
        self.loop.edit(key, **(spec or {"value": 2}))
        entry = self.loop.world.peek(key)
        assert entry is not None
        self.loop.world.put(key, {**entry, "writers": {"/spec": WRITER}})

    def rounds(self, number: int, *names: str) -> RunReport:
        """The rival's edit and a run, so many times."""
        for _ in range(number):
            for name in names or ("a",):
                self.edit(name)
            report = self.run()
            assert report.status is RunStatus.CONVERGED
        return report

    def begin(self) -> Quarantine:
        """A stack of two nodes, and the fight for one of them up to its quarantine."""
        self.loop.declare("a", {"value": 1, "size": 3})
        self.loop.declare("b", {"value": 1}, dependsOn=["Thing/a"])
        self.run()
        (quarantine,) = self.rounds(6).quarantines
        return quarantine

    def change(self, name: str = "a") -> Change:
        return next(each for each in self.loop.plan().changes if each.address.name == name)

    def events(self, *kinds: str) -> list[str]:
        found = self.loop.app.store.events("shop")
        return [event.message for event in found if event.kind in kinds][::-1]


@pytest.fixture
def fight(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fight]:
    yield Fight(loop, monkeypatch)


def test_the_sixth_correction_of_a_field_ends_in_a_quarantine(fight: Fight) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.run()
    assert fight.rounds(5).quarantines == ()
    (quarantine,) = fight.rounds(1).quarantines
    assert (quarantine.paths, quarantine.writer, quarantine.strikes) == (("/spec/value",), "cron (Update)", 1)
    assert (quarantine.since, quarantine.until) == (fight.now, fight.now + 600)
    assert fight.loop.spec("Thing/a") == {"value": 1}
    (told,) = fight.events("quarantined")
    assert told.endswith(": cron (Update) changes /spec/value again and again")


def test_a_node_in_quarantine_is_left_alone_and_blocks_nobody(fight: Fight) -> None:
    quarantine = fight.begin()
    fight.loop.declare("b", {"value": 3}, dependsOn=["Thing/a"])
    fight.edit()
    report = fight.run()
    assert results(report) == {"a": "skipped", "b": "updated"}
    assert (report.status, report.quarantines) == (RunStatus.CONVERGED, (quarantine,))
    assert fight.loop.spec("Thing/a")["value"] == 2
    change = fight.change()
    assert (change.action, change.is_drift, change.quarantine) == (Action.NONE, True, quarantine)
    assert change.reasons[0].startswith("quarantined until 20")
    assert [field.path for field in change.fields] == ["/spec/value"]
    (drifted,) = fight.loop.app.drift(fight.loop.source).nodes
    assert drifted.change.quarantine == quarantine
    fight.edit("b", value=4)
    assert results(fight.run()) == {"a": "skipped", "b": "updated"}


def test_a_change_of_the_manifest_is_applied_at_once_and_ends_it(fight: Fight) -> None:
    fight.begin()
    fight.edit()
    fight.loop.declare("a", {"value": 1, "size": 4})
    report = fight.run()
    assert results(report)["a"] == "updated"
    assert report.quarantines == ()
    assert fight.loop.spec("Thing/a") == {"value": 1, "size": 4}
    assert fight.events("released") == ["its quarantine is lifted: its manifest has changed"]
    # It starts anew: five corrections are no fight.
    assert fight.rounds(5).quarantines == ()
    assert fight.rounds(1).quarantines[0].strikes == 1


def test_accepting_the_live_value_ends_it_without_a_write(fight: Fight) -> None:
    fight.begin()
    fight.edit()
    fight.loop.declare("a", {"value": 2, "size": 3})
    report = fight.run()
    assert (results(report)["a"], report.quarantines) == ("unchanged", ())
    assert fight.loop.app.store.quarantines("shop") == {}


@pytest.mark.parametrize(
    ("lifecycle", "result"), [({"ignore": ["/spec/value"]}, "unchanged"), ({"drift": "report"}, "skipped")]
)
def test_leaving_the_field_to_the_other_ends_it(fight: Fight, lifecycle: Any, result: str) -> None:
    fight.begin()
    fight.edit()
    fight.loop.declare("a", {"value": 1, "size": 3}, lifecycle=lifecycle)
    report = fight.run()
    assert (results(report)["a"], report.quarantines) == (result, ())
    assert fight.loop.spec("Thing/a")["value"] == 2
    assert len(fight.events("released")) == 1


def test_after_a_quarantine_there_is_one_try_and_the_next_one_is_twice_as_long(fight: Fight) -> None:
    quarantine = fight.begin()
    pauses = []
    for _ in range(10):
        fight.edit()
        fight.now = quarantine.until - 31
        assert results(fight.run())["a"] == "skipped"
        fight.now = quarantine.until - 30
        report = fight.run()
        assert (results(report)["a"], report.quarantines) == ("updated", ())
        assert results(fight.run())["a"] == "unchanged"
        (quarantine,) = fight.rounds(1).quarantines
        pauses.append(quarantine.until - quarantine.since)
    assert pauses == [1200, 2400, 4800, 9600, 19200, 38400, 76800, 86400, 86400, 86400]
    assert quarantine.strikes == 11
    assert len(fight.events("quarantined")) == 11
    assert len(fight.events("released")) == 10


def test_after_a_quiet_day_it_is_as_if_there_had_been_none(fight: Fight) -> None:
    quarantine = fight.begin()
    fight.now = quarantine.until
    assert results(fight.run())["a"] == "unchanged"
    assert fight.events("released") == ["its quarantine is over: it is corrected again"]
    assert len(fight.loop.app.store.quarantines("shop")) == 1
    fight.now = quarantine.until + QUIET
    fight.run()
    assert fight.loop.app.store.quarantines("shop") == {}
    assert len(fight.events("released")) == 1
    assert fight.rounds(5).quarantines == ()
    assert fight.rounds(1).quarantines[0].strikes == 1


def test_what_somebody_deletes_again_and_again_is_not_made_again(fight: Fight) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.run()
    for _ in range(6):
        fight.loop.world.put("Thing/a", None)
        report = fight.run()
        assert results(report) == {"a": "created"}
    (quarantine,) = report.quarantines
    assert quarantine.paths == ("",)
    fight.loop.world.put("Thing/a", None)
    assert results(fight.run()) == {"a": "skipped"}
    assert fight.loop.world.peek("Thing/a") is None
    assert fight.change().reasons[0].endswith("somebody deletes it again and again")
    assert fight.loop.app.drift(fight.loop.source).nodes[0].is_gone


def test_a_marker_that_is_taken_away_again_and_again_is_not_put_back(fight: Fight) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.run()

    def unmark() -> None:
        fight.loop.world.put("Thing/a", {**(fight.loop.world.peek("Thing/a") or {}), "owner": None})

    for _ in range(6):
        unmark()
        report = fight.run()
        assert results(report) == {"a": "adopted"}
    assert report.quarantines[0].paths == (MARKER,)
    unmark()
    assert results(fight.run()) == {"a": "skipped"}
    change = fight.change()
    assert (change.action, change.fields) == (Action.NONE, ())
    assert change.reasons[0].endswith("somebody takes its ownership marker away again and again")


def test_drift_that_is_only_reported_is_no_fight(fight: Fight) -> None:
    fight.loop.declare("a", {"value": 1}, lifecycle={"drift": "report"})
    fight.run()
    for _ in range(8):
        fight.edit()
        assert fight.run().quarantines == ()
    assert list(fight.loop.app.store.corrections("shop", 0)) == []


def test_a_step_that_fails_is_no_correction(fight: Fight) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.run()
    fight.edit()
    fight.loop.world.inject(Fault("update", key="Thing/a", error="Denied", times=9))
    assert fight.run().status is RunStatus.FAILED
    assert list(fight.loop.app.store.corrections("shop", 0)) == []


def test_what_leaves_git_is_deleted_in_spite_of_its_quarantine(fight: Fight) -> None:
    fight.begin()
    fight.edit()
    fight.loop.undeclare("a")
    fight.loop.declare("b", {"value": 1})
    report = fight.run()
    assert (results(report)["a"], report.quarantines) == ("deleted", ())
    assert fight.loop.app.store.quarantines("shop") == {}


def test_a_refresh_reaches_a_node_in_quarantine_and_leaves_its_fields(fight: Fight) -> None:
    fight.loop.declare("config", {"value": 1})
    fight.loop.declare("a", {"value": 1}, kind="Runner", lifecycle={"triggers": ["Thing/config"]})
    fight.run()
    for _ in range(6):
        fight.loop.edit("Runner/a", value=2)
        report = fight.run()
    assert len(report.quarantines) == 1
    fight.loop.edit("Runner/a", value=2)
    fight.loop.declare("config", {"value": 2})
    report = fight.run()
    assert results(report) == {"config": "updated", "a": "updated"}
    assert fight.loop.spec("Runner/a")["value"] == 2
    assert len(report.quarantines) == 1


def test_lifted_by_hand_it_starts_anew(fight: Fight) -> None:
    quarantine = fight.begin()
    fight.edit()
    assert lift_quarantine(fight.loop.app.store, quarantine.address, "eve@desk")
    assert results(fight.run())["a"] == "updated"
    assert fight.rounds(4).quarantines == ()
    assert fight.rounds(1).quarantines[0].strikes == 1


def test_a_run_without_a_fight_asks_the_store_once(fight: Fight, monkeypatch: pytest.MonkeyPatch) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.run()
    store, asked = fight.loop.app.store, []
    for name in ("quarantines", "corrections", "note_corrections", "write_quarantine", "clear_quarantine"):
        method = getattr(store, name)

        def count(*args: Any, _name: str = name, _method: Any = method) -> Any:
            asked.append(_name)
            return _method(*args)

        monkeypatch.setattr(store, name, count)
    fight.run()
    assert asked == ["quarantines"]


def test_a_run_that_dies_before_the_quarantine_is_written_leaves_it_to_the_next(
    fight: Fight, monkeypatch: pytest.MonkeyPatch
) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.run()
    fight.rounds(5)
    store = fight.loop.app.store

    def fail(*_args: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "write_quarantine", fail)
        fight.edit()
        with pytest.raises(StoreError, match="full"):
            fight.run()
    assert len(fight.rounds(1).quarantines) == 1
    fight.edit()
    assert results(fight.run()) == {"a": "skipped"}


def delete_again(fight: Fight) -> RunReport:
    """Somebody deletes `a` until it is left alone, and once more."""
    for _ in range(6):
        fight.loop.world.put("Thing/a", None)
        report = fight.run()
    assert len(report.quarantines) == 1
    fight.loop.world.put("Thing/a", None)
    return fight.run()


def test_what_reads_a_lost_object_goes_on_with_what_it_has(fight: Fight) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.loop.declare("b", {"note": "${{ ref('Thing/a').status.id }}"})
    fight.loop.declare("c", {"note": "${{ ref('Thing/b').spec.note }}"})
    fight.loop.declare("d", {"value": 1}, dependsOn=["Thing/c"])
    fight.run()
    report = delete_again(fight)
    assert results(report) == {"a": "skipped", "b": "skipped", "c": "skipped", "d": "unchanged"}
    assert report.status is RunStatus.CONVERGED
    assert fight.change("b").reasons == (
        "it stays as it is: what it reads of Thing/a is gone, and is not made again now",
    )
    note = fight.loop.spec("Thing/b")["note"]
    # What Git changes of a reader cannot be applied without it, and that is a failure.
    fight.loop.declare("b", {"value": 5, "note": "${{ ref('Thing/a').status.id }}"})
    assert (fight.run().status, fight.loop.spec("Thing/b")) == (RunStatus.FAILED, {"note": note})


def test_a_changed_manifest_makes_an_object_again_that_somebody_deletes(fight: Fight) -> None:
    fight.loop.declare("a", {"value": 1})
    fight.run()
    assert results(delete_again(fight)) == {"a": "skipped"}
    fight.loop.declare("a", {"value": 2})
    report = fight.run()
    assert (results(report), report.quarantines) == ({"a": "created"}, ())
    assert fight.events("released") == ["its quarantine is lifted: its manifest has changed"]


def test_a_node_in_quarantine_is_skipped_also_where_it_is_judged_anew(fight: Fight) -> None:
    fight.begin()
    fight.edit()
    fight.loop.declare("source", {"value": 5})
    fight.loop.declare("a", {"value": 1, "size": "${{ ref('Thing/source').spec.value - 2 }}"})
    report = fight.run()
    assert results(report) == {"source": "created", "a": "skipped", "b": "unchanged"}
    (message,) = [each.message for each in report.outcomes if each.address.name == "a"]
    assert message.startswith("quarantined until ")
    fight.loop.declare("source", {"value": 6})
    report = fight.run()
    assert (results(report)["a"], report.quarantines) == ("updated", ())
    assert fight.loop.spec("Thing/a") == {"value": 1, "size": 4}


@pytest.fixture
def rival() -> Rival:
    return Rival()


@pytest.fixture
def ambush(tmp_path: Path, rival: Rival, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fight]:
    """A converged stack of three, in which somebody answers each write of `a` from now on."""
    monkeypatch.setattr("trueup.reconcile.call.SETTLE_LOOKS", 1)
    loop = Loop(tmp_path, rival)
    fight = Fight(loop, monkeypatch)
    loop.declare("a", {"value": 1, "size": 3})
    loop.declare("b", {"value": 1}, dependsOn=["Thing/a"])
    loop.declare("c", {"value": 1})
    assert fight.run().status is RunStatus.CONVERGED
    rival.answers["Thing/a"] = {"value": 2}
    loop.edit("Thing/a", value=2)
    yield fight
    loop.app.close()


def lose(fight: Fight, number: int) -> RunReport:
    """Runs whose correction of `a` does not last until it is looked at."""
    for _ in range(number):
        report = fight.run()
        assert report.status is RunStatus.FAILED
        assert results(report) == {"a": "failed", "b": "blocked", "c": "unchanged"}
    return report


def failure(report: RunReport) -> str:
    """Why the only step that failed did."""
    (outcome,) = [each for each in report.outcomes if each.result is Result.FAILED]
    return outcome.message


def test_a_rival_who_answers_at_once_is_named_and_left_alone(ambush: Fight) -> None:
    assert (
        failure(lose(ambush, 1))
        == "/spec/value did not last: right after it was set, cron (Update) has changed it"
    )
    assert lose(ambush, 4).quarantines == ()
    (quarantine,) = lose(ambush, 1).quarantines
    assert (quarantine.paths, quarantine.writer) == (("/spec/value",), "cron (Update)")
    writes = ambush.loop.world.count_writes()
    report = ambush.run()
    assert (report.status, report.quarantines) == (RunStatus.CONVERGED, (quarantine,))
    assert results(report) == {"a": "skipped", "b": "unchanged", "c": "unchanged"}
    assert ambush.loop.world.count_writes() == writes
    # One try after it, and one more.
    ambush.now = quarantine.until
    assert lose(ambush, 1).quarantines == ()
    assert lose(ambush, 1).quarantines[0].strikes == 2


def test_a_rival_who_deletes_at_once_is_left_alone(ambush: Fight, rival: Rival) -> None:
    rival.answers["Thing/a"] = None
    rival.put("Thing/a", None)
    report = lose(ambush, 6)
    assert failure(report) == "it did not last: right after it was made again, it was gone"
    assert report.quarantines[0].paths == ("",)
    assert results(ambush.run()) == {"a": "skipped", "b": "unchanged", "c": "unchanged"}
    rival.answers.clear()
    ambush.now += 700
    assert ambush.run().status is RunStatus.CONVERGED
    assert ambush.loop.spec("Thing/a")["value"] == 1


def test_a_change_of_another_field_reaches_what_somebody_fights_for(ambush: Fight) -> None:
    lose(ambush, 6)
    ambush.loop.declare("a", {"value": 1, "size": 4})
    # He answers that write as well; what Git has changed holds all the same, and the fight goes on.
    (quarantine,) = lose(ambush, 1).quarantines
    assert ambush.loop.spec("Thing/a") == {"value": 2, "size": 4}
    report = ambush.run()
    assert (report.status, report.quarantines) == (RunStatus.CONVERGED, (quarantine,))
    assert results(report) == {"a": "skipped", "b": "unchanged", "c": "unchanged"}


def test_a_manifest_that_was_never_achieved_is_no_fight(ambush: Fight) -> None:
    ambush.loop.declare("a", {"value": 7, "size": 3})
    for _ in range(8):
        report = lose(ambush, 1)
        assert report.quarantines == ()
        assert failure(report).startswith("the update did not hold")
    assert list(ambush.loop.app.store.corrections("shop", 0)) == []


def test_a_correction_that_fails_is_drift_in_the_next_run_too(fight: Fight) -> None:
    fight.begin()
    fight.now += 1000
    fight.edit()
    fight.loop.world.inject(Fault("update", key="Thing/a", error="Denied", times=1))
    assert fight.run().status is RunStatus.FAILED
    change = fight.change()
    assert (change.action, change.is_drift) == (Action.UPDATE, True)
    assert len(fight.loop.app.drift(fight.loop.source).nodes) == 1


def test_a_refresh_that_fails_does_not_end_a_quarantine(fight: Fight) -> None:
    fight.loop.declare("config", {"value": 1})
    fight.loop.declare("a", {"value": 1}, kind="Runner", lifecycle={"triggers": ["Thing/config"]})
    fight.run()
    for _ in range(6):
        fight.loop.edit("Runner/a", value=2)
        report = fight.run()
    (quarantine,) = report.quarantines
    fight.loop.edit("Runner/a", value=2)
    fight.loop.declare("config", {"value": 2})
    fight.loop.world.inject(Fault("refresh", error="Denied", times=1))
    assert fight.run().status is RunStatus.FAILED
    report = fight.run()
    assert (results(report)["a"], report.quarantines) == ("updated", (quarantine,))
    assert fight.loop.spec("Runner/a")["value"] == 2
    assert fight.events("released") == []
