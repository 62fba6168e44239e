"""What all kinds of a host share: one script observes nodes of every kind, markers tell who owns what.

Called by `provider`, which observes all nodes of a target at once, and subclassed by each kind.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from trueup.sdk import (
    UNKNOWN,
    Address,
    Change,
    Conflict,
    Document,
    Done,
    Failed,
    Intent,
    Invalid,
    Kind,
    Node,
    Observation,
    Observed,
    Owned,
    ProviderError,
    Sensitive,
    Session,
    Target,
    TooLarge,
)
from trueup_ssh.ownership import Marker, key_of, marker_rest, owner_text, parse_marker
from trueup_ssh.script import Answer, Script, call, read_error
from trueup_ssh.session import HostSession

API_VERSION = "ssh.trueup.dev/v1"


class HostKind(Kind):
    """A kind whose objects live on one host, with markers in the host's manifest.

    `functions` names the file of `scripts` with the kind's shell functions.
    """

    api_version = API_VERSION
    functions: ClassVar[str] = ""
    # The seconds that one change may take on the host.
    change_seconds: ClassVar[float] = 120.0

    # -- what each kind says

    @abstractmethod
    def identity_spec(self, identity: str) -> dict[str, object]:
        """The part of a spec that gives back this identity: what `find_owned` looks for."""

    @abstractmethod
    def probe(self, nodes: Sequence[tuple[int, Node]]) -> Iterable[str]:
        """The shell calls that look at the nodes, in bulk. Lines of the answer carry the nodes' numbers."""

    @abstractmethod
    def read(
        self, nodes: Sequence[tuple[int, Node]], answer: Answer, owners: Mapping[int, Marker]
    ) -> Iterator[Observation]:
        """The observations from the answer; a node may raise a ProviderError inside `attempt`."""

    @abstractmethod
    def normal_spec(self, node: Node, observed: Observed | None) -> Document:
        """The desired spec as the host would give it back; values in it may be UNKNOWN."""

    # -- the contract

    def normalize(self, node: Node, observed: Observed | None) -> Document:
        if node.body.get("spec") is UNKNOWN:
            return node.body
        for field in self.identity_spec(""):
            # Markers, records and messages call the object by it.
            if isinstance(spec_of(node).get(field), Sensitive):
                raise Invalid(f"{field} may not hold a secret", hint="it is what the object is known by")
        return {**node.body, "spec": self.normal_spec(node, observed)}

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        return observe_nodes(session, [(self, node) for node in nodes])

    def find_owned(self, session: Session, owner_key: str) -> Iterable[Owned]:
        host = host_of(session)
        answer = host.run(Script((), [call("show_markers")]))
        found = [parse_marker(line.partition(" ")[2]) for line in answer.of("marker")]
        # By identity: two objects may carry the address of one resource, which was moved.
        nodes: dict[str, tuple[Node, Marker]] = {}
        for marker in found:
            if marker.kind == self.name and marker.owner.has_key(owner_key):
                node = self._node_of(marker)
                nodes[self.identity(node)] = (node, marker)
        if not nodes:
            return
        for seen in self.observe(host, [node for node, _ in nodes.values()]):
            if isinstance(seen, Failed):
                raise seen.error
            if isinstance(seen, Observed):
                marker = nodes[seen.external_id][1]
                yield Owned(marker.owner, seen.external_id, seen.body, marker.created)

    def _node_of(self, marker: Marker) -> Node:
        try:
            address = Address.parse(marker.owner.address)
        except ValueError as error:
            raise Invalid(f"an ownership marker on the host names no address: {error}") from None
        body = {
            "apiVersion": self.api_version,
            "kind": self.name,
            "metadata": {"name": address.name},
            "spec": self.identity_spec(marker.identity),
        }
        return Node(address, self.api_version, Target(address.target, "ssh"), body)

    # -- for the methods that change something

    def key(self, node: Node) -> str:
        return key_of(self.known_identity(node))

    def known_identity(self, node: Node) -> str:
        """The identity of a node that is about to be changed."""
        identity = self.identity(node)
        if not identity:
            raise Invalid("what it is called on the host is not known")
        return identity

    def live_node(self, node: Node) -> Node:
        """The node at the object that lives: where it was recorded, if the manifest has moved it."""
        if not node.external_id or node.external_id == self.identity(node):
            return node
        spec = {**spec_of(node), **self.identity_spec(node.external_id)}
        live = replace(node, body={**node.body, "spec": spec})
        if self.identity(live) != node.external_id:
            raise Conflict(f"no {self.name} can be {node.external_id!r}, which was recorded")
        return live

    def marker_words(self, node: Node, intent: Intent) -> tuple[str, str, str]:
        """The marker's key, the owner to compare with, and the text to write."""
        identity = self.known_identity(node)
        return key_of(identity), owner_text(intent.owner), marker_rest(intent.owner, self.name, identity)

    def take_word(self, node: Node) -> str:
        """What a create may take over: nothing, what nobody has marked, or anything."""
        if node.lifecycle.adopt:
            return "any"
        return "unmarked" if self.traits.shared else "none"

    def expected_word(self, node: Node, change: Change, intent: Intent) -> str:
        """The owner that the object must still have. Refuses what the manifest does not adopt."""
        observed = change.observed
        if observed is None:
            return ""
        if observed.external_id != self.known_identity(node):
            raise Conflict(f"{observed.external_id} was observed, which is another object")
        owner = observed.owner
        if owner is None:
            if not node.lifecycle.adopt and not self.traits.shared and not self.has_lost_marker(node, change):
                raise Conflict(
                    f"{observed.external_id} exists and is not managed by trueup",
                    hint="set lifecycle.adopt: true to take it over",
                )
            return ""
        if owner.key != intent.owner.key and not node.lifecycle.adopt:
            raise Conflict(f"{observed.external_id} is managed by {owner.key} as {owner.address}")
        return owner_text(owner)

    def has_lost_marker(self, node: Node, change: Change) -> bool:
        """Is the observed object the recorded one, so that its marker may be put back?"""
        return False

    def change(self, session: Session, node: Node, function: str, *words: str) -> Done:
        """Runs one of the kind's functions that change something."""
        script = Script((self.functions,), [call(function, *words)], self.seconds_for(node))
        host_of(session).run(script)
        return Done(self.identity(node))

    def seconds_for(self, node: Node) -> float:
        return max(self.change_seconds, node.lifecycle.timeout or 0.0)

    def release(self, session: Session, node: Node, intent: Intent) -> Done:
        live = self.live_node(node)
        words = call("release_marker", self.key(live), owner_text(intent.owner))
        host_of(session).run(Script((), [words]))
        return Done(self.identity(live))


