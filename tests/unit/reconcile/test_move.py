"""Resources under new addresses: an object that moved is neither deleted nor made again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from trueup.app import SourceSpec
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.model.plan import Plan
from trueup.reconcile.report import RunReport, Selection
from trueup.sdk.testing.memory_world import Fault

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop

OLD = "Named/old"


def results(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.result.value for outcome in report.outcomes}


def messages(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.message for outcome in report.outcomes if outcome.message}


def actions(plan: Plan) -> dict[str, str]:
    return {change.address.name: change.action.value for change in plan.changes}


def expect_rest(loop: Loop) -> None:
    """The next run has nothing to do, and the plan says nothing of a move."""
    writes, records = loop.world.count_writes(), loop.records()
    plan = loop.plan()
    assert not plan.has_changes
    assert not any(change.moved_from or change.moved_to or change.problem for change in plan.changes)
    assert loop.run().status is RunStatus.CONVERGED
    assert loop.world.count_writes() == writes
    assert loop.records() == records


def expect_no_loss(loop: Loop, since: int = 0) -> None:
    """Not one object was deleted or made in between."""
    verbs = [call.verb for call in loop.world.calls()[since:]]
    assert "delete" not in verbs
    assert "create" not in verbs


def declare(loop: Loop, name: str, moved_from: list[str] | None = None, **keys: Any) -> None:
    """A resource whose object is called `thing`, whatever the resource is called."""
    lifecycle = {"movedFrom": moved_from, **keys.pop("lifecycle", {})} if moved_from else {}
    lifecycle = lifecycle or keys.pop("lifecycle", {})
    spec = {"name": "thing", "size": 1, **keys.pop("spec", {})}
    loop.declare(name, spec, kind="Named", **({"lifecycle": lifecycle} if lifecycle else {}), **keys)


def lose_marker(loop: Loop, key: str = "Named/thing") -> None:
    entry = loop.world.peek(key)
    assert entry is not None
    loop.world.put(key, {**entry, "owner": None})


def make_old(loop: Loop, **keys: Any) -> int:
    """The object, made by a resource that leaves Git right after; the number of calls so far."""
    declare(loop, "old", **keys)
    assert loop.run().status is RunStatus.CONVERGED
    loop.undeclare("old", "Named")
    return len(loop.world.calls())


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_renamed_resource_takes_its_object_over(loop: Loop, is_marked: bool) -> None:
    since = make_old(loop)
    if not is_marked:
        lose_marker(loop)
    declare(loop, "new", [OLD])
    plan = loop.plan()
    assert actions(plan) == {"new": "adopt", "old": "forget"}
    assert plan.changes[0].reasons == ("moved from Named/old",)
    assert str(plan.changes[0].moved_from) == "shop/Named/old@here"
    assert not plan.holds
    assert results(loop.run()) == {"new": "adopted", "old": "forgotten"}
    expect_no_loss(loop, since)
    assert list(loop.records()) == ["new"]
    expect_rest(loop)
    loop.undeclare("new", "Named")
    assert results(loop.run()) == {"new": "deleted"}


def test_a_move_with_a_change_updates_the_object_and_drops_what_is_no_longer_set(loop: Loop) -> None:
    since = make_old(loop, spec={"value": {"a": 1, "b": 2}, "size": 3})
    declare(loop, "new", [OLD], spec={"value": {"a": 1}, "size": 2})
    change = loop.plan().changes[0]
    assert change.reasons == ("moved from Named/old", "the manifest changed")
    assert sorted((field.path, field.before) for field in change.fields) == [
        ("/spec/size", 3),
        ("/spec/value/b", 2),
    ]
    assert results(loop.run()) == {"new": "updated", "old": "forgotten"}
    assert loop.spec("Named/thing") == {"name": "thing", "size": 2, "value": {"a": 1}}
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_move_that_changes_what_cannot_be_changed_is_shown_as_a_replacement(loop: Loop) -> None:
    make_old(loop)
    declare(loop, "new", [OLD], spec={"name": "other"})
    change = loop.plan().changes[0]
    assert change.action is Action.REPLACE
    assert change.reasons[0] == "moved from Named/old"
    assert results(loop.run()) == {"new": "replaced", "old": "forgotten"}
    assert loop.world.list_keys() == ["Named/other"]
    expect_rest(loop)


def test_a_move_with_a_replacement_can_make_the_new_object_first(loop: Loop) -> None:
    make_old(loop)
    since = len(loop.world.calls())
    declare(loop, "new", [OLD], spec={"name": "other"}, lifecycle={"replace": "createFirst"})
    assert results(loop.run()) == {"new": "replaced", "old": "forgotten"}
    verbs = [call.verb for call in loop.world.calls()[since:] if call.verb in ("create", "delete")]
    assert verbs == ["create", "delete"]
    assert loop.world.list_keys() == ["Named/other"]
    expect_rest(loop)


def test_a_move_that_would_replace_a_protected_object_is_refused_and_keeps_it(loop: Loop) -> None:
    since = make_old(loop)
    declare(loop, "new", [OLD], spec={"name": "other"}, lifecycle={"protect": True})
    report = loop.run()
    assert results(report) == {"new": "failed", "old": "blocked"}
    expect_no_loss(loop, since)
    assert loop.world.list_keys() == ["Named/thing"]


def test_a_chain_of_moves_works_without_the_run_in_between(loop: Loop) -> None:
    since = make_old(loop)
    declare(loop, "newest", [OLD, "Named/new"])
    assert results(loop.run()) == {"newest": "adopted", "old": "forgotten"}
    expect_no_loss(loop, since)
    expect_rest(loop)


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_chain_of_moves_works_where_the_run_in_between_was_cut(loop: Loop, is_marked: bool) -> None:
    since = make_old(loop)
    declare(loop, "new", [OLD])
    loop.world.inject(Fault("update", "Transient", "after", times=3))
    assert loop.run().status is RunStatus.FAILED
    assert sorted(loop.records()) == ["new", "old"]
    loop.undeclare("new", "Named")
    if not is_marked:
        lose_marker(loop)
    declare(loop, "newest", ["Named/new", OLD])
    assert results(loop.run()) == {"newest": "adopted", "new": "forgotten", "old": "forgotten"}
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_former_address_that_nobody_knows_does_no_harm(loop: Loop) -> None:
    declare(loop, "new", [OLD, "elsewhere/Named/x", "Named/y@there"])
    assert results(loop.run()) == {"new": "created"}
    expect_rest(loop)


def test_a_former_object_that_is_gone_is_made_anew(loop: Loop) -> None:
    make_old(loop)
    loop.world.put("Named/thing", None)
    declare(loop, "new", [OLD])
    assert results(loop.run()) == {"new": "created", "old": "forgotten"}
    expect_rest(loop)


def test_an_object_that_cannot_be_renamed_is_neither_deleted_nor_made_again(loop: Loop) -> None:
    loop.declare("old", {"size": 1})
    loop.run()
    loop.undeclare("old")
    since = len(loop.world.calls())
    loop.declare("new", {"size": 1}, lifecycle={"movedFrom": ["Thing/old"]})
    report = loop.run()
    assert results(report) == {"new": "failed", "old": "blocked"}
    assert "is another object" in messages(report)["new"]
    expect_no_loss(loop, since)
    loop.declare("new", {"size": 1})
    assert results(loop.run()) == {"new": "created", "old": "deleted"}


def test_a_former_object_that_cannot_be_read_is_neither_deleted_nor_made_again(loop: Loop) -> None:
    loop.declare("old", {"size": 1})
    loop.run()
    loop.undeclare("old")
    since = len(loop.world.calls())
    loop.declare("new", {"size": 1}, lifecycle={"movedFrom": ["Thing/old"]})
    loop.world.inject(Fault("observe", "Denied", key="Thing/old"))
    report = loop.run()
    assert "cannot be read" in messages(report)["new"]
    assert results(report) == {"new": "failed", "old": "blocked"}
    expect_no_loss(loop, since)


def test_a_former_object_is_kept_where_the_new_one_was_made_beside_it(loop: Loop) -> None:
    loop.write_stack(prune=False)
    loop.declare("old", {"size": 1})
    loop.run()
    loop.undeclare("old")
    loop.declare("new", {"size": 1})
    loop.run()
    loop.write_stack()
    loop.declare("new", {"size": 1}, lifecycle={"movedFrom": ["Thing/old"]})
    report = loop.run()
    assert results(report) == {"new": "unchanged", "old": "failed"}
    assert "is another object by now" in messages(report)["old"]
    assert loop.world.list_keys() == ["Thing/new", "Thing/old"]


def test_a_foreign_object_under_the_new_name_keeps_the_old_one(loop: Loop) -> None:
    since = make_old(loop)
    entry = loop.world.peek("Named/thing")
    assert entry is not None
    loop.world.put("Named/other", {**entry, "id": "foreign", "owner": None, "spec": {"name": "other"}})
    loop.world.put("Named/thing", {**entry, "owner": ["someone", "else", "else/Named/x@y"]})
    declare(loop, "new", [OLD], spec={"name": "other"})
    report = loop.run()
    assert "does not manage is in the way" in messages(report)["new"]
    assert results(report) == {"new": "failed", "old": "blocked"}
    expect_no_loss(loop, since)


def test_a_marker_that_was_copied_to_another_object_moves_nothing(loop: Loop) -> None:
    since = make_old(loop)
    entry = loop.world.peek("Named/thing")
    assert entry is not None
    loop.world.put("Named/copy", {**entry, "id": "copied", "spec": {"name": "copy"}})
    loop.world.put("Named/thing", None)
    declare(loop, "new", [OLD], spec={"name": "copy"})
    report = loop.run()
    assert results(report)["new"] == "failed"
    assert "belongs to shop/Named/old@here" in messages(report)["new"]
    expect_no_loss(loop, since)


@pytest.mark.parametrize("only", ["Named/old", "Named/other"])
def test_a_run_without_the_new_resource_leaves_the_old_one_alone(loop: Loop, only: str) -> None:
    since = make_old(loop)
    declare(loop, "new", [OLD])
    declare(loop, "other", spec={"name": "o"})
    loop.run(Selection(only=("Named/other",)))
    report = loop.run(Selection(only=(only,)))
    assert report.status is RunStatus.CONVERGED
    assert "delete" not in [call.verb for call in loop.world.calls()[since:]]
    assert "old" in loop.records()


def test_a_run_of_the_new_resource_alone_forgets_the_old_one(loop: Loop) -> None:
    since = make_old(loop)
    declare(loop, "new", [OLD])
    report = loop.run(Selection(only=("Named/new",)))
    assert results(report) == {"new": "adopted", "old": "forgotten"}
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_failed_move_keeps_the_old_row_and_is_made_up_for(loop: Loop) -> None:
    since = make_old(loop)
    declare(loop, "new", [OLD])
    loop.world.inject(Fault("update", "Denied"))
    assert results(loop.run()) == {"new": "failed", "old": "blocked"}
    assert loop.run().status is RunStatus.CONVERGED
    expect_no_loss(loop, since)
    assert list(loop.records()) == ["new"]
    expect_rest(loop)


def test_what_a_new_block_says_of_protection_counts_before_the_move_is_done(loop: Loop) -> None:
    make_old(loop)
    declare(loop, "new", [OLD], lifecycle={"protect": True})
    loop.world.inject(Fault("update", "Denied"))
    loop.run()
    loop.undeclare("new", "Named")
    report = loop.run()
    assert "delete" not in [call.verb for call in loop.world.calls()]
    assert loop.world.list_keys() == ["Named/thing"]
    assert report.status is RunStatus.CONVERGED


def test_a_protection_travels_with_the_move(loop: Loop) -> None:
    make_old(loop, lifecycle={"protect": True})
    declare(loop, "new", [OLD], lifecycle={"protect": True})
    loop.run()
    loop.undeclare("new", "Named")
    assert results(loop.run()) == {"new": "skipped"}
    assert loop.world.list_keys() == ["Named/thing"]


def test_drift_that_is_only_reported_stays_while_the_object_moves(loop: Loop) -> None:
    loop.write_stack(drift="report")
    since = make_old(loop)
    loop.edit("Named/thing", size=7)
    declare(loop, "new", [OLD])
    change = loop.plan().changes[0]
    assert (change.action, change.is_drift) == (Action.ADOPT, True)
    assert results(loop.run()) == {"new": "adopted", "old": "forgotten"}
    assert loop.spec("Named/thing")["size"] == 7
    assert results(loop.run()) == {"new": "skipped"}
    expect_no_loss(loop, since)


def test_moves_count_for_no_guard(loop: Loop) -> None:
    loop.write_stack(guards={"maxDeletes": "0"})
    for index in range(8):
        declare(loop, f"old-{index}", spec={"name": f"thing-{index}"})
    loop.run()
    since = len(loop.world.calls())
    for index in range(8):
        loop.undeclare(f"old-{index}", "Named")
        declare(loop, f"new-{index}", [f"Named/old-{index}"], spec={"name": f"thing-{index}"})
    report = loop.run()
    assert not report.plan.holds
    assert report.status is RunStatus.CONVERGED
    expect_no_loss(loop, since)


def test_a_resource_moves_to_another_target_of_the_same_place(loop: Loop) -> None:
    both = [{"name": name, "provider": "memory"} for name in ("here", "there")]
    loop.write_stack(targets=both)
    loop.declare("old", {"name": "thing", "size": 1}, kind="Named", targets={"names": ["here"]})
    loop.run()
    loop.undeclare("old", "Named")
    lose_marker(loop)
    since = len(loop.world.calls())
    loop.write_stack(targets=both[1:])
    declare(loop, "new", ["Named/old@here"])
    plan = loop.plan()
    assert plan.changes[0].reasons == ("moved from Named/old@here",)
    assert results(loop.run()) == {"new": "adopted", "old": "forgotten"}
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_an_object_is_not_moved_to_another_place(loop: Loop, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    loop.provider._has_own_world = False
    targets = [
        {"name": name, "provider": "memory", "config": {"directory": str(tmp_path / name)}}
        for name in ("one", "two")
    ]
    loop.write_stack(targets=targets)
    loop.declare("old", {"name": "thing"}, kind="Named", targets={"names": ["one"]})
    loop.run()
    loop.undeclare("old", "Named")
    new = {"name": "thing"}
    moved = {"movedFrom": ["Named/old@one"]}
    loop.declare("new", new, kind="Named", targets={"names": ["two"]}, lifecycle=moved)
    report = loop.run()
    assert results(report) == {"new": "failed", "old": "blocked"}
    assert "is in another place" in messages(report)["new"]
    assert list(loop.records()) == ["old"]


# -- between stacks


@pytest.fixture
def other(loop: Loop) -> SourceSpec:
    """A second stack, `base`, beside the first one, that makes the object `thing` as Named/x."""
    folder = loop.folder / "base"
    folder.mkdir()
    document = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": "base"},
        "spec": {"targets": [{"name": "here", "provider": "memory"}], "allowEmpty": True},
    }
    (folder / "stack.yaml").write_text(yaml.safe_dump(document))
    resource = {
        "apiVersion": "memory.trueup.dev/v1",
        "kind": "Named",
        "metadata": {"name": "x"},
        "spec": {"name": "thing", "size": 1},
    }
    (folder / "x.yaml").write_text(yaml.safe_dump(resource))
    source = SourceSpec(str(folder))
    assert loop.app.reconcile(source).status is RunStatus.CONVERGED
    (folder / "x.yaml").unlink()
    return source


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_stack_takes_over_what_another_stack_gives_away(
    loop: Loop, other: SourceSpec, is_marked: bool
) -> None:
    since = len(loop.world.calls())
    if not is_marked:
        lose_marker(loop)
    declare(loop, "new", ["base/Named/x"])
    assert loop.plan().changes[0].reasons == ("moved from base/Named/x",)
    assert results(loop.run()) == {"new": "adopted"}
    expect_rest(loop)
    report = loop.app.reconcile(other)
    assert [outcome.result.value for outcome in report.outcomes] == ["forgotten"]
    assert not loop.app.store.inventory("base")
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_protected_object_changes_its_stack_and_stays_protected(loop: Loop, other: SourceSpec) -> None:
    since = len(loop.world.calls())
    (loop.folder / "base" / "x.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "memory.trueup.dev/v1",
                "kind": "Named",
                "metadata": {"name": "x"},
                "lifecycle": {"protect": True},
                "spec": {"name": "thing", "size": 1},
            }
        )
    )
    loop.app.reconcile(other)
    (loop.folder / "base" / "x.yaml").unlink()
    declare(loop, "new", ["base/Named/x"], lifecycle={"protect": True})
    for _ in range(2):
        loop.run()
        loop.app.reconcile(other)
    assert not loop.app.store.inventory("base")
    loop.undeclare("new", "Named")
    assert results(loop.run()) == {"new": "skipped"}
    expect_no_loss(loop, since)


def test_a_stack_takes_over_by_the_marker_where_the_row_is_lost(loop: Loop, other: SourceSpec) -> None:
    since = len(loop.world.calls())
    assert loop.app.forget(other, Selection(only=("Named/x",)), confirm=lambda _plan: True)
    declare(loop, "new", ["base/Named/x"])
    assert results(loop.run()) == {"new": "adopted"}
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_without_movedfrom_the_object_of_another_stack_is_in_the_way(loop: Loop, other: SourceSpec) -> None:
    declare(loop, "new")
    report = loop.run()
    assert "belongs to base/Named/x@here" in messages(report)["new"]


def test_the_marker_of_another_installation_moves_nothing(loop: Loop, other: SourceSpec) -> None:
    entry = loop.world.peek("Named/thing")
    assert entry is not None
    loop.world.put("Named/thing", {**entry, "owner": ["elsewhere", "base", "base/Named/x@here"]})
    declare(loop, "new", ["base/Named/x"])
    report = loop.run()
    assert results(report) == {"new": "failed"}
    entry = loop.world.peek("Named/thing")
    assert entry is not None
    assert entry["owner"][0] == "elsewhere"


def test_a_shared_object_that_was_there_first_is_still_only_released_after_a_move(loop: Loop) -> None:
    loop.world.put("Shared/tool", {"id": "1", "version": 1, "owner": None, "spec": {"size": 1}})
    loop.declare("tool", {"size": 1}, kind="Shared")
    loop.run()
    loop.write_stack(targets=[{"name": "there", "provider": "memory"}])
    loop.declare("tool", {"size": 1}, kind="Shared", lifecycle={"movedFrom": ["Shared/tool@here"]})
    assert sorted(outcome.result.value for outcome in loop.run().outcomes) == ["adopted", "forgotten"]
    loop.undeclare("tool", "Shared")
    assert results(loop.run()) == {"tool": "forgotten"}
    assert loop.world.list_keys() == ["Shared/tool"]


# -- the old stack first


@pytest.mark.parametrize("on_delete", ["delete", "orphan"])
def test_an_object_that_another_stack_of_the_source_claims_is_left_alone(
    loop: Loop, other: SourceSpec, on_delete: str
) -> None:
    since = len(loop.world.calls())
    (loop.folder / ".git").mkdir()
    record = next(iter(loop.app.store.inventory("base").values()))
    lease = loop.app.store.acquire_lease("base", "test", 60)
    assert lease is not None
    run = loop.app.store.begin_run(lease, url="", commit="", digest="")
    loop.app.store.record_steps(lease, run, (), [replace(record, on_delete=on_delete)])
    loop.app.store.release_lease(lease)
    declare(loop, "new", ["base/Named/x"])
    for _ in range(2):
        report = loop.app.reconcile(other)
        assert [outcome.result.value for outcome in report.outcomes] == ["skipped"]
        assert "../stack/Named-new.yaml says that another stack takes it over" in report.outcomes[0].message
        assert not report.plan.has_changes
    report = loop.app.destroy(other, confirm=lambda _plan: True)
    assert [outcome.result.value for outcome in report.outcomes] == ["skipped"]
    assert results(loop.run()) == {"new": "adopted"}
    assert [o.result.value for o in loop.app.reconcile(other).outcomes] == ["forgotten"]
    assert {call.verb for call in loop.world.calls()[since:] if call.is_write} == {"update"}
    expect_rest(loop)


def test_without_a_claim_the_old_stack_deletes_what_left_it(loop: Loop, other: SourceSpec) -> None:
    (loop.folder / ".git").mkdir()
    declare(loop, "new", ["base/Named/y"])
    loop.app.reconcile(other)
    assert loop.world.list_keys() == []


def test_files_are_searched_for_claims_only_where_something_would_be_deleted(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    monkeypatch.setattr(
        "trueup.sources.directory.DirectoryTree.source_paths", lambda self: searched.append(1) or []
    )
    loop.declare("a")
    loop.declare("kept", lifecycle={"protect": True})
    loop.run()
    loop.undeclare("kept")
    loop.run()
    assert not searched
    loop.undeclare("a")
    loop.plan()
    assert searched


# -- modules


def write_module(loop: Loop, *uses: str, member: str = "conf", moved_from: str = "") -> None:
    """Uses of a module with one resource, whose object is called after the use or `thing`."""
    folder = loop.folder / "stack" / "site"
    folder.mkdir(exist_ok=True)
    head = {"apiVersion": "trueup.dev/v1", "kind": "Module", "metadata": {"name": "site"}}
    inputs = {"inputs": {"name": {"type": "string"}}}
    (folder / "module.yaml").write_text(yaml.safe_dump({**head, "spec": inputs}))
    resource = {
        "apiVersion": "memory.trueup.dev/v1",
        "kind": "Named",
        "metadata": {"name": member},
        **({"lifecycle": {"movedFrom": [moved_from]}} if moved_from else {}),
        "spec": {"name": "${{ vars.name }}", "size": 1},
    }
    (folder / "resource.yaml").write_text(yaml.safe_dump(resource))
    documents = [
        {
            "apiVersion": "trueup.dev/v1",
            "kind": "Module",
            "metadata": {"name": use},
            "spec": {"source": "./site", "inputs": {"name": use if len(uses) > 1 else "thing"}},
        }
        for use in uses
    ]
    (loop.folder / "stack" / "uses.yaml").write_text(yaml.safe_dump_all(documents))


@pytest.mark.parametrize("text", [OLD, "shop/Named/old"])
def test_a_resource_moves_into_a_module(loop: Loop, text: str) -> None:
    since = make_old(loop)
    lose_marker(loop)
    write_module(loop, "blog", moved_from=text)
    assert results(loop.run()) == {"blog/conf": "adopted", "old": "forgotten"}
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_resource_moves_out_of_a_module(loop: Loop) -> None:
    write_module(loop, "blog")
    loop.run()
    since = len(loop.world.calls())
    (loop.folder / "stack" / "uses.yaml").unlink()
    shutil.rmtree(loop.folder / "stack" / "site")
    lose_marker(loop)
    declare(loop, "new", ["Named/blog/conf"])
    assert sorted(outcome.result.value for outcome in loop.run().outcomes) == ["adopted", "forgotten"]
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_resource_is_renamed_inside_of_a_module_for_each_of_its_uses(loop: Loop) -> None:
    declare(loop, "conf")
    write_module(loop, "blog", "docs")
    loop.run()
    since = len(loop.world.calls())
    write_module(loop, "blog", "docs", member="main", moved_from="Named/conf")
    reasons = {change.address.reference: change.reasons for change in loop.plan().changes}
    assert reasons["Named/blog/main"] == ("moved from Named/blog/conf",)
    assert reasons["Named/docs/main"] == ("moved from Named/docs/conf",)
    assert reasons["Named/conf"] == ()
    assert loop.run().status is RunStatus.CONVERGED
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_use_of_a_module_is_renamed(loop: Loop) -> None:
    write_module(loop, "blog")
    loop.run()
    since = len(loop.world.calls())
    lose_marker(loop)
    write_module(loop, "journal", moved_from="Named/blog/conf")
    assert sorted(outcome.result.value for outcome in loop.run().outcomes) == ["adopted", "forgotten"]
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_two_uses_of_a_module_do_not_both_take_what_was_outside(loop: Loop) -> None:
    since = make_old(loop)
    write_module(loop, "blog", "docs", moved_from=OLD)
    report = loop.run()
    assert results(report) == {"blog/conf": "failed", "docs/conf": "failed", "old": "blocked"}
    assert "and so was shop/Named/docs/conf@here" in messages(report)["blog/conf"]
    expect_no_loss(loop, since)


def test_a_use_of_a_module_goes_to_another_stack_although_the_old_one_runs_first(
    loop: Loop, other: SourceSpec
) -> None:
    (loop.folder / ".git").mkdir()
    loop.app.reconcile(other)
    here, there = loop.folder / "stack", loop.folder / "base"
    write_module(loop, "blog")
    shutil.copytree(here / "site", there / "site")
    (here / "uses.yaml").rename(there / "uses.yaml")
    assert loop.app.reconcile(other).status is RunStatus.CONVERGED
    since = len(loop.world.calls())
    text = (there / "uses.yaml").read_text().replace("name: blog", "name: journal", 1)
    (there / "uses.yaml").unlink()
    (here / "uses.yaml").write_text(f"{text}lifecycle: {{movedFrom: [base/Module/blog]}}\n")
    assert [o.result.value for o in loop.app.reconcile(other).outcomes] == ["skipped"]
    assert [o.result.value for o in loop.run().outcomes] == ["adopted"]
    assert [o.result.value for o in loop.app.reconcile(other).outcomes] == ["forgotten"]
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_run_over_the_old_name_alone_keeps_what_a_new_name_stands_for(loop: Loop) -> None:
    since = make_old(loop)
    declare(loop, "new")
    report = loop.run(Selection(only=(OLD,)))
    assert results(report) == {"old": "skipped"}
    assert messages(report) == {
        "old": "it is no longer in Git; it is to go on as shop/Named/new@here, which is not part of this run"
    }
    assert results(loop.run()) == {"new": "adopted", "old": "forgotten"}
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_run_over_the_old_name_of_a_target_alone_keeps_what_is_there(loop: Loop) -> None:
    since = make_old(loop)
    declare(loop, "old")
    loop.write_stack(targets=[{"name": "there", "provider": "memory"}])
    assert results(loop.run(Selection(targets=("here",)))) == {"old": "skipped"}
    assert [(c.address.target, c.action.value) for c in loop.plan().changes] == [
        ("there", "adopt"),
        ("here", "forget"),
    ]
    loop.run()
    expect_no_loss(loop, since)
    expect_rest(loop)


def test_a_run_over_an_old_name_alone_deletes_what_no_other_resource_stands_for(loop: Loop) -> None:
    make_old(loop)
    loop.write_stack(targets=[{"name": name, "provider": "memory"} for name in ("here", "there")])
    declare(loop, "new", spec={"name": "other"}, targets={"names": ["there"]})
    assert results(loop.run(Selection(only=(OLD,)))) == {"old": "deleted"}
    assert loop.world.list_keys() == []


def test_a_move_does_not_take_protection_away_in_time_for_a_replacement(loop: Loop) -> None:
    make_old(loop, lifecycle={"protect": True})
    assert results(loop.run()) == {"old": "skipped"}
    since = len(loop.world.calls())
    declare(loop, "new", [OLD], spec={"name": "other"})
    for _ in range(2):
        report = loop.run()
        assert results(report) == {"new": "failed", "old": "blocked"}
        assert "as Named/old it is protected" in messages(report)["new"]
    declare(loop, "new", [OLD])
    assert results(loop.run()) == {"new": "adopted", "old": "forgotten"}
    expect_no_loss(loop, since)
    assert not loop.records()["new"].protect
    declare(loop, "new", [OLD], spec={"name": "other"})
    assert results(loop.run()) == {"new": "replaced"}


def test_two_targets_of_one_place_do_not_take_an_object_from_each_other(loop: Loop) -> None:
    loop.write_stack(targets=[{"name": name, "provider": "memory"} for name in ("here", "there")])
    declare(loop, "thing", targets={"names": ["there"]})
    loop.run()
    targets = {"names": ["here", "there"]}
    declare(loop, "thing", targets=targets, lifecycle={"adopt": True})
    writes = loop.world.count_writes()
    for _ in range(2):
        report = loop.run()
        assert [(o.address.target, o.result.value) for o in report.outcomes] == [
            ("here", "failed"),
            ("there", "unchanged"),
        ]
        assert "which is declared as well" in report.outcomes[0].message
    assert loop.world.count_writes() == writes


def test_an_object_is_taken_over_once_its_resource_has_another_one(loop: Loop) -> None:
    declare(loop, "first", lifecycle={"replace": "createFirst"})
    loop.run()
    declare(loop, "first", spec={"name": "other"}, lifecycle={"replace": "createFirst", "onDelete": "orphan"})
    declare(loop, "second", lifecycle={"adopt": True})
    assert results(loop.run()) == {"second": "failed", "first": "replaced"}
    assert results(loop.run()) == {"second": "created", "first": "unchanged"}
    expect_rest(loop)
