"""Drops objects from the inventory and touches nothing else: for a target that is gone. Called by app."""

from __future__ import annotations

import time
from collections.abc import Mapping

from trueup.errors import UsageError
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Plan
from trueup.reconcile.cycle import Request, is_selected
from trueup.reconcile.hold import hold_lease
from trueup.reconcile.lost import forget_mark, require_trust
from trueup.reconcile.record import Recorder, outcome_of
from trueup.reconcile.report import RunReport
from trueup.reconcile.situation import Situation, exact_address, undeclared_node
from trueup.sdk.contracts import Catalog
from trueup.state.store import Record, Store

REASON = "it was asked to be forgotten; the object itself, if there is one, stays as it is"


def forget_records(request: Request, store: Store, catalog: Catalog) -> RunReport:
    """Forgets the selected part of the stack's inventory. Connects to no target. Raises StoreError."""
    started = time.monotonic()
    with hold_lease(store, request.stack.name, request.stop) as lease:
        # Its run would pass for one that the store had lost.
        require_trust(store, request.stack.name, ())
        situation = _describe(request, store, catalog)
        changes = tuple(
            Change(address, Action.FORGET, reasons=(REASON,)) for address in sorted(situation.undeclared)
        )
        plan = Plan(request.stack.name, request.revision, changes)
        request.listener.planned(plan)
        if not request.confirm(plan):
            return RunReport(plan, RunStatus.HELD, seconds=time.monotonic() - started)
        recorder = Recorder(store, lease, situation, plan, trigger="forget")
        outcomes = tuple(outcome_of(change, Result.FORGOTTEN) for change in changes)
        for outcome in outcomes:
            recorder.record_outcome(outcome)
            request.listener.finished(outcome)
        recorder.settle_intents(lambda intent: intent.address in situation.undeclared)
        recorder.finish(RunStatus.CONVERGED, outcomes)
        forget_mark(store, request.stack.name)
        return RunReport(plan, RunStatus.CONVERGED, outcomes, time.monotonic() - started, recorder.run)


def _describe(request: Request, store: Store, catalog: Catalog) -> Situation:
    records: Mapping[Address, Record] = store.inventory(request.stack.name)
    chosen = {
        address: undeclared_node(record, request.stack)
        for address, record in records.items()
        if is_selected(exact_address(record), request.selection)
    }
    if not request.selection or not chosen:
        raise UsageError(
            "nothing of the inventory is selected",
            hint="name a target that is gone with --target, or an address with --only",
        )
    return Situation(
        request.stack,
        request.revision,
        request.graph.select(()),
        chosen,
        records,
        store.installation,
        catalog,
    )
