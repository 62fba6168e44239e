"""Searches the targets of a stack for objects that carry the stack's marker. Called by recover and cycle.

Never modifies. What cannot be looked through is told, and never taken for empty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import stamina

from trueup.errors import PluginError, ProviderError, Throttled, Transient
from trueup.graph.build import Graph
from trueup.model.address import ANY_INSTALLATION, Address
from trueup.model.change import Change
from trueup.model.observation import Absent, Owned
from trueup.model.resource import Node, Stack, Target
from trueup.reconcile.boundary import broken_plugin
from trueup.reconcile.diff import refuse
from trueup.reconcile.doubt import is_unfindable
from trueup.reconcile.observe import Connections
from trueup.reconcile.situation import Knowledge, Situation
from trueup.sdk.contracts import Catalog, Kind, Provider, Session
from trueup.state.store import Record


@dataclass(frozen=True)
class Sighting:
    """One object that carries a marker of the stack, and where it lives."""

    target: Target
    kind: Kind
    fingerprint: str
    owned: Owned


@dataclass(frozen=True)
class Blank:
    """What could not be looked through: a kind on a target, or with an empty kind the whole target."""

    target: str
    kind: str
    error: ProviderError


@dataclass
class Search:
    """All that was seen, by target and kind, and what was not."""

    seen: list[Sighting] = field(default_factory=list)
    blanks: list[Blank] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)


def search_marked(
    stack: Stack, graph: Graph, connections: Connections, catalog: Catalog, pool: Executor
) -> Search:
    """What carries a marker of the stack on any of its targets, whichever installation left it there."""
    search = Search()
    declared = _find_declared(graph, catalog)
    opened = zip(stack.targets, pool.map(partial(_open, connections), stack.targets), strict=True)
    for target, session in opened:
        if isinstance(session, ProviderError):
            search.blanks.append(Blank(target.name, "", session))
            continue
        search.fingerprints[target.name] = session.fingerprint
        provider = catalog.provider(target.provider)
        try:
            kinds = _find_kinds(provider, session, declared.get(target.name, {}))
        except ProviderError as error:
            search.blanks.append(Blank(target.name, "", error))
            continue
        answers = pool.map(partial(_find, session, target, f"{ANY_INSTALLATION}/{stack.name}"), kinds)
        for kind, answer in zip(kinds, answers, strict=True):
            if isinstance(answer, ProviderError):
                search.blanks.append(Blank(target.name, kind.name, answer))
            else:
                search.seen += [Sighting(target, kind, session.fingerprint, owned) for owned in answer]
    return search


def search_strays(
    situation: Situation, knowledge: Knowledge, connections: Connections, pool: Executor
) -> None:
    """Looks for objects of nodes that are about to be made, where no name leads to an object.

    A store that is older than anybody here remembers, or a new one, has no row for them. Hardly ever is there
    such a node.
    """
    groups: dict[tuple[str, tuple[str, str]], list[Node]] = {}
    for address, node in situation.graph.nodes.items():
        if situation.is_recorded(address) or not isinstance(knowledge.observations.get(address), Absent):
            continue
        kind = situation.catalog.kind_of(node)
        # A token finds its object by itself, once the create is repeated. A marker that carries the id of
        # another installation shows nowhere else.
        is_repeated = kind.traits.identity == "token" and address in situation.begun
        is_new = kind.traits.identity == "tagged" and address not in situation.records
        if not is_repeated and (is_new or is_unfindable(kind)):
            groups.setdefault((node.target.name, _key(kind)), []).append(node)
    for nodes in groups.values():
        session, kind = _open(connections, nodes[0].target), situation.catalog.kind_of(nodes[0])
        formers = {node.address: _find_unrecorded(node, situation) for node in nodes}
        stacks = {former.stack for found in formers.values() for former in found} - {situation.stack.name}
        # What another stack of another installation calls so is no concern of this one.
        keys = (
            f"{ANY_INSTALLATION}/{situation.stack.name}",
            *(f"{situation.installation}/{stack}" for stack in sorted(stacks)),
        )
        answers = [_find_through(session, nodes[0].target, key, kind) for key in keys]
        for node in nodes:
            names = {node.address.text, *(former.text for former in formers[node.address])}
            stray = _find_stray(names, answers, situation.records.get(node.address))
            if stray is not None:
                knowledge.strays[node.address] = stray


def _find_unrecorded(node: Node, situation: Situation) -> Sequence[Address]:
    """What the node was before, by its manifest, as far as nothing else is or was called so."""
    if not node.lifecycle.moved_from:
        return ()
    said = (*node.former_addresses, *node.former_addresses_outside)
    return [
        former
        for former in said
        if former not in situation.graph.nodes and situation.record_at(former) is None
    ]


def _find_stray(
    names: Collection[str], answers: Sequence[Sequence[Owned] | ProviderError], row: Record | None
) -> Owned | ProviderError | None:
    """What carries a marker of one of the names, and is not known to be on its way out."""
    known = {each["external_id"] for each in row.replacing.get("objects", ())} if row else set()
    for found in answers:
        if isinstance(found, ProviderError):
            return found
        for owned in found:
            if owned.owner.address in names and owned.external_id not in known:
                return owned
    return None


def refuse_stray(node: Node, knowledge: Knowledge) -> Change | None:
    """A refusal to make what lives already, and what only its row would lead to."""
    stray = knowledge.strays.get(node.address)
    if stray is None:
        return None
    if isinstance(stray, ProviderError):
        return refuse(node, f"it cannot be told whether it lives already: {stray.message}", stray.hint)
    if stray.owner.address != node.address.text:
        return refuse(
            node,
            f"{stray.external_id} carries the marker of {stray.owner.address}, which it was before, and the"
            " store does not know it: the store is old, or told to forget",
            f"`trueup recover` of stack {stray.owner.stack} takes it up again; or delete it, or take the"
            " marker off",
        )
    return refuse(
        node,
        f"{stray.external_id} carries its marker, and the store does not know it: the store is old, or told"
        " to forget",
        "`trueup recover SOURCE` takes it up again; or delete it, or take the marker off",
    )


def _open(connections: Connections, target: Target) -> Session | ProviderError:
    try:
        return connections.session(target)
    except ProviderError as error:
        return error
    except PluginError as error:
        return ProviderError(error.message, hint=error.hint)


def _find_through(
    session: Session | ProviderError, target: Target, owner_key: str, kind: Kind
) -> Sequence[Owned] | ProviderError:
    return session if isinstance(session, ProviderError) else _find(session, target, owner_key, kind)


def _find(session: Session, target: Target, owner_key: str, kind: Kind) -> Sequence[Owned] | ProviderError:
    try:
        for attempt in stamina.retry_context(on=_is_worth_retrying, attempts=3, wait_initial=0.2):
            with attempt:
                return _checked(list(kind.find_owned(session, owner_key)), owner_key)
    except ProviderError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a hostile plugin must not take the others down
        return broken_plugin(target.provider, "find_owned", error)
    raise AssertionError("unreachable: the retry either returns or raises")


def _checked(answers: Sequence[Owned], owner_key: str) -> Sequence[Owned]:
    if not all(isinstance(each, Owned) and each.owner.has_key(owner_key) for each in answers):
        raise TypeError("an answer that was not asked for")
    return answers


def _find_kinds(
    provider: Provider, session: Session, declared: Mapping[tuple[str, str], Kind]
) -> Sequence[Kind]:
    """What may be marked, each kind once, in the version that the stack declares."""
    try:
        kinds = {_key(kind): kind for kind in provider.markable(session)}
    except ProviderError:
        raise
    except Exception as error:
        raise broken_plugin(provider.name, "markable", error) from error
    return list({**kinds, **declared}.values())


def _find_declared(graph: Graph, catalog: Catalog) -> Mapping[str, Mapping[tuple[str, str], Kind]]:
    """The kinds of the stack's own resources, by the name of their target."""
    declared: dict[str, dict[tuple[str, str], Kind]] = {}
    for node in graph.nodes.values():
        kind = catalog.kind_of(node)
        declared.setdefault(node.target.name, {})[_key(kind)] = kind
    return declared


def _key(kind: Kind) -> tuple[str, str]:
    """What a kind is in all its versions."""
    return kind.api_version.rpartition("/")[0], kind.name


def _is_worth_retrying(error: Exception) -> bool:
    return isinstance(error, Transient) and not isinstance(error, Throttled)
