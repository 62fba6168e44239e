"""Finds the nodes that have to act once more because what triggers them has changed. Pure.

Called by plan for all nodes, by act and walk for the one at hand. A reaction is owed from before the call
that changes its source until the refresh has succeeded: the row of the triggered node holds, for each source,
the digest of the body that it has reacted to, and an empty text once that is no longer true.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from trueup.graph.build import EdgeReason
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.resource import Node
from trueup.model.values import has_unknown, keyed_digest_of
from trueup.reconcile.replace import is_begun_now
from trueup.reconcile.situation import Knowledge, Situation

# Changes of a source after which those that it triggers are refreshed.
CAUSES = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE})


def add_triggers(changes: Sequence[Change], situation: Situation, knowledge: Knowledge) -> list[Change]:
    """The changes of the graph's nodes, sources first, with the refreshes that are due or will be."""
    written: set[Address] = set()
    planned: list[Change] = []
    for change in changes:
        node = situation.graph.nodes[change.address]
        if node.lifecycle.triggers:
            record = situation.records.get(change.address)
            if record is None and change.moved_from is not None:
                record = situation.record_at(change.moved_from)
            due = find_due(node, record.triggers if record else {}, knowledge, written)
            change = with_triggers(change, due, written)
        if is_cause(change):
            written.add(change.address)
        planned.append(change)
    return planned


def find_due(
    node: Node, seen: Mapping[str, str], knowledge: Knowledge, written: Collection[Address] = ()
) -> tuple[Address, ...]:
    """The sources that the node has not reacted to. `seen` is from its row; `written` will change now.

    A source that the row does not know was named for the first time: what it is now counts as seen, unless a
    reaction is owed to a source that is named no longer (it may be the same under a new name).
    """
    triggers = node.lifecycle.triggers
    names = {source.text for source in triggers}
    has_debt = any(not digest for name, digest in seen.items() if name not in names)
    due = []
    for source in triggers:
        digest = seen.get(source.text, "" if has_debt else None)
        now = _digest(source, knowledge)
        has_changed = digest is not None and now is not None and digest != now
        if source in written or digest == "" or has_changed:
            due.append(source)
    return tuple(due)


def with_triggers(change: Change, due: tuple[Address, ...], written: Collection[Address] = ()) -> Change:
    """The change with exactly these refreshes; without any, a change that was nothing else is none."""
    if change.triggered_by == due or change.problem or _is_made_anew(change) or is_left_gone(change):
        return change
    if not due:
        is_all = change.action is Action.UPDATE and not change.fields
        action = Action.NONE if is_all else change.action
        return replace(change, action=action, triggered_by=())
    reasons = tuple(
        f"{_name(source, change.address)} {'changes' if source in written else 'has changed'}"
        for source in due
    )
    if change.action is Action.NONE:
        # The fields, if there are any, are drift that is only reported, and stay as they are.
        return replace(
            change,
            action=Action.UPDATE,
            fields=(),
            is_drift=False,
            triggered_by=due,
            reasons=(*change.reasons, *reasons),
        )
    return replace(change, triggered_by=due, reasons=(*change.reasons, *reasons))


def is_cause(change: Change) -> bool:
    """Whether those that the node triggers have to act once this is done; a refresh passes it on."""
    return change.action in CAUSES or bool(change.triggered_by)


def is_left_gone(change: Change) -> bool:
    """Whether the object is gone and stays so, since drift is only reported: there is nothing to refresh."""
    return change.action is Action.NONE and change.is_drift and change.observed is None


def spare_readers(changes: Sequence[Change], situation: Situation) -> list[Change]:
    """The changes, sources first, without those of which nothing is known since what they read stays gone.

    Such a node goes on with what it has. One that Git changes otherwise as well fails, and says why.
    """
    lost = {change.address for change in changes if is_left_gone(change)}
    if not lost:
        return list(changes)
    spared: list[Change] = []
    for change in changes:
        sources = [
            each
            for each in situation.graph.dependencies(change.address)
            if each in lost and situation.graph.edges[(each, change.address)] is EdgeReason.REF
        ]
        is_open = bool(change.fields) and all(has_unknown(field.after) for field in change.fields)
        if sources and is_open and change.action is Action.UPDATE and not change.triggered_by:
            names = ", ".join(_name(source, change.address) for source in sources)
            reason = f"it stays as it is: what it reads of {names} is gone, and is not made again now"
            change = replace(change, action=Action.NONE, reasons=(reason,))
            lost.add(change.address)
        spared.append(change)
    return spared


def is_spared(change: Change) -> bool:
    """Whether the node goes on with what it has; see `spare_readers`."""
    is_left = change.action is Action.NONE and not change.is_drift and bool(change.fields)
    return is_left and all(has_unknown(field.after) for field in change.fields)


def baseline(node: Node, seen: Mapping[str, str], knowledge: Knowledge) -> dict[str, str]:
    """What the row says once the node has reacted to everything."""
    known: dict[str, str] = {}
    for source in node.lifecycle.triggers:
        digest = _digest(source, knowledge)
        if digest is None:
            digest = seen.get(source.text)
        if digest is not None:
            known[source.text] = digest
    return known


def _is_made_anew(change: Change) -> bool:
    """Whether the object has read everything as it is now, because it did not exist before."""
    return change.action is Action.CREATE or (
        change.action is Action.REPLACE and (change.observed is None or is_begun_now(change))
    )


def _digest(source: Address, knowledge: Knowledge) -> str | None:
    """The digest of the source's body as Git says it, None while that is not known."""
    declared = knowledge.declared.get(source)
    if declared is None or has_unknown(declared):
        return None
    return keyed_digest_of(declared)


def _name(source: Address, beside: Address) -> str:
    return source.reference if source.target == beside.target else f"{source.reference}@{source.target}"
