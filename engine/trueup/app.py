"""The composition root: the one place where concrete classes meet. Called by cli and daemon."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType

from trueup.collector import paused_collector
from trueup.errors import StalePlan, UsageError
from trueup.graph.build import Graph, build_graph
from trueup.manifests.given_values import ValuesRequest
from trueup.manifests.load import load_stack
from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.observation import Health, Observed
from trueup.model.plan import Plan
from trueup.model.resource import Revision, Stack
from trueup.plugins.load import InstalledProviders
from trueup.reconcile.boundary import health_of
from trueup.reconcile.cycle import Request, plan_cycle, run_cycle
from trueup.reconcile.forget import forget_records
from trueup.reconcile.observe import Connections
from trueup.reconcile.report import EVERYTHING, Listener, RunReport, Selection, Silent
from trueup.reconcile.situation import Knowledge, Situation
from trueup.sdk.contracts import Catalog, Kind
from trueup.sources.open import latest_commit, open_tree
from trueup.state.open import open_store
from trueup.state.store import Record, RunRecord, Store

SAVED_PLAN_FORMAT = "trueup-plan/1"

Confirm = Callable[[Plan], bool]


def say_yes(_plan: Plan) -> bool:
    """The confirmation of a run that nobody has to confirm."""
    return True


@dataclass(frozen=True)
class SourceSpec:
    """Where a stack is read from: a directory or a Git URL, with a ref (branch, tag, commit) and a path.

    `is_offline_allowed`: where the repository cannot be reached, the last commit that was fetched will do.
    `values` are values files of the same content, named relative to the stack's directory, later over
    earlier; over them `sets`, each the text of a `--set` such as `replicas=3`.
    """

    location: str
    ref: str = ""
    path: str = ""
    is_offline_allowed: bool = False
    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """A stack read from one revision and found to be valid."""

    stack: Stack
    revision: Revision
    graph: Graph


@dataclass(frozen=True)
class NodeStatus:
    """One node as it stands: what a plan would do to it, its health, and its inventory row if it has one."""

    change: Change
    health: Health | None
    record: Record | None


@dataclass(frozen=True)
class StackStatus:
    """A stack as it stands: the plan's changes with health, the last runs, who holds its lease."""

    plan: Plan
    nodes: tuple[NodeStatus, ...]
    runs: Sequence[RunRecord]
    lease_holder: str


