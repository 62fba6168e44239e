"""What a run is about, and what is known of the world while it goes on. Filled by cycle, plan and act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trueup.errors import ProviderError
from trueup.graph.build import Graph
from trueup.manifests.text_budget import TextBudget
from trueup.model.address import Address, Owner
from trueup.model.observation import Failed, Observation, Observed, Owned
from trueup.model.plan import Hold
from trueup.model.quarantine import Quarantine
from trueup.model.resource import Facts, Lifecycle, Node, OnDelete, Policy, Revision, Stack, Target
from trueup.model.values import UNKNOWN, Document, Unknown, Value
from trueup.reconcile.resolve import known_document
from trueup.sdk.contracts import Catalog
from trueup.state.store import OpenIntent, Record


@dataclass(frozen=True)
class Former:
    """An address that a node had before and that is still recorded, in this stack or in another one.

    `node` is made from the record, on a target of this stack: what is looked at to see what became of it.
    """

    address: Address
    record: Record
    node: Node


@dataclass(frozen=True)
class Situation:
    """What a run is about, fixed when it starts.

    `undeclared` are the objects of the inventory that Git no longer has; their nodes are made from records.
    `formers` are those of the nodes of the graph. `heirs` are the nodes that say that they were moved from an
    address, whether or not this run is about them: one each, unless the manifests are ambiguous. `claims` are
    undeclared addresses that another stack of the source says it takes over, with the file.
    `rewritten_from` is the commit of the last run where the history that is read now does not have it, empty
    otherwise. `distrust` says why the store is not to be trusted with the stack. `begun` are the creates of
    earlier runs of which no end was recorded, `cleared` those of which a person says that there is no object.
    `unproven` are undeclared objects of a destroy that only a recovery has found. `policies` are those of
    the installation; the stack has its own. `quarantines` are those in force as the run begins, `spent` those
    that are over.
    """

    stack: Stack
    revision: Revision
    graph: Graph
    undeclared: Mapping[Address, Node]
    records: Mapping[Address, Record]
    installation: str
    catalog: Catalog
    is_destroy: bool = False
    last_source: str = ""
    facts: Facts = field(default_factory=Facts)
    formers: Mapping[Address, tuple[Former, ...]] = field(default_factory=dict)
    heirs: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict)
    claims: Mapping[Address, str] = field(default_factory=dict)
    rewritten_from: str = ""
    begun: Mapping[Address, OpenIntent] = field(default_factory=dict)
    cleared: frozenset[Address] = frozenset()
    unproven: frozenset[Address] = frozenset()
    policies: tuple[Policy, ...] = ()
    distrust: tuple[Hold, ...] = ()
    quarantines: Mapping[Address, Quarantine] = field(default_factory=dict)
    spent: Mapping[Address, Quarantine] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the stack is read from, as history keeps it."""
        return source_of(self.revision)

    @cached_property
    def places(self) -> Mapping[str, str]:
        """For each target the fingerprint of the place where this stack was applied."""
        return {
            address.target: record.fingerprint
            for address, record in self.records.items()
            if record.fingerprint
        }

    @cached_property
    def undeclared_by_text(self) -> Mapping[str, Address]:
        """The undeclared addresses by their text, as markers hold it."""
        return {address.text: address for address in self.undeclared}

    @cached_property
    def declared_by_text(self) -> Mapping[str, Address]:
        """The addresses of the graph by their text."""
        return {address.text: address for address in self.graph.nodes}

    @property
    def owner_key(self) -> str:
        return f"{self.installation}/{self.stack.name}"

    def owner(self, address: Address) -> Owner:
        """The marker of an address, of this stack or of another one."""
        return Owner(self.installation, address.stack, address.text)

    def is_recorded(self, address: Address) -> bool:
        """Whether the inventory has an object under the address that was really seen."""
        record = self.records.get(address)
        return record is not None and record.external_id != ""

    def record_at(self, address: Address) -> Record | None:
        """The row of an address, also of one in another stack from which a node was moved."""
        return self.records.get(address) or self._records_elsewhere.get(address)

    @cached_property
    def _records_elsewhere(self) -> Mapping[Address, Record]:
        return {former.address: former.record for found in self.formers.values() for former in found}

    def is_orphaned(self, address: Address) -> bool:
        """Whether the resource has left Git and its object is to stay."""
        node = self.undeclared.get(address)
        return node is not None and node.lifecycle.on_delete is OnDelete.ORPHAN

    def node(self, address: Address) -> Node:
        return self.graph.nodes.get(address) or self.undeclared[address]


