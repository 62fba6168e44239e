"""What is recovered of a lost store and of an old one, and what is not: over a world in memory."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from trueup.app import App, SourceSpec
from trueup.errors import StoreError, UsageError
from trueup.model.outcome import RunStatus
from trueup.model.plan import Verdict
from trueup.reconcile.recover import Order
from trueup.reconcile.report import Selection
from trueup.sdk.testing.memory import MemoryCatalog
from trueup.sdk.testing.memory_world import Fault

KINDS = ("Thing", "Vault", "Shared", "Named", "Tagged", "Tokened", "Nameless")


def reopen(loop, name="store.db"):
    loop.app.close()
    loop.app = App(str(loop.folder / name), catalog=MemoryCatalog(loop.provider))


def lose(loop):
    """Deletes the store, and all that lies beside it."""
    loop.app.close()
    for file in loop.folder.glob("store.db*"):
        file.unlink()
    reopen(loop)


def declare_all(loop):
    for kind in KINDS:
        loop.declare(kind.lower(), {"size": 1, "name": "n"} if kind == "Named" else {"size": 1}, kind=kind)


def look(loop):
    return {key: loop.world.peek(key) for key in loop.world.list_keys()}


def recovered(loop, **options):
    found = loop.app.recover(loop.source, Order(**options))
    assert found.run, found.refusals
    return found


def guards(plan):
    return [hold.guard for hold in plan.holds]


def owner_of_another(loop, kind, name):
    return ["another", "shop", f"shop/{kind}/{name}@here"]


def test_a_lost_store_is_rebuilt_and_nothing_is_made_or_written(loop):
    declare_all(loop)
    assert loop.run().status is RunStatus.CONVERGED
    installation = loop.app.store.installation
    live, writes = look(loop), loop.world.count_writes()
    lose(loop)
    assert loop.app.store.installation != installation
    held = loop.run()
    assert (held.status, guards(held.plan), held.plan.is_final) == (
        RunStatus.HELD,
        ["store-lost"],
        True,
    )
    found = recovered(loop)
    assert {each.address.kind for each in found.found} == set(KINDS)
    assert (found.installation, found.is_taken_over, found.missing) == (installation, True, ())
    assert not loop.plan().has_changes
    assert not loop.plan().holds
    report = loop.run()
    assert set(results(report).values()) == {"unchanged"}
    assert (look(loop), loop.world.count_writes()) == (live, writes)
    assert [run.trigger for run in loop.app.store.runs("shop")] == ["once", "recover"]
    assert [event.kind for event in loop.app.store.events("shop")] == ["recovered", "held"]


def results(report):
    return {outcome.address.name: outcome.result.value for outcome in report.outcomes}


def test_an_old_store_gets_the_rows_that_it_lacks_and_makes_no_duplicate(loop):
    loop.declare("a", {"size": 1})
    loop.run()
    loop.app.close()
    shutil.copytree(loop.folder, loop.folder.parent / "backup", ignore=shutil.ignore_patterns("stack"))
    reopen(loop)
    declare_all(loop)
    loop.declare("a", {"size": 2})
    loop.run()
    live = look(loop)
    loop.app.close()
    for file in loop.folder.glob("store.db*"):
        file.unlink()
    for file in (loop.folder.parent / "backup").glob("store.db*"):
        shutil.copy(file, loop.folder)
    reopen(loop)
    report = loop.run()
    assert (report.status, guards(report.plan)) == (RunStatus.HELD, ["store-old"])
    found = recovered(loop)
    assert not found.is_taken_over
    assert {each.address.name for each in found.found if not each.is_new} == {"a"}
    assert not loop.plan().has_changes
    assert loop.run().status is RunStatus.CONVERGED
    assert look(loop) == live


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Shared"])
def test_what_git_no_longer_declares_is_pruned_after_somebody_approved(loop, kind):
    loop.declare("a", {"size": 1, "name": "n"} if kind == "Named" else {"size": 1}, kind=kind)
    loop.declare("other")
    loop.run()
    lose(loop)
    loop.undeclare("a", kind)
    found = recovered(loop)
    assert [each.is_declared for each in found.found] == [
        each.address.name == "other" for each in found.found
    ]
    held = loop.run()
    assert held.status is RunStatus.HELD
    assert "recovered" in guards(held.plan)
    report = loop.run(approved=held.plan.digest)
    assert results(report) == {"a": "deleted", "other": "unchanged"}
    assert loop.world.list_keys() == ["Thing/other"]


def test_what_may_have_been_there_before_us_is_left_where_it_is(loop):
    loop.declare("a", kind="Shared")
    loop.declare("b")
    loop.run()
    lose(loop)
    loop.undeclare("a", "Shared")
    recovered(loop)
    assert results(loop.run()) == {"a": "forgotten", "b": "unchanged"}
    assert loop.world.list_keys() == ["Shared/a", "Thing/b"]


def test_a_store_that_is_not_lost_holds_nothing(loop):
    loop.declare("a")
    assert loop.run().status is RunStatus.CONVERGED
    reopen(loop)
    assert not loop.plan().holds
    assert recovered(loop).found[0].is_new is False
    assert not loop.plan().has_changes


def test_a_store_that_was_deleted_on_purpose_is_let_go_by_a_recovery_that_finds_nothing(loop):
    loop.declare("a")
    loop.run()
    loop.world.put("Thing/a", None)
    lose(loop)
    assert loop.run().status is RunStatus.HELD
    found = recovered(loop)
    assert [gap.address for gap in found.missing] == ["shop/Thing/a@here"]
    assert results(loop.run()) == {"a": "created"}


def test_after_a_destroy_there_is_nothing_to_lose(loop):
    loop.declare("a")
    loop.run()
    assert loop.destroy().status is RunStatus.CONVERGED
    lose(loop)
    assert results(loop.run()) == {"a": "created"}


def test_a_destroy_of_a_stack_whose_store_is_lost_is_held(loop):
    loop.declare("a")
    loop.run()
    lose(loop)
    report = loop.destroy()
    assert (report.status, guards(report.plan)) == (RunStatus.HELD, ["store-lost"])
    assert loop.world.list_keys() == ["Thing/a"]


def test_a_target_that_does_not_answer_leaves_the_stack_held(loop):
    loop.declare("a")
    loop.run()
    lose(loop)
    loop.world.inject(Fault("connect", times=2))
    found = loop.app.recover(loop.source, Order())
    assert (found.run, [blank.kind for blank in found.blanks]) == (0, [""])
    assert "could not be looked" in found.refusals[0]
    assert loop.run().status is RunStatus.HELD
    assert recovered(loop).found


@pytest.mark.parametrize("error", ["Transient", "bug", "Denied"])
def test_a_kind_without_names_that_cannot_be_listed_leaves_the_stack_held(loop, error):
    loop.declare("a", kind="Nameless")
    loop.run()
    lose(loop)
    loop.world.inject(Fault("find_owned", error, times=100))
    found = loop.app.recover(loop.source, Order())
    assert not found.run
    assert loop.run().status is RunStatus.HELD


def test_what_has_a_name_is_found_where_its_kind_cannot_be_listed(loop):
    loop.declare("a")
    loop.declare("b", kind="Tagged")
    loop.run()
    installation = loop.app.store.installation
    lose(loop)
    loop.world.inject(Fault("find_owned", "Denied"))  # that of the first kind: Thing
    found = recovered(loop)
    assert [blank.kind for blank in found.blanks] == ["Thing"]
    assert {each.address.name for each in found.found} == {"a", "b"}
    assert (found.installation, loop.plan().has_changes) == (installation, False)


def test_two_objects_with_one_marker_are_reported_and_neither_is_taken(loop):
    loop.declare("a", kind="Tagged")
    loop.declare("b")
    loop.run()
    (key,) = [key for key in loop.world.list_keys() if key.startswith("Tagged/")]
    loop.world.put("Tagged/copy", {**loop.world.peek(key), "id": "copy"})
    lose(loop)
    found = loop.app.recover(loop.source, Order())
    assert not found.run
    assert [gap.why for gap in found.left_out] == ["two objects carry this marker, so neither is taken"] * 2
    assert {gap.external_id for gap in found.left_out} == {"copy", loop.world.peek(key)["id"]}
    assert loop.run().status is RunStatus.HELD
    loop.world.put("Tagged/copy", None)
    recovered(loop)
    assert not loop.plan().has_changes


def test_a_destroy_leaves_what_may_have_been_protected(loop):
    loop.declare("a")
    loop.declare("b", lifecycle={"protect": True})
    loop.run()
    loop.undeclare("b")
    loop.run()
    lose(loop)
    recovered(loop)
    report = loop.destroy()
    assert report.status is RunStatus.HELD
    assert [(hold.guard, hold.is_final) for hold in report.plan.holds] == [("recovered", True)]
    assert loop.world.peek("Thing/b")
    part = Selection(only=("Thing/a",))
    assert results(loop.destroy(part)) == {"a": "deleted"}
    loop.declare("b", lifecycle={"protect": True})
    loop.run()
    loop.undeclare("b")
    assert not loop.run().plan.holds
    assert results(loop.destroy())["b"] == "failed", "it is protected again"
    assert loop.world.peek("Thing/b")


def test_copies_of_the_objects_in_another_place_are_not_taken_for_those_of_the_rows(loop):
    loop.declare("a")
    loop.run()
    loop.world._identity = "the cluster that a backup was restored into"
    found = loop.app.recover(loop.source, Order())
    assert not found.run
    assert "is another place than the one where this stack was applied" in found.refusals[0]
    assert "--target here" in found.refusals[0]
    (record,) = loop.records().values()
    assert record.fingerprint != loop.world.identity


def test_a_row_of_a_target_that_the_stack_no_longer_has_is_not_called_missing(loop):
    loop.declare("a")
    loop.run()
    loop.undeclare("a")
    loop.write_stack(targets=[{"name": "there", "provider": "memory"}])
    (gap,) = recovered(loop).missing
    assert "nobody looked" in gap.why
    assert list(loop.records()) == ["a"]


def test_of_two_objects_of_an_unfinished_replacement_none_is_called_found(loop):
    def declare(name):
        loop.declare("a", {"size": 1, "name": name}, kind="Named", lifecycle={"replace": "createFirst"})

    declare("old")
    loop.run()
    declare("new")
    loop.world.inject(Fault("delete", "Denied", times=9))
    loop.run(approved=loop.plan().digest)
    lose(loop)
    found = loop.app.recover(loop.source, Order())
    assert (found.run, found.found, found.missing, len(found.left_out)) == (0, (), (), 2)
    assert "2 objects carry the marker" in found.refusals[0]


def test_the_copy_of_a_marker_on_another_kind_gets_no_row(loop):
    loop.declare("a")
    loop.run()
    loop.world.put("Vault/a", {**loop.world.peek("Thing/a"), "id": "copy"})
    lose(loop)
    found = recovered(loop)
    assert [(gap.external_id, "copied" in gap.why) for gap in found.left_out] == [("copy", True)]
    assert list(loop.records()) == ["a"]


def test_markers_of_several_installations_need_a_choice(loop):
    loop.declare("a")
    loop.declare("b")
    loop.run()
    installation = loop.app.store.installation
    entry = loop.world.peek("Thing/b")
    loop.world.put("Thing/b", {**entry, "owner": owner_of_another(loop, "Thing", "b")})
    lose(loop)
    loop.app.store.forget_mark("shop")
    with pytest.raises(UsageError, match=r"several installations: .*another"):
        loop.app.recover(loop.source, Order())
    with pytest.raises(UsageError, match="nothing carries the stack's marker by installation x"):
        loop.app.recover(loop.source, Order("x"))
    found = recovered(loop, installation=installation)
    assert [gap.why for gap in found.left_out] == ["its marker is of installation another"]
    assert list(loop.records()) == ["a"]
    assert results(loop.run()) == {"a": "unchanged", "b": "failed"}


def test_what_this_machine_remembers_chooses_among_several_installations(loop):
    loop.declare("a")
    loop.declare("b")
    loop.run()
    installation = loop.app.store.installation
    entry = loop.world.peek("Thing/b")
    loop.world.put("Thing/b", {**entry, "owner": owner_of_another(loop, "Thing", "b")})
    lose(loop)
    found = recovered(loop)
    assert (found.installation, found.is_sure) == (installation, True)
    assert list(loop.records()) == ["a"]


def test_an_old_copy_of_which_nothing_lives_does_not_become_another_installation(loop):
    loop.declare("a")
    loop.run()
    installation = loop.app.store.installation
    loop.app.close()
    shutil.copy(loop.folder / "store.db", loop.folder / "copy.db")
    reopen(loop)
    loop.run()
    lose(loop)
    loop.app.close()
    shutil.copy(loop.folder / "copy.db", loop.folder / "store.db")
    reopen(loop)
    entry = loop.world.peek("Thing/a")
    loop.world.put("Thing/a", {**entry, "owner": owner_of_another(loop, "Thing", "a")})
    found = recovered(loop)
    assert (found.installation, found.is_taken_over) == (installation, False)


def test_a_new_store_where_nothing_is_remembered_is_not_sure_of_whom_it_takes_over(loop):
    loop.declare("a")
    loop.run()
    lose(loop)
    loop.app.store.forget_mark("shop")
    asked = []
    loop.app.recover(loop.source, Order(confirm=lambda found: asked.append(found) or False))
    assert [(found.is_taken_over, found.is_sure) for found in asked] == [(True, False)]
    installation = asked[0].installation
    assert recovered(loop, installation=installation).is_sure


def test_a_store_that_manages_something_else_does_not_become_another(loop):
    loop.declare("a")
    loop.run()
    installation = loop.app.store.installation
    lose(loop)
    loop.write_stack()
    other = loop.folder / "other"
    shutil.copytree(loop.folder / "stack", other)
    text = (other / "stack.yaml").read_text().replace("name: shop", "name: blog")
    (other / "stack.yaml").write_text(text)
    (other / "Thing-a.yaml").write_text((other / "Thing-a.yaml").read_text().replace("name: a", "name: z"))
    assert loop.app.reconcile(SourceSpec(str(other))).status is RunStatus.CONVERGED
    with pytest.raises(StoreError, match="by whose markers it manages blog: a store has one id") as caught:
        loop.app.recover(loop.source, Order())
    assert "--store" in caught.value.hint
    reopen(loop, "own.db")
    assert recovered(loop).installation == installation
    assert not loop.plan().has_changes


def test_a_process_that_has_the_store_open_takes_up_the_recovered_id(loop):
    loop.declare("a", kind="Tagged")
    loop.run()
    installation = loop.app.store.installation
    lose(loop)
    assert loop.run().status is RunStatus.HELD
    with App(str(loop.folder / "store.db"), catalog=MemoryCatalog(loop.provider)) as elsewhere:
        assert elsewhere.recover(loop.source, Order()).run
    assert results(loop.run()) == {"a": "unchanged"}
    assert loop.app.store.installation == installation


def test_a_no_leaves_everything_as_it_was(loop):
    loop.declare("a")
    loop.run()
    lose(loop)
    own = loop.app.store.installation
    assert loop.app.recover(loop.source, Order(confirm=lambda _found: False)).run == 0
    assert (loop.app.store.installation, loop.records()) == (own, {})
    assert loop.run().status is RunStatus.HELD


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_recovery_that_is_killed_is_mended_by_another(loop, moment, monkeypatch):
    declare_all(loop)
    loop.run()
    live = look(loop)
    lose(loop)
    store = type(loop.app.store)
    rebuild = store.rebuild

    def kill(*arguments):
        if moment == "after":
            monkeypatch.setattr(store, "_remember", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            rebuild(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    loop.app.close()
    child = os.fork()
    if not child:
        try:
            monkeypatch.setattr(store, "rebuild", kill)
            loop.app.recover(loop.source, Order())
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    reopen(loop)
    if moment == "before":
        assert loop.run().status is RunStatus.HELD
    recovered(loop)
    assert not loop.plan().has_changes
    assert loop.run().status is RunStatus.CONVERGED
    assert look(loop) == live


def test_what_carries_no_marker_is_said_to_be_missing(loop):
    loop.declare("a")
    loop.declare("b", kind="Nameless")
    loop.run()
    lose(loop)
    entry = loop.world.peek("Thing/a")
    loop.world.put("Thing/a", {**entry, "owner": None})
    key = next(key for key in loop.world.list_keys() if key.startswith("Nameless/"))
    loop.world.put(key, {**loop.world.peek(key), "owner": None})
    found = recovered(loop)
    whys = {gap.address: gap.why for gap in found.missing}
    assert whys["shop/Thing/a@here"] == "what lives under its name carries no marker"
    assert "look, or it is made again" in whys["shop/Nameless/b@here"]


def test_a_row_without_an_object_stays_in_an_old_store(loop):
    loop.declare("a")
    loop.declare("b")
    loop.run()
    loop.world.put("Thing/b", None)
    loop.undeclare("b")
    found = recovered(loop)
    assert [(gap.address, gap.why) for gap in found.missing] == [
        ("shop/Thing/b@here", "it is recorded, and no object was found: the row stays")
    ]
    assert set(loop.records()) == {"a", "b"}


def test_an_approval_lifts_no_hold_of_a_lost_store(loop):
    loop.declare("a")
    loop.run()
    loop.world.put("Thing/a", None)
    lose(loop)
    digest = loop.plan().digest
    loop.app.decide(loop.source, digest, Verdict.APPROVED, "bo")
    assert loop.run(approved=digest).status is RunStatus.HELD
    assert not loop.world.list_keys()


def test_a_kind_that_is_not_declared_and_cannot_be_listed_is_told(loop):
    loop.declare("a")
    loop.run()
    lose(loop)
    loop.world.inject(Fault("find_owned", "Denied", skip=1))
    found = recovered(loop)
    assert [blank.kind for blank in found.blanks] == ["Vault"]
    assert not loop.plan().has_changes


def test_a_destroy_takes_what_a_recovery_has_found(loop):
    declare_all(loop)
    loop.run()
    lose(loop)
    recovered(loop)
    assert loop.destroy().status is RunStatus.CONVERGED
    assert loop.world.list_keys() == ["Shared/shared"]
    assert loop.app.store.mark("shop") is None


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_copy_from_before_a_recovery_is_noticed_as_old(loop, is_remembered):
    loop.declare("a")
    for size in range(4):
        loop.declare("a", {"size": size})
        loop.run()
    installation = loop.app.store.installation
    loop.app.close()
    shutil.copy(loop.folder / "store.db", loop.folder / "copy.db")
    lose(loop)
    if not is_remembered:
        loop.app.store.forget_mark("shop")
    first = 5 if is_remembered else 1
    assert recovered(loop, installation=installation).run == first
    loop.declare("a", {"size": 9})
    assert loop.run().run == first + 1
    loop.app.close()
    for file in loop.folder.glob("store.db*"):
        file.unlink()
    shutil.copy(loop.folder / "copy.db", loop.folder / "store.db")
    reopen(loop)
    (hold,) = loop.plan().holds
    assert hold.guard == "store-old"
    assert ("its latest run here is 4" if is_remembered else "run 2 is another and earlier") in hold.message
    assert loop.run().status is RunStatus.HELD
