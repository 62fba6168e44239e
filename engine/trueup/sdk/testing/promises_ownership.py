"""Promises of ownership: whose an object is, and that another's is neither changed nor deleted.

Part of `contract.ProviderContract`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from trueup.model.values import to_record
from trueup.sdk import ANY_INSTALLATION, Action, Change, Node, Owner
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.hooks import ContractHooks
from trueup.sdk.testing.rig import OTHER_STACK, Rig, expect

ELSEWHERE = "elsewhere"


class OwnershipPromises(ContractHooks):
    """Who may do what to which object."""

    # -- create

    def test_an_unmarked_object_in_the_way_is_a_conflict(self, rig: Rig, owned: Case) -> None:
        """`create`: an object of another owner in the way is a Conflict, and not a byte of it changes.

        A `shared` kind takes it over instead.
        """
        node = rig.node(owned)
        self._skip_if_nothing_can_be_in_the_way(rig, node)
        self.plant(rig, node, owned)
        expect(rig.observed(node).owner is None, "the hook plant_foreign made an object with a marker")
        if rig.kind(node).traits.shared:
            rig.create(node)
            expect(rig.expect_true(node).owner == rig.owner(node), "a shared object was not taken over")
            return
        before = self.snapshot(rig, node)
        self.expect_conflict("a create over an object without a marker", lambda: rig.create(node))
        expect(self.snapshot(rig, node) == before, "a refused create changed the object that was in the way")

    def test_an_object_of_another_stack_in_the_way_is_a_conflict(self, rig: Rig, owned: Case) -> None:
        """The same for an object that carries the marker of another stack."""
        theirs, ours = rig.node(owned, stack=OTHER_STACK), rig.node(owned)
        self._skip_if_nothing_can_be_in_the_way(rig, ours)
        if rig.kind(ours).traits.shared:
            pytest.skip("objects of this kind are shared")
        rig.apply(theirs)
        before = self.snapshot(rig, theirs)
        self.expect_conflict("a create over an object of another stack", lambda: rig.create(ours))
        expect(self.snapshot(rig, theirs) == before, "a refused create changed an object of another stack")
        expect(rig.observed(theirs).owner == rig.owner(theirs), "a refused create took the marker off")

    def test_create_with_adopt_takes_over_what_is_in_the_way(self, rig: Rig, owned: Case) -> None:
        """`create` with `lifecycle.adopt`: taken over and marked, without a second object."""
        node = rig.node(owned, adopt=True)
        self._skip_if_nothing_can_be_in_the_way(rig, node)
        external_id = self.plant(rig, node, owned)
        rig.create(node)
        after = rig.expect_true(node)
        expect(after.owner == rig.owner(node), "the adopted object does not carry our marker")
        expect(after.external_id == external_id, "adopting made another object")

    def test_update_without_fields_puts_our_marker_on(self, rig: Rig, owned: Case) -> None:
        """`update` is called with no fields to put our marker onto an adopted object."""
        node = rig.node(owned, adopt=True)
        node = replace(node, external_id=self.plant(rig, node, owned))
        observed = rig.observed(node)
        rig.update(node, Change(node.address, Action.ADOPT, observed=observed))
        after = rig.expect_true(node)
        expect(after.owner == rig.owner(node), "the adopted object does not carry our marker")
        expect(after.external_id == observed.external_id, "adopting made another object")

    def test_update_hands_an_object_over_from_one_stack_to_another(self, rig: Rig, owned: Case) -> None:
        """`update` with `lifecycle.adopt` puts our marker in place of another stack's: a resource that moved.

        The object is found by the id that was recorded, and no longer deleted for its old owner.
        """
        theirs = rig.node(owned, stack=OTHER_STACK)
        made = rig.apply(theirs)
        before = f"{OTHER_STACK}/{theirs.address.reference}"
        node = rig.node(owned)
        moved = replace(node.lifecycle, adopt=True, moved_from=(before,))
        ours = replace(node, lifecycle=moved, external_id=made.external_id)
        observed = rig.observed(ours)
        expect(observed.external_id == made.external_id, "the moved object is not found by its recorded id")
        expect(observed.owner == rig.owner(theirs), "the marker of the object that is to move is not shown")
        rig.update(ours, Change(ours.address, Action.ADOPT, observed=observed))
        after = rig.eventually(ours, lambda: rig.observed(ours), lambda seen: seen.owner == rig.owner(ours))
        expect(after.owner == rig.owner(ours), "the moved object does not carry our marker")
        expect(after.external_id == made.external_id, "moving made another object")
        self._expect_refused_delete(rig, ours, theirs, "an object that was handed over")

    def _skip_if_nothing_can_be_in_the_way(self, rig: Rig, node: Node) -> None:
        if not rig.is_named(node):
            pytest.skip("objects of this kind have no name that could be taken")

    # -- delete

    def test_an_object_without_our_marker_is_not_deleted(self, rig: Rig, owned: Case) -> None:
        """`delete` refuses an object without our marker, and changes nothing."""
        node = rig.node(owned)
        node = replace(node, external_id=self.plant(rig, node, owned))
        self._expect_refused_delete(rig, node, node, "an object without a marker")

    def test_an_object_of_another_stack_is_not_deleted(self, rig: Rig, owned: Case) -> None:
        """`delete` refuses an object with another owner's marker, and changes nothing."""
        theirs, ours = rig.node(owned, stack=OTHER_STACK), rig.node(owned)
        rig.apply(theirs)
        self._expect_refused_delete(rig, theirs, ours, "an object of another stack")

    def test_an_object_of_another_address_is_not_deleted(self, rig: Rig, owned: Case) -> None:
        """`delete` refuses an object without our marker for that very address."""
        node, alias = rig.node(owned), rig.node(owned, address_target=ELSEWHERE)
        rig.apply(node)
        self._expect_refused_delete(rig, node, alias, "an object that is marked for another address")

    def test_an_object_with_another_id_is_not_deleted(self, rig: Rig, owned: Case) -> None:
        """`delete` refuses an object with another external id: it was made anew by someone else."""
        node = rig.node(owned)
        if not rig.is_named(node):
            pytest.skip("an object of this kind is found by its id alone")
        rig.apply(node)
        other = replace(node, external_id="the-id-of-another-object")
        self._expect_refused_delete(rig, node, other, "another object")

    def _expect_refused_delete(self, rig: Rig, living: Node, deleted: Node, what: str) -> None:
        """The delete of one node is refused, and the object that another describes stays as it is."""
        seen = rig.observed(living)
        before = self.snapshot(rig, living)
        recorded = rig.recorded(deleted, deleted.external_id or seen.external_id)
        self.expect_conflict(f"a delete of {what}", lambda: rig.delete(recorded))
        expect(self.snapshot(rig, living) == before, f"a refused delete of {what} changed it")

    # -- release

    def test_a_released_object_stays_as_it_is_without_our_marker(self, rig: Rig, owned: Case) -> None:
        """`release` takes our marker off and leaves all else; it can be repeated."""
        node = rig.node(owned)
        made = rig.apply(node)
        recorded = rig.recorded(node, made.external_id)
        rig.release(recorded)
        node = replace(node, external_id=made.external_id)
        left = rig.eventually(node, lambda: rig.observed(node), lambda seen: seen.owner is None)
        expect(left.owner is None, "the released object still carries a marker")
        expect(left.external_id == made.external_id, "release made another object")
        change = rig.diff(node, left, to_record(node.body))
        expect(change.action is Action.NONE, "release changed fields of the object")
        rig.release(recorded)
        expect(rig.observed(node).owner is None, "a second release brought a marker back")

    def test_releasing_what_is_gone_is_done(self, rig: Rig, owned: Case) -> None:
        """`release` of what is gone is Done, and makes nothing."""
        node = rig.node(owned)
        recorded = rig.recorded(node, rig.apply(node).external_id)
        rig.delete(recorded)
        rig.expect_absent(node)
        rig.release(recorded)
        rig.expect_absent(node)

    def test_releasing_leaves_the_marker_of_another_stack(self, rig: Rig, owned: Case) -> None:
        """`release` takes off our marker, never another owner's."""
        theirs, ours = rig.node(owned, stack=OTHER_STACK), rig.node(owned)
        made = rig.apply(theirs)
        self.tolerate_conflict(lambda: rig.release(rig.recorded(ours, made.external_id)))
        expect(rig.observed(theirs).owner == rig.owner(theirs), "release took another stack's marker off")

    # -- find_owned

    def test_find_owned_finds_exactly_ours(self, rig: Rig, owned: Case) -> None:
        """`find_owned`: every object with a marker of that stack, and no other's."""
        ours, theirs = rig.node(owned), rig.node(owned.sibling, stack=OTHER_STACK)
        made = {node.address: rig.apply(node) for node in (ours, theirs)}
        for node in (ours, theirs):
            expect_owned(rig, node, {(rig.owner(node), made[node.address].external_id)})

    def test_find_owned_finds_the_markers_of_any_installation(self, rig: Rig, owned: Case) -> None:
        """`find_owned` of `*/<stack>`: after the loss of a store nobody knows the installation any more."""
        ours, theirs = rig.node(owned), rig.node(owned.sibling, stack=OTHER_STACK)
        made = rig.apply(ours)
        rig.apply(theirs)
        wanted = {(rig.owner(ours), made.external_id)}
        stack = ours.address.stack
        session = rig.provider.connect(rig.target, f"the-store-was-lost/{stack}")
        try:

            def look() -> set[tuple[Owner, str]]:
                found = rig.kind(ours).find_owned(session, f"{ANY_INSTALLATION}/{stack}")
                return {(owned.owner, owned.external_id) for owned in found}

            found = rig.eventually(ours, look, lambda seen: seen == wanted)
            expect(found == wanted, f"find_owned of any installation gives {found}, not {wanted}")
            kinds = [(kind.api_version, kind.name) for kind in rig.provider.markable(session)]
        finally:
            session.close()
        groups = {(version.rpartition("/")[0], name) for version, name in kinds}
        group = (ours.api_version.rpartition("/")[0], ours.kind)
        expect(group in groups, f"markable does not give {ours.kind}, whose objects carry markers")

    def test_find_owned_does_not_find_what_was_deleted_or_released(self, rig: Rig, owned: Case) -> None:
        """`find_owned` goes by the marker on what lives now."""
        gone, released = rig.node(owned), rig.node(owned.sibling)
        rig.delete(rig.recorded(gone, rig.apply(gone).external_id))
        rig.expect_absent(gone)
        rig.release(rig.recorded(released, rig.apply(released).external_id))
        found = rig.eventually(gone, lambda: markers(rig, gone), lambda seen: not seen)
        expect(not found, f"find_owned gives what is no longer ours: {found}")

    def test_the_marker_survives_an_update(self, rig: Rig, changeable: Case) -> None:
        """An object that was changed by us is still found by its marker."""
        if not changeable.is_markable:
            pytest.skip("objects of this kind carry no marker")
        node, changed = rig.node(changeable), rig.node(changeable, changeable.changed)
        made = rig.apply(node)
        rig.update(changed, rig.diff(changed, rig.observed(changed), to_record(node.body)))
        rig.expect_true(changed)
        expect_owned(rig, node, {(rig.owner(node), made.external_id)})


def expect_owned(rig: Rig, node: Node, wanted: set[tuple[Owner, str]]) -> None:
    """Fails unless `find_owned` gives exactly those owners and ids for the node's stack."""
    found = rig.eventually(node, lambda: markers(rig, node), lambda seen: seen == wanted)
    expect(found == wanted, f"find_owned of stack {node.address.stack} gives {found}, not {wanted}")


def markers(rig: Rig, node: Node) -> set[tuple[Owner, str]]:
    """The owners and ids that `find_owned` gives for the node's stack."""
    return {(owned.owner, owned.external_id) for owned in rig.owned(node)}
