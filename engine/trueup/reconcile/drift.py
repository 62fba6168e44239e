"""Finds what moved by itself: live fields that differ from what was applied last although Git still says so.

Called by app for `trueup drift`, and by plan for what moved beside a change of Git. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from trueup.errors import TrueupError
from trueup.model.change import MISSING, Action, Change, FieldChange
from trueup.model.observation import Absent, Observed
from trueup.model.plan import Hold, Plan
from trueup.model.resource import Drift, Node
from trueup.model.values import UNKNOWN, Document, Sensitive, Value, has_unknown, reveal, to_record
from trueup.reconcile.attribute import name_writers
from trueup.reconcile.boundary import PLUGIN_FAULTS, broken_plugin
from trueup.reconcile.diff import Standing, refuse
from trueup.reconcile.lost import LOST, OLD
from trueup.reconcile.resolve import keep_ignored
from trueup.reconcile.situation import Knowledge, Situation
from trueup.sdk.compare import is_equal
from trueup.sdk.contracts import Kind
from trueup.state.store import Record

_LISTED = 3


@dataclass(frozen=True)
class DriftedNode:
    """A node whose object is not as it was applied. `node` is as Git declares it, resolved.

    `change` is the plan's, with the drifted fields alone. `is_gone`: the object was deleted. `is_reported`: a
    run leaves the drift as it is. `observed` is None for an object that is gone. `siblings` is how many other
    nodes come from the same document.
    """

    node: Node
    change: Change
    kind: Kind
    record: Record
    observed: Observed | None
    is_reported: bool
    siblings: int = 0

    @property
    def is_gone(self) -> bool:
        return self.observed is None

    @property
    def fields(self) -> tuple[FieldChange, ...]:
        return self.change.fields


@dataclass(frozen=True)
class DriftReport:
    """The drift of a stack. `failures` are the nodes of which nothing, or not all, can be said.

    `plan` is the one that it was found in.
    """

    plan: Plan
    nodes: tuple[DriftedNode, ...]
    failures: tuple[Change, ...]

    @property
    def distrust(self) -> tuple[Hold, ...]:
        """Why the store does not know what was applied last: it is lost or old."""
        return tuple(hold for hold in self.plan.holds if hold.guard in (LOST, OLD))


def find_drift(plan: Plan, situation: Situation, knowledge: Knowledge) -> DriftReport:
    """Every declared node that drifted, in the order of the plan. A change of Git's is none."""
    nodes: list[DriftedNode] = []
    declared_at = Counter(node.place for node in situation.graph.nodes.values())
    failures = list(plan.failures)
    for change in plan.changes:
        if change.address not in situation.graph.nodes:
            continue
        try:
            found = _judge(change, situation, knowledge)
        except TrueupError as error:
            failures.append(_unclear(change, situation, str(error)))
        except PLUGIN_FAULTS as error:  # a hostile plugin must not take the others down
            provider = situation.node(change.address).target.provider
            failures.append(_unclear(change, situation, broken_plugin(provider, "diff", error).message))
        else:
            if found is not None:
                nodes.append(replace(found, siblings=declared_at[found.node.place] - 1))
    return DriftReport(plan, tuple(nodes), tuple(failures))


def _unclear(change: Change, situation: Situation, why: str) -> Change:
    node = situation.node(change.address)
    return refuse(node, f"it differs, and whether by itself cannot be said: {why}")


def _judge(change: Change, situation: Situation, knowledge: Knowledge) -> DriftedNode | None:
    address = change.address
    record = situation.record_at(change.moved_from or address)
    observation = knowledge.observations[address]
    if record is None or not record.external_id:
        return None
    node = situation.graph.nodes[address]
    kind = situation.catalog.kind_of(node)
    is_reported = (node.lifecycle.drift or situation.stack.drift) is Drift.REPORT
    declared = node.with_body(knowledge.declared.get(address, node.body))
    if isinstance(observation, Absent):
        gone = replace(change, fields=())
        return DriftedNode(declared, gone, kind, record, None, is_reported) if change.is_drift else None
    if not isinstance(observation, Observed) or record.external_id != observation.external_id:
        return None
    fields = change.fields
    if not change.is_drift:
        fields = find_moved(change, declared, observation, kind, record)
        fields = name_writers(fields, observation, kind, node.target.provider)
    if not fields and not (change.is_drift and change.action is Action.ADOPT):
        return None
    drifted = replace(change, fields=fields)
    return DriftedNode(declared, drifted, kind, record, observation, is_reported)


def tell_moved(change: Change, node: Node, standing: Standing) -> Change:
    """The change, with what moved by itself beside that which Git has changed, and who did it.

    `node` is as Git declares it, resolved. Only what is told changes, not what is done.
    """
    record, observed = standing.seen, change.observed
    is_candidate = change.action in (Action.UPDATE, Action.REPLACE) and not (
        change.problem or change.is_drift
    )
    if not is_candidate or standing.is_applied or record is None or observed is None:
        return change
    if record.external_id != observed.external_id:
        return change
    try:
        moved = find_moved(change, node, observed, standing.kind, record)
    except PLUGIN_FAULTS:  # what the plan does is known; `trueup drift` says that this is not
        return change
    if not moved:
        return change
    moved = name_writers(moved, observed, standing.kind, node.target.provider)
    by = {field.path: field.by for field in moved}
    fields = tuple(replace(field, by=by.get(field.path, field.by)) for field in change.fields)
    verb = "was" if len(moved) == 1 else "were"
    shown = [path or "/" for path in list(by)[:_LISTED]]
    if len(moved) > _LISTED:
        shown.append(f"{len(moved) - _LISTED} more")
    paths = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return replace(change, fields=fields, reasons=(*change.reasons, f"{paths} {verb} changed outside of Git"))


def find_moved(
    change: Change, declared: Node, observed: Observed, kind: Kind, record: Record
) -> tuple[FieldChange, ...]:
    """The fields that moved by themselves, of a node of which Git has changed others.

    They are those that would differ from what was applied last in the same way.
    """
    if not change.fields or not record.body.keys() - {"apiVersion", "kind", "metadata"}:
        return ()
    body = {**_restore(record.body, declared.body), "metadata": declared.body.get("metadata", {})}
    last = keep_ignored(declared.with_body(kind.seal(body)), observed, kind, record.body)
    before = {field.path: field.after for field in kind.diff(last, observed, record.body).fields}
    return tuple(
        field for field in change.fields if field.path in before and _is_same(field.after, before[field.path])
    )


def _is_same(value: Value, other: Value) -> bool:
    if has_unknown(value) or has_unknown(other):
        return False
    if value is MISSING or other is MISSING:
        return value is other
    return is_equal(reveal(value), reveal(other))


def _restore(recorded: Value, declared: Value) -> Document:
    """A recorded body as it was applied: with the secrets that Git still declares, UNKNOWN for others."""
    restored: Document = _restore_value(recorded, declared)
    return restored


def _restore_value(recorded: Value, declared: Value) -> Value:
    if isinstance(recorded, Mapping):
        if recorded.keys() == {"$sensitive"}:
            is_same = isinstance(declared, Sensitive) and to_record(declared) == recorded
            return declared if is_same else UNKNOWN
        if recorded.keys() == {"$unknown"}:
            return UNKNOWN
        below = declared if isinstance(declared, Mapping) else {}
        return {key: _restore_value(item, below.get(key)) for key, item in recorded.items()}
    if isinstance(recorded, list):
        items = declared if isinstance(declared, list) and len(declared) == len(recorded) else None
        return [
            _restore_value(item, items[index] if items is not None else None)
            for index, item in enumerate(recorded)
        ]
    return recorded
