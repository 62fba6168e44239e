"""Writes resource files for what lives already, and takes it over. Called by app.

discover -> propose -> lay out -> confirm -> adopt. Nothing is written before it is known that the files are
valid and that a plan with them would change no object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from trueup.errors import ManifestError, SourceError, UsageError
from trueup.graph.build import Graph
from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.outcome import Outcome
from trueup.model.resource import Facts, Revision, Stack, Target
from trueup.model.tree import Tree
from trueup.reconcile.adopt import Adopted, Adoption
from trueup.reconcile.discover import discover_objects
from trueup.reconcile.hold import hold_lease
from trueup.reconcile.imports import Fate, ImportOutcome, ImportReport, ImportRequest, Wanted
from trueup.reconcile.lay_out import Page, lay_out
from trueup.reconcile.lost import require_trust
from trueup.reconcile.observe import Connections
from trueup.reconcile.pin import watch_pin
from trueup.reconcile.propose import Proposal, Proposer
from trueup.reconcile.walk import UNDONE
from trueup.sdk.contracts import Catalog
from trueup.sources.proposed import ProposedTree
from trueup.sources.write import NewFiles
from trueup.state.store import Lease, Store

LEFT_HINT = "its resource stays in the file: import the object again to take it over"


class LoadedGraph(Protocol):
    """A stack that was read and found to be valid."""

    @property
    def stack(self) -> Stack: ...

    @property
    def revision(self) -> Revision: ...

    @property
    def graph(self) -> Graph: ...

    @property
    def facts(self) -> Facts: ...


L = TypeVar("L", bound=LoadedGraph)


@dataclass(frozen=True)
class Workplace(Generic[L]):
    """The stack's directory. `open_tree` reads it as it is, `load` makes a stack of what was read.

    `gather` reads the secrets of its targets.
    """

    files: NewFiles
    open_tree: Callable[[], Tree]
    load: Callable[[Tree], L]
    gather: Callable[[L], Facts]


def import_objects(
    request: ImportRequest, place: Workplace[L], store: Store, catalog: Catalog, parallelism: int
) -> ImportReport:
    """Imports what is wanted, as far as nothing changes by it.

    Raises what loading the stack does, UsageError, ProviderError where the only target does not answer,
    SourceError where the files cannot be written, StoreError, PluginError.
    """
    started = time.monotonic()
    with closing(place.open_tree()) as tree:
        loaded = place.load(tree)
        owner_key = f"{store.installation}/{loaded.stack.name}"
        with (
            ThreadPoolExecutor(parallelism, "import") as pool,
            closing(Connections(catalog, owner_key, place.gather(loaded))) as connections,
        ):
            bench = Bench(request, place, loaded, tree, store, catalog, connections, pool)
            bench.survey()
            is_over = request.is_dry_run or not (bench.pages or bench.declared)
            if not is_over and not request.confirm(bench.report()):
                return replace(bench.report(), is_declined=True)
            if not is_over:
                name, commit = loaded.stack.name, loaded.revision.commit
                with (
                    hold_lease(store, name, request.stop) as lease,
                    watch_pin(store, name, None, commit, request.stop),
                ):
                    bench.adopt(lease, parallelism)
            return replace(bench.report(), seconds=time.monotonic() - started)


@dataclass
class Bench:
    """An import on its way: what is to be written, and what is known not to be imported."""

    request: ImportRequest
    place: Workplace[Any]
    loaded: LoadedGraph
    tree: Tree
    store: Store
    catalog: Catalog
    connections: Connections
    pool: Executor
    pages: Sequence[Page] = ()
    declared: Sequence[Proposal] = ()
    outcomes: list[ImportOutcome] = field(default_factory=list)
    left_out: int = 0
    adopted: Adopted | None = None

    def survey(self) -> None:
        """Finds what lives and what can be imported of it."""
        stack, wanted = self.loaded.stack, self.request.wanted
        targets = _targets(stack, wanted)
        found = discover_objects(wanted, targets, self.connections, self.catalog, self.pool)
        self.outcomes += found.unread
        require_trust(self.store, stack.name, (each.object.owner for each in found.found))
        recorded = self.store.inventory(stack.name).keys()
        proposer = Proposer(stack, self.loaded.graph, recorded, self.store.installation, self.catalog)
        proposals = proposer.propose(found.found, wanted.ids)
        self.outcomes += proposals.refused
        self.left_out = proposals.left_out
        self.declared = [each for each in proposals.chosen if each.is_declared]
        self._lay_out([each for each in proposals.chosen if not each.is_declared])

    def adopt(self, lease: Lease, parallelism: int) -> None:
        """Writes the files and takes the objects over. Until the first call all of it can be undone."""
        new = [proposal for page in self.pages for proposal in page.proposals]
        by_address = {each.node.address: each for each in (*self.declared, *new)}
        stack = self.loaded.stack
        nodes = [proposal.node for proposal in by_address.values()]
        adoption = Adoption(
            nodes, stack, self.loaded.revision, self.store, self.catalog, self.connections, self.pool
        )
        refused = adoption.refused
        if refused:
            self.outcomes += [_refusal(by_address[address], change) for address, change in refused.items()]
            self.declared = [each for each in self.declared if each.node.address not in refused]
            self._lay_out([each for each in new if each.node.address not in refused])
        if not (self.pages or self.declared) or self.request.stop.is_set():
            return
        try:
            self.place.files.write({page.path: page.text for page in self.pages})
            adoption.begin(self._reload(), lease)
        except BaseException:
            self.place.files.undo()
            raise
        self.adopted = adoption.carry_out(parallelism, self.request.listener, self.request.stop)
        if self.adopted.left:
            self._take_out(set(self.adopted.left))

    def report(self) -> ImportReport:
        """The import as it stands."""
        done = self.adopted
        imported = [
            _outcome(proposal, page.path, done.outcomes.get(proposal.node.address) if done else None)
            for page in self.pages
            for proposal in page.proposals
        ]
        left = set(done.left) if done else set()
        imported += [
            _outcome(each, each.node.place.file, done.outcomes.get(each.node.address) if done else None)
            for each in self.declared
            if each.node.address not in left
        ]
        return ImportReport(
            self.loaded.stack.name,
            self.loaded.revision,
            (*imported, *self.outcomes),
            {page.path: page.text for page in self.pages},
            self.left_out,
            is_done=done is not None,
            is_interrupted=bool(done.left) if done else self.request.stop.is_set(),
            run=done.run if done else 0,
        )

    # -- parts

    def _lay_out(self, proposals: Sequence[Proposal]) -> None:
        """Makes the pages; what is not valid by our own rules is left out of them."""
        self.pages = ()
        while proposals:
            pages = lay_out(proposals, self.loaded.stack, self.tree.paths(), self.request.file)
            wrong = self._find_faults(pages)
            if not wrong:
                self.pages = pages
                return
            self.outcomes += wrong.values()
            proposals = [proposal for proposal in proposals if proposal.node.address not in wrong]

    def _find_faults(self, pages: Sequence[Page]) -> Mapping[Address, ImportOutcome]:
        """The proposals that the stack cannot be loaded with. Raises ManifestError for what is not theirs."""
        try:
            loaded = self.place.load(ProposedTree(self.tree, {page.path: page.text for page in pages}))
        except ManifestError as error:
            wrong = _blame(pages, error)
            if not wrong:
                raise
            return wrong
        _check_read(pages, loaded.graph)
        return {
            proposal.node.address: proposal.outcome(Fate.FAILED, "its resource would be read as another one")
            for page in pages
            for proposal in page.proposals
            if loaded.graph.nodes[proposal.node.address].body != proposal.node.body
        }

    def _reload(self) -> Revision:
        """The stack as it is read with the new files: somebody may have changed others meanwhile."""
        with closing(self.place.open_tree()) as tree:
            self.loaded = self.place.load(tree)
        _check_read(self.pages, self.loaded.graph)
        new = [proposal for page in self.pages for proposal in page.proposals]
        for proposal in (*self.declared, *new):
            node = self.loaded.graph.nodes.get(proposal.node.address)
            if node is None or node.body != proposal.node.body:
                raise SourceError(f"{proposal.node.address} changed in the stack meanwhile", hint="run again")
        return self.loaded.revision

    def _take_out(self, left: Set[Address]) -> None:
        """Takes the documents out again to whose objects nothing was done."""
        changed = {}
        pages = []
        for page in self.pages:
            kept = [proposal for proposal in page.proposals if proposal.node.address not in left]
            if len(kept) < len(page.proposals):
                page = Page(page.path, kept)
                changed[page.path] = page.text if kept else ""
            pages.append(page)
        self.place.files.rewrite(changed)
        self.pages = [page for page in pages if page.proposals]


def _targets(stack: Stack, wanted: Wanted) -> Sequence[Target]:
    if not wanted.targets:
        return stack.targets
    unknown = [name for name in wanted.targets if name not in stack.target_by_name]
    if unknown:
        names = ", ".join(stack.target_by_name) or "none"
        raise UsageError(f"the stack has no target {unknown[0]!r}", hint=f"its targets are: {names}")
    return [stack.target_by_name[name] for name in wanted.targets]


def _blame(pages: Sequence[Page], error: ManifestError) -> Mapping[Address, ImportOutcome]:
    by_path = {page.path: page for page in pages}
    wrong: dict[Address, ImportOutcome] = {}
    for problem in error.problems:
        page = by_path.get(problem.place.file)
        proposal = page.proposal_at(problem.place.line) if page else None
        if proposal is not None:
            why = f"its resource would not be valid: {problem.message}"
            wrong.setdefault(proposal.node.address, proposal.outcome(Fate.FAILED, why, problem.hint))
    return wrong


def _check_read(pages: Sequence[Page], graph: Graph) -> None:
    """Raises SourceError unless the stack reads every new resource."""
    for page in pages:
        for proposal in page.proposals:
            if proposal.node.address not in graph.nodes:
                raise SourceError(
                    f"the stack does not read {proposal.node.address} from {page.path}",
                    hint="look at spec.exclude and spec.render of the stack, or name a file with --file",
                )


def _refusal(proposal: Proposal, change: Change) -> ImportOutcome:
    why = change.problem or "it changed while it was imported, or its resource would change it"
    return replace(proposal.outcome(Fate.FAILED, why, change.hint), fields=change.fields)


def _outcome(proposal: Proposal, file: str, outcome: Outcome | None) -> ImportOutcome:
    if outcome is not None and outcome.result in UNDONE:
        hint = f"{outcome.hint}; {LEFT_HINT}" if outcome.hint else LEFT_HINT
        return proposal.outcome(Fate.FAILED, outcome.message, hint, file)
    return proposal.outcome(Fate.IMPORTED, file=file)
