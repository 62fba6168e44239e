"""Asks the live systems what there is: one connection a target, one call a batch, all at once.

Called by cycle for a whole stack and by act for one node. Whatever goes wrong here makes the nodes that it
concerns Failed, never absent.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed, wait
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import stamina

from trueup.errors import Denied, ManifestError, PluginError, ProviderError, Throttled, Transient
from trueup.manifests.expressions import NOTHING_KNOWN
from trueup.model.address import Address
from trueup.model.observation import Absent, Failed, Observation, Observed
from trueup.model.resource import Facts, Grants, Node, Target
from trueup.reconcile.boundary import PLUGIN_FAULTS, broken_plugin
from trueup.reconcile.crew import Crew
from trueup.reconcile.grant import find_refusal, find_reserved
from trueup.reconcile.move import inherited_id
from trueup.reconcile.replace import find_leftovers
from trueup.reconcile.resolve import hide_config, resolve_node, settle_target
from trueup.reconcile.situation import Knowledge, Situation
from trueup.reconcile.unmade import was_never_made
from trueup.sdk.contracts import Catalog, Provider, Session

# It would log each retry by itself, in its own form.
stamina.instrumentation.set_on_retry_hooks([])

# A provider's calls end in bounded time by contract; this is for one that breaks it.
BATCH_DEADLINE = 180.0
T = TypeVar("T")


class Connections:
    """The sessions of one run: opened when first needed, one a target, closed together.

    `facts` hold the secrets of the targets' configs. `grants` say which targets may be used: those of the
    stack were checked when it was loaded, but the inventory remembers others. None where only those of the
    stack are asked for.
    """

    def __init__(
        self,
        catalog: Catalog,
        owner_key: str,
        facts: Facts | None = None,
        grants: Sequence[Grants] | None = None,
    ) -> None:
        self._grants = grants
        self._catalog = catalog
        self._owner_key = owner_key
        self._facts = facts or Facts()
        self._sessions: dict[str, Session | ProviderError] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def session(self, target: Target) -> Session:
        """The session of a target. A target that failed once in this run fails at once from then on."""
        with self._lock:
            lock = self._locks.setdefault(target.name, threading.Lock())
            session = self._sessions.get(target.name)
        if session is None:
            with lock:
                if target.name not in self._sessions:
                    opened = self._connect(target)
                    # It may have been given up meanwhile; that stands.
                    with self._lock:
                        session = self._sessions.setdefault(target.name, opened)
                    if session is not opened and isinstance(opened, Session):
                        opened.close()
                session = self._sessions[target.name]
        if isinstance(session, ProviderError):
            raise session
        return session

    def give_up(self, target: Target) -> ProviderError:
        """The error for a target that does not answer; nobody waits for it any more in this run."""
        silence = Transient(f"target {target.name!r} gave no answer within {BATCH_DEADLINE:.0f} s")
        with self._lock:
            session = self._sessions.setdefault(target.name, silence)
        return session if isinstance(session, ProviderError) else silence

    def fingerprints(self) -> Mapping[str, str]:
        """The fingerprint of each target that a session is open to."""
        return {
            name: session.fingerprint
            for name, session in self._sessions.items()
            if isinstance(session, Session)
        }

    def close(self) -> None:
        for session in self._sessions.values():
            if isinstance(session, Session):
                session.close()
        # A late answer of one that was given up finds no place, and is closed.
        closed = ProviderError("the run is over")
        with self._lock:
            self._sessions = dict.fromkeys(self._locks, closed)

    def _connect(self, target: Target) -> Session | ProviderError:
        if self._grants is not None and (refusal := find_refusal(target, self._grants)):
            hint = "allow_targets of trueup.toml has to grant it until its objects are gone, or forgotten"
            return Denied(refusal, hint=hint)
        provider = self._catalog.provider(target.provider)
        if self._grants is not None and (
            reserved := find_reserved(target, self._grants, provider.config_schema)
        ):
            return Denied(reserved[0], hint=reserved[1])
        try:
            target = settle_target(target, self._facts, provider.config_schema)
            for attempt in stamina.retry_context(on=_is_worth_retrying, attempts=2, wait_initial=0.2):
                with attempt:
                    return provider.connect(target, self._owner_key)
        except ProviderError as error:
            return hide_config(error, target)
        except PluginError:
            raise
        except ImportError as error:
            raise PluginError(
                f"provider {provider.name!r} needs the library {error.name!r}, which is not installed",
                hint=f"pip install 'trueup[{provider.name}]'",
            ) from error
        except BaseException as error:  # noqa: BLE001 - a hostile plugin must not take the others down
            return broken_plugin(provider.name, "connect", error)
        raise AssertionError("unreachable: the retry either returns or raises")


def observe_stack(situation: Situation, connections: Connections, pool: Executor) -> Knowledge:
    """Everything that lives, of the graph and of the inventory.

    A node whose name on its target comes from another node's status is looked at once that is known; where
    it is not known yet the node cannot be there. A moved node is looked at after the addresses that it had
    before: they tell by which id it is found.
    """
    knowledge = Knowledge({}, {}, situation.facts)
    named: list[Node] = []
    waiting: list[Node] = []
    unmade: list[Node] = []
    for node in situation.undeclared.values():
        is_unmade = was_never_made(node, situation.records.get(node.address), situation)
        (unmade if is_unmade else named).append(node)
    for found in situation.formers.values():
        for former in found:
            knowledge.know(former.node)
            if former.address not in situation.undeclared:
                is_unmade = was_never_made(former.node, former.record, situation)
                (unmade if is_unmade else named).append(former.node)
    for address in situation.graph.order:
        node = _resolve_early(address, situation, knowledge)
        knowledge.know(node)
        is_moved = address in situation.formers and not situation.is_recorded(address)
        (named if _has_name(node, situation) and not is_moved else waiting).append(node)
    while named:
        named = [_with_known_id(node, situation, knowledge) for node in named]
        for address, seen in observe_nodes(named, connections, situation.catalog, pool).items():
            knowledge.learn(knowledge.nodes.get(address) or situation.node(address), seen)
        nodes, named, waiting = waiting, [], []
        for node in nodes:
            node = _resolve_early(node.address, situation, knowledge)
            (named if _has_name(node, situation) else waiting).append(node)
        moved = [node for node in named if node.address in situation.formers]
        knowledge.fingerprints = _open_targets(moved, connections)
    for node in (*waiting, *unmade):
        knowledge.learn(node, Absent(node.address))
    _observe_leftovers(situation, knowledge, connections, pool)
    return knowledge


def _observe_leftovers(
    situation: Situation, knowledge: Knowledge, connections: Connections, pool: Executor
) -> None:
    """Looks at the objects that unfinished replacements have left; hardly ever are there any."""
    waiting = find_leftovers(situation, knowledge)
    while waiting:
        # They have their nodes' addresses, so only one of each node can be asked for at once.
        asked = {leftover.node.address: leftover for leftover in waiting}
        waiting = [leftover for leftover in waiting if leftover is not asked[leftover.node.address]]
        nodes = [leftover.node for leftover in asked.values()]
        for address, seen in observe_nodes(nodes, connections, situation.catalog, pool).items():
            found = knowledge.leftovers.get(address, ())
            knowledge.leftovers[address] = (*found, (asked[address], seen))


def _open_targets(nodes: Iterable[Node], connections: Connections) -> Mapping[str, str]:
    """The fingerprints of all targets that are open, those of the nodes too.

    What cannot be opened, observing tells.
    """
    for node in nodes:
        with suppress(ProviderError, PluginError):
            connections.session(node.target)
    return connections.fingerprints()


def _resolve_early(address: Address, situation: Situation, knowledge: Knowledge) -> Node:
    """The node, sealed, as far as it is known before the plan. What is wrong with it, the plan says."""
    node = situation.graph.nodes[address]
    if address in situation.graph.expressions:
        try:
            node = resolve_node(node, knowledge, knowledge.texts)
        except ManifestError:
            node = resolve_node(node, NOTHING_KNOWN)
    try:
        body = situation.catalog.kind_of(node).seal(node.body)
    except PLUGIN_FAULTS:  # the plan meets the same bug and tells it
        return node
    knowledge.declared[address] = body
    return node if body is node.body else node.with_body(body)


def _has_name(node: Node, situation: Situation) -> bool:
    if node.address not in situation.graph.expressions:
        return True
    kind = situation.catalog.kind_of(node)
    # Only a name can hang on a value that is not known yet; a marker and an id do not.
    try:
        return kind.traits.identity != "named" or bool(kind.identity(node))
    except PLUGIN_FAULTS:  # the plan meets the same bug and tells it
        return True


def _with_known_id(node: Node, situation: Situation, knowledge: Knowledge) -> Node:
    """The node with the id that is recorded for it, or for what it was before."""
    record = situation.records.get(node.address)
    external_id = record.external_id if record else ""
    if node.address in situation.formers:
        external_id = external_id or inherited_id(node, situation, knowledge)
    if node.external_id or not external_id:
        return node
    return node.with_body(node.body, external_id)


def observe_nodes(
    nodes: Sequence[Node], connections: Connections, catalog: Catalog, pool: Executor
) -> dict[Address, Observation]:
    """An observation for each of the nodes. Raises PluginError only."""
    by_target: dict[str, list[Node]] = {}
    for node in nodes:
        by_target.setdefault(node.target.name, []).append(node)
    observations: dict[Address, Observation] = {}
    opening = {pool.submit(connections.session, group[0].target): group for group in by_target.values()}
    reading: dict[Future[dict[Address, Observation]], Sequence[Node]] = {}
    # As they come: a target that takes its time to fail holds up no other.
    for future in _until(BATCH_DEADLINE, opening):
        group = opening[future]
        if not future.done():
            silence = connections.give_up(group[0].target)
            observations.update((node.address, Failed(node.address, silence)) for node in group)
            _leave(pool, future)
            continue
        try:
            session = future.result()
        except ProviderError as error:
            observations.update((node.address, Failed(node.address, error)) for node in group)
            continue
        except PluginError as error:
            # Only old records can be of a provider that is not installed; the rest of the stack goes on.
            missing = ProviderError(error.message, hint=error.hint)
            observations.update((node.address, Failed(node.address, missing)) for node in group)
            continue
        provider = catalog.provider(group[0].target.provider)
        try:
            batches = _divide(provider, group)
        except PLUGIN_FAULTS as error:
            failure = broken_plugin(provider.name, "batches", error)
            observations.update((node.address, Failed(node.address, failure)) for node in group)
            continue
        for batch in batches:
            reading[pool.submit(observe_batch, provider, session, batch)] = batch
    done, late = wait(reading, timeout=BATCH_DEADLINE)
    for answered in done:
        observations.update(answered.result())
    for unanswered in late:
        _leave(pool, unanswered)
        silence = Transient(f"no answer within {BATCH_DEADLINE:.0f} s")
        observations.update((node.address, Failed(node.address, silence)) for node in reading[unanswered])
    return observations


def _divide(provider: Provider, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
    """The nodes in the provider's batches. Raises TypeError unless each is in one of them."""
    batches = [list(batch) for batch in islice(provider.batches(nodes), len(nodes) + 1)]
    asked = Counter(node.address for batch in batches for node in batch)
    if asked != Counter(node.address for node in nodes):
        raise TypeError("the batches have other nodes, or one twice")
    return [batch for batch in batches if batch]


