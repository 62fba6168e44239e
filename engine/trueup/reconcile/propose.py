"""Makes a resource of each object that was found, and refuses what must not be imported. Pure.

Called by import_objects. A resource is proposed only if a plan would change nothing in the object but put our
marker onto it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from trueup.errors import ProviderError
from trueup.graph.build import Graph
from trueup.manifests.print_yaml import print_documents
from trueup.model.address import Address, Owner
from trueup.model.change import Action, FieldChange
from trueup.model.observation import Observed
from trueup.model.resource import Node, Stack
from trueup.model.values import Document, Sensitive, Value, leaves
from trueup.reconcile.adopt import IMPORTING
from trueup.reconcile.boundary import broken_plugin
from trueup.reconcile.diff import Standing, diff_node
from trueup.reconcile.discover import Found
from trueup.reconcile.imports import Fate, ImportOutcome
from trueup.sdk.contracts import Catalog, Kind
from trueup.sdk.discovery import has_pattern

_BY_HAND = (
    "write the resource by hand with secret(...) in that place and lifecycle.adopt: true;"
    " a value in clear would stay in Git's history"
)


@dataclass(frozen=True)
class Proposal:
    """A resource for an object that lives: its document as it will be written, and the node that it gives.

    `is_declared`: the stack has the resource already, and the object only has to be taken over.
    """

    found: Found
    document: Document
    node: Node
    is_declared: bool = False

    def outcome(self, fate: Fate, why: str = "", hint: str = "", file: str = "") -> ImportOutcome:
        """What became of the object."""
        found = self.found
        return ImportOutcome(
            found.target.name, found.kind.name, found.object.id, fate, self.node.address, file, why, hint
        )


@dataclass(frozen=True)
class Proposals:
    """`left_out` counts the objects that the systems made themselves, and that nobody named."""

    chosen: Sequence[Proposal]
    refused: Sequence[ImportOutcome]
    left_out: int


@dataclass
class _Refused(Exception):
    """The object is not imported, and why. `is_ours`: there is nothing left to do."""

    why: str
    hint: str = ""
    is_failure: bool = False
    is_ours: bool = False
    address: Address | None = None
    fields: tuple[FieldChange, ...] = ()

    def outcome(self, found: Found, *, is_named: bool) -> ImportOutcome:
        """What became of the object; one that was named is expected to be imported."""
        fate = Fate.FAILED if self.is_failure or is_named else Fate.SKIPPED
        if self.is_ours:
            fate = Fate.MANAGED
        place = (found.target.name, found.kind.name, found.object.id)
        return ImportOutcome(*place, fate, self.address, "", self.why, self.hint, self.fields)


class Proposer:
    """Judges what was found, against the stack as it is declared and recorded."""

    def __init__(
        self, stack: Stack, graph: Graph, recorded: Set[Address], installation: str, catalog: Catalog
    ) -> None:
        self._stack = stack
        self._graph = graph
        self._installation = installation
        self._taken = {*graph.nodes, *recorded}
        self._declared = {address.text for address in graph.nodes}
        self._recorded = {address.text for address in recorded}
        self._identities = _identities(graph, catalog)

    def propose(self, found: Iterable[Found], ids: Sequence[str]) -> Proposals:
        """A proposal for each object that can be imported. `ids` are what was asked for, none for everything.

        An object that was named by its own id, and not by a pattern or by the directory that it is in, has to
        be imported; no other has.
        """
        has_patterns = not ids or any(map(has_pattern, ids))
        chosen: list[Proposal] = []
        refused: list[ImportOutcome] = []
        left_out = 0
        for each in found:
            is_named = each.object.id in ids or not (has_patterns or _is_below(each.object.id, ids))
            if each.object.is_system and not is_named:
                left_out += 1
                continue
            try:
                chosen.append(self._propose(each))
            except _Refused as refusal:
                refused.append(refusal.outcome(each, is_named=is_named))
        return Proposals(chosen, refused, left_out)

    def _propose(self, found: Found) -> Proposal:
        self._refuse_owned(found)
        document = self._export(found)
        declared = self._find_declared(found, document)
        if declared is not None:
            return self._take_declared(found, declared)
        node = self._name(found, document)
        self._refuse_difference(found, node)
        self._taken.add(node.address)
        return Proposal(found, self._with_target(node), node)

    def _refuse_owned(self, found: Found) -> None:
        owner = found.object.owner
        if owner is None:
            return
        if owner.key == f"{self._installation}/{self._stack.name}":
            if owner.address in self._declared and owner.address in self._recorded:
                raise _Refused(f"it is managed already, as {owner.address}", is_ours=True)
            if owner.address in self._recorded:
                raise _Refused(
                    f"the inventory has it as {owner.address}, and no resource declares it any more",
                    f"`trueup forget` with `--only {owner.address}`, and import it again",
                )
            return  # our own marker, of a resource that was forgotten, or whose adoption was interrupted
        raise _Refused(
            f"it belongs to {owner.address} of {owner.key}",
            "remove it there first, or declare it here with lifecycle.adopt: true to take it over",
        )

    def _export(self, found: Found) -> Document:
        """The document of the object without anything that is secret."""
        try:
            document = found.kind.export(found.object.body)
            sealed = found.kind.seal(document)
        except ProviderError as error:
            raise _Refused(error.message, error.hint) from error
        except Exception as error:
            broken = broken_plugin(found.target.provider, "export", error)
            raise _Refused(broken.message, broken.hint, is_failure=True) from error
        secrets = [path for path, value in leaves(sealed) if isinstance(value, Sensitive)]
        if secrets:
            shown = ", ".join(secrets[:3]) + (" and more" if len(secrets) > 3 else "")
            raise _Refused(f"it holds a secret, in {shown}", _BY_HAND)
        try:
            print_documents([document])
        except (TypeError, ValueError) as error:
            raise _Refused(f"it holds what no resource file can hold: {error}", is_failure=True) from error
        return document

    def _find_declared(self, found: Found, document: Document) -> Address | None:
        """The resource of the stack that is this very object."""
        identity = found.kind.identity(self._named(found, document))
        return self._identities.get((found.target.name, identity))

    def _take_declared(self, found: Found, address: Address) -> Proposal:
        """Takes over the object of a resource that is declared, as an interrupted import left it."""
        node = self._graph.nodes[address]
        node = replace(node, lifecycle=replace(IMPORTING, ignore=node.lifecycle.ignore))
        try:
            self._refuse_difference(found, node)
        except _Refused as refusal:
            refusal.why = f"it is declared already, as {address.reference}, and that would change it"
            refusal.hint = "set lifecycle.adopt: true there to take it over, and reconcile"
            refusal.is_failure, refusal.address = False, address
            raise
        return Proposal(found, node.body, node, is_declared=True)

    def _name(self, found: Found, document: Document) -> Node:
        """The node of the document, under a name that is free."""
        kind, target = found.kind, found.target
        plain: Mapping[str, Value] = document["metadata"]
        name = str(plain["name"])
        node = self._named(found, document)
        identity = kind.identity(node)
        number = 1
        while node.address in self._taken:
            number += 1
            metadata = {**plain, "name": f"{name}-{number}"}
            renamed = self._named(found, {**document, "metadata": metadata})
            if kind.identity(renamed) != identity:
                raise _Refused(
                    f"another resource has its address already: {node.address}",
                    "give that one another name, or forget it if its resource has left Git",
                )
            node = renamed
        if identity:
            self._identities[(target.name, identity)] = node.address
        return node

    def _named(self, found: Found, document: Document) -> Node:
        """The node under the name that the document has."""
        metadata: Mapping[str, Value] = document["metadata"]
        name, namespace = str(metadata["name"]), str(metadata.get("namespace") or "")
        address = Address(self._stack.name, found.kind.name, name, found.target.name, namespace)
        return Node(address, found.kind.api_version, found.target, document, IMPORTING)

    def _refuse_difference(self, found: Found, node: Node) -> None:
        """Refuses an object in which a plan would change something."""
        kind, seen = found.kind, found.object
        sealed = node.with_body(kind.seal(node.body), seen.external_id)
        observed = Observed(node.address, kind.seal(seen.body), seen.external_id, seen.owner, seen.version)
        owner = Owner(self._installation, self._stack.name, node.address.text)
        standing = Standing(kind, owner, self._stack.drift, sealed.body)
        try:
            change = diff_node(sealed, observed, standing)
        except Exception as error:
            broken = broken_plugin(found.target.provider, "diff", error)
            raise _Refused(broken.message, broken.hint, is_failure=True) from error
        if change.problem or change.fields or change.action is not Action.ADOPT:
            raise _Refused(
                change.problem or "the resource that describes it would change it",
                change.hint or "please report it to the provider's authors; write the resource by hand",
                is_failure=True,
                fields=change.fields,
            )

    def _with_target(self, node: Node) -> Document:
        """The document with `targets`, where the stack has several that it could be for."""
        provider = node.target.provider
        if len([target for target in self._stack.targets if target.provider == provider]) == 1:
            return node.body
        return {**node.body, "targets": {"names": [node.target.name]}}


def _is_below(name: str, ids: Sequence[str]) -> bool:
    """Whether an object was found in a directory that was named."""
    return any(each.startswith("/") and name.startswith(f"{each.rstrip('/')}/") for each in ids)


def _identities(graph: Graph, catalog: Catalog) -> dict[tuple[str, str], Address]:
    """Which object each declared node is, by target, as far as that is known."""
    known: dict[tuple[str, str], Address] = {}
    for address, node in graph.nodes.items():
        kind: Kind = catalog.kind_of(node)
        identity = "" if address in graph.expressions else kind.identity(node)
        if identity:
            known[(node.target.name, identity)] = address
    return known
