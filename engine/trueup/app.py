"""The composition root: the one place where concrete classes meet. Called by cli and daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from trueup.errors import Problem
from trueup.graph.build import Graph
from trueup.model.address import Address
from trueup.model.observation import Health
from trueup.model.outcome import Step  # noqa
from trueup.model.plan import Plan
from trueup.model.change import Change
from trueup.model.resource import Revision, Stack
from trueup.reconcile.report import Listener, RunReport, Selection
from trueup.sdk.contracts import Catalog
from trueup.state.store import Record, RunRecord, Store


@dataclass(frozen=True)
class SourceSpec:
    """Where a stack is read from: a directory or a Git URL, with a ref (branch, tag, commit) and a path."""

    location: str
    ref: str = ""
    path: str = ""


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

    def __init__(self, store_url: str, *, parallelism: int = 16, catalog: Catalog | None = None) -> None: ...

    def __enter__(self) -> App: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    @property
    def store(self) -> Store: ...

    def load(self, source: SourceSpec) -> Loaded:
        """Reads and validates a stack. Raises SourceError, ManifestError with all problems, PluginError."""

    def plan(self, source: SourceSpec, selection: Selection = Selection()) -> Plan:
        """What a run would do now. Writes nothing anywhere."""

    def save_plan(self, plan: Plan, source: SourceSpec, selection: Selection, file: str) -> None: ...

    def reconcile(
        self,
        source: SourceSpec,
        selection: Selection = Selection(),
        *,
        confirm: Callable[[Plan], bool] = lambda _plan: True,
        approved: str = "",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
    ) -> RunReport:
        """One run of the loop. `confirm` is asked with the plan if there is anything to do and nothing holds
        it; false gives status HELD with no outcomes. `approved` is the digest of a plan whose holds are
        lifted. When `stop` is set, the calls in flight are finished and recorded: status INTERRUPTED.
        """

    def reconcile_saved(self, file: str, *, confirm: Callable[[Plan], bool] = lambda _plan: True, listener: Listener | None = None, stop: threading.Event | None = None) -> RunReport:
        """Carries out a saved plan. Raises StalePlan if Git's or the world's part of it has changed."""

    def destroy(self, source: SourceSpec, selection: Selection = Selection(), *, confirm: Callable[[Plan], bool], listener: Listener | None = None, stop: threading.Event | None = None) -> RunReport:
        """Deletes everything that the stack manages, dependents first; protected resources refuse it."""

    def status(self, source: SourceSpec, selection: Selection = Selection()) -> StackStatus:
        """The stack as it stands. Writes nothing anywhere."""