class App:
    """The engine, ready to use. Use it as a context manager; it opens the store when it is first needed."""

    def __init__(self, store_url: str, *, parallelism: int = 16, catalog: Catalog | None = None) -> None:
        self._store_url = store_url
        self._parallelism = parallelism
        self._catalog = catalog or InstalledProviders()
        self._lock = threading.Lock()

    def __enter__(self) -> App:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store if it was opened."""
        with self._lock:
            store = self.__dict__.pop("_store", None)
        if store is not None:
            store.close()

    @cached_property
    def _store(self) -> Store:
        return open_store(self._store_url)

    @property
    def store(self) -> Store:
        """The state store, opened on first use. Raises StoreError."""
        with self._lock:
            return self._store

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    def load(self, source: SourceSpec) -> Loaded:
        """Reads and validates a stack. Raises SourceError, ManifestError with all problems, PluginError."""
        tree = open_tree(source.location, source.ref, source.path, offline_ok=source.is_offline_allowed)
        try:
            with paused_collector():
                loaded = load_stack(tree, self._catalog, ValuesRequest(source.values, source.sets))
                graph = build_graph(loaded.nodes, self._catalog)
            return Loaded(loaded.stack, loaded.revision, graph)
        finally:
            tree.close()

    def latest_commit(self, source: SourceSpec) -> str:
        """The commit that the source's ref names now; a cheap question to the server. Raises SourceError."""
        return latest_commit(source.location, source.ref, source.path)

    def plan(self, source: SourceSpec, selection: Selection = EVERYTHING) -> Plan:
        """What a run would do now. Changes nothing anywhere."""
        return self._plan(source, selection)[0]

    def reconcile(
        self,
        source: SourceSpec,
        selection: Selection = EVERYTHING,
        *,
        confirm: Confirm = say_yes,
        approved: str = "",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
    ) -> RunReport:
        """One run of the loop.

        `confirm` is asked with the plan if there is anything to do and nothing holds it; false gives status
        HELD with no outcomes. `approved` is the digest of a plan whose holds are lifted. When `stop` is set,
        the calls in flight are finished and recorded: status INTERRUPTED.
        """
        request = self._request(source, selection, listener, stop)
        request = replace(request, confirm=confirm, approved=approved)
        return run_cycle(request, self.store, self._catalog, self._parallelism)

    def destroy(
        self,
        source: SourceSpec,
        selection: Selection = EVERYTHING,
        *,
        confirm: Confirm,
        listener: Listener | None = None,
        stop: threading.Event | None = None,
    ) -> RunReport:
        """Deletes everything that the stack manages, dependents first; protected objects refuse it."""
        request = self._request(source, selection, listener, stop)
        request = replace(request, confirm=confirm, is_destroy=True)
        return run_cycle(request, self.store, self._catalog, self._parallelism)

    def forget(
        self,
        source: SourceSpec,
        selection: Selection,
        *,
        confirm: Confirm,
        listener: Listener | None = None,
    ) -> RunReport:
        """Drops the selected objects from the inventory and touches no live system."""
        request = replace(self._request(source, selection, listener, None), confirm=confirm)
        return forget_records(request, self.store, self._catalog)

    def save_plan(self, plan: Plan, source: SourceSpec, selection: Selection, file: str) -> None:
        """Writes what `reconcile_saved` needs: the exact commit, the digest, and what `source` says.

        Of what the plan changes it holds nothing.
        """
        location = source.location
        if Path(location).exists():
            location = str(Path(location).resolve())
        document = {
            "format": SAVED_PLAN_FORMAT,
            "stack": plan.stack,
            "source": {"location": location, "path": source.path, "commit": plan.revision.commit},
            "ref": source.ref,
            "values": {"files": list(source.values), "sets": list(source.sets)},
            "selection": {"targets": list(selection.targets), "only": list(selection.only)},
            "digest": plan.digest,
        }
        Path(file).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def reconcile_saved(
        self,
        file: str,
        *,
        confirm: Confirm = say_yes,
        approved: str = "",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
    ) -> RunReport:
        """Carries out a saved plan. Raises StalePlan if Git's or the world's part of it has changed."""
        saved = read_saved_plan(file)
        request = self._request(saved.source, saved.selection, listener, stop)
        if request.revision.commit != saved.commit:
            raise StalePlan(
                f"the saved plan is stale: {saved.source.location} has changed since it was made",
                hint="make a new plan and look at it",
            )
        request = replace(request, confirm=confirm, approved=approved, expected=saved.digest)
        return run_cycle(request, self.store, self._catalog, self._parallelism)

    def live_schema(
        self, source: SourceSpec, target: str, provider: str, kind: Kind
    ) -> Mapping[str, object] | None:
        """What the live system of a target says of a kind. `target` empty: the only one of the provider."""
        stack = self.load(source).stack
        found = [each for each in stack.targets if each.provider == provider and target in ("", each.name)]
        if len(found) != 1:
            names = ", ".join(each.name for each in stack.targets if each.provider == provider) or "none"
            raise UsageError(
                f"stack {stack.name!r} has {len(found)} targets of provider {provider} that this could mean",
                hint=f"--target says which one; there are: {names}",
            )
        # Nothing is written, so the name of the installation does not matter: no store is opened for it.
        with closing(Connections(self._catalog, f"-/{stack.name}")) as connections:
            session = connections.session(found[0])
            return self._catalog.provider(provider).live_schema(session, kind.api_version, kind.name)

    def status(self, source: SourceSpec, selection: Selection = EVERYTHING) -> StackStatus:
        """The stack as it stands. Changes nothing anywhere."""
        plan, situation, knowledge = self._plan(source, selection)
        lease = self.store.lease(plan.stack)
        nodes = tuple(
            NodeStatus(
                change,
                self._health(change.address, situation, knowledge),
                situation.records.get(change.address),
            )
            for change in plan.changes
        )
        return StackStatus(plan, nodes, self.store.runs(plan.stack), lease.holder if lease else "")

    def _health(self, address: Address, situation: Situation, knowledge: Knowledge) -> Health | None:
        observation = knowledge.observations.get(address)
        if not isinstance(observation, Observed):
            return None
        node = situation.node(address)
        return health_of(self._catalog.kind_of(node), observation, node.target.provider)

    def _plan(self, source: SourceSpec, selection: Selection) -> tuple[Plan, Situation, Knowledge]:
        request = self._request(source, selection, None, None)
        return plan_cycle(request, self.store, self._catalog, self._parallelism)

    def _request(
        self,
        source: SourceSpec,
        selection: Selection,
        listener: Listener | None,
        stop: threading.Event | None,
    ) -> Request:
        loaded = self.load(source)
        return Request(
            loaded.stack,
            loaded.revision,
            loaded.graph,
            selection,
            listener or Silent(),
            stop or threading.Event(),
        )


@dataclass(frozen=True)
class SavedPlan:
    """What `save_plan` wrote: where the plan comes from, exactly, and its digest."""

    source: SourceSpec
    commit: str
    selection: Selection
    digest: str


def is_saved_plan(file: str) -> bool:
    """Whether a path is a file that `save_plan` wrote."""
    if not Path(file).is_file():
        return False
    try:
        read_saved_plan(file)
    except UsageError:
        return False
    return True


def read_saved_plan(file: str) -> SavedPlan:
    """The plan that `save_plan` wrote. Raises UsageError for anything else."""
    try:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: this is not a saved plan: {error}") from error
    if not isinstance(document, dict) or document.get("format") != SAVED_PLAN_FORMAT:
        raise UsageError(f"{file}: this is not a saved plan of a format that this version reads")
    try:
        place, selected = document["source"], document["selection"]
        texts = [place["location"], document["ref"], place["path"], place["commit"], document["digest"]]
        selection = Selection(tuple(map(str, selected["targets"])), tuple(map(str, selected["only"])))
        values = document.get("values", {"files": [], "sets": []})
        files, sets = (tuple(map(str, values[key])) for key in ("files", "sets"))
    except (KeyError, TypeError) as error:
        raise UsageError(f"{file}: the saved plan is not complete", hint="make a new plan") from error
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{file}: the saved plan is not complete", hint="make a new plan")
    location, ref, path, commit, digest = texts
    source = SourceSpec(location, ref, path, values=files, sets=sets)
    return SavedPlan(source, commit, selection, digest)
