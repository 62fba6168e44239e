"""The loop as a whole, over a world in memory: what it does, what it never does, that it comes to rest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trueup.app import SourceSpec
from trueup.errors import StalePlan, StoreError, UsageError
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.reconcile.cycle import is_selected
from trueup.reconcile.report import RunReport, Selection
from trueup.reconcile.situation import exact_address
from trueup.sdk.testing.memory import Vault
from trueup.sdk.testing.memory_world import Fault, MemoryWorld

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop


def results(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.result.value for outcome in report.outcomes}


def messages(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.message for outcome in report.outcomes if outcome.message}


def expect_rest(loop: Loop) -> None:
    """The next run has nothing to do and writes nothing, neither to the world nor to the inventory."""
    writes, records = loop.world.count_writes(), loop.records()
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert set(results(report).values()) <= {"unchanged", "skipped"}
    assert loop.world.count_writes() == writes
    assert loop.records() == records
    assert not loop.app.store.open_intents("shop")


def test_an_empty_world_converges_in_dependency_order_and_stays(loop: Loop) -> None:
    loop.declare("c", {"value": "${{ ref('Thing/b').status.id }}"})
    loop.declare("b", {"size": 1}, dependsOn=["Thing/a"])
    loop.declare("a", {"size": 1})
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert results(report) == {"a": "created", "b": "created", "c": "created"}
    assert [line for line in loop.notes.lines if line.startswith("created")] == [
        "created a",
        "created b",
        "created c",
    ]
    entry = loop.world.peek("Thing/b")
    assert entry is not None
    assert loop.spec("Thing/c") == {"value": entry["id"]}
    expect_rest(loop)


def test_a_run_reads_each_kind_once(loop: Loop) -> None:
    for index in range(20):
        loop.declare(f"t{index}", {"size": 1})
    loop.declare("v", kind="Vault")
    loop.run()
    before = len(loop.world.calls())
    loop.run()
    assert sorted(call.verb for call in loop.world.calls()[before:]) == ["connect", "observe", "observe"]


def test_a_plan_changes_nothing(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    plan = loop.plan()
    assert [(change.action, change.address.name) for change in plan.changes] == [(Action.CREATE, "a")]
    assert loop.world.count_writes() == 0
    assert loop.records() == {}
    assert loop.app.store.runs("shop") == []


def test_drift_is_found_and_corrected(loop: Loop) -> None:
    loop.declare("a", {"size": 1, "value": "x"})
    loop.run()
    loop.edit("Thing/a", size=7)
    change = loop.plan().changes[0]
    assert change.is_drift
    assert [(field.path, field.before, field.after) for field in change.fields] == [("/spec/size", 7, 1)]
    assert results(loop.run()) == {"a": "updated"}
    assert loop.spec("Thing/a")["size"] == 1
    expect_rest(loop)


def test_a_deleted_object_is_made_again(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.run()
    loop.world.put("Thing/a", None)
    assert results(loop.run()) == {"a": "created"}
    expect_rest(loop)


def test_drift_is_only_reported_where_the_stack_says_so(loop: Loop) -> None:
    loop.write_stack(drift="report")
    loop.declare("a", {"size": 1})
    loop.run()
    loop.edit("Thing/a", size=7)
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert results(report) == {"a": "skipped"}
    assert loop.spec("Thing/a")["size"] == 7
    loop.declare("a", {"size": 2})
    assert results(loop.run()) == {"a": "updated"}
    assert loop.spec("Thing/a")["size"] == 2


def test_a_failed_update_is_tried_again_although_drift_is_only_reported(loop: Loop) -> None:
    loop.write_stack(drift="report")
    loop.declare("a", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 2})
    loop.world.inject(Fault("update", "Invalid"))
    assert results(loop.run()) == {"a": "failed"}
    assert results(loop.run()) == {"a": "updated"}


def test_an_ignored_field_keeps_what_lives(loop: Loop) -> None:
    loop.declare("a", {"size": 1, "value": "x"}, lifecycle={"ignore": ["/spec/size"]})
    loop.run()
    loop.edit("Thing/a", size=7)
    expect_rest(loop)
    loop.declare("a", {"size": 1, "value": "y"}, lifecycle={"ignore": ["/spec/size"]})
    assert results(loop.run()) == {"a": "updated"}
    assert loop.spec("Thing/a") == {"size": 7, "value": "y"}


def test_a_resource_that_leaves_git_is_deleted_after_those_that_used_it(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b", {"value": "${{ ref('Thing/a').status.id }}"})
    loop.declare("c", dependsOn=["Thing/b"])
    loop.run()
    loop.declare("c")
    loop.undeclare("a")
    loop.undeclare("b")
    report = loop.run()
    assert results(report) == {"a": "deleted", "b": "deleted", "c": "unchanged"}
    finished = [line for line in loop.notes.lines if line.startswith("deleted")]
    assert finished == ["deleted b", "deleted a"]
    assert set(loop.records()) == {"c"}
    expect_rest(loop)


def test_nothing_is_deleted_where_prune_is_off(loop: Loop) -> None:
    loop.declare("a")
    loop.run()
    loop.write_stack(prune=False)
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "skipped"}
    assert loop.world.list_keys() == ["Thing/a"]
    assert set(loop.records()) == {"a"}


def test_a_dependency_is_not_deleted_while_its_user_is_kept(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b", {"value": "${{ ref('Thing/a').status.id }}"}, lifecycle={"protect": True})
    loop.run()
    loop.undeclare("a")
    loop.undeclare("b")
    report = loop.run(approved=loop.plan().digest)
    assert results(report) == {"a": "blocked", "b": "skipped"}
    assert "still used by shop/Thing/b@here" in messages(report)["a"]
    assert loop.world.list_keys() == ["Thing/a", "Thing/b"]


def test_a_delete_that_fails_keeps_its_row_and_is_tried_again(loop: Loop) -> None:
    loop.declare("a")
    loop.run()
    loop.undeclare("a")
    loop.world.inject(Fault("delete", "Denied"))
    report = loop.run()
    assert report.status is RunStatus.FAILED
    assert set(loop.records()) == {"a"}
    assert results(loop.run()) == {"a": "deleted"}
    assert loop.records() == {}


def test_an_orphan_stays_and_loses_our_marker(loop: Loop) -> None:
    loop.declare("a", lifecycle={"onDelete": "orphan"})
    loop.run()
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "forgotten"}
    entry = loop.world.peek("Thing/a")
    assert entry is not None
    assert entry["owner"] is None
    expect_rest(loop)


def test_an_immutable_field_replaces_the_object(loop: Loop) -> None:
    loop.declare("a", {"zone": "x"})
    loop.run()
    first = loop.world.peek("Thing/a")
    loop.declare("a", {"zone": "y"})
    assert results(loop.run()) == {"a": "replaced"}
    second = loop.world.peek("Thing/a")
    assert first is not None and second is not None
    assert first["id"] != second["id"]
    assert loop.records()["a"].external_id == second["id"]
    expect_rest(loop)


def test_a_dependent_of_a_replaced_node_follows_in_the_same_run(loop: Loop) -> None:
    loop.declare("a", {"zone": "x"})
    loop.declare("b", {"value": "${{ ref('Thing/a').status.id }}"})
    loop.run()
    loop.declare("a", {"zone": "y"})
    assert [str(field.after) for field in loop.plan().changes[1].fields] == ["(known after apply)"]
    assert results(loop.run()) == {"a": "replaced", "b": "updated"}
    entry = loop.world.peek("Thing/a")
    assert entry is not None
    assert loop.spec("Thing/b")["value"] == entry["id"]
    expect_rest(loop)


def test_a_replacement_that_the_plan_did_not_show_is_not_carried_out(loop: Loop) -> None:
    loop.world.put("Thing/a", {"id": "f", "version": 1, "owner": None, "spec": {"value": "x"}})
    loop.declare("a", {"size": 1}, lifecycle={"adopt": True})
    loop.declare("b", {"zone": "${{ ref('Thing/a').spec.value }}"})
    loop.run()
    loop.declare("a", {"size": 2}, lifecycle={"adopt": True})
    original, first = loop.world.change, loop.world.peek("Thing/b")

    def change_more(verb: str, key: str, change: Any) -> Any:
        return original(verb, key, lambda old: {**change(old), "spec": {"size": 2, "value": "moved"}})

    loop.world.change = change_more  # type: ignore[method-assign]
    report = loop.run()
    assert results(report) == {"a": "updated", "b": "failed"}
    assert "which the plan did not say" in messages(report)["b"]
    assert loop.world.peek("Thing/b") == first
    loop.world.change = original  # type: ignore[method-assign]
    assert results(loop.run()) == {"a": "unchanged", "b": "replaced"}


def test_a_foreign_object_in_the_way_is_left_alone_and_blocks_its_dependents_only(loop: Loop) -> None:
    foreign = {"id": "f", "version": 1, "owner": None, "spec": {"size": 9}}
    loop.world.put("Thing/a", foreign)
    loop.declare("a", {"size": 1})
    loop.declare("b", dependsOn=["Thing/a"])
    loop.declare("c")
    report = loop.run()
    assert report.status is RunStatus.FAILED
    assert results(report) == {"a": "failed", "b": "blocked", "c": "created"}
    assert "in the way" in messages(report)["a"]
    assert "waits for shop/Thing/a@here" in messages(report)["b"]
    assert loop.world.peek("Thing/a") == foreign
    loop.declare("a", {"size": 1}, lifecycle={"adopt": True})
    assert results(loop.run()) == {"a": "updated", "b": "created", "c": "unchanged"}
    expect_rest(loop)


def test_an_equal_foreign_object_is_adopted_with_our_marker(loop: Loop) -> None:
    loop.world.put("Thing/a", {"id": "f", "version": 1, "owner": None, "spec": {"size": 1, "value": "keep"}})
    loop.declare("a", {"size": 1}, lifecycle={"adopt": True})
    assert results(loop.run()) == {"a": "adopted"}
    entry = loop.world.peek("Thing/a")
    assert entry is not None
    assert entry["owner"][2] == "shop/Thing/a@here"
    assert entry["spec"] == {"size": 1, "value": "keep"}
    expect_rest(loop)


def test_an_object_of_another_installation_is_never_touched(loop: Loop) -> None:
    foreign = {"id": "f", "version": 1, "owner": ["else", "shop", "shop/Thing/a@here"], "spec": {}}
    loop.world.put("Thing/a", foreign)
    loop.declare("b")
    assert results(loop.run()) == {"b": "created"}
    loop.declare("a", {"size": 1})
    assert results(loop.run()) == {"a": "failed", "b": "unchanged"}
    assert loop.world.peek("Thing/a") == foreign


def test_a_shared_object_that_was_there_is_released_rather_than_deleted(loop: Loop) -> None:
    loop.world.put("Shared/p", {"id": "f", "version": 1, "owner": None, "spec": {"size": 1}})
    loop.declare("p", {"size": 1}, kind="Shared")
    loop.declare("q", {"size": 1}, kind="Shared")
    assert results(loop.run()) == {"p": "adopted", "q": "created"}
    expect_rest(loop)
    loop.undeclare("p", "Shared")
    loop.undeclare("q", "Shared")
    assert results(loop.run(approved=loop.plan().digest)) == {"p": "forgotten", "q": "deleted"}
    entry = loop.world.peek("Shared/p")
    assert entry is not None
    assert entry["owner"] is None


@pytest.mark.parametrize("error", ["Transient", "Throttled", "Denied", "bug"])
def test_what_cannot_be_read_is_never_written(loop: Loop, error: str) -> None:
    loop.declare("a", {"size": 1})
    loop.declare("gone", {"size": 1})
    loop.run()
    loop.undeclare("gone")
    loop.declare("a", {"size": 2})
    loop.declare("new", {"size": 1})
    writes = loop.world.count_writes()
    loop.world.inject(Fault("observe", error, times=9))
    report = loop.run()
    assert report.status is RunStatus.FAILED
    assert results(report) == {"a": "failed", "gone": "failed", "new": "failed"}
    assert loop.world.count_writes() == writes
    assert set(loop.records()) == {"a", "gone"}


def test_a_lost_answer_of_a_create_makes_no_second_object(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.world.inject(Fault("create", "Transient", moment="after"))
    assert results(loop.run()) == {"a": "created"}
    assert [call.verb for call in loop.world.calls() if call.is_write] == ["create", "create"]
    assert loop.world.list_keys() == ["Thing/a"]
    expect_rest(loop)


def test_a_create_whose_answers_are_all_lost_is_adopted_by_the_next_run(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.world.inject(Fault("create", "Transient", moment="after", times=3))
    assert results(loop.run()) == {"a": "failed"}
    assert len(loop.app.store.open_intents("shop")) == 1
    assert results(loop.run()) == {"a": "adopted"}
    expect_rest(loop)


def test_a_create_that_was_cut_and_then_left_git_is_cleaned_up(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.world.inject(Fault("create", "Transient", moment="after", times=3))
    loop.run()
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "deleted"}
    assert loop.world.list_keys() == []
    expect_rest(loop)


def test_a_provider_bug_fails_its_node_alone_and_shows_no_text_of_the_exception(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": 1})
    loop.world.inject(Fault("create", "bug", key="Thing/a"))
    report = loop.run()
    assert results(report) == {"a": "failed", "b": "created"}
    assert "a bug in provider 'memory': create raised RuntimeError at" in messages(report)["a"]
    assert "as the test asked" not in messages(report)["a"]


def test_a_slow_create_is_polled_and_told(loop: Loop) -> None:
    loop.declare("s", {"size": 1}, kind="Slow")
    assert results(loop.run()) == {"s": "created"}
    assert "waiting s: 2 steps are left" in loop.notes.lines
    expect_rest(loop)


def test_a_secret_is_in_no_record_step_or_plan(loop: Loop) -> None:
    loop.declare("s", {"user": "u", "token": "canary-1", "password": "canary-2"}, kind="Secretive")
    plan = loop.plan()
    report = loop.run()
    assert results(report) == {"s": "created"}
    assert loop.spec("Secretive/s")["password"] == "canary-2"
    seen = repr((plan, report, loop.records(), loop.app.store.steps(report.run)))
    assert "canary" not in seen
    store = b"".join(file.read_bytes() for file in loop.folder.glob("store.db*"))
    assert b"canary" not in store
    expect_rest(loop)
    loop.declare("s", {"user": "u", "token": "canary-1", "password": "canary-3"}, kind="Secretive")
    assert results(loop.run()) == {"s": "updated"}
    assert loop.spec("Secretive/s")["password"] == "canary-3"


def test_deletes_over_the_budget_are_held_until_that_digest_is_approved(loop: Loop) -> None:
    for name in ("kept", *(f"t{index}" for index in range(6))):
        loop.declare(name)
    loop.run()
    for index in range(6):
        loop.undeclare(f"t{index}")
    report = loop.run()
    assert report.status is RunStatus.HELD
    assert [hold.guard for hold in report.plan.holds] == ["deletion-budget"]
    assert len(loop.world.list_keys()) == 7
    with pytest.raises(StalePlan, match="another one than sha256:other"):
        loop.run(approved="sha256:other")
    assert len(loop.world.list_keys()) == 7
    assert loop.run(approved=report.plan.digest).status is RunStatus.CONVERGED
    assert loop.world.list_keys() == ["Thing/kept"]


def test_five_deletes_need_no_approval(loop: Loop) -> None:
    for name in ("kept", *(f"t{index}" for index in range(5))):
        loop.declare(name)
    loop.run()
    for index in range(5):
        loop.undeclare(f"t{index}")
    assert loop.run().status is RunStatus.CONVERGED


def test_to_delete_a_whole_stack_waits_for_an_approval_however_small_it_is(loop: Loop) -> None:
    for name in ("a", "b"):
        loop.declare(name)
    loop.run()
    for name in ("a", "b"):
        loop.undeclare(name)
    report = loop.run()
    assert [hold.guard for hold in report.plan.holds] == ["whole-stack"]
    assert loop.world.list_keys() == ["Thing/a", "Thing/b"]
    assert loop.run(approved=report.plan.digest).status is RunStatus.CONVERGED


def test_an_approval_counts_for_its_digest_alone(loop: Loop) -> None:
    loop.declare("v", kind="Vault")
    loop.run()
    loop.undeclare("v", "Vault")
    digest = loop.run().plan.digest
    entry = loop.world.peek("Vault/v")
    assert entry is not None
    loop.world.put("Vault/v", {**entry, "version": 2})
    with pytest.raises(StalePlan, match=f"another one than {digest}"):
        loop.run(approved=digest)
    assert loop.world.list_keys() == ["Vault/v"]
    held = loop.run()
    assert held.status is RunStatus.HELD
    assert loop.run(approved=held.plan.digest).status is RunStatus.CONVERGED


def test_who_says_no_changes_nothing(loop: Loop) -> None:
    loop.declare("a")
    report = loop.run(confirm=lambda _plan: False)
    assert (report.status, report.outcomes, report.run) == (RunStatus.HELD, (), 0)
    assert loop.world.count_writes() == 0
    assert loop.app.store.lease("shop") is None


def test_nobody_is_asked_about_a_plan_without_changes(loop: Loop) -> None:
    loop.declare("a")
    loop.run()
    assert loop.run(confirm=lambda _plan: pytest.fail("asked")).status is RunStatus.CONVERGED


def test_another_place_under_the_same_target_is_refused_for_new_nodes_too(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.declare("gone", {"size": 1})
    loop.run()
    loop.undeclare("gone")
    loop.declare("new", {"size": 1})
    elsewhere = MemoryWorld()
    loop.provider.world = elsewhere
    report = loop.run()
    assert report.status is RunStatus.FAILED
    for name in ("a", "gone", "new"):
        assert "is another place" in messages(report)[name]
    assert elsewhere.count_writes() == 0
    assert set(loop.records()) == {"a", "gone"}


def rename_target(loop: Loop) -> None:
    loop.write_stack(targets=[{"name": "there", "provider": "memory"}])


@pytest.mark.parametrize("adopt", [False, True])
def test_a_target_that_is_renamed_keeps_its_objects(loop: Loop, adopt: bool) -> None:
    for name in ("a", "b"):
        loop.declare(name, {"size": 1}, lifecycle={"adopt": adopt})
    loop.declare("s", {"size": 1}, kind="Shared")
    loop.run()
    before = {key: (loop.world.peek(key) or {})["id"] for key in loop.world.list_keys()}
    rename_target(loop)
    plan = loop.plan()
    assert {change.action for change in plan.changes} == {Action.ADOPT, Action.FORGET}
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert sorted(outcome.result.value for outcome in report.outcomes) == ["adopted"] * 3 + ["forgotten"] * 3
    assert {key: (loop.world.peek(key) or {})["id"] for key in loop.world.list_keys()} == before
    assert {address.target for address in loop.app.store.inventory("shop")} == {"there"}
    expect_rest(loop)
    loop.undeclare("s", "Shared")
    assert results(loop.run())["s"] == "deleted"


def test_a_rename_that_fails_keeps_the_old_row(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.run()
    rename_target(loop)
    loop.world.inject(Fault("update", "Denied"))
    report = loop.run()
    assert sorted(outcome.result.value for outcome in report.outcomes) == ["blocked", "failed"]
    assert loop.world.list_keys() == ["Thing/a"]
    assert loop.run().status is RunStatus.CONVERGED
    expect_rest(loop)


@pytest.mark.parametrize("key", ["protect", "onDelete"])
def test_a_lifecycle_counts_from_the_first_run_that_reads_it_whatever_became_of_the_node(
    loop: Loop, key: str
) -> None:
    loop.write_stack(drift="report")
    loop.declare("a", {"size": 1})
    loop.run()
    loop.edit("Thing/a", size=7)
    loop.declare("a", {"size": 1}, lifecycle={key: True if key == "protect" else "orphan"})
    assert results(loop.run()) == {"a": "skipped"}
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "skipped" if key == "protect" else "forgotten"}
    assert loop.world.list_keys() == ["Thing/a"]


def test_a_target_that_is_gone_for_good_can_be_forgotten(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.run()
    loop.provider.world = MemoryWorld()
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "failed"}
    selection = Selection(targets=("here",))
    declined = loop.app.forget(loop.source, selection, confirm=lambda _plan: False)
    assert declined.status is RunStatus.HELD
    assert set(loop.records()) == {"a"}
    report = loop.app.forget(loop.source, selection, confirm=lambda _plan: True)
    assert results(report) == {"a": "forgotten"}
    assert loop.records() == {}
    assert loop.world.list_keys() == ["Thing/a"]
    assert loop.run().status is RunStatus.CONVERGED


def test_to_forget_everything_by_mistake_is_refused(loop: Loop) -> None:
    loop.declare("a")
    loop.run()
    with pytest.raises(UsageError, match="nothing of the inventory is selected"):
        loop.app.forget(loop.source, Selection(), confirm=lambda _plan: True)
    assert set(loop.records()) == {"a"}


def test_a_selection_takes_its_dependencies_along_and_prunes_nothing_else(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b", dependsOn=["Thing/a"])
    loop.declare("c")
    loop.declare("old")
    loop.run()
    loop.undeclare("old")
    loop.edit("Thing/a", size=7)
    loop.edit("Thing/c", size=7)
    for name in ("a", "b", "c"):
        loop.declare(name, {"size": 2}, dependsOn=["Thing/a"] if name == "b" else [])
    assert results(loop.run(Selection(only=("Thing/b",)))) == {"a": "updated", "b": "updated"}
    assert loop.spec("Thing/c")["size"] == 7
    assert loop.world.peek("Thing/old") is not None
    assert results(loop.run(Selection(only=("shop/Thing/old@here",)))) == {"old": "deleted"}


def test_a_selection_of_a_module_means_its_nodes_and_no_namespace_of_that_name(loop: Loop) -> None:
    module = loop.folder / "stack" / "m"
    module.mkdir()
    head = "apiVersion: trueup.dev/v1\nkind: Module\n"
    (module / "module.yaml").write_text(f"{head}metadata: {{name: m}}\nspec: {{inputs: {{name: {{}}}}}}\n")
    (module / "things.yaml").write_text(
        "apiVersion: memory.trueup.dev/v1\nkind: Thing\nmetadata: {name: '${{ vars.name }}'}\n"
    )
    use = loop.folder / "stack" / "uses.yaml"
    use.write_text(
        f"{head}metadata: {{name: 'use-${{{{ each.key }}}}'}}\nforEach: [a, b]\n"
        "spec: {source: m, inputs: {name: '${{ each.key }}'}}\n"
    )
    loop.declare("c")
    loop.run()
    assert set(loop.world.list_keys()) == {"Thing/a", "Thing/b", "Thing/c"}
    assert results(loop.run(Selection(only=("Module/use-a",)))) == {"use-a/a": "unchanged"}
    assert results(loop.run(Selection(only=("shop/Module/use-b",)))) == {"use-b/b": "unchanged"}
    use.unlink()
    assert [change.action for change in loop.plan(Selection(only=("Module/use-a@here",))).changes] == [
        Action.DELETE
    ]
    loop.run(Selection(only=("Module/use-a",)))
    assert set(loop.world.list_keys()) == {"Thing/b", "Thing/c"}
    (record,) = (record for record in loop.records().values() if record.address.name == "b")
    namespaced = replace(record, body={**record.body, "metadata": {"name": "b", "namespace": "use-b"}})
    assert not is_selected(exact_address(namespaced), Selection(only=("Module/use-b",)))
    assert is_selected(exact_address(record), Selection(only=("Module/use-b",)))


def test_a_use_of_a_module_that_is_renamed_keeps_its_objects(loop: Loop) -> None:
    module = loop.folder / "stack" / "m"
    module.mkdir()
    head = "apiVersion: trueup.dev/v1\nkind: Module\n"
    (module / "module.yaml").write_text(f"{head}metadata: {{name: m}}\n")
    (module / "vault.yaml").write_text(
        "apiVersion: memory.trueup.dev/v1\nkind: Vault\nmetadata: {name: v}\n---\n"
        "apiVersion: memory.trueup.dev/v1\nkind: Thing\nmetadata: {name: t}\n"
    )
    use = loop.folder / "stack" / "use.yaml"
    use.write_text(f"{head}metadata: {{name: old}}\nspec: {{source: m}}\n")
    loop.run()
    before = {key: loop.world.peek(key) for key in loop.world.list_keys()}
    use.write_text(
        f"{head}metadata: {{name: new}}\nlifecycle: {{movedFrom: [Module/old]}}\nspec: {{source: m}}\n"
    )
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert not {"created", "deleted", "replaced"} & set(results(report).values())
    assert {record.address.text for record in loop.records().values()} == {
        "shop/Vault/new/v@here",
        "shop/Thing/new/t@here",
    }
    assert loop.world.list_keys() == list(before)
    for key, entry in before.items():
        now = loop.world.peek(key)
        assert entry is not None
        assert now is not None
        assert now["id"] == entry["id"]
    expect_rest(loop)


def test_a_selection_of_nothing_is_an_error(loop: Loop) -> None:
    loop.declare("a")
    with pytest.raises(UsageError, match="Thing/nope"):
        loop.plan(Selection(only=("Thing/nope",)))


def test_destroy_deletes_dependents_first_and_leaves_nothing(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b", {"value": "${{ ref('Thing/a').status.id }}"})
    loop.declare("v", kind="Vault", dependsOn=["Thing/b"])
    loop.run()
    report = loop.destroy()
    assert [outcome.address.name for outcome in report.outcomes] == ["v", "b", "a"]
    assert report.status is RunStatus.CONVERGED
    assert loop.world.list_keys() == []
    assert loop.records() == {}


def test_destroy_of_a_part_takes_what_depends_on_it_along(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b", dependsOn=["Thing/a"])
    loop.declare("c")
    loop.run()
    assert results(loop.destroy(Selection(only=("Thing/a",)))) == {"b": "deleted", "a": "deleted"}
    assert loop.world.list_keys() == ["Thing/c"]


def test_destroy_refuses_what_is_protected_and_what_it_rests_on(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b", dependsOn=["Thing/a"], lifecycle={"protect": True})
    loop.declare("c")
    loop.run()
    report = loop.destroy()
    assert report.status is RunStatus.FAILED
    assert results(report) == {"a": "blocked", "b": "failed", "c": "deleted"}
    assert loop.world.list_keys() == ["Thing/a", "Thing/b"]


def test_protection_outlives_the_block_that_declared_it(loop: Loop) -> None:
    loop.declare("a", lifecycle={"protect": True})
    loop.run()
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "skipped"}
    assert loop.world.list_keys() == ["Thing/a"]


def test_protection_is_kept_also_by_a_run_over_something_else(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b")
    loop.run()
    loop.declare("a", lifecycle={"protect": True})
    loop.run(Selection(only=("Thing/b",)))
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "skipped", "b": "unchanged"}
    assert loop.world.list_keys() == ["Thing/a", "Thing/b"]


def test_a_protection_that_git_takes_away_is_gone(loop: Loop) -> None:
    loop.declare("a", lifecycle={"protect": True})
    loop.run()
    loop.declare("a")
    loop.run()
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "deleted"}


def test_a_saved_plan_is_carried_out_while_nothing_has_moved(loop: Loop, tmp_path: Path) -> None:
    loop.declare("a", {"size": 1})
    file = str(tmp_path / "plan.json")
    loop.app.save_plan(loop.plan(), loop.source, Selection(), file)
    assert loop.app.reconcile_saved(file).status is RunStatus.CONVERGED


def test_a_saved_plan_is_refused_once_the_world_has_moved(loop: Loop, tmp_path: Path) -> None:
    loop.declare("a", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 2})
    file = str(tmp_path / "plan.json")
    loop.app.save_plan(loop.plan(), loop.source, Selection(), file)
    loop.edit("Thing/a", size=9)
    writes = loop.world.count_writes()
    with pytest.raises(StalePlan, match="stale"):
        loop.app.reconcile_saved(file)
    assert loop.world.count_writes() == writes
    assert loop.app.store.lease("shop") is None


def test_a_saved_plan_is_refused_once_the_files_have_changed(loop: Loop, tmp_path: Path) -> None:
    loop.declare("a", {"size": 1})
    file = str(tmp_path / "plan.json")
    loop.app.save_plan(loop.plan(), loop.source, Selection(), file)
    loop.declare("b", {"size": 1})
    with pytest.raises(StalePlan, match="has changed"):
        loop.app.reconcile_saved(file)
    assert loop.world.count_writes() == 0


def test_the_digest_is_over_effects_and_what_they_rest_on(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 2})
    first = loop.plan().digest
    assert loop.plan().digest == first
    loop.declare("c", {"size": 1})
    assert loop.plan().digest != first
    loop.undeclare("c")
    assert loop.plan().digest == first
    loop.edit("Thing/a", value="unrelated to what is owned")
    assert loop.plan().digest != first


def test_one_writer_a_stack(loop: Loop) -> None:
    loop.declare("a")
    lease = loop.app.store.acquire_lease("shop", "elsewhere:1:x", 60)
    assert lease is not None
    with pytest.raises(StoreError, match="elsewhere:1:x"):
        loop.run()
    assert loop.world.count_writes() == 0
    loop.app.store.release_lease(lease)
    assert loop.run().status is RunStatus.CONVERGED


def test_an_interrupted_run_finishes_what_is_in_flight_and_says_what_is_left(loop: Loop) -> None:
    loop.declare("a")
    for index in range(3):
        loop.declare(f"z{index}", dependsOn=["Thing/a"])
    original = loop.world.change

    def change_and_stop(*arguments: Any) -> Any:
        loop.stop.set()
        return original(*arguments)

    loop.world.change = change_and_stop  # type: ignore[method-assign]
    report = loop.run()
    assert report.status is RunStatus.INTERRUPTED
    assert results(report) == {"a": "created"}
    assert [address.name for address in report.left] == ["z0", "z1", "z2"]
    assert set(loop.world.list_keys()) == {"Thing/a"}
    loop.stop.clear()
    loop.world.change = original  # type: ignore[method-assign]
    assert loop.run().status is RunStatus.CONVERGED
    expect_rest(loop)


def test_a_read_that_lags_behind_a_create_makes_no_second_object(loop: Loop) -> None:
    loop.world.hide_reads = 2
    loop.declare("a", {"size": 1})
    assert results(loop.run()) == {"a": "created"}
    assert [call.verb for call in loop.world.calls() if call.is_write] == ["create"]


def test_history_keeps_each_run_with_its_counts(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    loop.run()
    loop.run()
    newest, oldest = loop.app.store.runs("shop")
    assert (oldest.counts, newest.counts) == ({"created": 1}, {"unchanged": 1})
    assert oldest.status is RunStatus.CONVERGED
    assert oldest.digest.startswith("sha256:")
    assert [step.result.value for step in loop.app.store.steps(oldest.id)] == ["created"]


def test_two_directories_with_one_stack_name_do_not_prune_each_other(loop: Loop, tmp_path: Path) -> None:
    loop.declare("a")
    loop.declare("b")
    loop.run()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "stack", copy)
    (copy / "Thing-b.yaml").unlink()
    report = loop.app.reconcile(SourceSpec(str(copy)))
    assert [hold.guard for hold in report.plan.holds] == ["source-changed"]
    assert loop.world.list_keys() == ["Thing/a", "Thing/b"]


def test_two_environments_with_one_stack_name_do_not_prune_each_other(loop: Loop, tmp_path: Path) -> None:
    loop.write_stack(variables={"has_b": {"type": "boolean"}}, exclude=["envs"])
    (tmp_path / "stack" / "envs").mkdir()
    for name, has_b in (("prod", "true"), ("dev", "false"), ("dr", "true")):
        (tmp_path / "stack" / "envs" / f"{name}.yaml").write_text(f"has_b: {has_b}\n")
    loop.declare("a")
    loop.declare("b", when="${{ vars.has_b }}")

    def run(*values: str, sets: tuple[str, ...] = (), approved: str = "") -> RunReport:
        return loop.app.reconcile(replace(loop.source, values=values, sets=sets), approved=approved)

    assert run("envs/prod.yaml").status is RunStatus.CONVERGED
    held = run("envs/dev.yaml")
    assert [hold.guard for hold in held.plan.holds] == ["source-changed"]
    assert "with values envs/dev.yaml" in held.plan.holds[0].message
    assert [hold.guard for hold in run(sets=("has_b=false",)).plan.holds] == ["source-changed"]
    assert loop.world.list_keys() == ["Thing/a", "Thing/b"]
    # Without a loss nothing is held, and an approval lets the change of values pass.
    assert run("envs/dr.yaml").status is RunStatus.CONVERGED
    assert run("envs/dev.yaml", approved=held.plan.digest).status is RunStatus.CONVERGED
    assert loop.world.list_keys() == ["Thing/a"]


def test_what_a_person_made_while_our_create_was_blocked_is_not_ours_to_delete(loop: Loop) -> None:
    loop.declare("z", {"size": 1})
    loop.declare("p", {"size": 1}, kind="Shared", dependsOn=["Thing/z"])
    loop.declare("kept")
    loop.world.inject(Fault("create", "Denied", key="Thing/z"))
    assert results(loop.run())["p"] == "blocked"
    loop.world.put("Shared/p", {"id": "f", "version": 1, "owner": None, "spec": {"size": 1}})
    assert results(loop.run())["p"] == "adopted"
    loop.undeclare("p", "Shared")
    assert results(loop.run())["p"] == "forgotten"
    assert loop.world.peek("Shared/p") is not None


def test_an_ignored_field_that_leaves_the_manifest_stays_as_it_lives(loop: Loop) -> None:
    loop.declare("a", {"size": 1, "value": {"k": "x"}})
    loop.run()
    loop.edit("Thing/a", size=9)
    loop.declare("a", {"value": {"k": "x"}}, lifecycle={"ignore": ["/spec/size"]})
    loop.run()
    assert loop.spec("Thing/a")["size"] == 9
    expect_rest(loop)


def test_a_saved_plan_is_refused_in_another_place(loop: Loop, tmp_path: Path) -> None:
    loop.declare("a", {"size": 1})
    file = str(tmp_path / "plan.json")
    loop.app.save_plan(loop.plan(), loop.source, Selection(), file)
    loop.provider.world = MemoryWorld()
    with pytest.raises(StalePlan):
        loop.app.reconcile_saved(file)
    assert loop.provider.world.count_writes() == 0


def test_a_saved_plan_that_was_cut_off_is_a_message(loop: Loop, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"format": "trueup-plan/1"}')
    with pytest.raises(UsageError, match="not complete"):
        loop.app.reconcile_saved(str(file))


def test_a_secret_stays_hidden_when_the_manifest_no_longer_takes_it_from_one(loop: Loop) -> None:
    loop.declare("s", {"user": "u", "token": "canary"}, kind="Secretive")
    loop.declare("a", {"value": "${{ ref('Secretive/s').spec.token }}"})
    loop.run()
    assert loop.spec("Thing/a")["value"] == "canary"
    loop.declare("a", {"value": "plain"})
    report = loop.run()
    assert results(report)["a"] == "updated"
    assert "canary" not in repr(report.plan.changes)
    assert "canary" not in repr(loop.app.store.steps(report.run))


def test_a_bug_in_a_health_check_fails_its_node_alone(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(self: object, observed: Any) -> Any:
        raise ValueError("canary")

    loop.declare("a", {"size": 1})
    loop.declare("v", {"size": 1}, kind="Vault")
    loop.run()
    monkeypatch.setattr(Vault, "health", explode)
    report = loop.run()
    assert results(report) == {"a": "unchanged", "v": "failed"}
    assert "a bug in provider 'memory': health raised ValueError" in messages(report)["v"]
    assert "canary" not in messages(report)["v"]
    assert loop.app.status(loop.source).nodes


def test_an_unknown_value_never_reaches_a_provider(loop: Loop) -> None:
    loop.declare("a", {"zone": "x"})
    loop.declare("d", {"value": "${{ ref('Thing/a').status.phase }}"})
    loop.declare("n", {"value": "${{ ref('Thing/d').status.id }}", "tags": ["x"]})
    loop.run()
    loop.declare("a", {"zone": "y"})
    loop.declare("n", {"value": "${{ ref('Thing/d').status.id }}", "tags": ["y"]})
    assert loop.run().status is RunStatus.CONVERGED
    assert "known after apply" not in repr(loop.spec("Thing/n"))
    expect_rest(loop)


def test_a_wait_that_is_interrupted_is_no_failure_and_leaves_a_record(loop: Loop) -> None:
    loop.declare("s", {"size": 1}, kind="Slow")
    original = loop.world.change

    def change_and_stop(*arguments: Any) -> Any:
        loop.stop.set()
        return original(*arguments)

    loop.world.change = change_and_stop  # type: ignore[method-assign]
    report = loop.run()
    assert report.status is RunStatus.INTERRUPTED
    assert results(report) == {"s": "failed"}
    assert report.left == ()
    assert "interrupted while it waited" in messages(report)["s"]
    loop.stop.clear()
    loop.world.change = original  # type: ignore[method-assign]
    for _ in range(3):
        entry = loop.world.peek("Slow/s")
        assert entry is not None
        loop.world.put("Slow/s", {**entry, "pending": 0})
    assert loop.run().status is RunStatus.CONVERGED
    expect_rest(loop)


def test_an_object_that_a_cut_replacement_left_is_deleted_with_its_resource(loop: Loop) -> None:
    loop.declare("kept")
    loop.declare("a", {"zone": "x"})
    loop.run()
    loop.declare("a", {"zone": "y"})
    loop.world.inject(Fault("create", "Transient", moment="after", times=3))
    assert results(loop.run())["a"] == "failed"
    loop.undeclare("a")
    assert results(loop.run())["a"] == "deleted"
    assert loop.world.list_keys() == ["Thing/kept"]


def test_a_half_done_update_is_not_taken_for_drift(loop: Loop) -> None:
    loop.write_stack(drift="report")
    loop.declare("a", {"size": 5})
    loop.run()
    loop.declare("a", {"size": 6})
    loop.world.inject(Fault("update", "Transient", moment="after", times=3))
    loop.run()
    loop.declare("a", {"size": 5})
    loop.run()
    assert loop.spec("Thing/a")["size"] == 5


def test_a_deleted_object_is_only_reported_where_drift_is(loop: Loop) -> None:
    loop.write_stack(drift="report")
    loop.declare("a", {"size": 5})
    loop.run()
    loop.world.put("Thing/a", None)
    report = loop.run()
    assert results(report) == {"a": "skipped"}
    assert report.plan.changes[0].is_drift
    assert loop.world.list_keys() == []


def test_a_delete_outside_of_the_selection_of_its_user_is_blocked(loop: Loop) -> None:
    loop.declare("y")
    loop.declare("x", dependsOn=["Thing/y"])
    loop.run()
    loop.declare("x")
    loop.undeclare("y")
    report = loop.run(Selection(only=("Thing/y",)))
    assert results(report) == {"y": "blocked"}
    assert "not part of this run" in messages(report)["y"]
    assert results(loop.run())["y"] == "deleted"


def test_each_selector_has_to_select_something(loop: Loop) -> None:
    loop.declare("a")
    with pytest.raises(UsageError, match="Thing/typo"):
        loop.plan(Selection(only=("Thing/a", "Thing/typo")))
    with pytest.raises(UsageError, match="on target nowhere"):
        loop.plan(Selection(targets=("here", "nowhere")))


def test_the_text_of_a_missing_field_is_not_a_missing_field(loop: Loop) -> None:
    loop.declare("a", {"value": "(absent)"})
    loop.run()
    assert loop.spec("Thing/a")["value"] == "(absent)"
    loop.edit("Thing/a", value="other")
    assert results(loop.run()) == {"a": "updated"}


def test_an_adoption_that_failed_does_not_outlive_the_manifest_that_allowed_it(loop: Loop) -> None:
    foreign = {"id": "theirs", "version": 1, "owner": None, "spec": {"size": 5}}
    loop.world.put("Thing/a", foreign)
    loop.declare("a", {"size": 1}, lifecycle={"adopt": True})
    loop.world.inject(Fault("update", "Denied"))
    assert results(loop.run()) == {"a": "failed"}
    loop.declare("a", {"size": 1})
    report = loop.run()
    assert "does not manage is in the way" in report.outcomes[0].message
    assert loop.world.peek("Thing/a") == foreign
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "forgotten"}
    assert loop.world.peek("Thing/a") == foreign


def test_an_adoption_whose_answer_was_lost_is_known_all_the_same(loop: Loop) -> None:
    loop.world.put("Thing/a", {"id": "theirs", "version": 1, "owner": None, "spec": {"size": 5}})
    loop.declare("a", {"size": 1}, lifecycle={"adopt": True})
    loop.world.inject(Fault("update", "bug", "after"))
    assert results(loop.run()) == {"a": "failed"}
    assert results(loop.run()) == {"a": "adopted"}
    assert loop.records()["a"].external_id == "theirs"
    loop.undeclare("a")
    assert results(loop.run()) == {"a": "deleted"}
