"""Sends a step's calls to a provider: the intent before each, its polls and repetitions, the look afterwards.

The lower half of `act`, whose steps are generators: each `Wait` that they yield gives the worker back until
the wait is over, so that waiting holds no thread.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from trueup.errors import ProviderError, Throttled, Transient
from trueup.model.address import Address, Owner
from trueup.model.change import Change
from trueup.model.observation import READY, Done, Health, Observation, Observed, Pending
from trueup.model.outcome import Outcome
from trueup.model.resource import Node
from trueup.model.values import has_unknown, to_record
from trueup.reconcile.boundary import broken_plugin, health_of
from trueup.reconcile.crash_point import reach
from trueup.reconcile.observe import Connections, observe_batch
from trueup.reconcile.record import Recorder
from trueup.reconcile.resolve import name_unknown
from trueup.reconcile.situation import Knowledge, Situation
from trueup.reconcile.trigger import find_due, is_cause
from trueup.reconcile.verify import Verdict, Verification
from trueup.sdk.contracts import Intent, Kind, Session

CALL_ATTEMPTS = 3
SETTLE_LOOKS = 3


@dataclass(frozen=True)
class Wait:
    """A step has to wait for the system: `seconds` from now, because of `why`."""

    seconds: float
    why: str


StepFlow = Generator[Wait, None, Outcome]


@dataclass(frozen=True)
class Workshop:
    """What every step of a run works with. `needs_health`: a step ends when its object does its work.

    `require_lease` raises LeaseLost where another process may be at work on the stack by now.
    """

    situation: Situation
    knowledge: Knowledge
    connections: Connections
    recorder: Recorder
    clock: Callable[[], float] = time.monotonic
    needs_health: bool = True
    require_lease: Callable[[], None] = lambda: None

    def find_due(self, address: Address) -> tuple[Address, ...]:
        """The sources that the node has to react to, by what is known and recorded by now."""
        node = self.situation.graph.nodes.get(address)
        if node is None or not node.lifecycle.triggers:
            return ()
        return find_due(node, self.recorder.seen_triggers(address), self.knowledge)


class Undone(Exception):
    """A step cannot go on; `is_open` keeps the intent, since the effect of the last call is not known.

    `is_unkept`: every call was accepted, and the object is not as it was made.
    """

    def __init__(
        self, message: str, hint: str = "", *, is_open: bool = False, is_unkept: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.is_open = is_open
        self.is_unkept = is_unkept


class GivenUp(BaseException):
    """A call came back after its step was given up: its thread ends here, and writes nothing."""


class Caller:
    """What one step calls with: its node, its kind, its intent, and the time that it has.

    `has_called`: a mutation was sent, so the step must not be dropped without a record.
    """

    def __init__(self, shop: Workshop, change: Change) -> None:
        self.change = change
        self._shop = shop
        self._node = shop.knowledge.nodes[change.address]
        self._kind: Kind = shop.situation.catalog.kind_of(self._node)
        self._token = ""
        self.has_called = False
        # Its thread hung, and what becomes of the node was recorded without it.
        self.is_given_up = False
        # The marker of the object at hand where it is another's; and whether what is done triggers nobody.
        self._marked: Owner | None = None
        self._is_finishing = False
        self._started = shop.clock()
        timeout = self._node.lifecycle.timeout
        self._deadline = self._started + (timeout if timeout is not None else self._kind.traits.ready_timeout)

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
                reach("after-verify")
                return
            if verification.verdict is Verdict.BAD:
                raise Undone(verification.why, is_open=not self.has_called)
            is_final = verification.verdict is Verdict.UNSETTLED and what != "delete"
            if is_final and looks >= SETTLE_LOOKS and now >= settled_at:
                raise Undone(f"the {what} did not hold: {verification.why}", is_open=True, is_unkept=True)
            if now >= self._deadline:
                waited = now - self._started
                raise Undone(f"not done after {waited:.0f} s: {verification.why}", is_open=True)
            yield Wait(min(pause, max(0.0, self._deadline - now)), verification.why)
            pause = min(pause * 2, 5.0)

    def _call(self, verb: str, session: Session) -> Generator[Wait, None, None]:
        """One mutation and its polls, repeated with the same intent where that is safe."""
        for attempt in range(1, CALL_ATTEMPTS + 1):
            try:
                done = self._mutate(verb, session)
                while isinstance(done, Pending):
                    if self._shop.clock() >= self._deadline:
                        raise Undone(f"the {verb} is still under way: {done.why}", is_open=True)
                    left = self._deadline - self._shop.clock()
                    yield Wait(max(0.0, min(done.after, left)), done.why)
                    done = self._guarded("poll", self._kind.poll, session, done.operation)
                if done.external_id:
                    self._node = replace(self._node, external_id=done.external_id)
                return
            except Transient as error:
                now = self._shop.clock()
                if attempt == CALL_ATTEMPTS or now >= self._deadline or self._may_double(verb, error):
                    raise
                pause = error.retry_after if error.retry_after is not None else 0.5 * 2**attempt
                pause *= 1 + random.random() / 4  # noqa: S311 - jitter, not cryptography
                yield Wait(min(pause, max(0.0, self._deadline - now)), error.message)

    def _may_double(self, verb: str, error: Transient) -> bool:
        """Whether the call, repeated, might make a second object: what it has done cannot be told."""
        is_refused = isinstance(error, Throttled)
        return verb == "create" and self._kind.traits.identity == "none" and not is_refused

    def _mutate(self, verb: str, session: Session) -> Done | Pending:
        if verb in ("create", "update", "refresh"):
            self._refuse_unknown()
        if not self._token:
            if verb == "create":
                self._record_name()
            if is_cause(self.change) and not self._is_finishing:
                self._shop.recorder.owe_reactions(self.change.address)
            self._token = self._shop.recorder.write_intent(
                self._node, self.change.action, session.fingerprint
            )
        # The object that a moved one replaces still carries the marker of its old address.
        is_old = verb == "delete" and self._carries_marker_of(self.change.moved_from)
        marked = self.change.moved_from if is_old and self.change.moved_from else self.change.address
        intent = Intent(self._token, self._marked or self._shop.situation.owner(marked))
        self._shop.require_lease()
        self.has_called = True
        if verb == "create":
            return self._guarded(verb, self._kind.create, session, self._node, intent)
        if verb == "update":
            return self._guarded(verb, self._kind.update, session, self._node, self.change, intent)
        calls = {"refresh": self._kind.refresh, "release": self._kind.release, "delete": self._kind.delete}
        return self._guarded(verb, calls[verb], session, self._node, intent)

    def _record_name(self) -> None:
        """Writes into the row of an object that was never there by which name it is created now.

        The row may be from before it was known, or from a create under another name that failed. Where one
        was begun, the row may be all that leads to what that has made.
        """
        recorder, address = self._shop.recorder, self.change.address
        row, body = recorder.row_of(address), to_record(self._node.body)
        is_unseen = row is not None and not row.external_id and not row.replacing
        if row is not None and is_unseen and address not in self._shop.situation.begun and row.body != body:
            recorder.write_row(replace(row, body=body))

    def _refuse_unknown(self) -> None:
        if has_unknown(self._node.body):
            declared = self._shop.situation.graph.nodes[self.change.address].body
            why, hint = name_unknown(declared, self._shop.situation.facts)
            raise Undone(why or "it depends on a value that is not known yet", hint or "run again")

    def _guarded(self, verb: str, call: Callable[..., Done | Pending], *arguments: object) -> Done | Pending:
        """Calls the plugin. Its own bug becomes an error of the node, whose effect is then unknown."""
        reach("before-call")
        try:
            done = call(*arguments)
        except ProviderError:
            self._check_given_up()
            raise
        except BaseException as error:
            self._check_given_up()
            broken = broken_plugin(self._node.target.provider, verb, error)
            raise Undone(broken.message, broken.hint, is_open=True) from error
        self._check_given_up()
        if not isinstance(done, Done | Pending):
            raise Undone(
                f"a bug in provider {self._node.target.provider!r}: {verb} gave no answer", is_open=True
            )
        reach("after-call")
        return done

    def _judge_health(self, observed: Observed) -> Health:
        if not self._shop.needs_health:
            return READY
        return health_of(self._kind, observed, self._node.target.provider)

    def _look(self, session: Session, node: Node) -> Observation:
        provider = self._shop.situation.catalog.provider(node.target.provider)
        seen = observe_batch(provider, session, [node])[node.address]
        self._check_given_up()
        return seen

    def _check_given_up(self) -> None:
        if self.is_given_up:
            raise GivenUp

    @property
    def deadline(self) -> float:
        """When the step has to be done, by the workshop's clock."""
        return self._deadline

    def _carries_our_marker(self) -> bool:
        return self._carries_marker_of(self.change.address)

    def _carries_marker_of(self, address: Address | None) -> bool:
        observed = self.change.observed
        if observed is None or address is None:
            return False
        return observed.owner == self._shop.situation.owner(address)