def spec_of(node: Node) -> Document:
    """The node's spec, empty while it is not known as a whole."""
    spec = node.body.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def host_of(session: Session) -> HostSession:
    """The session as this provider made it."""
    if not isinstance(session, HostSession):
        raise TypeError("a session of the ssh provider was expected")
    return session


def observe_nodes(
    session: Session, pairs: Sequence[tuple[HostKind, Node]], halvings: int = 3
) -> Iterator[Observation]:
    """What lives, for nodes of any kinds: one script, one execution on the host.

    Where the answer is too large, it is asked for in halves, as often as `halvings` says.
    """
    groups: dict[HostKind, list[tuple[int, Node]]] = {}
    calls: list[str] = []
    for index, (kind, node) in enumerate(pairs):
        try:
            node = kind.live_node(node)
        except Conflict as error:
            yield Failed(node.address, error)
            continue
        identity = kind.identity(node)
        if not identity:
            yield Failed(node.address, Invalid("what it is called on the host is not known"))
            continue
        groups.setdefault(kind, []).append((index, node))
        calls.append(call("show_marker", str(index), key_of(identity)))
    if not groups:
        return
    for kind, nodes in groups.items():
        calls.extend(kind.probe(nodes))
    functions = tuple(dict.fromkeys(kind.functions for kind in groups))
    try:
        answer = host_of(session).run(Script(functions, calls))
    except TooLarge as error:
        left = [(kind, node) for kind in groups for _, node in groups[kind]]
        yield from _observe_in_halves(session, left, halvings, error)
        return
    texts = answer.by_index("marker")
    for kind, nodes in groups.items():
        yield from _read_group(kind, nodes, answer, texts)


def _observe_in_halves(
    session: Session, pairs: Sequence[tuple[HostKind, Node]], halvings: int, error: TooLarge
) -> Iterator[Observation]:
    """What lives, for nodes that together have more to tell than one answer takes."""
    if len(pairs) == 1 or not halvings:
        for _, node in pairs:
            yield Failed(node.address, error)
        return
    middle = len(pairs) // 2
    yield from observe_nodes(session, pairs[:middle], halvings - 1)
    yield from observe_nodes(session, pairs[middle:], halvings - 1)


def _read_group(
    kind: HostKind, nodes: Sequence[tuple[int, Node]], answer: Answer, texts: Mapping[int, str]
) -> Iterator[Observation]:
    for line in answer.of("trouble"):
        functions, _, error = line.partition(" ")
        if functions == kind.functions:
            for _, node in nodes:
                yield Failed(node.address, read_error(error))
            return
    markers: dict[int, Marker] = {}
    sound: list[tuple[int, Node]] = []
    for index, node in nodes:
        try:
            if index in texts:
                markers[index] = parse_marker(texts[index])
        except ProviderError as error:
            yield Failed(node.address, error)
        else:
            sound.append((index, node))
    yield from kind.read(sound, answer, markers)


def observation(
    node: Node,
    kind: HostKind,
    spec: dict[str, object],
    status: dict[str, object],
    marker: Marker | None,
    version: str,
) -> Observed:
    """An Observed in the shape that all kinds share."""
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": node.name},
        "spec": spec,
        "status": status,
    }
    # A marker left by another kind (a file where a directory was managed) says nothing about this object.
    owner = marker.owner if marker is not None and marker.kind == kind.name else None
    return Observed(node.address, body, kind.identity(node), owner, version)
