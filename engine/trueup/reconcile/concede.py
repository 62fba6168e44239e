"""Tells a rival, who undoes a correction at once, from a change that the system does not keep. Pure.

Called by act when a step failed. What held once, and was accepted again now, was undone by somebody: that is
a round of a fight and no fault of the manifest. What never held is a failure, whoever is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trueup.model.change import Action, Change, FieldChange
from trueup.model.observation import Absent, Observed
from trueup.model.outcome import Outcome
from trueup.model.values import to_record
from trueup.reconcile.attribute import name_writers
from trueup.reconcile.boundary import PLUGIN_FAULTS
from trueup.reconcile.drift import find_moved
from trueup.reconcile.quarantine import name_writer
from trueup.reconcile.situation import Knowledge, Situation
from trueup.state.store import Record

NOTHING: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class Rivalry:
    """What somebody has undone right after it was set: fields with who did it, or the object as a whole."""

    fields: tuple[FieldChange, ...] = NOTHING
    is_gone: bool = False

    def describe(self) -> str:
        """`/spec/size did not last: right after it was set, cron has changed it`."""
        if self.is_gone:
            return "it did not last: right after it was made again, it was gone"
        names = dict.fromkeys(name_writer(field.by) for field in self.fields if field.by)
        paths = ", ".join(field.path for field in self.fields)
        what = f"{', '.join(names)} has changed it" if names else "it was another value again"
        return f"{paths} did not last: right after it was set, {what}"

    def tell(self, outcome: Outcome, made: Change) -> Outcome:
        """The outcome of the change that was made, with what became of it, and by whom."""
        names = {field.path: field.by for field in self.fields if field.by}
        fields = tuple(
            replace(field, by=names[field.path]) if field.path in names else field for field in made.fields
        )
        change = replace(made, fields=fields)
        return replace(outcome, change=change, message=self.describe(), is_undone=True)


def find_rivalry(
    made: Change, left: Change | None, situation: Situation, knowledge: Knowledge
) -> Rivalry | None:
    """What a rival did to a change that was made; None where it is not known that there is one.

    `left` is what differed when the object was looked at last. What Git has changed since the last run that
    did well must have held: else it is the manifest that does not fit the system.
    """
    address = made.address
    record, observed = situation.record_at(made.moved_from or address), knowledge.observations.get(address)
    if record is None or not record.external_id or address not in situation.graph.nodes:
        return None
    node = situation.graph.nodes[address]
    declared = node.with_body(knowledge.declared.get(address, node.body))
    try:
        kind = situation.catalog.kind_of(node)
        if isinstance(observed, Absent):
            # Without a name it may only not show yet: then it must be looked for, and not made once more.
            return Rivalry(is_gone=True) if made.is_drift and kind.traits.identity == "named" else None
        if left is None or left.problem or not left.fields or not isinstance(observed, Observed):
            return None
        if made.observed is not None and observed.version and observed.version == made.observed.version:
            return None  # nobody has written it since, not even we
        moved = find_moved(left, declared, observed, kind, record)
        if len(moved) < len(left.fields):
            return None
        return Rivalry(name_writers(moved, observed, kind, node.target.provider))
    except PLUGIN_FAULTS:
        return None  # the step has failed, and is told as that


def is_applied_before(change: Change, row: Record, old: Record | None) -> bool:
    """Whether an earlier run has achieved all that the row says: then what differs is drift, as before."""
    if old is None or not old.external_id or old.external_id != row.external_id:
        return False
    return change.action in (Action.UPDATE, Action.NONE) and old.body == to_record(row.body)