@dataclass(frozen=True)
class Leftover:
    """An object under the address of a node whose place another one takes; see replace.

    `node` is made from what was recorded of it, `owner` is the marker that it carries.
    """

    node: Node
    owner: Owner
    is_created: bool = True


@dataclass
class Knowledge:
    """What is known of the live world while a run goes on: grows as steps are done.

    `nodes` are resolved as far as they can be, with live values in their ignored fields; `declared` are their
    bodies as Git says them. `made_anew` have no status until they are done. `leftovers` are objects that are
    replaced, or were to be. `strays` are objects that carry a node's marker, or that of what it was before,
    and that no row knows, or why that cannot be told. `facts` come from outside of the stack and stay as they
    are during a run.

    It is the `Lookup` of the expressions of nodes.
    """

    observations: dict[Address, Observation]
    fingerprints: Mapping[str, str]
    facts: Facts = field(default_factory=Facts)
    nodes: dict[Address, Node] = field(default_factory=dict)
    declared: dict[Address, Document] = field(default_factory=dict)
    made_anew: set[Address] = field(default_factory=set)
    leftovers: dict[Address, tuple[tuple[Leftover, Observation], ...]] = field(default_factory=dict)
    strays: dict[Address, Owned | ProviderError] = field(default_factory=dict)
    texts: TextBudget = field(default_factory=TextBudget)
    _documents: dict[Address, Document] = field(default_factory=dict)

    def secret(self, text: str) -> Value:
        """A secret by the text of its `secret()`; UNKNOWN where it could not be read."""
        return self.facts.secrets.get(text, UNKNOWN)

    def outputs(self, stack: str) -> Mapping[str, Value] | Unknown:
        """The outputs of another stack; UNKNOWN where it was never reconciled."""
        return self.facts.outputs.get(stack, UNKNOWN)

    def node(self, address: Address) -> Document | Unknown:
        """What an expression may see of another node."""
        document = self._documents.get(address)
        if document is None:
            node = self.nodes.get(address)
            if node is None:
                return UNKNOWN
            observation = self.observations.get(address)
            observed = observation if isinstance(observation, Observed) else None
            is_made_anew = address in self.made_anew or isinstance(observation, Failed)
            document = known_document(node, observed, is_made_anew=is_made_anew)
            self._documents[address] = document
        return document

    def know(self, node: Node, *, is_made_anew: bool = False) -> None:
        """A node was resolved further. `is_made_anew`: it will be created or replaced."""
        self.nodes[node.address] = node
        if is_made_anew:
            self.made_anew.add(node.address)
        self._documents.pop(node.address, None)

    def learn(self, node: Node, observation: Observation) -> None:
        """A node was observed again, after a step or before one."""
        self.observations[node.address] = observation
        self.made_anew.discard(node.address)
        self.know(node)


def source_of(revision: Revision) -> str:
    """A source in one text: its URL, the path inside it, and the values that it is read with, if any.

    Other values give other resources, as another directory does.
    """
    place = f"{revision.url}//{revision.path}" if revision.path else revision.url
    return f"{place} with {revision.values}" if revision.values else place


def is_of_repository(source: str, url: str) -> bool:
    """Whether a source, as `source_of` wrote it, is somewhere in the repository of a URL."""
    return source == url or source.startswith((f"{url}//", f"{url} with "))


def undeclared_node(record: Record, stack: Stack) -> Node:
    """A node for an object that only the inventory knows."""
    target = stack.target_by_name.get(record.address.target) or Target(**record.target)
    return Node(
        record.address,
        record.api_version,
        target,
        record.body,
        Lifecycle(protect=record.protect, on_delete=OnDelete(record.on_delete)),
        external_id=record.external_id,
    )


def exact_address(record: Record) -> Address:
    """A record's address with its namespace and its module told apart, which its text alone does not tell."""
    address = record.address
    metadata = record.body.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    if not address.namespace or address.namespace == namespace:
        return address
    return Address(address.stack, address.kind, f"{address.namespace}/{address.name}", address.target)


def name_only(body: Document) -> Document:
    """A body without all that was applied: what is left is by which name the system knows the object."""
    return {"metadata": body["metadata"]} if "metadata" in body else {}
