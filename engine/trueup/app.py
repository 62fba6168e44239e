"""The composition root: the one place where concrete classes meet. Called by cli and daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from types import TracebackType

from trueup.errors import StalePlan
from trueup.graph.build import deferred_in
from trueup.manifests.claims import find_claims
from trueup.manifests.question import Question as Question
from trueup.model.outcome import RunStatus
from trueup.model.plan import Decision, Plan, Verdict
from trueup.model.resource import Facts, Grants, Policy
from trueup.model.values import Value, use_digest_key
from trueup.plugins.load import InstalledProviders, InstalledSecretSources
from trueup.reading import Reader, find_return
from trueup.reconcile.approve import may_pass, refuse_other_plan
from trueup.reconcile.ask_schema import ask_schema
from trueup.reconcile.cycle import Request, find_losses, plan_cycle, run_cycle
from trueup.reconcile.drift import DriftReport, find_drift
from trueup.reconcile.forget import forget_records
from trueup.reconcile.gather import gather_facts
from trueup.reconcile.import_objects import Workplace, import_objects
from trueup.reconcile.imports import ImportReport, ImportRequest
from trueup.reconcile.outputs import find_answer
from trueup.reconcile.pin import (
    Retold,
    check_import,
    check_pin,
    confirm_at,
    confirm_once,
    describe_pin,
    name_stopper,
    pin_to,
    run_when_free,
)
from trueup.reconcile.pin import Return as Return
from trueup.reconcile.recover import Order as RecoveryOrder
from trueup.reconcile.recover import Recovery, recover_stack
from trueup.reconcile.report import EVERYTHING, Listener, RunReport, Selection, Silent
from trueup.reconcile.situation import Knowledge, Situation
from trueup.saved_plan import SourceSpec as SourceSpec
from trueup.saved_plan import read_saved_plan, write_saved_plan
from trueup.sdk.contracts import Catalog, Kind
from trueup.sdk.secrets import SecretSources
from trueup.sources.open import find_directory, latest_commit, open_tree
from trueup.sources.write import NewFiles
from trueup.state.open import open_store
from trueup.state.store import KEPT_RUNS, Event, Store
from trueup.views import Loaded as Loaded
from trueup.views import NodeStatus as NodeStatus
from trueup.views import StackStatus as StackStatus
from trueup.views import view_status

Confirm = Callable[[Plan], bool]


def say_yes(_plan: Plan) -> bool:
    """The confirmation of a run that nobody has to confirm."""
    return True


class App:
    """The engine, ready to use. Use it as a context manager; it opens the store when it is first needed."""

    def __init__(
        self,
        store_url: str,
        *,
        parallelism: int = 16,
        catalog: Catalog | None = None,
        secret_sources: SecretSources | None = None,
        secret_settings: Mapping[str, Value] | None = None,
        keep_runs: int = KEPT_RUNS,
        policies: tuple[Policy, ...] = (),
        allow_targets: Grants | None = None,
        allow_fetching: bool = False,
        allow_modules: tuple[str, ...] | None = None,
    ) -> None:
        self._catalog = catalog or InstalledProviders()
        self._secret_settings = secret_settings or {}
        self._reader = Reader(
            self._catalog,
            secret_sources or InstalledSecretSources(),
            self._secret_settings,
            allow_targets,
            allow_fetching=allow_fetching,
            allow_modules=allow_modules,
        )
        self._store_url = store_url
        self._keep_runs = keep_runs
        self._policies = policies
        self._parallelism = parallelism
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
        store = open_store(self._store_url, keep_runs=self._keep_runs)
        use_digest_key(store.digest_key)
        return store

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
        with closing(self._reader.open(source)) as tree:
            return self._reader.read(tree, source)

    def evaluate(self, source: SourceSpec, question: Question) -> Value:
        """What an expression comes to in a stack. Looks only at what it reads, and changes nothing anywhere.

        The result may hold UNKNOWN and Sensitive values.
        """
        with closing(self._reader.open(source)) as tree:
            loaded = self._reader.read(tree, source, question=question)
            stack = replace(loaded.stack, outputs={"answer": loaded.answer})
            found = list(deferred_in(loaded.answer))
            read = [reference.address for each in found for reference in each.references]
            asked = replace(loaded, stack=stack, graph=loaded.graph.select(read))
            secrets = self._reader.check_secrets(stack, asked.graph, tree, source)
            asked = replace(asked, secrets=secrets)
        if not found:
            return loaded.answer
        facts = self._gather(asked)
        knowledge = Knowledge({}, {}, facts)
        if read:
            selection = Selection(only=tuple(address.text for address in read))
            request = Request(
                stack, loaded.revision, loaded.graph, selection, Silent(), threading.Event(), facts=facts
            )
            knowledge = plan_cycle(request, self.store, self._catalog, self._parallelism)[2]
        return find_answer(loaded.answer, knowledge)

    def follow(self, source: SourceSpec) -> Loaded:
        """The stack as a run reads it: at the commit that it is pinned to, if it is; with its pin."""
        with self._reader.follow(source, self.store) as (_tree, loaded):
            return loaded

    def name_stack(self, source: SourceSpec) -> str:
        """The name of the stack, also of one whose files cannot be read now but were run from there."""
        return self._reader.name(source, self.store)

    def latest_commit(self, source: SourceSpec) -> str:
        """The commit that the source's ref names now; a cheap question to the server. Raises SourceError."""
        return latest_commit(source.location, source.ref, source.path)

    def plan(self, source: SourceSpec, selection: Selection = EVERYTHING) -> Plan:
        """What a run would do now. Changes nothing anywhere."""
        return self._plan(source, selection)[0]

    def drift(self, source: SourceSpec, selection: Selection = EVERYTHING) -> DriftReport:
        """What moved by itself in the live systems since it was applied. Changes nothing anywhere."""
        return find_drift(*self._plan(source, selection))

    def reconcile(
        self,
        source: SourceSpec,
        selection: Selection = EVERYTHING,
        *,
        confirm: Confirm = say_yes,
        approved: str = "",
        approved_by: str = "",
        trigger: str = "once",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
        is_forced: bool = False,
    ) -> RunReport:
        """One run of the loop.

        `confirm` is asked with the plan if there is anything to do and nothing holds it; false gives status
        HELD with no outcomes. `approved` is the digest of a plan whose holds are lifted by `approved_by`; a
        plan of any other digest raises StalePlan.
        `trigger` is why it runs, for the history. When `stop` is set, the calls in flight are finished and
        recorded: status INTERRUPTED. `is_forced`: also where a pin says otherwise; else raises PinnedStack.
        """
        request = self._request(source, selection, listener, stop, is_forced=is_forced)
        request = replace(
            request, confirm=confirm, approved=approved, approved_by=approved_by, trigger=trigger
        )
        return name_stopper(run_cycle(request, self.store, self._catalog, self._parallelism), self.store)

    def destroy(
        self,
        source: SourceSpec,
        selection: Selection = EVERYTHING,
        *,
        confirm: Confirm,
        listener: Listener | None = None,
        stop: threading.Event | None = None,
        is_forced: bool = False,
    ) -> RunReport:
        """Deletes everything that the stack manages, dependents first; protected objects refuse it."""
        request = self._request(source, selection, listener, stop, is_destroy=True, is_forced=is_forced)
        request = replace(request, confirm=confirm, is_destroy=True, trigger="destroy")
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
        request = self._request(source, selection, listener, None, is_offline=True)
        request = replace(request, confirm=confirm)
        return forget_records(request, self.store, self._catalog)

    def import_objects(self, source: SourceSpec, request: ImportRequest) -> ImportReport:
        """Writes resource files for what lives already into the stack's directory, and takes it over."""
        place = Workplace(
            NewFiles(find_directory(source.location, source.ref, source.path)),
            lambda: open_tree(source.location, source.ref, source.path),
            lambda tree: check_import(self._reader.read(tree, source, may_be_empty=True), self.store),
            lambda loaded: self._gather(loaded, is_destroy=True),
        )
        return import_objects(request, place, self.store, self._catalog, self._parallelism)

    def decide(
        self, source: SourceSpec, digest: str, verdict: Verdict, who: str, note: str = ""
    ) -> tuple[str, Decision]:
        """Writes down what somebody says to a held plan; the stack's name, and what was written.

        It contacts no target and needs no lease: a run under way is not disturbed.
        """
        stack = self.name_stack(source)
        decision = self.store.decide(stack, digest, verdict, who, note)
        # The verdict itself is used up by a run; that it was given is kept.
        said = f"{who} {verdict.value} {digest}" + (f": {note}" if note else "")
        self.store.add_events(stack, [Event(verdict.value, said)])
        return stack, decision

    def save_plan(self, plan: Plan, source: SourceSpec, selection: Selection, file: str) -> None:
        """Writes what `reconcile_saved` needs: the exact commit, the digest, and what `source` says."""
        write_saved_plan(plan, source, selection, file)

    def reconcile_saved(
        self,
        file: str,
        *,
        confirm: Confirm = say_yes,
        approved: str = "",
        approved_by: str = "",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
        is_forced: bool = False,
    ) -> RunReport:
        """Carries out a saved plan. Raises StalePlan if Git's or the world's part of it has changed."""
        saved = read_saved_plan(file)
        request = self._request(saved.source, saved.selection, listener, stop, is_forced=is_forced)
        if request.revision.commit != saved.commit:
            pin, where = request.pin, f"{saved.source.location} has changed since it was made"
            raise StalePlan(
                f"the saved plan is stale: {f'the stack {describe_pin(pin)}' if pin else where}",
                hint="make a new plan and look at it",
            )
        request = replace(
            request, confirm=confirm, approved=approved, approved_by=approved_by, expected=saved.digest
        )
        return run_cycle(request, self.store, self._catalog, self._parallelism)

    def live_schema(
        self, source: SourceSpec, target: str, provider: str, kind: Kind
    ) -> Mapping[str, object] | None:
        """What the live system of a target says of a kind. `target` empty: the only one of the provider."""
        loaded = self.load(source)
        gather = partial(self._gather, loaded, is_destroy=True) if loaded.secrets.secrets else Facts
        return ask_schema(loaded.stack, target, provider, kind, self._catalog, gather)

    def status(self, source: SourceSpec, selection: Selection = EVERYTHING) -> StackStatus:
        """The stack as it stands. Changes nothing anywhere."""
        return view_status(*self._plan(source, selection), self.store, self._catalog)

    def rollback(
        self,
        source: SourceSpec,
        order: Return,
        *,
        confirm: Confirm,
        is_agreed: bool = False,
        approved: str = "",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
    ) -> RunReport:
        """Pins the stack to an earlier commit and reconciles it to that.

        A no of `confirm` leaves all as it was, and so does a plan that `approved` is not the digest of, which
        raises StalePlan. `is_agreed`: the pin comes before any question. What holds or fails the run leaves
        the pin.
        """
        source = replace(source, is_ref_meant=False)
        stack, commit = find_return(self._reader, source, order, self.store)
        listener = listener or Silent()
        if approved or not is_agreed:
            shown = self.plan(replace(source, commit=commit))
            listener.planned(shown)
            refuse_other_plan(shown, approved)
            if may_pass(shown, approved) and shown.has_changes and not confirm(shown):
                return RunReport(shown, RunStatus.HELD)
            listener, confirm = Retold(listener, shown), confirm_once(shown, confirm)
        pin_to(self.store, stack, commit, order.who, order.reason)
        run = partial(
            self.reconcile,
            source,
            confirm=confirm_at(commit, confirm),
            approved=approved,
            approved_by=order.who,
            trigger="rollback",
            listener=listener,
            stop=stop,
        )
        return run_when_free(run, stop)

    def recover(
        self, source: SourceSpec, order: RecoveryOrder, stop: threading.Event | None = None
    ) -> Recovery:
        """Rebuilds what the store should know of a stack from the markers in the live systems."""
        request = self._request(source, EVERYTHING, None, stop)
        return recover_stack(request, order, self.store, self._catalog, self._parallelism)

    def _plan(self, source: SourceSpec, selection: Selection) -> tuple[Plan, Situation, Knowledge]:
        request = self._request(source, selection, None, None)
        return plan_cycle(request, self.store, self._catalog, self._parallelism)

    def _request(
        self,
        source: SourceSpec,
        selection: Selection,
        listener: Listener | None,
        stop: threading.Event | None,
        *,
        is_destroy: bool = False,
        is_offline: bool = False,
        is_forced: bool = True,
    ) -> Request:
        with self._reader.follow(source, self.store) as (tree, loaded):
            if not is_forced:
                check_pin(loaded.pin, loaded.revision)
            claims = find_claims(
                tree, find_losses(loaded.stack, loaded.graph, self.store, is_destroy=is_destroy)
            )
        return Request(
            loaded.stack,
            loaded.revision,
            loaded.graph,
            selection,
            listener or Silent(),
            stop or threading.Event(),
            claims=claims,
            descends_from=tree.descends_from,
            policies=self._policies,
            grants=self._reader.grants(source),
            pin=loaded.pin,
            facts=Facts() if is_offline else self._gather(loaded, is_destroy=is_destroy),
        )

    def _gather(self, loaded: Loaded, *, is_destroy: bool = False) -> Facts:
        return gather_facts(
            loaded.stack,
            loaded.graph,
            loaded.secrets,
            self.store,
            self._catalog,
            self._secret_settings,
            is_destroy=is_destroy,
        )
