"""Carries out one step: plan again if needed, intent, the provider's call, verify, record.

Called by walk in a worker thread. A step is a generator: each `Wait` that it yields gives the worker back
until the wait is over, so that waiting holds no thread.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from trueup.errors import ManifestError, ProviderError, Throttled, Transient, TrueupError
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.observation import READY, Absent, Done, Health, Observation, Observed, Pending
from trueup.model.outcome import Outcome, Result
from trueup.model.resource import Node
from trueup.model.values import has_unknown
from trueup.reconcile.boundary import broken_plugin, health_of
from trueup.reconcile.observe import Connections, observe_batch
from trueup.reconcile.plan import judge
from trueup.reconcile.record import Recorder, outcome_of
from trueup.reconcile.resolve import name_unknown, resolve_node
from trueup.reconcile.situation import Knowledge, Situation, name_only
from trueup.reconcile.trigger import CAUSES, baseline, find_due, with_triggers
from trueup.reconcile.verify import Verdict, Verification, verify_gone, verify_health, verify_present
from trueup.sdk.contracts import Intent, Kind, Session
from trueup.state.store import Record

CALL_ATTEMPTS = 3
SETTLE_LOOKS = 3

RESULTS = {
    Action.CREATE: Result.CREATED,
    Action.UPDATE: Result.UPDATED,
    Action.REPLACE: Result.REPLACED,
    Action.DELETE: Result.DELETED,
    Action.ADOPT: Result.ADOPTED,
    Action.FORGET: Result.FORGOTTEN,
    Action.NONE: Result.UNCHANGED,
}


@dataclass(frozen=True)
class Wait:
    """A step has to wait for the system: `seconds` from now, because of `why`."""

    seconds: float
    why: str


StepFlow = Generator[Wait, None, Outcome]


@dataclass(frozen=True)
class Workshop:
    """What every step of a run works with. `needs_health`: a step ends when its object does its work."""

    situation: Situation
    knowledge: Knowledge
    connections: Connections
    recorder: Recorder
    clock: Callable[[], float] = time.monotonic
    needs_health: bool = True

    def find_due(self, address: Address) -> tuple[Address, ...]:
        """The sources that the node has to react to, by what is known and recorded by now."""
        node = self.situation.graph.nodes.get(address)
        if node is None or not node.lifecycle.triggers:
            return ()
        return find_due(node, self.recorder.seen_triggers(address), self.knowledge)


class _Undone(Exception):
    """A step cannot go on; `is_open` keeps the intent, since the effect of the last call is not known."""

    def __init__(self, message: str, hint: str = "", *, is_open: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.is_open = is_open


class Act:
    """One step in progress. `flow` is what the walk advances; `interrupt` ends it before its time.

    `has_called`: a mutation was sent, so the step must not be dropped without a record.
    """

    def __init__(self, shop: Workshop, change: Change, *, is_stale: bool) -> None:
        self.change = change
        self._shop = shop
        self._is_stale = is_stale
        self._node = shop.knowledge.nodes[change.address]
        self._kind: Kind = shop.situation.catalog.kind_of(self._node)
        self._token = ""
        self.has_called = False
        self._is_removed = False
        self._started = shop.clock()
        timeout = self._node.lifecycle.timeout
        self._deadline = self._started + (timeout if timeout is not None else self._kind.traits.ready_timeout)

    def flow(self) -> StepFlow:
        """Runs the step. Never raises anything but StoreError: every other failure is an outcome."""
        try:
            yield from self._carry_out()
        except _Undone as undone:
            return self._fail(undone)
        except ManifestError as error:
            return self._fail(_Undone("; ".join(str(problem) for problem in error.problems)))
        except ProviderError as error:
            is_open = isinstance(error, Transient) and not isinstance(error, Throttled)
            return self._fail(_Undone(error.message, error.hint, is_open=is_open))
        except TrueupError:
            raise  # the store's, and a plugin's that cannot be loaded: the run cannot go on
        except Exception as error:  # noqa: BLE001 - one node's bug must not take the others down
            broken = broken_plugin(self._node.target.provider, "step", error)
            return self._fail(_Undone(broken.message, broken.hint, is_open=True))
        return self._succeed()

    def interrupt(self) -> Outcome:
        """Ends a step that waits: what was done is recorded, and that it was not seen to its end."""
        return self._fail(
            _Undone("interrupted while it waited; the next run looks at it again", is_open=True)
        )

    # -- the step

    def _carry_out(self) -> Generator[Wait, None, None]:
        session = self._shop.connections.session(self._node.target)
        recorded = self._shop.situation.places.get(self._node.target.name)
        if recorded not in (None, session.fingerprint):
            raise _Undone(f"target {self._node.target.name!r} became another place during the run")
        if self._is_stale:
            self._plan_again(session)
        self.change = with_triggers(self.change, self._shop.find_due(self.change.address))
        action = self.change.action
        if action is Action.NONE:
            yield from self._wait_until_ready(session)
            return
        if action in (Action.DELETE, Action.REPLACE):
            yield from self._remove(session)
        elif action is Action.FORGET:
            yield from self._let_go(session)
        if action in (Action.CREATE, Action.REPLACE):
            yield from self._call("create", session)
        elif self._needs_update():
            yield from self._call("update", session)
        if self.change.triggered_by:
            yield from self._call("refresh", session)
        if action in (Action.DELETE, Action.FORGET):
            return
        if self.has_called:
            yield from self._wait_until_good(session)
        else:
            yield from self._wait_until_ready(session)

    def _needs_update(self) -> bool:
        if self.change.action is Action.ADOPT:
            return not self._carries_our_marker()
        is_refresh_alone = bool(self.change.triggered_by) and not self.change.fields
        return self.change.action is Action.UPDATE and not is_refresh_alone

    def _plan_again(self, session: Session) -> None:
        """A dependency was acted on: the node is judged anew from what lives now."""
        address, planned = self.change.address, self.change.action
        declared = self._shop.situation.graph.nodes[address]
        resolved = resolve_node(declared, self._shop.knowledge)
        self._node = replace(resolved, external_id=self._node.external_id)
        observation = self._look(session, self._node)
        self._shop.knowledge.learn(self._node, observation)
        self.change = judge(declared, self._shop.situation, self._shop.knowledge)
        self._node = self._shop.knowledge.nodes[address]
        if self.change.problem:
            raise _Undone(self.change.problem, self.change.hint)
        if self.change.action is Action.REPLACE and planned is not Action.REPLACE:
            raise _Undone(
                "it would have to be replaced by now, which the plan did not say",
                "run again to see the new plan",
            )

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

    def _look_until(
        self, session: Session, verify: Callable[[Observation], Verification], what: str
    ) -> Generator[Wait, None, None]:
        """Observes until the verification is good; gives up at the deadline, or once nothing more can come.

        An unsettled object gets the kind's settle time and a few looks more, a progressing one the deadline.
        """
        settled_at = self._shop.clock() + self._kind.traits.settle
        looks, pause = 0, 0.1
        while True:
            verification = verify(self._look(session, self._node))
            looks += 1
            now = self._shop.clock()
            if verification.verdict is Verdict.GOOD:
                return
            if verification.verdict is Verdict.BAD:
                raise _Undone(verification.why, is_open=not self.has_called)
            is_final = verification.verdict is Verdict.UNSETTLED and what != "delete"
            if is_final and looks >= SETTLE_LOOKS and now >= settled_at:
                raise _Undone(f"the {what} did not hold: {verification.why}", is_open=True)
            if now >= self._deadline:
                waited = now - self._started
                raise _Undone(f"not done after {waited:.0f} s: {verification.why}", is_open=True)
            yield Wait(min(pause, max(0.0, self._deadline - now)), verification.why)
            pause = min(pause * 2, 5.0)

    # -- calls

    def _call(self, verb: str, session: Session) -> Generator[Wait, None, None]:
        """One mutation and its polls, repeated with the same intent where that is safe."""
        for attempt in range(1, CALL_ATTEMPTS + 1):
            try:
                done = self._mutate(verb, session)
                while isinstance(done, Pending):
                    if self._shop.clock() >= self._deadline:
                        raise _Undone(f"the {verb} is still under way: {done.why}", is_open=True)
                    left = self._deadline - self._shop.clock()
                    yield Wait(max(0.0, min(done.after, left)), done.why)
                    done = self._guarded("poll", self._kind.poll, session, done.operation)
                if done.external_id:
                    self._node = replace(self._node, external_id=done.external_id)
                return
            except Transient as error:
                now = self._shop.clock()
                if attempt == CALL_ATTEMPTS or now >= self._deadline:
                    raise
                pause = error.retry_after if error.retry_after is not None else 0.5 * 2**attempt
                pause *= 1 + random.random() / 4  # noqa: S311 - jitter, not cryptography
                yield Wait(min(pause, max(0.0, self._deadline - now)), error.message)

    def _mutate(self, verb: str, session: Session) -> Done | Pending:
        if verb in ("create", "update", "refresh") and has_unknown(self._node.body):
            declared = self._shop.situation.graph.nodes[self.change.address].body
            why = name_unknown(declared, self._shop.situation.facts)
            raise _Undone(why or "it depends on a value that is not known yet", "run again")
        if not self._token:
            if self.change.action in CAUSES:
                self._shop.recorder.owe_reactions(self.change.address)
            self._token = self._shop.recorder.write_intent(
                self._node, self.change.action, session.fingerprint
            )
        # The object that a moved one replaces still carries the marker of its old address.
        is_old = verb == "delete" and self._carries_marker_of(self.change.moved_from)
        marked = self.change.moved_from if is_old and self.change.moved_from else self.change.address
        intent = Intent(self._token, self._shop.situation.owner(marked))
        self.has_called = True
        if verb == "create":
            return self._guarded(verb, self._kind.create, session, self._node, intent)
        if verb == "update":
            return self._guarded(verb, self._kind.update, session, self._node, self.change, intent)
        calls = {"refresh": self._kind.refresh, "release": self._kind.release, "delete": self._kind.delete}
        return self._guarded(verb, calls[verb], session, self._node, intent)

    def _guarded(self, verb: str, call: Callable[..., Done | Pending], *arguments: object) -> Done | Pending:
        """Calls the plugin. Its own bug becomes an error of the node, whose effect is then unknown."""
        try:
            done = call(*arguments)
        except ProviderError:
            raise
        except Exception as error:
            broken = broken_plugin(self._node.target.provider, verb, error)
            raise _Undone(broken.message, broken.hint, is_open=True) from error
        if not isinstance(done, Done | Pending):
            raise _Undone(
                f"a bug in provider {self._node.target.provider!r}: {verb} gave no answer", is_open=True
            )
        return done

    def _judge_health(self, observed: Observed) -> Health:
        if not self._shop.needs_health:
            return READY
        return health_of(self._kind, observed, self._node.target.provider)

    def _look(self, session: Session, node: Node) -> Observation:
        provider = self._shop.situation.catalog.provider(node.target.provider)
        return observe_batch(provider, session, [node])[node.address]

    def _carries_our_marker(self) -> bool:
        return self._carries_marker_of(self.change.address)

    def _carries_marker_of(self, address: Address | None) -> bool:
        observed = self.change.observed
        if observed is None or address is None:
            return False
        return observed.owner == self._shop.situation.owner(address)

    # -- the end

    def _succeed(self) -> Outcome:
        outcome = self._outcome(RESULTS[self.change.action])
        is_gone = outcome.result in (Result.DELETED, Result.FORGOTTEN)
        row = None if is_gone else self._make_row()
        self._shop.recorder.record_outcome(outcome, token=self._token, record=row)
        return outcome

    def _fail(self, undone: _Undone) -> Outcome:
        outcome = self._outcome(Result.FAILED, undone.message, undone.hint)
        row = self._make_row() if self.has_called else None
        old = self._shop.situation.records.get(self.change.address)
        if row is None and self._is_removed and old is not None:
            row = replace(old, external_id="")
        if row is not None:
            # What was meant is not what was achieved: the next run must not take the rest for drift.
            seen = self._shop.recorder.seen_triggers(self.change.address)
            row = replace(row, body=name_only(row.body), triggers=seen)
        if self._token and not undone.is_open:
            self._shop.recorder.close_intent(self._token)
            self._token = ""
        self._shop.recorder.record_outcome(outcome, token=self._token, record=row)
        return outcome

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
        return shop.recorder.make_record(
            self._node,
            fingerprint,
            seen.external_id,
            declared,
            is_created=is_created,
            triggers=baseline(self._node, shop.recorder.seen_triggers(address), shop.knowledge),
        )

    def _outcome(self, result: Result, message: str = "", hint: str = "") -> Outcome:
        return outcome_of(self.change, result, message, hint, self._shop.clock() - self._started)
