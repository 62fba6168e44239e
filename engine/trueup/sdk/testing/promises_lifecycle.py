"""Promises of an object's life: seen, created, changed, drifted, deleted, each step repeatable.

Part of `contract.ProviderContract`.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from trueup.model.values import split_pointer, to_record
from trueup.sdk import Absent, Action, Kind, Node, Observation, Observed, Pending, Value
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.hooks import ContractHooks
from trueup.sdk.testing.promises_pure import expect_no_canary
from trueup.sdk.testing.rig import Rig, copy_operation, describe, expect

THREADS = 8


class LifecyclePromises(ContractHooks):
    """Promises 1 to 4 of a kind, from nothing to nothing."""

    # -- observe

    def test_what_was_never_made_is_absent(self, rig: Rig, case: Case) -> None:
        """`observe`: Absent on an authenticated "not found"."""
        seen = rig.observe(rig.node(case))
        expect(isinstance(seen, Absent), f"nothing was made, but observe says {describe(seen)}")

    def test_observing_modifies_nothing(self, rig: Rig, case: Case) -> None:
        """`observe` and `find_owned` never modify (promise 1)."""
        node, missing = rig.node(case), rig.node(case.sibling)
        rig.apply(node)
        before, writes = self.snapshot(rig, node), self.count_writes(rig)
        rig.observe_all([node, missing])
        rig.owned(node)
        expect(self.count_writes(rig) == writes, "observing sent writing calls")
        expect(self.snapshot(rig, node) == before, "observing changed the object")
        expect(isinstance(rig.observe(missing), Absent), "observing made an object")

    def test_one_call_observes_many_nodes(self, rig: Rig, case: Case) -> None:
        """`observe` answers for each node of a batch, the missing ones too."""
        here, missing = rig.node(case), rig.node(case.sibling)
        rig.apply(here)
        answers = rig.observe_all([missing, here])
        expect(isinstance(answers[here.address], Observed), "a live node among others is not observed")
        expect(isinstance(answers[missing.address], Absent), "a missing node among others is not absent")

    def test_who_wrote_a_field_is_said_of_fields_that_live(self, rig: Rig, case: Case) -> None:
        """`writers` goes by the observation alone and leaves it as it is; each pointer leads to something."""
        node = rig.node(case)
        rig.apply(node)
        self.expect_sound_writers(rig, node, case)
        if case.changed is not None and case.is_drift_visible:
            self.disturb(rig, node, case)
            self.expect_sound_writers(rig, node, case)

    def expect_sound_writers(self, rig: Rig, node: Node, case: Case) -> None:
        """Fails unless `writers` keeps its promise for the object as it is."""
        kind, seen = rig.kind(node), rig.observed(node)
        before = repr(to_record(seen.body))
        writers = kind.writers(seen)
        expect(dict(writers) == dict(kind.writers(seen)), "two calls of writers on one observation differ")
        expect(repr(to_record(seen.body)) == before, "writers changed the observation")
        for pointer, who in writers.items():
            expect(is_there(kind, seen, pointer), f"writers names {pointer}, and nothing lives there")
            expect(bool(who.strip()), f"writers names nobody for {pointer}")
        expect_no_canary(case, "writers", repr(writers))

    def test_many_threads_observe_at_once(self, rig: Rig, case: Case) -> None:
        """Kinds and sessions are thread safe."""
        node = rig.node(case)
        made = rig.apply(node)

        def look(_number: int) -> Observation:
            return rig.observe(node)

        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(look, range(THREADS * 2)))
        for answer in answers:
            expect(
                isinstance(answer, Observed), f"one of {len(answers)} observations says {describe(answer)}"
            )
            same = isinstance(answer, Observed) and answer.external_id == made.external_id
            expect(same, "two observations at once give different objects")

    # -- create

    def test_after_a_create_nothing_differs(self, rig: Rig, case: Case) -> None:
        """After `create`, `observe` gives no difference (promise 3), and the object carries our marker."""
        node = rig.node(case)
        rig.create(node)
        seen = rig.expect_true(node)
        expect(bool(seen.external_id), "the object has no external id")
        is_ours = seen.owner == rig.owner(node) or not case.is_markable
        expect(is_ours, f"the marker should be {rig.owner(node)}, but is {seen.owner}")

    def test_a_create_reports_the_id_that_observe_sees(self, rig: Rig, case: Case) -> None:
        """`Done.external_id`, where it is told, is the object's."""
        node = rig.node(case)
        done = rig.create(node)
        seen = rig.expect_true(node)
        expect(done.external_id in ("", seen.external_id), "create reports another id than observe")

    def test_a_repeated_create_makes_no_second_object(self, rig: Rig, case: Case) -> None:
        """`create` can be repeated with the same intent after a crash (promise 2)."""
        node = rig.node(case)
        if rig.kind(node).traits.identity == "none":
            pytest.skip("a create of this kind is not repeated: whether it took effect cannot be told")
        intent = rig.intent(node)
        kind = rig.kind(node)
        # The first answer is lost, Pending or not: the process ended right after the call.
        kind.create(rig.session(node), node, intent)
        rig.reconnect()
        rig.create(node, intent)
        first = rig.expect_true(node)
        rig.create(node, intent)
        second = rig.expect_true(node)
        expect(first.external_id == second.external_id, "a repeated create made another object")
        if not case.is_markable:
            return
        mine = rig.eventually(
            node,
            lambda: [owned for owned in rig.owned(node) if owned.owner == rig.owner(node)],
            lambda found: len(found) == 1,
        )
        expect(len(mine) == 1, f"{len(mine)} objects carry the marker of {node.address}")

    def test_a_pending_operation_survives_a_restart(self, rig: Rig, case: Case) -> None:
        """`Pending.operation` is JSON, and another process can poll it (promise 4)."""
        node = rig.node(case)
        answer = rig.kind(node).create(rig.session(node), node, rig.intent(node))
        if isinstance(answer, Pending):
            copy_operation(answer)
            expect(answer.after >= 0, "Pending.after is in the past")
            rig.reconnect()
        rig.keep_id(node, rig.finish(node, answer))
        rig.expect_true(node)

    # -- update

    def test_an_update_changes_what_differs_and_keeps_the_object(self, rig: Rig, changeable: Case) -> None:
        """After `update`, `observe` gives no difference (promise 3); it is the same object, still ours."""
        node, changed = rig.node(changeable), rig.node(changeable, changeable.changed)
        before = rig.apply(node)
        change = rig.diff(changed, rig.observed(changed), to_record(node.body))
        expect(change.action is Action.UPDATE, f"the `changed` body gives {change.action}, not an update")
        expect(bool(change.fields), "an update without a field")
        rig.update(changed, change)
        after = rig.expect_true(changed)
        expect(after.external_id == before.external_id, "the update made another object")
        expect(after.owner == before.owner, "the update changed the marker")

    def test_a_repeated_update_does_no_harm(self, rig: Rig, changeable: Case) -> None:
        """`update` can be repeated after a crash: same intent, same effect (promise 2)."""
        node, changed = rig.node(changeable), rig.node(changeable, changeable.changed)
        rig.apply(node)
        change = rig.diff(changed, rig.observed(changed), to_record(node.body))
        intent = rig.intent(changed)
        rig.kind(changed).update(
            rig.session(changed),
            replace(changed, external_id=rig.observed(changed).external_id),
            change,
            intent,
        )
        rig.reconnect()
        rig.update(changed, change, intent)
        rig.expect_true(changed)

    def test_an_update_of_another_object_is_a_conflict(self, rig: Rig, changeable: Case) -> None:
        """`update` refuses where the object is not the one that was observed."""
        node, changed = rig.node(changeable), rig.node(changeable, changeable.changed)
        rig.apply(node)
        change = rig.diff(changed, rig.observed(changed), to_record(node.body))
        if change.observed is None:
            raise AssertionError("the diff does not say which observation it rests on")
        other = replace(change, observed=replace(change.observed, external_id="the-id-of-another-object"))
        before = self.snapshot(rig, node)
        self.expect_conflict("an update of another object", lambda: rig.update(changed, other))
        expect(self.snapshot(rig, node) == before, "a refused update changed the object")

    def test_drift_is_seen_and_corrected(self, rig: Rig, driftable: Case) -> None:
        """A field that was changed behind our back shows in the diff, and `update` sets it right."""
        node = rig.node(driftable)
        made = rig.apply(node)
        self.disturb(rig, node, driftable)
        recorded = to_record(node.body)
        change = rig.eventually(
            node, lambda: rig.diff(node, rig.observed(node), recorded), lambda change: bool(change.fields)
        )
        expect(change.action is Action.UPDATE, f"the diff after drift is {change.action}, not an update")
        rig.update(node, change)
        mended = rig.expect_true(node)
        expect(mended.external_id == made.external_id, "correcting drift made another object")

    def test_a_change_that_cannot_be_made_in_place_is_a_replace(self, rig: Rig, replaceable: Case) -> None:
        """A change of an `x-immutable` field marks the field and gives a replace, which then holds."""
        node, replaced = rig.node(replaceable), rig.node(replaceable, replaceable.replaced)
        seen = rig.apply(node)
        change = rig.diff(replaced, rig.observe(replaced), to_record(node.body))
        expect(change.action is Action.REPLACE, f"the `replaced` body gives {change.action}")
        expect(any(field.immutable for field in change.fields), "a replace without an immutable field")
        rig.delete(rig.recorded(node, seen.external_id))
        rig.expect_absent(node)
        rig.create(replaced)
        rig.expect_true(replaced)

    # -- refresh

    def test_a_refresh_leaves_nothing_that_differs(self, rig: Rig, refreshable: Case) -> None:
        """`refresh` changes nothing that `observe` compares, can be repeated, and the object gets ready."""
        node = rig.node(refreshable)
        made = rig.apply(node)
        intent = rig.intent(node)
        live = replace(node, external_id=made.external_id)
        for _ in range(2):
            rig.finish(node, rig.kind(node).refresh(rig.session(node), live, intent))
            seen = rig.expect_true(node)
            expect(seen.external_id == made.external_id, "a refresh made another object")
            expect(seen.owner == made.owner, "a refresh changed the marker")
            rig.reconnect()

    def test_what_was_refreshed_can_be_applied_over(self, rig: Rig, refreshable: Case) -> None:
        """After a `refresh` the object can be changed as before, and comes to rest."""
        if refreshable.changed is None:
            pytest.skip("the case has no `changed` body")
        node, changed = rig.node(refreshable), rig.node(refreshable, refreshable.changed)
        live = replace(node, external_id=rig.apply(node).external_id)
        rig.finish(node, rig.kind(node).refresh(rig.session(node), live, rig.intent(node)))
        rig.expect_true(node)
        rig.apply(changed, to_record(node.body))

    def test_a_refresh_of_another_object_is_a_conflict(self, rig: Rig, refreshable: Case) -> None:
        """`refresh` refuses where the object is not the recorded one, or carries no marker of ours."""
        node = rig.node(refreshable)
        made = rig.apply(node)
        if refreshable.is_markable:
            rig.release(rig.recorded(node, made.external_id))
        else:
            made = replace(made, external_id="another-id")
        live = replace(node, external_id=made.external_id)
        self.expect_conflict(
            "a refresh of what is not ours",
            lambda: rig.finish(node, rig.kind(node).refresh(rig.session(node), live, rig.intent(node))),
        )

    # -- delete and release

    def test_a_deleted_object_is_absent(self, rig: Rig, case: Case) -> None:
        """`delete` removes the object; its node comes from the inventory, without secrets."""
        node = rig.node(case)
        seen = rig.apply(node)
        rig.delete(rig.recorded(node, seen.external_id))
        rig.expect_absent(node)

    def test_deleting_what_is_gone_is_done(self, rig: Rig, case: Case) -> None:
        """`delete` can be repeated (promise 2)."""
        node = rig.node(case)
        recorded = rig.recorded(node, rig.apply(node).external_id)
        intent = rig.intent(node)
        rig.kind(node).delete(rig.session(node), recorded, intent)
        rig.reconnect()
        rig.delete(recorded, intent)
        rig.expect_absent(node)
        rig.delete(recorded, intent)
        rig.expect_absent(node)

    def test_what_was_deleted_can_be_created_again(self, rig: Rig, case: Case) -> None:
        """An old intent does not stand for a new object: a create after a delete creates."""
        node = rig.node(case)
        rig.delete(rig.recorded(node, rig.apply(node).external_id))
        rig.expect_absent(node)
        rig.create(node)
        rig.expect_true(node)


def is_there(kind: Kind, observed: Observed, pointer: str) -> bool:
    """Whether a pointer leads to something of the object, items of lists by the kind's own names."""
    value: Value = observed.body
    path: list[str] = []
    for token in split_pointer(pointer):
        if isinstance(value, Mapping) and token in value:
            value = value[token]
        elif isinstance(value, list):
            index = kind.find_item(observed, path, value, token)
            if index is None:
                return False
            value = value[index]
        else:
            return False
        path.append(token)
    return True
