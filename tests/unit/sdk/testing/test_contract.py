"""The contract suite is tested by providers that break one promise each: the suite has to catch every one.

A sound provider passes all of it in tests/contract/test_memory.py. A new promise needs a row in MUTANTS.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import threading
import time
from dataclasses import replace

import pytest

from trueup.sdk import (
    UNKNOWN,
    Absent,
    Action,
    Change,
    Conflict,
    Denied,
    Done,
    Observed,
    Pending,
    ProviderError,
    Target,
    Transient,
    reveal,
)
from trueup.sdk.testing.contract import Case, ProviderContract, Rig
from trueup.sdk.testing.memory import (
    API_VERSION,
    MemoryProvider,
    MemorySession,
    Runner,
    Secretive,
    Shared,
    Slow,
    Thing,
    marker,
    world_of,
)
from trueup.sdk.testing.memory_world import Fault, MemoryWorld

CANARY = "canary-5b1d"
PLAIN = Case(
    API_VERSION,
    "Thing",
    "a",
    {"spec": {"size": 1, "zone": "a", "tags": ["x"]}},
    changed={"spec": {"size": 2, "zone": "a", "tags": ["x"]}},
    replaced={"spec": {"size": 1, "zone": "b", "tags": ["x"]}},
)
SECRET = Case(
    API_VERSION,
    "Secretive",
    "s",
    {"spec": {"user": "u", "token": CANARY, "password": CANARY}},
    changed={"spec": {"user": "v", "token": CANARY, "password": CANARY}},
    sensitive=(CANARY,),
)
CASES = {
    "Thing": PLAIN,
    "Slow": replace(PLAIN, kind="Slow"),
    "Shared": replace(PLAIN, kind="Shared"),
    "Secretive": SECRET,
    "Runner": replace(PLAIN, kind="Runner", is_refreshable=True),
}


class BrokenProvider(MemoryProvider):
    """The memory provider with one kind replaced."""

    def __init__(self, world, kind=None):
        super().__init__(world)
        if kind is not None:
            self._by_name[(kind.api_version, kind.name)] = kind
            self._kinds = tuple(self._by_name.values())


# -- mutants of observe and the sessions


class WritesWhileObserving(Thing):
    def observe(self, session, nodes):
        for node in nodes:
            world_of(session).change("update", self.key(node), lambda old: old and {**old, "version": 7})
        return super().observe(session, nodes)


class MakesWhileObserving(Thing):
    def observe(self, session, nodes):
        answers = list(super().observe(session, nodes))
        for node in nodes:
            if world_of(session).peek(self.key(node)) is None:
                stray = {"id": "stray", "version": 1, "owner": None, "spec": {}}
                world_of(session).put(self.key(node), stray)
        return answers


class SeesGhosts(Thing):
    def observe(self, session, nodes):
        for node in nodes:
            yield Observed(node.address, node.body, "ghost")


class TakesErrorsForAbsence(Thing):
    def observe(self, session, nodes):
        try:
            yield from super().observe(session, nodes)
        except ProviderError:
            for node in nodes:
                yield Absent(node.address)


class CallsEveryErrorTransient(Thing):
    def observe(self, session, nodes):
        try:
            yield from super().observe(session, nodes)
        except ProviderError as error:
            raise Transient("it did not work") from error


class CallsEveryErrorDenied(Thing):
    def observe(self, session, nodes):
        try:
            yield from super().observe(session, nodes)
        except ProviderError as error:
            raise Denied("it did not work") from error


class ForgetsTheMissing(Thing):
    def observe(self, session, nodes):
        return (answer for answer in super().observe(session, nodes) if not isinstance(answer, Absent))


class AnswersForTheFirstOnly(Thing):
    def observe(self, session, nodes):
        first = next(iter(super().observe(session, nodes[:1])))
        return [replace(first, address=node.address) for node in nodes]


class SharesABuffer(Thing):
    def observe(self, session, nodes):
        self.buffer = threading.get_ident()
        time.sleep(0.002)
        for answer in super().observe(session, nodes):
            if isinstance(answer, Observed) and self.buffer != threading.get_ident():
                answer = replace(answer, external_id=str(self.buffer))
            yield answer


class HasANewFingerprint(BrokenProvider):
    numbers = itertools.count()

    def connect(self, target, owner_key):
        session = super().connect(target, owner_key)
        number = next(self.numbers)

        class Numbered(MemorySession):
            @property
            def fingerprint(self):
                return f"connection-{number}"

        return Numbered(session.world, owner_key)


class ClosesOnce(BrokenProvider):
    def connect(self, target, owner_key):
        class Once(MemorySession):
            closed = False

            def close(self):
                if self.closed:
                    raise AssertionError("closed already")
                self.closed = True

        return Once(super().connect(target, owner_key).world, owner_key)


# -- mutants of create


class MakesASecondObject(Thing):
    def create(self, session, node, intent):
        world = world_of(session)
        if world.peek(self.key(node)) is not None:
            world.put(self.key(node) + "-again", {**world.peek(self.key(node)), "id": "again"})
        return super().create(session, node, intent)


class CannotRepeatACreate(Thing):
    def create(self, session, node, intent):
        if world_of(session).peek(self.key(node)) is not None:
            raise Conflict("it is there already")
        return super().create(session, node, intent)


class ReportsAnotherId(Thing):
    def create(self, session, node, intent):
        super().create(session, node, intent)
        return Done("some-other-id")


class LeavesNoMarker(Thing):
    def create(self, session, node, intent):
        done = super().create(session, node, intent)
        key = self.key(node)
        world_of(session).put(key, {**world_of(session).peek(key), "owner": None})
        return done


class DropsAField(Thing):
    def create(self, session, node, intent):
        spec = {key: value for key, value in node.spec.items() if key != "size"}
        return super().create(session, replace(node, body={**node.body, "spec": spec}), intent)


class TakesWhatIsInTheWay(Thing):
    def create(self, session, node, intent):
        return super().create(session, replace(node, lifecycle=replace(node.lifecycle, adopt=True)), intent)


class TouchesBeforeItRefuses(Thing):
    def create(self, session, node, intent):
        world, key = world_of(session), self.key(node)
        if world.peek(key) is not None:
            world.put(key, {**world.peek(key), "spec": {**world.peek(key)["spec"], "size": 99}})
        return super().create(session, node, intent)


class NeverAdopts(Thing):
    def create(self, session, node, intent):
        return super().create(session, replace(node, lifecycle=replace(node.lifecycle, adopt=False)), intent)


class NeverShares(Shared):
    def create(self, session, node, intent):
        entry = world_of(session).peek(self.key(node))
        if entry is not None and entry["owner"] is None:
            raise Conflict("it was there before")
        return super().create(session, node, intent)


class RefusesWhatWasOnceDeleted(Thing):
    deleted: set[str] = set()

    def create(self, session, node, intent):
        if self.key(node) in self.deleted:
            return Done("")
        return super().create(session, node, intent)

    def delete(self, session, node, intent):
        self.deleted = {*self.deleted, self.key(node)}
        return super().delete(session, node, intent)


class IsNotJson(Slow):
    def create(self, session, node, intent):
        pending = super().create(session, node, intent)
        return Pending({**pending.operation, "node": node}) if isinstance(pending, Pending) else pending


class PollsInThisProcessOnly(Slow):
    def create(self, session, node, intent):
        self.session = session
        return super().create(session, node, intent)

    def poll(self, session, operation):
        if session is not self.session:
            raise Conflict("this operation is not known")
        return super().poll(session, operation)


# -- mutants of update


class KeepsTheOldValue(Thing):
    def update(self, session, node, change, intent):
        key = self.key(node)
        return Done(world_of(session).peek(key)["id"])


class UpdatesByReplacing(Thing):
    def update(self, session, node, change, intent):
        super().update(session, node, change, intent)
        key = self.key(node)
        world_of(session).put(key, {**world_of(session).peek(key), "id": "new"})
        return Done("new")


class UpdatesWhateverIsThere(Thing):
    def update(self, session, node, change, intent):
        entry = world_of(session).peek(self.key(node))
        found = replace(change.observed, external_id=entry["id"])
        return super().update(session, node, replace(change, observed=found), intent)


class CannotRepeatAnUpdate(Thing):
    def update(self, session, node, change, intent):
        if (
            change.fields
            and str(world_of(session).peek(self.key(node))["version"]) != change.observed.version
        ):
            raise Conflict("it changed since")
        return super().update(session, node, change, intent)


class LosesTheMarker(Thing):
    def update(self, session, node, change, intent):
        done = super().update(session, node, change, intent)
        key = self.key(node)
        world_of(session).put(key, {**world_of(session).peek(key), "owner": None})
        return done


class MarksNothingWithoutFields(Thing):
    def update(self, session, node, change, intent):
        if not change.fields:
            return Done(change.observed.external_id)
        return super().update(session, node, change, intent)


class HandsNothingOver(Thing):
    def update(self, session, node, change, intent):
        if change.observed.owner not in (None, intent.owner):
            return Done(change.observed.external_id)
        return super().update(session, node, change, intent)


class IsBlindToDrift(Thing):
    def normalize(self, node, observed):
        return node.body if observed is None else observed.body


class KnowsNothingImmutable(Thing):
    schema = {"type": "object"}


# -- mutants of delete and release


class DeletesNothing(Thing):
    def delete(self, session, node, intent):
        return Done(node.external_id)


class CannotRepeatADelete(Thing):
    def delete(self, session, node, intent):
        if world_of(session).peek(self.key(node)) is None:
            raise Conflict("it is not there")
        return super().delete(session, node, intent)


class DeletesWhateverIsThere(Thing):
    def delete(self, session, node, intent):
        world_of(session).change("delete", self.key(node), lambda old: None)
        return Done()


class DeletesWithoutLookingAtTheAddress(Thing):
    def delete(self, session, node, intent):
        entry = world_of(session).peek(self.key(node))
        if entry and entry["owner"] and entry["owner"][:2] == marker(intent.owner)[:2]:
            world_of(session).change("delete", self.key(node), lambda old: None)
            return Done()
        return super().delete(session, node, intent)


class DeletesWithoutLookingAtTheId(Thing):
    def delete(self, session, node, intent):
        return super().delete(session, replace(node, external_id=""), intent)


class DeletesUnmarked(Thing):
    def delete(self, session, node, intent):
        entry = world_of(session).peek(self.key(node))
        if entry and not entry["owner"]:
            world_of(session).put(self.key(node), None)
        return super().delete(session, node, intent)


class KeepsTheMarker(Thing):
    def release(self, session, node, intent):
        return Done()


class ReleasesByDeleting(Thing):
    def release(self, session, node, intent):
        world_of(session).change("release", self.key(node), lambda old: None)
        return Done()


class ReleasesIntoExistence(Thing):
    def release(self, session, node, intent):
        entry = {"id": "x", "version": 1, "owner": None, "spec": {}}
        world_of(session).change("release", self.key(node), lambda old: old or entry)
        return super().release(session, node, intent)


class ReleasesForEveryone(Thing):
    def release(self, session, node, intent):
        def strip(old):
            return old and {**old, "owner": None}

        world_of(session).change("release", self.key(node), strip)
        return Done()


class FindsEverything(Thing):
    def find_owned(self, session, owner_key):
        for installation_stack in (owner_key, "contract-suite/contract", "contract-suite/another"):
            yield from super().find_owned(session, installation_stack)


class FindsNothing(Thing):
    def find_owned(self, session, owner_key):
        return ()


class FindsOneInstallation(Thing):
    def find_owned(self, session, owner_key):
        return [owned for owned in super().find_owned(session, owner_key) if owned.owner.key == owner_key]


class FindsWhatWas(Thing):
    found: tuple = ()

    def create(self, session, node, intent):
        done = super().create(session, node, intent)
        self.found = (*self.found, *super().find_owned(session, intent.owner.key))
        return done

    def find_owned(self, session, owner_key):
        return self.found


# -- mutants of the pure methods


class HasNoSchema(Thing):
    schema = {"type": "strng"}


class RefusesItsCase(Thing):
    schema = {"type": "object", "properties": {"size": {"type": "string"}}}


class IsOneAndTheSame(Thing):
    def identity(self, node):
        return "the thing"


class ComparesTheUnknown(Thing):
    def normalize(self, node, observed):
        if node.spec.get("size") is UNKNOWN:
            raise TypeError("an unknown value has no size")
        return node.body


class NamesTheUnknown(Thing):
    def provides(self, node):
        return [f"size:{node.spec.get('size')}" if node.spec is not UNKNOWN else ""]


class SortsInPlace(Thing):
    def normalize(self, node, observed):
        if observed is not None:
            observed.body["spec"].pop("tags", None)
        return node.body


class NeverCreates(Thing):
    def diff(self, node, observed, recorded):
        if isinstance(observed, Absent):
            return Change(node.address, Action.NONE)
        return super().diff(node, observed, recorded)


class HidesFromItsProvider(BrokenProvider):
    def kind(self, api_version, name):
        return None if name == "Vault" else super().kind(api_version, name)


class WantsAnotherConfig(BrokenProvider):
    config_schema = {"type": "object", "required": ["endpoint"]}


# -- mutants that leak


class SealsNothing(Secretive):
    def seal(self, body):
        return body


class SealsNoToken(Secretive):
    """The live token stays in the open."""

    def seal(self, body):
        return super().seal(body) if "status" not in body else body


class TellsInTheConflict(Secretive):
    def create(self, session, node, intent):
        try:
            return super().create(session, node, intent)
        except Conflict as error:
            raise Conflict(f"cannot set {reveal(node.spec)}") from error


class TellsInTheCause(Secretive):
    def create(self, session, node, intent):
        try:
            return super().create(session, node, intent)
        except Conflict:
            raise Conflict("cannot create it") from ValueError(str(reveal(node.spec)))


class TellsInTheLog(Secretive):
    def create(self, session, node, intent):
        logging.getLogger("broken").info("sending %s", reveal(node.spec))
        return super().create(session, node, intent)


class TellsInTheOperation(Secretive):
    def create(self, session, node, intent):
        super().create(session, node, intent)
        return Pending({"sent": reveal(node.spec)}, after=0.0)

    def poll(self, session, operation):
        return Done()


# -- mutants of import


class ExportsADefault(Thing):
    def export(self, body):
        return {**super().export(body), "spec": {**body["spec"], "size": 7}}


class ExportsWhatItRefuses(Thing):
    def export(self, body):
        return {**super().export(body), "status": body["status"]}


class ExportsTheMarker(Thing):
    def _body(self, name, namespace, entry):
        body = super()._body(name, namespace, entry)
        return {**body, "metadata": {**body["metadata"], "annotations": {"owner": str(entry["owner"])}}}


class DiscoversNoMarker(Thing):
    def discover(self, session, ids):
        return [replace(found, owner=None) for found in super().discover(session, ids)]


class WritesWhileDiscovering(Thing):
    def discover(self, session, ids):
        for key in world_of(session).list_keys():
            world_of(session).change("update", key, lambda old: {**old, "version": old["version"] + 1})
        return super().discover(session, ids)


class DiscoversNothing(Thing):
    def discover(self, session, ids):
        return []


class ExportsTheTokenElsewhere(Secretive):
    def export(self, body):
        document = super().export(body)
        return {**document, "spec": {**document["spec"], "user": reveal(body["spec"].get("token"))}}


class RefreshesByRemaking(Runner):
    def refresh(self, session, node, intent):
        key = self.key(node)
        world_of(session).put(key, {**world_of(session).peek(key), "id": "another"})
        return super().refresh(session, replace(node, external_id=""), intent)


class RefreshesOnceOnly(Runner):
    def refresh(self, session, node, intent):
        if world_of(session).peek(self.key(node)).get("refreshes"):
            raise Conflict("it was refreshed before")
        return super().refresh(session, node, intent)


class RefreshesByAField(Runner):
    def refresh(self, session, node, intent):
        key = self.key(node)
        entry = world_of(session).peek(key)
        world_of(session).put(key, {**entry, "spec": {**entry["spec"], "size": 99}})
        return super().refresh(session, node, intent)


class IsFrozenByARefresh(Runner):
    def update(self, session, node, change, intent):
        if world_of(session).peek(self.key(node)).get("refreshes"):
            raise Conflict("it was refreshed since")
        return super().update(session, node, change, intent)


class RefreshesWhateverIsThere(Runner):
    def refresh(self, session, node, intent):
        return Done(world_of(session).peek(self.key(node))["id"])


# Each promise of the suite with the kinds and providers that break it.
class NamesWhoWroteNothing(Thing):
    def writers(self, observed):
        return {"/spec/nothing": "somebody"}


class NamesNobody(Thing):
    def writers(self, observed):
        return {"/spec": " "}


MUTANTS: dict[str, list[type]] = {
    "what_was_never_made_is_absent": [SeesGhosts, ForgetsTheMissing],
    "observing_modifies_nothing": [WritesWhileObserving, MakesWhileObserving],
    "one_call_observes_many_nodes": [ForgetsTheMissing, AnswersForTheFirstOnly],
    "many_threads_observe_at_once": [SharesABuffer],
    "who_wrote_a_field_is_said_of_fields_that_live": [NamesWhoWroteNothing, NamesNobody],
    "after_a_create_nothing_differs": [LeavesNoMarker, DropsAField],
    "a_create_reports_the_id_that_observe_sees": [ReportsAnotherId],
    "a_repeated_create_makes_no_second_object": [MakesASecondObject, CannotRepeatACreate],
    "a_pending_operation_survives_a_restart": [IsNotJson, PollsInThisProcessOnly],
    "an_update_changes_what_differs_and_keeps_the_object": [
        KeepsTheOldValue,
        UpdatesByReplacing,
        LosesTheMarker,
    ],
    "a_repeated_update_does_no_harm": [CannotRepeatAnUpdate],
    "an_update_of_another_object_is_a_conflict": [UpdatesWhateverIsThere],
    "drift_is_seen_and_corrected": [IsBlindToDrift, UpdatesByReplacing],
    "a_change_that_cannot_be_made_in_place_is_a_replace": [KnowsNothingImmutable],
    "a_refresh_leaves_nothing_that_differs": [RefreshesByRemaking, RefreshesByAField, RefreshesOnceOnly],
    "what_was_refreshed_can_be_applied_over": [IsFrozenByARefresh],
    "a_refresh_of_another_object_is_a_conflict": [RefreshesWhateverIsThere],
    "a_deleted_object_is_absent": [DeletesNothing],
    "deleting_what_is_gone_is_done": [CannotRepeatADelete],
    "what_was_deleted_can_be_created_again": [RefusesWhatWasOnceDeleted],
    "an_unmarked_object_in_the_way_is_a_conflict": [
        TakesWhatIsInTheWay,
        TouchesBeforeItRefuses,
        NeverShares,
    ],
    "an_object_of_another_stack_in_the_way_is_a_conflict": [TakesWhatIsInTheWay, TouchesBeforeItRefuses],
    "create_with_adopt_takes_over_what_is_in_the_way": [NeverAdopts],
    "update_without_fields_puts_our_marker_on": [MarksNothingWithoutFields],
    "update_hands_an_object_over_from_one_stack_to_another": [HandsNothingOver],
    "an_object_without_our_marker_is_not_deleted": [DeletesWhateverIsThere, DeletesUnmarked],
    "an_object_of_another_stack_is_not_deleted": [DeletesWhateverIsThere],
    "an_object_of_another_address_is_not_deleted": [DeletesWithoutLookingAtTheAddress],
    "an_object_with_another_id_is_not_deleted": [DeletesWithoutLookingAtTheId],
    "a_released_object_stays_as_it_is_without_our_marker": [KeepsTheMarker, ReleasesByDeleting],
    "releasing_what_is_gone_is_done": [ReleasesIntoExistence],
    "releasing_leaves_the_marker_of_another_stack": [ReleasesForEveryone],
    "find_owned_finds_exactly_ours": [FindsEverything, FindsNothing],
    "find_owned_finds_the_markers_of_any_installation": [FindsEverything, FindsOneInstallation],
    "find_owned_does_not_find_what_was_deleted_or_released": [FindsWhatWas],
    "the_marker_survives_an_update": [LosesTheMarker],
    "the_fingerprint_is_the_same_for_each_connection": [HasANewFingerprint],
    "a_session_can_be_closed_twice": [ClosesOnce],
    "an_unreachable_system_is_transient_and_never_absent": [TakesErrorsForAbsence, CallsEveryErrorDenied],
    "a_refusal_is_denied_and_never_absent": [TakesErrorsForAbsence, CallsEveryErrorTransient],
    "secrets_show_in_no_observation_diff_record_or_operation": [
        SealsNothing,
        SealsNoToken,
        TellsInTheLog,
        TellsInTheOperation,
    ],
    "secrets_show_in_no_error": [TellsInTheConflict, TellsInTheCause],
    "each_schema_is_valid_json_schema": [HasNoSchema],
    "the_target_config_fits_the_config_schema": [WantsAnotherConfig],
    "each_kind_is_found_by_its_own_name": [HidesFromItsProvider],
    "each_case_is_valid": [RefusesItsCase],
    "two_objects_have_two_identities": [IsOneAndTheSame],
    "unknown_values_break_no_pure_method": [ComparesTheUnknown, NamesTheUnknown],
    "pure_methods_change_nothing_and_repeat_themselves": [SortsInPlace],
    "the_diff_of_what_is_absent_is_a_create": [NeverCreates],
    "secrets_are_sealed_wherever_they_stand": [SealsNothing],
    "an_exported_object_gives_no_difference": [ExportsADefault, ExportsWhatItRefuses, DiscoversNothing],
    "an_exported_object_can_be_adopted_and_holds_no_marker": [ExportsTheMarker, DiscoversNoMarker],
    "discovering_modifies_nothing": [WritesWhileDiscovering],
    "an_id_that_names_nothing_is_missing": [DiscoversNothing],
    "secrets_are_seen_in_what_is_exported": [ExportsTheTokenElsewhere],
    "importing_the_plugin_does_not_import_the_sdk_of_its_system": [BrokenProvider],
}
ROWS = [(promise, mutant) for promise, mutants in MUTANTS.items() for mutant in mutants]
# What the sound provider is tested with: the same promises over the same cases.
SOUND = {
    (promise, "Thing" if issubclass(mutant, MemoryProvider) else mutant.name)
    for promise, mutant in ROWS
    if not promise.startswith("importing_the_plugin")
}


class Suite(ProviderContract):
    """The suite as a provider's tests would subclass it; its plugin imports pytest, which it must not."""

    plugin_module = "trueup.sdk.testing.contract"
    sdk_modules = ("pytest",)

    def count_writes(self, rig):
        return rig.provider.world.count_writes()

    def plant_foreign(self, rig, node, case):
        entry = {"id": "foreign", "version": 1, "owner": None, "spec": case.body["spec"]}
        rig.provider.world.put(rig.kind(node).key(node), entry)
        return "foreign"


