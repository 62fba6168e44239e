"""Rebuilds what a lost or old store should know of a stack, from the markers in the live systems.

Called by app. Nothing is written to a live system: the store takes over the id of the installation whose
markers were found, and rows for the objects that carry them. It is done whole or not at all, and only where
nothing that was seen is in doubt: until then, the stack stays held (see lost).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace

from trueup.errors import Transient
from trueup.model.address import Address, Owner
from trueup.model.observation import Absent, Failed, Observed, Owned
from trueup.model.outcome import Result
from trueup.model.resource import Node, Revision
from trueup.model.values import Document
from trueup.reconcile.cycle import Request
from trueup.reconcile.doubt import is_unfindable
from trueup.reconcile.hold import keep_lease
from trueup.reconcile.identify import Choice, choose_installation
from trueup.reconcile.observe import Connections, observe_stack
from trueup.reconcile.resolve import record_config
from trueup.reconcile.search import Blank, Search, Sighting, search_marked
from trueup.reconcile.situation import Situation, source_of
from trueup.sdk.contracts import Catalog
from trueup.state.store import Rebuilt, Record, Step, Store


@dataclass(frozen=True)
class Find:
    """An object whose row is, or will be, in the inventory. `is_new`: the store knew nothing of it."""

    address: Address
    external_id: str
    is_declared: bool
    is_new: bool


@dataclass(frozen=True)
class Gap:
    """Something without its counterpart, and what is to be said of it. `external_id`: of an object."""

    address: str
    why: str
    external_id: str = ""


@dataclass(frozen=True)
class Recovery:
    """What a recovery found, and what became of it.

    `is_taken_over`: the installation is not the store's own until now; `is_sure`: somebody, or what this
    machine remembers, says that it is meant. `missing` are declared or recorded, and no live object carries
    their marker. `left_out` carry a marker of the stack and get no row. `blanks` could not be looked through.
    `refusals` say why nothing was written; `run` is its run in the history, 0 without one.
    """

    stack: str
    revision: Revision
    installation: str
    is_taken_over: bool
    is_sure: bool
    found: tuple[Find, ...] = ()
    missing: tuple[Gap, ...] = ()
    left_out: tuple[Gap, ...] = ()
    blanks: tuple[Blank, ...] = ()
    refusals: tuple[str, ...] = ()
    run: int = 0


@dataclass(frozen=True)
class Order:
    """What is asked for: markers of which installation count, where there are several, and who confirms."""

    installation: str = ""
    confirm: Callable[[Recovery], bool] = lambda _found: True


def recover_stack(
    request: Request, order: Order, store: Store, catalog: Catalog, parallelism: int
) -> Recovery:
    """Looks, asks, and rebuilds. Raises StoreError, UsageError, PluginError."""
    stack = request.stack
    with (
        keep_lease(store, stack.name, request.stop) as keeper,
        ThreadPoolExecutor(parallelism, "recover") as pool,
    ):

        def connect(installation: str) -> Connections:
            return Connections(catalog, f"{installation}/{stack.name}", request.facts, request.grants)

        with closing(connect(store.installation)) as connections:
            search = search_marked(stack, request.graph, connections, catalog, pool)
        markers = (sighting.owned.owner.installation for sighting in search.seen)
        choice = choose_installation(order.installation, stack.name, markers, store)
        installation = choice.installation
        draft = Draft(request, choice, search, store, catalog)
        draft.sort_sightings()
        with closing(connect(installation)) as connections:
            knowledge = observe_stack(draft.situation(), connections, pool)
        draft.compare(knowledge.observations, knowledge.nodes)
        recovery = draft.report()
        if recovery.refusals or not order.confirm(recovery):
            return recovery
        return replace(recovery, run=store.rebuild(keeper.lease, draft.rebuilt()))


@dataclass
class Draft:
    """A recovery on its way."""

    request: Request
    choice: Choice
    search: Search
    store: Store
    catalog: Catalog
    rows: dict[Address, Record] = field(default_factory=dict)
    missing: list[Gap] = field(default_factory=list)
    left_out: list[Gap] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    doubled: set[Address] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._old: Mapping[Address, Record] = self.store.inventory(self.request.stack.name)
        self._nodes = self.request.graph.nodes
        self._known = {address.text: address for address in (*self._old, *self._nodes)}

    @property
    def installation(self) -> str:
        return self.choice.installation

    def situation(self) -> Situation:
        """What is looked at by name as well: all that is declared, with the ids that were found."""
        request = self.request
        return Situation(
            request.stack,
            request.revision,
            request.graph,
            {},
            {**self._old, **self.rows},
            self.installation,
            self.catalog,
            facts=request.facts,
        )

    def sort_sightings(self) -> None:
        """Gives each object that is ours its row, and says of the others why they get none."""
        by_address: dict[Address, dict[str, Sighting]] = {}
        for sighting in self.search.seen:
            address, why = self._judge(sighting)
            if address is not None:
                # One object may be served as two kinds, or seen through two targets.
                by_address.setdefault(address, {}).setdefault(sighting.owned.external_id, sighting)
            elif why:
                self._leave_out(sighting, why)
        for address, sightings in by_address.items():
            row = self._old.get(address)
            going = {each["external_id"] for each in row.replacing.get("objects", ())} if row else set()
            current = [each for each in sightings.values() if each.owned.external_id not in going]
            if len(current) > 1:
                self.doubled.add(address)
                for each in current:
                    self._leave_out(each, "two objects carry this marker, so neither is taken")
                self.refusals.append(
                    f"{len(current)} objects carry the marker of {address}: take the marker off the wrong"
                    " one, or delete it, and recover again"
                )
            elif current:
                self.rows[address] = self._make_row(address, current[0])

    def compare(self, observations: Mapping[Address, object], nodes: Mapping[Address, Node]) -> None:
        """Looks at what is declared by its name too, and says what was not found."""
        for address, node in self._nodes.items():
            if address not in self.doubled:
                self._compare_declared(address, nodes.get(address, node), observations.get(address))
        for address in sorted(self._old.keys() - self.rows.keys() - self._nodes.keys() - self.doubled):
            self.missing.append(Gap(address.text, self._explain_row(address)))
        self._compare_places()
        for blank in self.search.blanks:
            if self._needs(blank):
                what = f"{blank.kind} on target {blank.target}" if blank.kind else f"target {blank.target}"
                self.refusals.append(f"{what} could not be looked through: {blank.error.message}")

    def _compare_places(self) -> None:
        """Copies of the objects in another place, as of a cluster's backup, are not those of the rows."""
        places = {(a.target, row.fingerprint) for a, row in self._old.items() if row.fingerprint}
        for target, recorded in sorted(places):
            now = self.search.fingerprints.get(target, recorded)
            if now != recorded:
                self.refusals.append(
                    f"target {target!r} is another place than the one where this stack was applied (now"
                    f" {now}, recorded {recorded}): correct its config; for a new place take a new name. Once"
                    " the old one is gone for good, take the target out of Git, recover, and then"
                    f" `trueup forget SOURCE --target {target}`"
                )

    def report(self) -> Recovery:
        """What was found, as it is to be told."""
        request = self.request
        found = [
            Find(address, row.external_id, address in self._nodes, self._is_new(row))
            for address, row in sorted(self.rows.items())
        ]
        return Recovery(
            request.stack.name,
            request.revision,
            self.installation,
            self.installation != self.store.installation,
            self.choice.is_sure,
            tuple(found),
            tuple(self.missing),
            tuple(self.left_out),
            tuple(self.search.blanks),
            tuple(self.refusals),
        )

    def rebuilt(self) -> Rebuilt:
        """What the store is to know from now on."""
        revision = self.request.revision
        steps = [
            Step(
                row.address,
                Result.ADOPTED if self._is_new(row) else Result.UNCHANGED,
                "found by its marker",
            )
            for row in self.rows.values()
        ]
        message = (
            f"recovered as installation {self.installation}: {len(self.rows)} found by their markers,"
            f" {len(self.missing)} not found"
        )
        return Rebuilt(
            self.installation,
            list(self.rows.values()),
            steps,
            source_of(revision),
            revision.commit,
            revision.author,
            message=message,
        )

    # -- parts

    def _judge(self, sighting: Sighting) -> tuple[Address | None, str]:
        """The address that the object is at, or why it gets no row; neither where it is seen elsewhere."""
        owner = sighting.owned.owner
        if owner.installation != self.installation:
            return None, f"its marker is of installation {owner.installation}"
        try:
            address = self._known.get(owner.address) or Address.parse(owner.address)
        except ValueError:
            return None, f"its marker names no address: {owner.address!r}"
        if address.stack != owner.stack or address.kind != sighting.kind.name:
            return None, f"its marker is that of {address}, which is another kind: somebody copied it"
        if address.target == sighting.target.name:
            return address, ""
        if self.search.fingerprints.get(address.target) == sighting.fingerprint:
            return None, ""
        return None, f"its marker is that of {address}, and it lives on target {sighting.target.name}"

    def _leave_out(self, sighting: Sighting, why: str) -> None:
        self.left_out.append(Gap(sighting.owned.owner.address, why, sighting.owned.external_id))

    def _make_row(self, address: Address, sighting: Sighting) -> Record:
        """The row of an object that was found, with its name alone: no difference is taken for drift then."""
        node, old, owned = self._nodes.get(address), self._old.get(address), sighting.owned
        if old is not None:
            return replace(
                old,
                external_id=owned.external_id,
                fingerprint=sighting.fingerprint,
                body=_name_of(owned.body) if node is None else _name_of(node.body),
            )
        target = sighting.target
        row = Record(
            address=address,
            api_version=sighting.kind.api_version,
            target={
                "name": target.name,
                "provider": target.provider,
                "labels": dict(target.labels),
                "config": record_config(target.config),
            },
            fingerprint=sighting.fingerprint,
            external_id=owned.external_id,
            body=_name_of(owned.body),
            created=not sighting.kind.traits.shared if owned.is_created is None else owned.is_created,
        )
        if node is None:
            return row
        return replace(
            row,
            api_version=node.api_version,
            body=_name_of(node.body),
            protect=node.lifecycle.protect,
            on_delete=node.lifecycle.on_delete.value,
            depends_on=self.request.graph.dependencies(address),
        )

    def _compare_declared(self, address: Address, node: Node, observation: object) -> None:
        row = self.rows.get(address)
        if isinstance(observation, Failed) or observation is None:
            if row is None:
                why = observation.error.message if isinstance(observation, Failed) else "nobody looked"
                self.refusals.append(f"{address} could not be looked at: {why}")
        elif isinstance(observation, Observed):
            self._compare_observed(address, node, observation)
        elif isinstance(observation, Absent) and row is not None:
            self.refusals.append(f"{address} was found by its marker, and not by its name: look again later")
        elif not any(gap.address == address.text for gap in self.left_out):
            self.missing.append(Gap(address.text, self._explain_absence(address, node)))

    def _compare_observed(self, address: Address, node: Node, observed: Observed) -> None:
        row = self.rows.get(address)
        owner = Owner(self.installation, address.stack, address.text)
        if row is not None:
            if row.external_id != observed.external_id:
                self.refusals.append(
                    f"{address} is {observed.external_id} by its name, and {row.external_id} by its marker"
                )
        elif observed.owner == owner:
            # Of a kind that could not be listed: its name leads to it all the same.
            fingerprint = self.search.fingerprints.get(address.target, "")
            kind = self.catalog.kind_of(node)
            owned = Owned(owner, observed.external_id, observed.body)
            self.rows[address] = self._make_row(address, Sighting(node.target, kind, fingerprint, owned))
        else:
            whose = f"the marker of {observed.owner.address}" if observed.owner else "no marker"
            self.missing.append(
                Gap(address.text, f"what lives under its name carries {whose}", observed.external_id)
            )

    def _explain_absence(self, address: Address, node: Node) -> str:
        if address in self._old:
            return "no object carries its marker: the row stays as it is"
        if is_unfindable(self.catalog.kind_of(node)):
            return "no object carries its marker, and none but its id leads to one: look, or it is made again"
        return "no object carries its marker"

    def _explain_row(self, address: Address) -> str:
        if address.target in self.request.stack.target_by_name:
            return "it is recorded, and no object was found: the row stays"
        return "it is recorded on a target that the stack no longer has, so nobody looked: the row stays"

    def _needs(self, blank: Blank) -> bool:
        """Whether something that the stack declares may be there without a row, or may just not be told now.

        A name leads to what is declared without a list. What is of kinds that it does not declare can wait.
        """
        if not blank.kind:
            return True
        declared = [
            (address, node)
            for address, node in self._nodes.items()
            if address.kind == blank.kind and address.target == blank.target
        ]
        return any(
            isinstance(blank.error, Transient)
            or (address not in self.rows and self.catalog.kind_of(node).traits.identity != "named")
            for address, node in declared
        )

    def _is_new(self, row: Record) -> bool:
        old = self._old.get(row.address)
        return old is None or old.external_id != row.external_id


def _name_of(body: Document) -> Document:
    """All of a body that says by which name the system knows the object."""
    metadata = body.get("metadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    names = {key: known[key] for key in ("name", "namespace") if isinstance(known.get(key), str)}
    return {"metadata": names} if names else {}
