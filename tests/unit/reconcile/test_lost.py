"""When a store is not to be trusted with a stack: by what this machine remembers, and by what lives."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.unit.reconcile.conftest import results

from trueup.app import App, SourceSpec
from trueup.errors import StoreError
from trueup.model.outcome import RunStatus
from trueup.reconcile.imports import ImportRequest, Wanted
from trueup.reconcile.recover import Order
from trueup.reconcile.report import Selection
from trueup.sdk.testing.memory import MemoryCatalog
from trueup.sdk.testing.memory_world import Fault


def marks():
    folder = Path(os.environ["XDG_STATE_HOME"]) / "trueup" / "marks"
    return sorted(folder.glob("*.json"))


def open_anew(loop):
    loop.app.close()
    for file in loop.folder.glob("store.db*"):
        file.unlink()
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider))


def drop_marks():
    for file in marks():
        file.unlink()


def message_of(loop):
    (hold,) = loop.plan().holds
    assert hold.hint.startswith("`trueup recover SOURCE` ")
    return hold.guard, hold.message


def test_what_lives_tells_of_a_lost_store_without_any_mark(loop):
    loop.declare("a")
    loop.run()
    installation = loop.app.store.installation
    drop_marks()
    open_anew(loop)
    guard, message = message_of(loop)
    assert guard == "store-lost"
    assert f"shop/Thing/a@here of installation {installation}" in message
    writes = loop.world.count_writes()
    assert loop.run().status is RunStatus.HELD
    assert loop.world.count_writes() == writes
    # The held run left nothing behind by which the store would pass for one that knows the stack.
    assert loop.run().status is RunStatus.HELD


def test_looking_for_a_lost_store_makes_no_call_more(loop):
    loop.declare("a")
    loop.run()
    before = len(loop.world.calls())
    loop.run()
    calls = len(loop.world.calls()) - before
    drop_marks()
    open_anew(loop)
    before = len(loop.world.calls())
    assert loop.run().status is RunStatus.HELD
    assert len(loop.world.calls()) - before == calls


def test_what_says_adopt_is_taken_over_from_another_installation(loop):
    loop.declare("a")
    loop.run()
    drop_marks()
    open_anew(loop)
    loop.declare("a", lifecycle={"adopt": True})
    assert loop.run().status is RunStatus.CONVERGED


def test_a_marker_of_another_stack_or_address_does_not_hold(loop):
    for name, owner in (
        ("a", ["else", "blog", "blog/Thing/a@here"]),
        ("b", ["else", "shop", "shop/Thing/x@here"]),
    ):
        loop.world.put(f"Thing/{name}", {"id": name, "version": 1, "owner": owner, "spec": {}})
        loop.declare(name)
    assert not loop.plan().holds


def test_the_mark_names_the_last_run_that_this_machine_has_seen(loop):
    loop.declare("a")
    loop.run()
    open_anew(loop)
    guard, message = message_of(loop)
    assert guard == "store-lost"
    assert "run 1 of stack 'shop' began at " in message
    (file,) = marks()
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["run"] == 1


def test_a_mark_tells_of_what_carries_no_name(loop):
    loop.declare("a", kind="Nameless")
    loop.run()
    open_anew(loop)
    assert loop.run().status is RunStatus.HELD
    assert len(loop.world.list_keys()) == 1


DAMAGED = {
    "empty": "",
    "cut off": "{",
    "a list": "[]",
    "no number": '{"run": "x"}',
    "no run yet": '{"installation": "x", "run": 0, "at": 1}',
    "past the last run": '{"installation": "x", "run": 9223372036854775807, "at": 1}',
    "no text": "\udcff",
    "endless": '{"installation": "x", "run": Infinity, "at": 1}',
    "no time": '{"installation": "x", "run": 1, "at": NaN}',
    "a time past all calendars": '{"installation": "x", "run": 1, "at": 1e300}',
    "deep": "[" * 60_000,
    "huge": " " * 1_000_000,
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_mark_is_a_warning(loop, text, caplog):
    loop.declare("a")
    loop.run()
    (file,) = marks()
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert loop.run().status is RunStatus.CONVERGED
    assert "the mark" in caplog.text
    assert json.loads(file.read_text())["run"] == 2


def test_a_mark_that_cannot_be_written_is_a_warning_and_is_told_once(loop, caplog, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    loop.declare("a")
    assert loop.run().status is RunStatus.CONVERGED
    assert loop.run().status is RunStatus.CONVERGED
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_a_pipe_in_place_of_a_mark_is_not_waited_for(loop, caplog):
    loop.declare("a")
    loop.run()
    (file,) = marks()
    file.unlink()
    os.mkfifo(file)
    assert loop.run().status is RunStatus.CONVERGED
    assert json.loads(file.read_text())["run"] == 2


def test_a_folder_in_place_of_a_mark_is_a_warning(loop, caplog):
    loop.declare("a")
    loop.run()
    (file,) = marks()
    file.unlink()
    file.mkdir()
    assert loop.run().status is RunStatus.CONVERGED
    assert "Is a directory" in caplog.text


def test_a_user_without_a_home_is_told_that_nothing_is_remembered(loop, caplog, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 123_456)
    loop.declare("a")
    assert loop.run().status is RunStatus.CONVERGED
    assert loop.destroy().status is RunStatus.CONVERGED
    assert "neither HOME nor XDG_STATE_HOME" in caplog.text


def test_a_mark_is_of_one_stack_and_of_one_store(loop):
    loop.declare("a")
    loop.run()
    other = App(str(loop.folder / "second.db"), catalog=MemoryCatalog(loop.provider))
    with other:
        assert other.store.mark("shop") is None
    assert loop.app.store.mark("blog") is None
    assert loop.app.store.mark("shop").run == 1


def test_a_store_that_another_machine_has_recovered_holds_nothing_here(loop):
    loop.declare("a")
    for _ in range(3):
        loop.run()
    (file,) = marks()
    remembered = file.read_text()
    loop.app.store.forget_mark("shop")
    open_anew(loop)
    assert loop.app.recover(loop.source, Order()).run
    file.write_text(remembered)
    assert not loop.plan().holds
    assert loop.run().status is RunStatus.CONVERGED


def test_an_import_into_a_stack_whose_store_is_lost_is_refused(loop):
    loop.declare("a")
    loop.run()
    for has_mark in (True, False):
        if not has_mark:
            drop_marks()
        open_anew(loop)
        loop.world.put("Thing/new", {"id": "n", "version": 1, "owner": None, "spec": {}})
        with pytest.raises(StoreError, match="store was lost"):
            loop.app.import_objects(SourceSpec(str(loop.folder / "stack")), ImportRequest(Wanted()))
    assert loop.run().status is RunStatus.HELD


def test_what_forgets_does_not_lift_the_hold_of_an_old_store(loop):
    loop.declare("a")
    loop.run()
    loop.app.close()
    shutil.copy(loop.folder / "store.db", loop.folder / "copy.db")
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider))
    loop.declare("b", kind="Nameless")
    loop.run()
    open_anew(loop)
    loop.app.close()
    shutil.copy(loop.folder / "copy.db", loop.folder / "store.db")
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider))
    assert message_of(loop)[0] == "store-old"
    with pytest.raises(StoreError, match="the store is an older copy"):
        loop.app.forget(loop.source, Selection(only=("Thing/a",)), confirm=lambda _plan: True)
    assert message_of(loop)[0] == "store-old"


@pytest.mark.parametrize("kind", ["Tokened", "Nameless"])
def test_what_no_name_leads_to_is_not_made_again_with_an_old_store_that_nobody_remembers(loop, kind):
    loop.declare("z")
    loop.run()
    loop.app.close()
    (loop.folder / "old.db").write_bytes((loop.folder / "store.db").read_bytes())
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider))
    loop.declare("a", kind=kind)
    assert loop.run().status is RunStatus.CONVERGED
    keys = loop.world.list_keys()
    loop.app.close()
    loop.app = App(str(loop.folder / "old.db"), catalog=MemoryCatalog(loop.provider))
    assert not loop.plan().holds
    report = loop.run()
    assert report.status is RunStatus.FAILED
    assert [
        "the store is old" in outcome.message for outcome in report.outcomes if outcome.change.problem
    ] == [True]
    assert loop.world.list_keys() == keys
    assert loop.app.recover(loop.source, Order()).run
    assert loop.run().status is RunStatus.CONVERGED
    assert loop.world.list_keys() == keys


def test_what_may_live_is_not_made_where_its_kind_cannot_be_listed(loop):
    loop.declare("a", kind="Nameless")
    loop.world.inject(Fault("find_owned", "Denied", times=3))
    report = loop.run()
    assert "cannot be told whether it lives already" in report.outcomes[0].message
    assert not loop.world.list_keys()


@pytest.mark.parametrize("kind", ["Tagged", "Tokened", "Nameless"])
def test_what_has_no_name_is_not_made_again_with_a_new_store_where_nothing_is_remembered(loop, kind):
    loop.declare("a", kind=kind)
    loop.run()
    drop_marks()
    open_anew(loop)
    assert message_of(loop)[0] == "store-lost"
    assert loop.run().status is RunStatus.HELD
    loop.declare("b")
    for _ in range(2):
        assert loop.run().status is RunStatus.HELD
        assert len(loop.world.list_keys()) == 1
    assert loop.app.recover(loop.source, Order()).run
    assert results(loop.run()) == {"a": "unchanged", "b": "created"}


@pytest.mark.parametrize("kind", ["Thing", "Tagged"])
def test_a_run_about_a_part_that_is_new_sees_that_the_store_is_lost(loop, kind):
    loop.declare("a", kind=kind)
    loop.run()
    drop_marks()
    open_anew(loop)
    loop.declare("b")
    part = Selection(only=("Thing/b",))
    assert [hold.guard for hold in loop.plan(part).holds] == ["store-lost"]
    assert loop.run(part).status is RunStatus.HELD
    assert loop.app.recover(loop.source, Order()).run
    assert results(loop.run(part)) == {"b": "created"}


def test_a_first_run_about_a_part_of_a_new_stack_is_not_held(loop):
    loop.declare("a")
    loop.declare("b")
    assert results(loop.run(Selection(only=("Thing/b",)))) == {"b": "created"}
    assert results(loop.run()) == {"a": "created", "b": "unchanged"}


@pytest.mark.parametrize("kind", ["Thing", "Tagged"])
def test_a_destroy_with_a_new_store_does_not_say_that_nothing_is_there(loop, kind):
    loop.declare("a", kind=kind)
    loop.run()
    drop_marks()
    open_anew(loop)
    report = loop.destroy()
    assert report.status is RunStatus.HELD
    assert [hold.guard for hold in report.plan.holds] == ["store-lost"]
    assert loop.app.recover(loop.source, Order()).run
    assert results(loop.destroy()) == {"a": "deleted"}


def test_a_destroy_of_what_was_never_made_says_so(loop):
    loop.declare("a")
    assert loop.destroy().status is RunStatus.CONVERGED


@pytest.mark.parametrize("kind", ["Tokened", "Nameless"])
def test_what_was_moved_is_not_made_again_where_the_row_of_its_old_address_is_lost(loop, kind):
    loop.declare("b")
    loop.run()
    loop.app.close()
    shutil.copy(loop.folder / "store.db", loop.folder / "copy.db")
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider))
    loop.declare("a", kind=kind)
    loop.run()
    drop_marks()
    open_anew(loop)
    loop.app.close()
    shutil.copy(loop.folder / "copy.db", loop.folder / "store.db")
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider))
    loop.undeclare("a", kind)
    loop.declare("c", kind=kind, lifecycle={"movedFrom": [f"{kind}/a"]})
    report = loop.run()
    assert results(report) == {"b": "unchanged", "c": "failed"}
    (message,) = (outcome.message for outcome in report.outcomes if outcome.message)
    assert f"carries the marker of shop/{kind}/a@here, which it was before" in message
    assert len(loop.world.list_keys()) == 2
    assert loop.app.recover(loop.source, Order()).run
    loop.run()
    assert len(loop.world.list_keys()) == 2
    assert not loop.plan().has_changes


def test_what_left_another_stack_is_not_made_again_where_its_row_is_lost(loop):
    blog = loop.folder / "blog"
    shutil.copytree(loop.folder / "stack", blog)
    (blog / "stack.yaml").write_text((blog / "stack.yaml").read_text().replace("name: shop", "name: blog"))
    loop.declare("a", kind="Tagged")
    loop.run()
    for address in loop.app.store.inventory("shop"):
        assert loop.app.forget(loop.source, Selection(only=(address.reference,)), confirm=lambda _plan: True)
    moved = (loop.folder / "stack" / "Tagged-a.yaml").read_text()
    (blog / "Tagged-a.yaml").write_text(f"{moved}lifecycle: {{movedFrom: [shop/Tagged/a]}}\n")
    loop.undeclare("a", "Tagged")
    report = loop.app.reconcile(SourceSpec(str(blog)))
    assert results(report) == {"a": "failed"}
    assert "`trueup recover` of stack shop" in report.outcomes[0].change.hint
    assert len(loop.world.list_keys()) == 1


def test_a_first_run_that_could_reach_nothing_leaves_nothing_that_could_be_lost(loop):
    loop.declare("a")
    loop.world.inject(Fault("connect", "Denied", times=5))
    assert loop.run().status is RunStatus.FAILED
    assert not marks()
    open_anew(loop)
    loop.world._store_faults([])
    assert loop.run().status is RunStatus.CONVERGED


def test_a_machine_that_only_stood_by_learns_of_a_recovery_long_after_it(loop):
    loop.declare("a")
    for _ in range(9):
        loop.run()
    (file,) = marks()
    remembered = file.read_text()
    loop.app.close()
    for path in loop.folder.glob("store.db*"):
        path.unlink()
    loop.app = App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider), keep_runs=2)
    assert loop.app.recover(loop.source, Order()).run
    for _ in range(4):
        assert loop.run().status is RunStatus.CONVERGED
    file.write_text(remembered)
    assert loop.run().status is RunStatus.CONVERGED
    assert [run.trigger for run in loop.app.store.runs("shop")] == ["once", "once", "recover"]
