"""What a provider author writes: `Provider`, `Kind`, `Session`. The promises stand in the docstrings.

`trueup.sdk.testing` tests each of them against a real system.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from trueup.errors import Invalid, PluginError, Problem
from trueup.model.address import Owner
from trueup.model.change import Change
from trueup.model.observation import (
    READY,
    Absent,
    Discovered,
    Done,
    Health,
    Missing,
    Observation,
    Observed,
    Owned,
    Pending,
)
from trueup.model.resource import Node, Target
from trueup.model.values import Document, Value
from trueup.sdk.compare import compare, document_schema, has_keyword, list_key_at, seal

Identity = Literal["named", "token", "tagged", "none"]


@dataclass(frozen=True)
class Traits:
    """What the engine has to know about a kind.

    identity: how an object is found again after a crash in the middle of a create.
        named: the manifest determines its name, and a name exists once.
        token: the create call takes an idempotency token.
        tagged: it carries our marker from the moment it exists.
        none: none of these; an interrupted create asks a person.
    settle: seconds for which a read after a write may still show the old state.
    stateful: it holds data that a delete or a replace would lose; both wait for an approval.
    shared: it may well be there without us (a package, a directory): it is taken over without
        `adopt: true`, and only released, never deleted, where trueup did not create it.
    ready_timeout: seconds that a step may wait for the object to be ready, unless lifecycle.timeout says.
    refreshable: it can be told that something which it reads has changed; see `Kind.refresh`.
    """

    identity: Identity = "named"
    settle: float = 0.0
    stateful: bool = False
    shared: bool = False
    ready_timeout: float = 300.0
    refreshable: bool = False


@dataclass(frozen=True)
class Limits:
    """How many calls may run at once, per target."""

    concurrency: int = 8


@dataclass(frozen=True)
class Intent:
    """The durable note that was written before this call.

    `token` is the same for each repetition of the same step, so it serves as an idempotency token.
    `owner` is the marker to leave on the object.
    """

    token: str
    owner: Owner


class Session(ABC):
    """An authenticated connection to one target. Thread safe; closed by the engine."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What tells this place from every other that the same config could lead to.

        A cluster's uid, an account and region, a host's key: never a name or an address. Known when
        `connect` returns, without a further call.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends the connection. May be called twice; never raises."""


class Kind(ABC):
    """One type of resource. Stateless and thread safe: one instance serves all nodes of the kind.

    The pure methods do no I/O and may meet UNKNOWN anywhere in a body. The others are plain blocking
    calls: the engine owns threads, deadlines, retries and rate limits. They raise the errors of
    `trueup.sdk` only, end in bounded time, and put no sensitive value into a message.

    `schema` is JSON Schema (draft 2020-12) of the document's `spec`, or of the whole document where
    `schema_of_document` is true; None where only the live system knows it. Extension keywords, per property:
        x-computed: the system sets it; it is not compared unless the manifest sets it.
        x-immutable: a change replaces the object.
        x-sensitive: its value is shown nowhere.
        x-write-only: it cannot be read back; compared by the hash that the store recorded.
        x-unordered: a list whose order has no meaning.
        x-reset-to: the value that it falls back to when the manifest set it last time and no longer does.
        x-list-key: the property that identifies the maps of a list, as in `containers` by `name`.
    `default` is applied before a comparison.
    """

    name: ClassVar[str] = ""
    api_version: ClassVar[str] = ""
    schema: Mapping[str, object] | None = None
    schema_of_document: ClassVar[bool] = False
    traits: Traits = Traits()

    # -- pure

    def validate(self, node: Node) -> Iterable[Problem]:
        """What the schema cannot say. The place of a problem is `node.place` unless it is known better."""
        return ()

    def identity(self, node: Node) -> str:
        """What makes the object unique on its target, as text; two nodes with one identity are an error.

        Empty where it is not known before the object exists, or holds an unknown value.
        """
        namespace = f"{node.namespace}/" if node.namespace else ""
        return f"{self.api_version}/{self.name}/{namespace}{node.name}"

    def provides(self, node: Node) -> Iterable[str]:
        """Tokens that other nodes of the target may need: `namespace:shop`, `path:/etc/nginx`."""
        return ()

    def needs(self, node: Node) -> Iterable[str]:
        """Tokens that should come first. Each draws an edge to the node that provides it, if there is one."""
        return ()

    def normalize(self, node: Node, observed: Observed | None) -> Document:
        """The desired body in the form in which the system would give it back, so that equal means equal."""
        return node.body

    def seal(self, body: Document) -> Document:
        """The body, desired or live, with every sensitive value wrapped in Sensitive.

        The engine calls it before anything else sees the body. The default goes by the schema's
        `x-sensitive`; a kind whose sensitivity depends on other fields overrides it.
        """
        if not self._has_secrets:
            return body
        sealed: Document = seal(body, document_schema(self.schema, self.schema_of_document))
        return sealed

    @cached_property
    def _has_secrets(self) -> bool:
        return has_keyword(self.schema, "x-sensitive")

    def diff(self, node: Node, observed: Observed | Absent, recorded: Document | None) -> Change:
        """What the node needs. `recorded` is the body that was last applied, sensitive values hashed.

        The default compares every field that the manifest sets (and every field that it set last time and
        no longer sets) with the live one, by the schema's keywords. Override it only for a system that
        has its own idea of equality.
        """
        return compare(self.schema, self.schema_of_document, node, self.normalize, observed, recorded)

    def find_item(
        self, observed: Observed, path: Sequence[str], items: Sequence[Value], token: str
    ) -> int | None:
        """The index of the item that a token of a JSON pointer names, in the list that lies at `path`.

        For `lifecycle.ignore`. The paths are those of the kind's own changes: by default the schema's
        `x-list-key` names an item, and where there is none, its position.
        """
        keyword = list_key_at(document_schema(self.schema, self.schema_of_document), path)
        if keyword:
            named = (
                index
                for index, item in enumerate(items)
                if isinstance(item, Mapping) and str(item.get(keyword)) == token
            )
            return next(named, None)
        return int(token) if token.isdigit() and int(token) < len(items) else None

    def writers(self, observed: Observed) -> Mapping[str, str]:
        """Who gave fields of the object their live values last, where the system knows: JSON pointer -> who.

        For drift, so that people know whom to ask. A pointer counts for all that lies below it that has none
        of its own; each leads to something that lives, with items of lists named as in the kind's own
        changes. The text says who, and when if that is known; what we wrote ourselves is left out. From the
        observation alone.
        """
        return {}

    def health(self, observed: Observed) -> Health:
        """Whether the object does its work, from the observation alone."""
        return READY

    def export(self, body: Document) -> Document:
        """The resource that describes a discovered object, for `trueup import`: what a person would write.

        Without what the system sets or fills in by default, and without our marker. Compared with the object
        it gives no difference. Raises Invalid for an object that no resource can describe. Sensitive values
        stay in; the engine refuses to write what `seal` then finds in it.
        """
        raise Invalid(f"the kind {self.name} does not support import")

    # -- I/O

    @abstractmethod
    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        """What lives, for each of the nodes, in any order: one bulk call per kind, not one per node.

        Never modifies. Absent only on an authenticated "not found" with every page read; anything else is
        Failed for the nodes it concerns. A node without an answer counts as Failed. Raising counts as
        Failed for all nodes.
        """

    @abstractmethod
    def find_owned(self, session: Session, owner_key: str) -> Iterable[Owned]:
        """Every object of this kind on the target that carries a marker with that `Owner.key`.

        `*/<stack>` asks for the markers of that stack whatever their installation (see `Owner.has_key`), also
        where it is not the session's: after the loss of a store nothing else tells which one it was. Only
        what lives, all pages of it; raises where that is not known.
        """

    @abstractmethod
    def create(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        """Makes the object, marked as `intent.owner`'s from the moment it exists if the system can do it.

        Can be repeated with the same intent after a crash or a lost answer: no second object. An object of
        another owner in the way is a Conflict, and not a byte of it changes; with `node.lifecycle.adopt`,
        or for a `shared` kind, it is taken over instead.
        """

    @abstractmethod
    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done | Pending:
        """Makes the live object as the node says, touching only fields that the node owns.

        Also called with no fields, to put our marker onto an adopted object. Refuses with Conflict where the
        object is not the one that was observed (`change.observed.external_id`).
        """

    @abstractmethod
    def delete(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        """Removes the object. Deleting what is gone is Done.

        The node is made from the inventory: `body` is as last recorded, `external_id` as last seen. Refuses
        with Conflict an object with another external id or without our marker for that very address.
        """

    @abstractmethod
    def release(self, session: Session, node: Node, intent: Intent) -> Done:
        """Takes our marker off the object and leaves all else as it is. Releasing what is gone is Done.

        For `onDelete: orphan`, and for a `shared` object that trueup did not create.
        """

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        """What lives on the target, whoever made it: what the ids name, or all of it where there are none.

        In bulk, and never modifies. An id is what a user of the system calls the object, or a pattern with
        `*`, `?` and `[...]` (see `sdk.choose`). Raises Invalid where the kind can only be listed by ids.
        Raising counts for all objects; one that cannot be read alone is Missing.
        """
        raise Invalid(f"the kind {self.name} does not support import")

    def refresh(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        """Makes the live object take up what changed around it: a restart, a reload, a new rollout.

        For `lifecycle.triggers`; only kinds whose `traits.refreshable` is true need it. The object exists, is
        as `node` says and carries our marker; another one (`node.external_id`) or one without it is refused
        with Conflict. What does not run is not started by it. Repeated with the same intent it does no harm,
        and it changes nothing that `observe` compares: the next diff is as empty as the one before. What
        `health` says afterwards is about the object as it runs now.
        """
        raise AssertionError(f"{self.name} is refreshable without implementing refresh")

    def poll(self, session: Session, operation: Document) -> Done | Pending:
        """How an operation that was Pending goes. Only kinds that return Pending need it."""
        raise AssertionError(f"{self.name} returned Pending without implementing poll")


class Provider(ABC):
    """One plugin's system. `name` is what `provider:` says in a stack.

    `config_schema` is JSON Schema of a target's `config`; `x-sensitive` there marks what `${{ target }}`
    may not show, and `x-plain` what shows up in messages and records, where no secret may stand.
    `x-needs-grant` marks a field at the top that can lead the credentials of the machine to any host: the
    engine refuses it unless the operator grants it in trueup.toml, or sets one of the variables that the
    keyword lists to the same text; an http(s) URL of this machine needs neither.
    """

    name: ClassVar[str] = ""
    config_schema: Mapping[str, object] = {}
    limits: Limits = Limits()

    @abstractmethod
    def kinds(self) -> Sequence[Kind]:
        """The kinds that are known without a connection, for validation and for did-you-mean."""

    def kind(self, api_version: str, name: str) -> Kind | None:
        """The kind of a document, None where the provider has none. Any I/O-free rule will do."""
        for kind in self.kinds():
            if kind.name == name and kind.api_version == api_version:
                return kind
        return None

    @abstractmethod
    def connect(self, target: Target, owner_key: str) -> Session:
        """Opens an authenticated connection. Imports the system's SDK here at the earliest.

        What the target's config takes from a secret is Sensitive: `reveal` it for the call alone.
        `owner_key` is the stack's `Owner.key`. Raises Transient where the place cannot be reached, Denied
        where it refuses us, Invalid for a wrong config; ImportError where the extra is not installed.
        """

    def live_schema(self, session: Session, api_version: str, name: str) -> Mapping[str, object] | None:
        """JSON Schema of a whole document of a kind that only the live system knows; None where it has none.

        For people and editors alone. References stay inside of it (`#/$defs/...`). Raises what `observe` may.
        """
        return None

    def discoverable(self, session: Session) -> Sequence[Kind]:
        """The kinds whose objects on the target can all be listed: what `trueup import --all` looks for."""
        return ()

    def markable(self, session: Session) -> Sequence[Kind]:
        """The kinds of which objects with our marker may live on the target, for `trueup recover`.

        The default is those of `kinds` and of `discoverable`. Raises what `observe` may.
        """
        return [*self.kinds(), *(kind for kind in self.discoverable(session) if kind not in self.kinds())]

    def batches(self, nodes: Sequence[Node]) -> Iterable[Sequence[Node]]:
        """The nodes of one target in groups that are observed by one call of `observe` each, at once.

        The default is one group per kind.
        """
        groups: dict[tuple[str, str], list[Node]] = {}
        for node in nodes:
            groups.setdefault((node.api_version, node.kind), []).append(node)
        return groups.values()

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        """The observations of one batch. The default asks each node's kind, in bulk."""
        for group in Provider.batches(self, nodes):
            kind = self.kind(group[0].api_version, group[0].kind)
            if kind is not None:
                yield from kind.observe(session, group)


class Catalog(ABC):
    """The providers there are, loaded when they are first used. See `trueup.plugins`."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The names of all installed providers, without importing any."""

    @abstractmethod
    def provider(self, name: str) -> Provider:
        """The provider of that name. Raises PluginError where there is none or it cannot be loaded."""

    def kind_of(self, node: Node) -> Kind:
        """The kind of a node that was validated."""
        kind = self.provider(node.target.provider).kind(node.api_version, node.kind)
        if kind is None:
            raise PluginError(f"{node.address}: provider {node.target.provider} has no kind {node.kind}")
        return kind
