"""Drives a provider the way the engine does, one node at a time. Used by the contract suite and its hooks.

Bodies are sealed before a kind sees them, Pending is polled from a JSON copy, and a read after a write is
given the kind's settle time. What breaks a promise on the way is an AssertionError that says which.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn, TypeVar

from trueup.model.values import to_record
from trueup.sdk import (
    Absent,
    Action,
    Address,
    Change,
    Document,
    Done,
    Failed,
    Intent,
    Kind,
    Lifecycle,
    Node,
    Observation,
    Observed,
    Owned,
    Owner,
    Pending,
    Provider,
    Readiness,
    Session,
    Target,
    Value,
)
from trueup.sdk.testing.case import Case

T = TypeVar("T")

INSTALLATION = "contract-suite"
STACK = "contract"
OTHER_STACK = "another"
LONGEST_PAUSE = 1.0


def expect(condition: bool, promise: str) -> None:
    """Fails with the promise that was broken. Not `assert`: a plugin's suite has no assertion rewriting."""
    __tracebackhide__ = True
    if not condition:
        fail(promise)


def fail(promise: str) -> NoReturn:
    """Fails with the promise that was broken."""
    __tracebackhide__ = True
    raise AssertionError(promise)


class Rig:
    """A provider and a target, with the sessions that a test opens. `patience` bounds every wait, in seconds.

    `touched` are the nodes that were made, in order, and `last_seen` the ids of their objects: what the suite
    removes in the end. Only objects that nothing else leads to are observed by an id that the rig kept, as
    the inventory does; all others have to be found without, as after the loss of the store.
    """

    def __init__(self, provider: Provider, target: Target, patience: float = 60.0) -> None:
        self.provider = provider
        self.target = target
        self.patience = patience
        self.touched: list[Node] = []
        self._sessions: dict[str, Session] = {}
        self._ids: dict[Address, str] = {}
        self.last_seen: dict[Address, str] = {}

    # -- nodes

    def node(
        self,
        case: Case,
        body: Document | None = None,
        *,
        stack: str = STACK,
        adopt: bool = False,
        address_target: str = "",
    ) -> Node:
        """The node of a case as the engine hands it to a provider: sealed. `body` replaces the case's."""
        address = Address(stack, case.kind, case.name, address_target or self.target.name, case.namespace)
        metadata: dict[str, Value] = {"name": case.name, **case.metadata}
        if case.namespace:
            metadata["namespace"] = case.namespace
        document = {
            "apiVersion": case.api_version,
            "kind": case.kind,
            "metadata": metadata,
            **(case.body if body is None else body),
        }
        node = Node(address, case.api_version, self.target, document, Lifecycle(adopt=adopt))
        node = replace(node, body=self.kind(node).seal(document))
        self.touched.append(node)
        return node

    def recorded(self, node: Node, external_id: str) -> Node:
        """The node as the inventory gives it back when its resource has left Git: hashes, no secrets."""
        return replace(node, body=to_record(node.body), external_id=external_id)

    def kind(self, node: Node) -> Kind:
        """The kind of a node."""
        kind = self.provider.kind(node.api_version, node.kind)
        if kind is None:
            raise AssertionError(f"the provider has no kind {node.api_version} {node.kind}")
        return kind

    def is_named(self, node: Node) -> bool:
        """Whether the manifest alone determines the object, so that another can be in its way."""
        return self.kind(node).traits.identity == "named"

    def owner(self, node: Node) -> Owner:
        """The marker that belongs on the node's object."""
        return Owner(INSTALLATION, node.address.stack, node.address.text)

    def intent(self, node: Node) -> Intent:
        """A new intent: give the same one again to repeat a call as after a crash."""
        return Intent(uuid.uuid4().hex, self.owner(node))

    # -- sessions

    def session(self, node: Node) -> Session:
        """The session of the node's stack, opened when it is first needed."""
        key = self.owner(node).key
        if key not in self._sessions:
            self._sessions[key] = self.provider.connect(self.target, key)
        return self._sessions[key]

    def reconnect(self) -> None:
        """Forgets all sessions, as a new process would have none."""
        self.close()

    def close(self) -> None:
        """Closes all sessions."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    # -- reading

    def observe(self, node: Node) -> Observation:
        """What lives of one node, sealed."""
        return self.observe_all([node])[node.address]

    def observe_all(self, nodes: Sequence[Node]) -> dict[Address, Observation]:
        """One observation for each node, by the provider's own batches. They must be of one stack."""
        nodes = [
            node if node.external_id else replace(node, external_id=self._ids.get(node.address, ""))
            for node in nodes
        ]
        asked = {node.address: node for node in nodes}
        answers: dict[Address, Observation] = {}
        for batch in self.provider.batches(nodes):
            for answer in self.provider.observe(self.session(nodes[0]), batch):
                expect(answer.address in asked, f"{answer.address} was not asked for")
                expect(answer.address not in answers, f"{answer.address} is answered twice")
                if isinstance(answer, Observed):
                    sealed = self.kind(asked[answer.address]).seal(answer.body)
                    answer = replace(answer, body=sealed)
                    self.last_seen[answer.address] = answer.external_id
                answers[answer.address] = answer
        missing = [str(address) for address in asked if address not in answers]
        expect(not missing, f"no answer for {', '.join(missing)}")
        return answers

    def observed(self, node: Node) -> Observed:
        """What lives of one node that is there."""
        seen = self.eventually(node, lambda: self.observe(node), lambda seen: isinstance(seen, Observed))
        if not isinstance(seen, Observed):
            fail(f"{node.address} should be there, but observe says {describe(seen)}")
        return seen

    def expect_absent(self, node: Node) -> None:
        """Fails unless the node is seen to be gone."""
        seen = self.eventually(node, lambda: self.observe(node), lambda seen: isinstance(seen, Absent))
        expect(
            isinstance(seen, Absent), f"{node.address} should be absent, but observe says {describe(seen)}"
        )

    def diff(self, node: Node, seen: Observation, recorded: Document | None = None) -> Change:
        """The kind's own comparison of the node with an observation."""
        if isinstance(seen, Failed):
            fail(f"{node.address} cannot be observed: {seen.error}")
        external_id = seen.external_id if isinstance(seen, Observed) else ""
        return self.kind(node).diff(replace(node, external_id=external_id), seen, recorded)

    def owned(self, node: Node) -> list[Owned]:
        """Every object of the node's kind that carries a marker of the node's stack."""
        return list(self.kind(node).find_owned(self.session(node), self.owner(node).key))

    # -- writing

    def apply(self, node: Node, recorded: Document | None = None) -> Observed:
        """Makes the live object as the node says, waits until it is ready, and expects an empty diff.

        `recorded` is the body that was applied before, the node's own by default.
        """
        last = to_record(node.body) if recorded is None else recorded
        change = self.diff(node, self.observe(node), last)
        if change.action is Action.REPLACE and change.observed is not None:
            self.delete(self.recorded(node, change.observed.external_id))
            self.expect_absent(node)
        if change.action in (Action.CREATE, Action.REPLACE):
            self.create(node)
        elif change.action is Action.UPDATE:
            self.update(node, change)
        return self.expect_true(node)

    def create(self, node: Node, intent: Intent | None = None) -> Done:
        """One create, to its end."""
        session = self.session(node)
        done = self.finish(node, self.kind(node).create(session, node, intent or self.intent(node)))
        self.keep_id(node, done)
        return done

    def keep_id(self, node: Node, done: Done) -> None:
        """Notes by which id an object is found that nothing else leads to."""
        if self.kind(node).traits.identity in ("token", "none"):
            expect(bool(done.external_id), f"the create of {node.address} tells no id to find the object by")
            self._ids[node.address] = done.external_id

    def update(self, node: Node, change: Change, intent: Intent | None = None) -> Done:
        """One update by that change, to its end."""
        session = self.session(node)
        external_id = change.observed.external_id if change.observed else ""
        node = replace(node, external_id=external_id)
        return self.finish(node, self.kind(node).update(session, node, change, intent or self.intent(node)))

    def delete(self, node: Node, intent: Intent | None = None) -> Done:
        """One delete, to its end. The node should come from `recorded`."""
        session = self.session(node)
        return self.finish(node, self.kind(node).delete(session, node, intent or self.intent(node)))

    def release(self, node: Node) -> Done:
        """Takes our marker off the node's object."""
        done = self.kind(node).release(self.session(node), node, self.intent(node))
        expect(isinstance(done, Done), f"release of {node.address} gave no Done but {done!r}")
        return done

    def finish(self, node: Node, answer: Done | Pending) -> Done:
        """Polls what is Pending to its end, each time from a JSON copy of the operation."""
        deadline = time.monotonic() + self.patience
        while isinstance(answer, Pending):
            operation = copy_operation(answer)
            expect(time.monotonic() < deadline, f"{node.address} is still pending: {answer.why}")
            time.sleep(min(max(answer.after, 0.01), LONGEST_PAUSE))
            answer = self.kind(node).poll(self.session(node), operation)
        expect(isinstance(answer, Done), f"a call for {node.address} gave neither Done nor Pending")
        return answer

    # -- waiting

    def expect_true(self, node: Node) -> Observed:
        """Waits until the node is there, equal to its body and ready; fails with what differs."""
        last = to_record(node.body)

        def is_true(seen: Observation) -> bool:
            return isinstance(seen, Observed) and self.diff(node, seen, last).action is Action.NONE

        seen = self.eventually(node, lambda: self.observe(node), is_true)
        if not isinstance(seen, Observed):
            fail(f"{node.address} should be there, but observe says {describe(seen)}")
        change = self.diff(node, seen, last)
        different = ", ".join(field.path for field in change.fields)
        expect(
            change.action is Action.NONE, f"{node.address} still differs after it was applied: {different}"
        )
        return self._wait_until_ready(node, seen)

    def _wait_until_ready(self, node: Node, seen: Observed) -> Observed:
        deadline, pause = time.monotonic() + self.patience, 0.02
        while True:
            health = self.kind(node).health(seen)
            if health.readiness is Readiness.READY:
                return seen
            is_in_time = health.readiness is Readiness.PROGRESSING and time.monotonic() < deadline
            expect(is_in_time, f"{node.address} does not become ready: {health.readiness}, {health.why}")
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            seen = self.observed(node)

    def eventually(self, node: Node, look: Callable[[], T], is_good: Callable[[T], bool]) -> T:
        """Looks until it is good or the kind's settle time is over; gives the last look."""
        deadline = time.monotonic() + min(self.kind(node).traits.settle, self.patience)
        pause = 0.02
        while True:
            seen = look()
            if is_good(seen) or time.monotonic() >= deadline:
                return seen
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


def copy_operation(pending: Pending) -> Document:
    """The operation as a restarted process reads it back."""
    try:
        copy: Document = json.loads(json.dumps(pending.operation))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"Pending.operation is not JSON: {error}") from error
    return copy


def describe(seen: Observation) -> str:
    """An observation in a message, without its body."""
    return f"Failed ({seen.error})" if isinstance(seen, Failed) else type(seen).__name__