def _until(seconds: float, futures: Iterable[Future[T]]) -> Iterator[Future[T]]:
    """The futures as they are done; then, after that time, those that are not."""
    waiting = set(futures)
    try:
        for future in as_completed(list(waiting), timeout=seconds):
            waiting.discard(future)
            yield future
    except TimeoutError:
        yield from waiting


def _leave(pool: Executor, future: Future[T]) -> None:
    """What hangs keeps no place of those that do not."""
    if isinstance(pool, Crew):
        pool.leave(future)


def observe_batch(provider: Provider, session: Session, nodes: Sequence[Node]) -> dict[Address, Observation]:
    """An observation for each node of one batch; sensitive values are sealed."""
    by_address = {node.address: node for node in nodes}
    try:
        for attempt in stamina.retry_context(on=_is_worth_retrying, attempts=2, wait_initial=0.2):
            with attempt:
                answers = _checked(provider.observe(session, nodes), by_address, provider)
    except ProviderError as error:
        return {node.address: Failed(node.address, error) for node in nodes}
    except BaseException as error:  # noqa: BLE001 - as above
        failure = broken_plugin(provider.name, "observe", error)
        return {node.address: Failed(node.address, failure) for node in nodes}
    for node in nodes:
        if node.address not in answers:
            missing = ProviderError(f"provider {provider.name!r} gave no answer for this node")
            answers[node.address] = Failed(node.address, missing)
    return answers


def _checked(
    answers: Iterable[Observation], nodes: Mapping[Address, Node], provider: Provider
) -> dict[Address, Observation]:
    checked: dict[Address, Observation] = {}
    for answer in answers:
        node = nodes.get(answer.address)
        if node is None or not isinstance(answer, Observed | Absent | Failed):
            raise TypeError("an answer that was not asked for")
        if answer.address in checked:
            # Which of the two is true cannot be told; and an iterator without an end ends here.
            raise TypeError("two answers for one node")
        if isinstance(answer, Observed):
            kind = provider.kind(node.api_version, node.kind)
            sealed = kind.seal(answer.body) if kind is not None else answer.body
            if sealed is not answer.body:
                answer = replace(answer, body=sealed)
        checked[answer.address] = answer
    return checked


def _is_worth_retrying(error: Exception) -> bool:
    return isinstance(error, Transient) and not isinstance(error, Throttled)
