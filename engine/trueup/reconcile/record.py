"""Writes a run into the store: the intent before each call, the outcome after it.

Called by cycle, walk and act.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.observation import Observed
from trueup.model.outcome import Outcome, Result, RunStatus
from trueup.model.plan import Plan
from trueup.model.resource import Node, Target
from trueup.model.values import Document, map_leaves, to_record
from trueup.reconcile.crash_point import reach
from trueup.reconcile.doubt import MAKING
from trueup.reconcile.outputs import Outputs, find_outputs
from trueup.reconcile.plan_document import field_record, plan_document
from trueup.reconcile.resolve import record_config
from trueup.reconcile.situation import Knowledge, Situation, source_of
from trueup.redaction import redact
from trueup.state.store import Lease, OpenIntent, Record, Step, Store

# Characters of a plan's document in the history; the steps are kept of every run.
MAX_PLAN = 1024 * 1024
_RESULTS = {
    Action.CREATE: Result.CREATED,
    Action.UPDATE: Result.UPDATED,
    Action.REPLACE: Result.REPLACED,
    Action.DELETE: Result.DELETED,
    Action.ADOPT: Result.ADOPTED,
    Action.FORGET: Result.FORGOTTEN,
    Action.NONE: Result.UNCHANGED,
}
NO_TRIGGERS: Mapping[str, str] = {}


class Recorder:
    """One run's hand on the store. Thread safe."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        situation: Situation,
        plan: Plan,
        now: Callable[[], float] = time.time,
        *,
        trigger: str = "once",
        approved_by: str = "",
    ) -> None:
        self._store = store
        self._lease = lease
        self._situation = situation
        self._now = now
        # The rows as they are now, and the reactions that are owed by nodes without one.
        self._rows = dict(situation.records)
        self._debts: dict[Address, dict[str, str]] = {}
        self._unsettled: dict[Address, str] = {}
        self._rowless: list[OpenIntent] = []
        self._moved = {each.address: each.moved_from for each in plan.changes if each.moved_from is not None}
        # By the identity of the target: two of a name can have different configs, of now and of a record.
        self._configs: dict[int, tuple[Target, Document]] = {}
        # Rows with triggers that are no part of this run; what leaves Git needs no refresh any more.
        self._elsewhere = [
            address
            for address, row in self._rows.items()
            if row.triggers and address not in situation.graph.nodes and address not in situation.undeclared
        ]
        self._lock = threading.Lock()
        revision = situation.revision
        reach("before-run")
        self.run = store.begin_run(
            lease,
            url=source_of(revision),
            commit=revision.commit,
            digest=plan.digest,
            author=revision.author,
            trigger=trigger,
            approved_by=approved_by,
            plan=encode_plan(plan),
        )
        reach("after-run")

    def expect_creates(self, nodes: Sequence[Node], fingerprints: Mapping[str, str]) -> None:
        """Rows for the objects that this run will create, before the first of them exists.

        If the run dies and the resource then leaves Git, the row is what still leads to the object.
        """
        records = [
            self.make_record(node, fingerprints.get(node.target.name, ""), "", node.body, is_created=True)
            for node in nodes
            if node.address not in self._situation.records
        ]
        if records:
            self._write_rows(records)

    def row_of(self, address: Address) -> Record | None:
        """The row of an address as it is now."""
        return self._rows.get(address)

    def keep_lifecycles(self, nodes: Mapping[Address, Node]) -> None:
        """What Git says now of protection and of removal, for every declared object, whatever this run does.

        It has to outlive the block that said it, even if no run ever acts on the node in between. Of a moved
        node, it counts for the rows of its former addresses too, until these are forgotten.
        """
        changed = []
        records, formers = self._situation.records, self._situation.formers
        for address, node in nodes.items():
            lifecycle = node.lifecycle
            before = [former.address for former in formers.get(address, ())] if formers else []
            for row in filter(None, map(records.get, (address, *before))):
                # What was protected under an address that it had before is so until it has moved.
                is_kept = row.protect and row.address != address
                said = (lifecycle.protect or is_kept, lifecycle.on_delete.value)
                if (row.protect, row.on_delete) != said:
                    changed.append(replace(row, protect=said[0], on_delete=said[1]))
        if changed:
            self._write_rows(changed)

    def owe_reactions(self, source: Address) -> None:
        """Notes, before a call that changes the source, that those that it triggers have to act on it.

        Even if this run dies or fails right after the call, a later one makes up for it.
        """
        with self._lock:
            owing = []
            for address in self._find_triggered(source):
                row = self._rows.get(address) or self._rows.get(self._moved.get(address, address))
                if row is not None:
                    owing.append(replace(row, triggers={**row.triggers, source.text: ""}))
                else:
                    self._debts.setdefault(address, {})[source.text] = ""
            for address in self._elsewhere:
                row = self._rows[address]
                if source.text in row.triggers:
                    owing.append(replace(row, triggers={**row.triggers, source.text: ""}))
            if owing:
                self._write_rows(owing)

    def _find_triggered(self, source: Address) -> list[Address]:
        if source not in self._situation.graph.nodes:
            return []
        nodes = self._situation.graph.nodes
        return [
            address
            for address in self._situation.graph.dependents(source)
            if source in nodes[address].lifecycle.triggers
        ]

    def seen_triggers(self, address: Address) -> Mapping[str, str]:
        """What a node has reacted to so far; see `Record.triggers`."""
        row = self._rows.get(address)
        if row is None and address in self._moved:
            before = self._moved[address]
            row = self._rows.get(before) or self._situation.record_at(before)
        debts = self._debts.get(address, {})
        return {**row.triggers, **debts} if row is not None else debts

    def write_row(self, record: Record) -> None:
        """A row that has to be there before a call is made."""
        self._write_rows([record])

    def _write_rows(self, records: Sequence[Record]) -> None:
        reach("before-rows")
        self._store.record_steps(self._lease, self.run, (), records)
        reach("after-rows")
        self._rows.update((record.address, record) for record in records)

    def write_intent(self, node: Node, action: Action, fingerprint: str) -> str:
        """The durable note before a mutation; gives its token. No call may be made if this raises."""
        reach("before-intent")
        token = self._store.write_intent(
            self._lease,
            self.run,
            node.address,
            # A create that was interrupted is repeated with its own token.
            self._unsettled.get(node.address, action.value) if action is Action.CREATE else action.value,
            fingerprint=fingerprint,
            external_id=node.external_id,
        )
        reach("after-intent")
        return token

    def close_intent(self, token: str) -> None:
        """Drops an intent whose call is known to have changed nothing."""
        reach("before-close")
        self._store.close_intent(self._lease, token)
        reach("after-close")

    def record_outcome(self, outcome: Outcome, *, token: str = "", record: Record | None = None) -> None:
        """The outcome of one node that was acted on."""
        reach("before-outcome")
        self._store.record_outcome(self._lease, self.run, to_step(outcome), token=token, record=record)
        reach("after-outcome")
        if record is not None:
            self._rows[record.address] = record

    def record_quiet(self, outcomes: Sequence[Outcome], records: Sequence[Record]) -> None:
        """The outcomes that history keeps although nothing was called, and rows that were out of date."""
        if outcomes or records:
            steps = [to_step(outcome) for outcome in outcomes]
            reach("before-outcome")
            self._store.record_steps(self._lease, self.run, steps, records)
            reach("after-outcome")
            self._rows.update((record.address, record) for record in records)

    def settle_intents(self, is_settled: Callable[[OpenIntent], bool]) -> None:
        """Drops the intents of earlier runs whose nodes were observed now: the plan covers what is left.

        One that is all that leads to an object, which may carry our marker, lasts until this run wrote a row.
        """
        for intent in self._store.open_intents(self._situation.stack.name):
            if is_settled(intent) and intent.address in self._rows:
                self.close_intent(intent.token)
            elif is_settled(intent):
                self._rowless.append(intent)
            elif intent.action in MAKING:
                self._unsettled[intent.address] = intent.action

    def keep_outputs(self, knowledge: Knowledge, undone: Collection[Address] = ()) -> Outputs:
        """What other stacks may read of this one from now on; nothing once all of it is destroyed.

        `undone` are the nodes whose changes were not carried out.
        """
        stack = self._situation.stack.name
        before = self._store.outputs(stack)
        if not self._situation.is_destroy:
            found = find_outputs(self._situation, knowledge, before or {}, undone)
        else:
            found = Outputs(before or {} if self._store.inventory(stack) else {})
        if to_record(found.values) != (before or {}) or (before is None and found.values):
            self._store.write_outputs(self._lease, found.values, self._situation.revision.commit)
        return found

    def finish(self, status: RunStatus, outcomes: Sequence[Outcome]) -> None:
        graph, is_done = self._situation.graph, status is RunStatus.CONVERGED
        for intent in self._rowless:
            if intent.address in self._rows or (is_done and intent.address not in graph.nodes):
                self.close_intent(intent.token)
        counts = Counter(outcome.result.value for outcome in outcomes)
        reach("before-finish")
        self._store.finish_run(self._lease, self.run, status, counts)
        reach("after-finish")

    def make_record(
        self,
        node: Node,
        fingerprint: str,
        external_id: str,
        declared: Document,
        *,
        is_created: bool,
        triggers: Mapping[str, str] = NO_TRIGGERS,
    ) -> Record:
        """The inventory's row of a node as it is now."""
        target = node.target
        return Record(
            address=node.address,
            api_version=node.api_version,
            target={
                "name": target.name,
                "provider": target.provider,
                "labels": dict(target.labels),
                "config": self._config_of(target),
            },
            fingerprint=fingerprint,
            external_id=external_id,
            body=to_record(declared),
            created=is_created,
            protect=node.lifecycle.protect,
            on_delete=node.lifecycle.on_delete.value,
            depends_on=self._situation.graph.dependencies(node.address),
            commit=self._situation.revision.commit,
            applied_at=self._now(),
            triggers=triggers,
            place=str(node.place),
            run=self.run,
        )

    def _config_of(self, target: Target) -> Document:
        """The config of a target as the inventory keeps it."""
        known = self._configs.get(id(target))
        if known is None:
            known = self._configs[id(target)] = (target, record_config(target.config))
        return known[1]

    def refresh_record(
        self,
        node: Node,
        observed: Observed,
        fingerprint: str,
        declared: Document,
        triggers: Mapping[str, str] = NO_TRIGGERS,
    ) -> Record | None:
        """A new row where the recorded one no longer says what is, None where it does."""
        old = self._situation.records.get(node.address)
        if (
            old is not None
            and old.triggers == triggers
            and not old.replacing
            and self._is_current(old, node, observed, fingerprint, declared)
        ):
            return None
        is_created = old.created if old else False
        new = self.make_record(
            node, fingerprint, observed.external_id, declared, is_created=is_created, triggers=triggers
        )
        if old is None or old.external_id != new.external_id or old.body != new.body:
            return new
        # Nothing was set: what the row says of who set it stays true.
        return replace(
            new, commit=old.commit, applied_at=old.applied_at, place=old.place or new.place, run=old.run
        )

    def _is_current(
        self, record: Record, node: Node, observed: Observed, fingerprint: str, declared: Document
    ) -> bool:
        """Whether the record says all that a new one would, but for its time and commit."""
        lifecycle, target = node.lifecycle, node.target
        return (
            record.external_id == observed.external_id
            and record.fingerprint == fingerprint
            and record.protect == lifecycle.protect
            and record.on_delete == lifecycle.on_delete.value
            and record.api_version == node.api_version
            and record.target["config"] == self._config_of(target)
            and record.target["labels"] == target.labels
            and record.target["provider"] == target.provider
            and set(record.depends_on) == set(self._situation.graph.dependencies(node.address))
            # Equal as they stand, which is nearly always so, or equal once secrets are hashed.
            and (record.body == declared or record.body == to_record(declared))
        )


def to_step(outcome: Outcome) -> Step:
    """An outcome as history keeps it: values masked."""
    fields = [mask(field_record(field)) for field in outcome.change.fields] if outcome.change else []
    return Step(outcome.address, outcome.result, outcome.message, outcome.seconds, fields)


def mask(document: Document) -> Document:
    """The document without the secrets that were read, also where one stands in a value that is no secret."""
    masked: Document = map_leaves(document, lambda leaf: redact(leaf) if isinstance(leaf, str) else leaf)
    return masked


def encode_plan(plan: Plan) -> str:
    """The plan's document as the history keeps it; empty where it is too large for that."""
    text = json.dumps(mask(plan_document(plan)), ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= MAX_PLAN else ""


def name_result(change: Change) -> tuple[Result, str]:
    """What became of a node whose step did well, and why it was skipped if it was."""
    if change.action is Action.NONE and change.fields:
        return Result.SKIPPED, "; ".join(change.reasons)
    return _RESULTS[change.action], ""


def outcome_of(
    change: Change, result: Result, message: str = "", hint: str = "", seconds: float = 0.0
) -> Outcome:
    """An outcome for the node of a change."""
    return Outcome(change.address, result, change, message, hint, seconds)
