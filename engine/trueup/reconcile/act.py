"""Carries out one step: plan again if needed, intent, the provider's call, verify, record.

Called by walk in a worker thread. A step is a generator: each `Wait` that it yields gives the worker back
until the wait is over, so that waiting holds no thread.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial

from trueup.errors import ManifestError, ProviderError, Throttled, Transient, TrueupError
from trueup.model.change import Action, Change
from trueup.model.observation import Absent, Failed, Observation, Observed
from trueup.model.outcome import Outcome, Result
from trueup.model.resource import Replace
from trueup.reconcile.boundary import broken_plugin
from trueup.reconcile.call import Caller, StepFlow, Undone, Wait, Workshop
from trueup.reconcile.concede import find_rivalry, is_applied_before
from trueup.reconcile.crash_point import reach
from trueup.reconcile.diff import is_renamed
from trueup.reconcile.doubt import is_unfindable
from trueup.reconcile.enforce import find_breaches, refuse_breach
from trueup.reconcile.plan import judge
from trueup.reconcile.record import name_result, outcome_of
from trueup.reconcile.replace import is_begun_now, leave, make_entries, refuse_new_name, resume
from trueup.reconcile.resolve import resolve_node
from trueup.reconcile.situation import name_only
from trueup.reconcile.trigger import baseline, with_triggers
from trueup.reconcile.unmade import was_never_made
from trueup.reconcile.verify import (
    Verdict,
    Verification,
    is_foreign,
    verify_gone,
    verify_health,
    verify_present,
)
from trueup.sdk.contracts import Session
from trueup.state.store import Record

_SEE_PLAN = "run again to see the new plan"


class Act(Caller):
    """One step in progress. `flow` is what the walk advances; `interrupt` ends it before its time."""

    def __init__(self, shop: Workshop, change: Change, *, is_stale: bool) -> None:
        super().__init__(shop, change)
        self._is_stale = is_stale
        self._is_removed = False
        self._has_reacted = False
        self._different: Change | None = None  # by the last look after the call
        going = {seen.external_id for seen in change.replaced}
        self._leftovers = [
            (leftover, seen)
            for leftover, seen in shop.knowledge.leftovers.get(change.address, ())
            if isinstance(seen, Observed) and seen.external_id in going
        ]

    def flow(self) -> StepFlow:
        """Runs the step. Never raises anything but StoreError: every other failure is an outcome."""
        return self._see_to_its_end(self._carry_out())

    def finish(self) -> StepFlow:
        """The rest of a replacement whose new object came first: deletes the old one."""
        self._is_finishing = True
        return self._see_to_its_end(self._remove_leftovers())

    def _see_to_its_end(self, work: Generator[Wait, None, None]) -> StepFlow:
        try:
            yield from work
        except Undone as undone:
            return self._fail(undone)
        except ManifestError as error:
            return self._fail(Undone("; ".join(str(problem) for problem in error.problems)))
        except ProviderError as error:
            is_open = isinstance(error, Transient) and not isinstance(error, Throttled)
            return self._fail(Undone(error.message, error.hint, is_open=is_open))
        except TrueupError:
            raise  # the store's, and a plugin's that cannot be loaded: the run cannot go on
        except Exception as error:  # noqa: BLE001 - one node's bug must not take the others down
            broken = broken_plugin(self._node.target.provider, "step", error)
            return self._fail(Undone(broken.message, broken.hint, is_open=True))
        return self._succeed()

    def interrupt(self, why: str = "interrupted while it waited") -> Outcome:
        """Ends a step that waits: what was done is recorded, and that it was not seen to its end."""
        return self._fail(Undone(f"{why}; the next run looks at it again", is_open=True))

    # -- the step

    def _carry_out(self) -> Generator[Wait, None, None]:
        if self._is_unmade():
            return  # nobody has to be asked
        session = self._open_session()
        if self._is_stale:
            self._plan_again(session)
        self.change = with_triggers(self.change, self._shop.find_due(self.change.address))
        action = self.change.action
        if action is Action.NONE:
            yield from self._wait_until_ready(session)
            return
        if action in (Action.DELETE, Action.FORGET):
            yield from self._take_away(session)
            return
        if action is Action.REPLACE:
            yield from self._replace(session)
        elif action is Action.CREATE:
            yield from self._wait_for_begun(session)
            yield from self._call("create", session)
        elif self._needs_update():
            yield from self._call("update", session)
        if self.change.triggered_by:
            yield from self._call("refresh", session)
            # Whether it gets ready now is another matter: the restart itself is no longer owed.
            self._has_reacted = True
        if self.has_called:
            yield from self._wait_until_good(session)
        else:
            yield from self._wait_until_ready(session)

    def _is_unmade(self) -> bool:
        situation, address = self._shop.situation, self.change.address
        is_forgotten = self.change.action is Action.FORGET and address in situation.undeclared
        return is_forgotten and was_never_made(self._node, situation.records.get(address), situation)

    def _wait_for_begun(self, session: Session) -> Generator[Wait, None, None]:
        """Gives an object that an interrupted create may have made the time that it takes to show."""
        settle = self._kind.traits.settle
        if self.change.address not in self._shop.situation.begun or self._kind.traits.identity != "tagged":
            return
        until = min(self._shop.clock() + settle, self._deadline)
        while settle and not isinstance(self._look(session, self._node), Observed):
            left = until - self._shop.clock()
            if left <= 0:
                return
            yield Wait(min(left, 1.0), "what an interrupted create has made may show yet")
        if settle:
            raise Undone("an interrupted create has made it after all", "run again", is_open=True)

    def _open_session(self) -> Session:
        session = self._shop.connections.session(self._node.target)
        recorded = self._shop.situation.places.get(self._node.target.name)
        if recorded not in (None, session.fingerprint):
            raise Undone(f"target {self._node.target.name!r} became another place during the run")
        return session

    def _needs_update(self) -> bool:
        if self.change.action is Action.ADOPT:
            return not self._carries_our_marker()
        is_refresh_alone = bool(self.change.triggered_by) and not self.change.fields
        if is_refresh_alone:
            # A shared object is ours without a marker, but what is refreshed has to carry one.
            return not self._carries_our_marker()
        return self.change.action is Action.UPDATE

    def _plan_again(self, session: Session) -> None:
        """A dependency was acted on: the node is judged anew from what lives now."""
        address, planned, was_begun = self.change.address, self.change.action, is_begun_now(self.change)
        passed = find_breaches([self.change], self._shop.situation, self._shop.knowledge)
        declared = self._shop.situation.graph.nodes[address]
        resolved = resolve_node(declared, self._shop.knowledge, self._shop.knowledge.texts)
        self._node = replace(resolved, external_id=self._node.external_id)
        if not self._node.external_id and not self._kind.identity(self._node):
            self._refuse_unknown()  # there is no name by which to look for it
        observation = self._look(session, self._node)
        self._shop.knowledge.learn(self._node, observation)
        change = judge(declared, self._shop.situation, self._shop.knowledge)
        self.change = resume(change, self._shop.situation, self._shop.knowledge)
        self._node = self._shop.knowledge.nodes[address]
        if self.change.problem:
            raise Undone(self.change.problem, self.change.hint)
        if self.change.action is Action.REPLACE and (
            planned is not Action.REPLACE or (is_begun_now(self.change) and not was_begun)
        ):
            raise Undone("it would have to be replaced by now, which the plan did not say", _SEE_PLAN)
        if refusal := refuse_breach(self.change, passed, self._shop.situation, self._shop.knowledge):
            raise Undone(refusal, _SEE_PLAN)

    def _take_away(self, session: Session) -> Generator[Wait, None, None]:
        if self.change.action is Action.FORGET:
            yield from self._let_go(session)
        elif self.change.observed is not None or not self.change.replaced:
            yield from self._remove(session)
        yield from self._remove_leftovers()

    def _replace(self, session: Session) -> Generator[Wait, None, None]:
        """Makes the new object, after the old one was deleted; with createFirst `finish` deletes it later."""
        is_first = self._node.lifecycle.replace is Replace.CREATE_FIRST
        is_begun = is_begun_now(self.change)
        if is_begun and self._is_renamed():
            self._begin_replacement(session)
        elif is_begun and is_first:
            raise Undone("the new object cannot live beside the old one, which has the same name")
        elif is_begun:
            yield from self._remove(session)
        if not is_first:
            yield from self._remove_leftovers()
        reach("after-removal")
        if is_begun or self.change.observed is None:
            yield from self._call("create", session)
            if any(self._node.external_id == seen.external_id for _, seen in self._leftovers):
                raise Undone("the new object turned out to be the old one", "give it another name as well")
        elif self.change.fields or not self._carries_our_marker():
            yield from self._call("update", session)
        self._shop.knowledge.leftovers[self.change.address] = tuple(self._leftovers)
        reach("after-creation")

    def _is_renamed(self) -> bool:
        observed, moved_from = self.change.observed, self.change.moved_from
        owners = [self._shop.situation.owner(each) for each in (self.change.address, moved_from) if each]
        if observed is None or observed.owner not in owners:
            return False
        record = self._shop.situation.record_at(moved_from or self.change.address)
        return is_renamed(self._node, observed, self._kind, record if record and record.external_id else None)

    def _begin_replacement(self, session: Session) -> None:
        """Writes down that two objects may live from now on, before anything is called."""
        shop, address, observed = self._shop, self.change.address, self.change.observed
        if observed is None:
            raise ValueError(f"{address} has no object to replace")
        self._check_new_name(session, observed)
        old = shop.situation.record_at(self.change.moved_from or address)
        self._leftovers.append((leave(self._node, observed, old, shop.situation), observed))
        self.change = replace(self.change, replaced=tuple(seen for _, seen in self._leftovers))
        self._node = replace(self._node, external_id="")
        row = shop.recorder.make_record(
            self._node,
            session.fingerprint,
            "",
            shop.knowledge.declared[address],
            is_created=True,
            triggers=shop.recorder.seen_triggers(address),
        )
        shop.recorder.write_row(replace(row, replacing=make_entries(self._leftovers)))
        shop.knowledge.learn(self._node, Absent(address))

    def _check_new_name(self, session: Session, old: Observed) -> None:
        """Nothing is deleted for a new object whose name another one has."""
        seen = self._look(session, replace(self._node, external_id=""))
        if isinstance(seen, Failed):
            raise Undone(
                f"whether its new name is free cannot be read: {seen.error.message}", seen.error.hint
            )
        ours = self._shop.situation.owner(self.change.address)
        if isinstance(seen, Observed) and (taken := refuse_new_name(seen, old, self._node, self._kind, ours)):
            raise Undone(taken, "remove or rename one of them")

    def _remove_leftovers(self) -> Generator[Wait, None, None]:
        """Deletes old objects that live beside the node's own, each by its own id and marker."""
        session, node, kind = self._open_session(), self._node, self._kind
        is_orphaned = self._shop.situation.is_orphaned(self.change.address)
        try:
            while self._leftovers:
                leftover, seen = self._leftovers[0]
                self._node = replace(leftover.node, external_id=seen.external_id)
                self._kind = self._shop.situation.catalog.kind_of(self._node)
                self._marked = leftover.owner
                is_kept = is_orphaned or (self._kind.traits.shared and not leftover.is_created)
                yield from self._call("release" if is_kept else "delete", session)
                if not is_kept:
                    gone = partial(verify_gone, external_id=seen.external_id)
                    yield from self._look_until(session, gone, "delete")
                del self._leftovers[0]
                reach("after-leftover")
        finally:
            self._node, self._kind, self._marked = node, kind, None
            self._shop.knowledge.leftovers[self.change.address] = tuple(self._leftovers)

    def _remove(self, session: Session) -> Generator[Wait, None, None]:
        observed = self.change.observed
        external_id = observed.external_id if observed else self._node.external_id
        self._node = replace(self._node, external_id=external_id)
        yield from self._call("delete", session)
        yield from self._look_until(session, lambda seen: verify_gone(seen, external_id), "delete")
        self._node = replace(self._node, external_id="")
        self._is_removed = True
        self._shop.knowledge.learn(self._node, Absent(self.change.address))

    def _let_go(self, session: Session) -> Generator[Wait, None, None]:
        """Leaves an object as it is, without our marker if it carries ours.

        Where the object is gone, a marker that lies beside it (on a host) may have stayed.
        """
        is_gone = isinstance(self._shop.knowledge.observations[self.change.address], Absent)
        if is_gone or self._carries_our_marker():
            yield from self._call("release", session)

    def _wait_until_good(self, session: Session) -> Generator[Wait, None, None]:
        def verify(observation: Observation) -> Verification:
            self._shop.knowledge.learn(self._node, observation)
            declared = self._shop.situation.graph.nodes[self.change.address]
            change = judge(declared, self._shop.situation, self._shop.knowledge, is_applied=True)
            self._different = change
            return verify_present(observation, change, self._judge_health)

        yield from self._look_until(session, verify, self.change.action.value)

    def _wait_until_ready(self, session: Session) -> Generator[Wait, None, None]:
        """For a node that is as it should be, but did not do its work when it was observed."""

        def verify(observation: Observation) -> Verification:
            if isinstance(observation, Observed):
                return verify_health(self._judge_health(observation))
            return Verification(Verdict.UNSETTLED, "it cannot be seen any more")

        known = self._shop.knowledge.observations[self.change.address]
        if verify(known).verdict is not Verdict.GOOD:
            yield from self._look_until(session, verify, "wait")

    # -- the end

    def _succeed(self) -> Outcome:
        outcome = self._outcome(*name_result(self.change))
        is_gone = outcome.result in (Result.DELETED, Result.FORGOTTEN)
        row = None if is_gone else self._make_row()
        self._shop.recorder.record_outcome(outcome, token=self._token, record=row)
        return outcome

    def _fail(self, undone: Undone) -> Outcome:
        outcome = self._outcome(Result.FAILED, undone.message, undone.hint)
        rivalry = None
        if undone.is_unkept:
            rivalry = find_rivalry(self.change, self._different, self._shop.situation, self._shop.knowledge)
        if rivalry is not None:
            outcome, undone.is_open = rivalry.tell(outcome, self.change), False
        row = self._make_row() if self.has_called else None
        old = self._shop.situation.records.get(self.change.address)
        row = row or self._make_unseen_row()
        if row is None and self._is_removed and old is not None:
            row = replace(old, external_id="")
        seen_last = self._shop.knowledge.observations.get(self.change.address)
        if row is not None and is_foreign(seen_last, self.change, old, self._kind):
            # Without our marker it is not ours yet: the manifest of the next run says whether it shall be.
            row = replace(row, external_id="")
        if row is not None:
            # What was meant is not what was achieved: the next run must not take the rest for drift.
            seen = self._shop.recorder.seen_triggers(self.change.address)
            is_whole = rivalry is not None or is_applied_before(self.change, row, old)
            body = row.body if is_whole or not row.external_id else name_only(row.body)
            row = replace(row, body=body, triggers=row.triggers if self._has_reacted else seen)
        if self._token and not undone.is_open:
            self._shop.recorder.close_intent(self._token)
            self._token = ""
        self._shop.recorder.record_outcome(outcome, token=self._token, record=row)
        return outcome

    def _make_unseen_row(self) -> Record | None:
        """The row of a new object that only its id leads to, and that does not show yet."""
        node, shop = self._node, self._shop
        is_made = self.change.action in (Action.CREATE, Action.REPLACE) and self.has_called
        if not (is_made and node.external_id and is_unfindable(self._kind)):
            return None
        if isinstance(shop.knowledge.observations.get(node.address), Observed):
            return None
        fingerprint = shop.connections.session(node.target).fingerprint
        declared = shop.knowledge.declared[node.address]
        return shop.recorder.make_record(node, fingerprint, node.external_id, declared, is_created=True)

    def _make_row(self) -> Record | None:
        """The inventory's row by what was seen last, None where nothing was seen."""
        address = self.change.address
        shop = self._shop
        seen = shop.knowledge.observations.get(address)
        if not isinstance(seen, Observed) or address in shop.situation.undeclared:
            return None
        old = shop.situation.record_at(self.change.moved_from or address)
        if self.change.action in (Action.CREATE, Action.REPLACE):
            is_created = True
        elif old is not None and (
            old.external_id or self.change.moved_from is not None or self._carries_our_marker()
        ):
            is_created = old.created
        else:
            is_created = self._carries_our_marker() and not self._kind.traits.shared
        declared = shop.knowledge.declared[address]
        fingerprint = shop.connections.session(self._node.target).fingerprint
        row = shop.recorder.make_record(
            self._node,
            fingerprint,
            seen.external_id,
            declared,
            is_created=is_created,
            triggers=baseline(self._node, shop.recorder.seen_triggers(address), shop.knowledge),
        )
        return replace(row, replacing=make_entries(self._leftovers))

    def _outcome(self, result: Result, message: str = "", hint: str = "") -> Outcome:
        return outcome_of(self.change, result, message, hint, self._shop.clock() - self._started)