def run_promise(name, provider, case, caplog):
    """Runs one test of the suite with what pytest would hand to it."""
    world, target = provider.world, Target("world", "memory")
    if name == "an_unreachable_system_is_transient_and_never_absent":
        world.inject(Fault("observe", "Transient"))
    if name == "a_refusal_is_denied_and_never_absent":
        world.inject(Fault("observe", "Denied"))
    offered = {
        "provider": provider,
        "target": target,
        "unreachable_target": target,
        "denied_target": target,
        "rig": Rig(provider, target, patience=2.0),
        "caplog": caplog,
    }
    test = getattr(Suite(), f"test_{name}")
    wanted = inspect.signature(test).parameters
    test(**{argument: offered.get(argument, case) for argument in wanted})


def make(mutant, world):
    """The broken provider and the case that shows it."""
    if issubclass(mutant, MemoryProvider):
        return mutant(world), PLAIN
    return BrokenProvider(world, mutant()), CASES[mutant.name]


@pytest.mark.parametrize(
    ("promise", "mutant"), ROWS, ids=[f"{promise}-{mutant.__name__}" for promise, mutant in ROWS]
)
def test_the_suite_catches_a_provider_that_breaks_this_promise(promise, mutant, caplog):
    provider, case = make(mutant, MemoryWorld())
    with pytest.raises((AssertionError, ProviderError, TypeError, ValueError)):
        run_promise(promise, provider, case, caplog)


@pytest.mark.parametrize(("promise", "kind"), sorted(SOUND))
def test_the_same_promise_is_kept_by_the_sound_provider(promise, kind, caplog):
    run_promise(promise, BrokenProvider(MemoryWorld()), CASES[kind], caplog)


def test_each_promise_has_a_provider_that_breaks_it():
    promises = {name.removeprefix("test_") for name in dir(ProviderContract) if name.startswith("test_")}
    assert promises == set(MUTANTS)
