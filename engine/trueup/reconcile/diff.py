"""Judges one node: desired, observed and recorded give a change. Pure: no I/O, no clock.

Called by plan for all nodes and by act for the node at hand. The kind compares the fields; this module
decides whose the object is and what may be done to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from trueup.model.address import Address, Owner
from trueup.model.change import MISSING, Action, Change
from trueup.model.observation import Absent, Failed, Observation, Observed
from trueup.model.resource import Drift, Node, Replace
from trueup.model.values import (
    UNKNOWN,
    Document,
    Sensitive,
    Value,
    has_unknown,
    leaves,
    reveal,
    split_pointer,
    to_record,
)
from trueup.sdk.contracts import Kind
from trueup.state.store import Record


@dataclass(frozen=True)
class Standing:
    """What judging a node needs besides the node: its kind, who we are, and what is recorded.

    `declared` is the node's body as Git says it, before live values took the place of ignored fields.
    `is_applied`: the body was sent a moment ago, whatever the record says. `moved_from` is the address under
    which the object is managed until now; `record` is then the one of that address.
    """

    kind: Kind
    owner: Owner
    drift: Drift
    declared: Document
    record: Record | None = None
    is_applied: bool = False
    moved_from: Address | None = None

    @property
    def recorded(self) -> Document | None:
        """The body that was applied last."""
        if self.is_applied:
            applied: Document = to_record(self.declared)
            return applied
        return self.seen.body if self.seen else None

    def reports(self, node: Node) -> bool:
        """Whether drift of the node is only reported."""
        return (node.lifecycle.drift or self.drift) is Drift.REPORT

    @property
    def seen(self) -> Record | None:
        """The record of an object that was really there; a row written before a create is none."""
        return self.record if self.record and self.record.external_id else None


def diff_node(node: Node, observation: Observation, standing: Standing) -> Change:
    """What a node of the graph needs. `node.body` is resolved, sealed, and keeps ignored fields."""
    if isinstance(observation, Failed):
        return refuse(node, observation.error.message, observation.error.hint)
    change = _mask(standing.kind.diff(node, observation, standing.recorded), standing.recorded)
    if isinstance(observation, Absent) and standing.seen is not None and standing.reports(node):
        reasons = ("it was there, and is gone", "drift is only reported")
        return replace(change, action=Action.NONE, reasons=reasons, is_drift=True)
    if isinstance(observation, Absent):
        reason = "it was there, and is gone" if standing.seen else "it does not exist yet"
        return replace(change, reasons=(reason,), is_drift=standing.seen is not None)
    if change.observed is not observation:
        change = replace(change, observed=observation)
    ownership = _judge_ownership(node, observation, standing)
    if ownership.problem:
        return replace(ownership, fields=change.fields, observed=observation)
    if standing.moved_from is not None:
        change = replace(change, moved_from=standing.moved_from)
    if change.action is Action.NONE:
        if ownership.action is Action.NONE:
            return change
        return replace(change, action=ownership.action, reasons=ownership.reasons)
    return _judge_fields(node, change, standing, ownership.reasons)


def _mask(change: Change, recorded: Document | None) -> Change:
    """The change without the values of fields that held a secret when they were applied last.

    What was derived from a secret then still lives, even if the manifest no longer says so.
    """
    if recorded is None or all(field.sensitive for field in change.fields):
        return change
    fields = tuple(
        replace(field, before=_hide(field.before), after=_hide(field.after), sensitive=True)
        if not field.sensitive and _was_secret(field.path, recorded)
        else field
        for field in change.fields
    )
    return replace(change, fields=fields)


def _hide(value: Value) -> Value:
    return value if value is MISSING or value is UNKNOWN else Sensitive(reveal(value))


def _was_secret(path: str, recorded: Value) -> bool:
    """Whether the recorded body holds the hash of a secret at the path, or below where the path is lost."""
    for token in split_pointer(path):
        if isinstance(recorded, Mapping) and token in recorded:
            recorded = recorded[token]
        elif isinstance(recorded, list) and token.isdigit() and int(token) < len(recorded):
            recorded = recorded[int(token)]
        else:
            break
    return any("/$sensitive" in below for below, _ in leaves(recorded))


def refuse(node: Node, problem: str, hint: str = "") -> Change:
    """The change of a node to which nothing is done, and why."""
    return Change(node.address, Action.UNKNOWN, problem=problem, hint=hint)


def describe_former(old: Address, new: Address) -> str:
    """How a plan names the old address beside the new one: as much of it as differs."""
    reference = old.reference if old.stack == new.stack else f"{old.stack}/{old.reference}"
    return reference if old.target == new.target else f"{reference}@{old.target}"


def _judge_ownership(node: Node, observed: Observed, standing: Standing) -> Change:
    """ADOPT where the object is to be taken over, NONE where it is ours, a problem where it is another's."""
    address, owner, seen = node.address, observed.owner, standing.seen
    if standing.moved_from is not None:
        reason = f"moved from {describe_former(standing.moved_from, address)}"
        return Change(address, Action.ADOPT, reasons=(reason,))
    if owner == standing.owner:
        if seen is None:
            return Change(address, Action.ADOPT, reasons=("it carries our marker",))
        return Change(address, Action.NONE)
    if owner is not None and not node.lifecycle.adopt:
        who = f"{owner.address} of {owner.key}"
        return refuse(
            node,
            f"the object belongs to {who}",
            "remove it there first, or set lifecycle.adopt: true here to take it over; if it should be this"
            " stack's own already, look whether --store names the right store",
        )
    if seen is not None and seen.external_id == observed.external_id:
        if standing.kind.traits.shared:
            return Change(address, Action.NONE)
        return Change(address, Action.ADOPT, reasons=("its ownership marker is gone",))
    if standing.kind.traits.shared or node.lifecycle.adopt:
        is_moved = owner is not None and owner.key == standing.owner.key
        reason = f"it was {owner.address} before" if owner and is_moved else "it was there before"
        return Change(address, Action.ADOPT, reasons=(reason,))
    return refuse(
        node,
        "an object that trueup does not manage is in the way",
        "set lifecycle.adopt: true to take it over, or remove or rename one of them",
    )


def _judge_fields(node: Node, change: Change, standing: Standing, reasons: tuple[str, ...]) -> Change:
    seen = standing.seen
    is_drift = seen is not None and seen.body == to_record(standing.declared)
    if is_drift and standing.reports(node) and standing.moved_from is not None:
        reasons = (*reasons, "drift is only reported")
        return replace(change, action=Action.ADOPT, is_drift=True, reasons=reasons)
    if is_drift and standing.reports(node):
        return replace(change, action=Action.NONE, is_drift=True, reasons=("drift is only reported",))
    reasons = (*reasons, "it was changed outside of Git" if is_drift else "the manifest changed")
    if change.action is Action.REPLACE:
        fixed = ", ".join(field.path for field in change.fields if field.immutable)
        refused = _refuse_replacement(node, change, standing, fixed)
        if refused is not None:
            return replace(refused, fields=change.fields, observed=change.observed)
        reasons = (*reasons, f"{fixed} cannot be changed in place")
        if node.lifecycle.replace is Replace.CREATE_FIRST:
            reasons = (*reasons, "the new one is made before the old one goes")
            change = replace(change, is_new_first=True)
    return replace(change, reasons=reasons, is_drift=is_drift)


def _refuse_replacement(node: Node, change: Change, standing: Standing, fixed: str) -> Change | None:
    needed = f"a change of {fixed} needs a replacement"
    if node.lifecycle.protect or node.lifecycle.replace is Replace.DENY:
        return refuse(node, f"{needed}, which lifecycle.{describe_barrier(node)} forbids")
    if standing.moved_from is not None and standing.record is not None and standing.record.protect:
        return refuse(
            node,
            f"{needed}, and as {describe_former(standing.moved_from, node.address)} it is protected"
            " (lifecycle.protect)",
            "reconcile the move by itself first: from then on its new manifest says what is protected",
        )
    observed = change.observed
    if observed is not None and not _is_marked(observed, standing):
        return refuse(
            node,
            f"{needed}, and the object does not carry our marker, without which none is deleted",
            f"give {fixed} the value that the object has, to take it over as it is; or delete it by hand",
        )
    if node.lifecycle.replace is not Replace.CREATE_FIRST or observed is None:
        return None
    if is_renamed(node, observed, standing.kind, standing.seen) or has_unknown(node.body):
        return None
    return refuse(
        node,
        f"{needed}, and with lifecycle.replace: createFirst the new object has to live beside the old one,"
        " which has the same name",
        "give it another name as well, or set lifecycle.replace: allow to have the old one deleted first",
    )


def _is_marked(observed: Observed, standing: Standing) -> bool:
    """Whether the object is ours to delete: by its marker, or that of the address that it had before.

    A shared one, once recorded, is ours without.
    """
    if observed.owner is None and standing.seen is not None and standing.kind.traits.shared:
        return True
    before = standing.moved_from
    owners = [standing.owner]
    if before is not None:
        owners.append(Owner(standing.owner.installation, before.stack, before.text))
    return observed.owner in owners


def describe_barrier(node: Node) -> str:
    """The key of a lifecycle that forbids a replacement."""
    return "protect: true" if node.lifecycle.protect else "replace: deny"


def is_renamed(node: Node, observed: Observed, kind: Kind, record: Record | None) -> bool:
    """Whether the node is another object than the observed one by its name, so that both can live at once."""
    wanted = kind.identity(node)
    known = [kind.identity(node.with_body(observed.body))]
    if record is not None:
        # A name that trueup made up stands in the live body alone.
        known.append(kind.identity(node.with_body(record.body)))
    return bool(wanted and known[0]) and wanted not in known


def diff_undeclared(node: Node, observation: Observation, standing: Standing, why: str) -> Change:
    """What happens to an object of the inventory that is to go, `why`: its resource left Git, for one.

    `node` is made from the record. Deleted only if it is the very object that was recorded and carries our
    marker for that very address.
    """
    record = standing.record
    if record is None:
        raise ValueError(f"{node.address} is in no inventory, so nothing is known of it")
    if isinstance(observation, Failed):
        return refuse(node, observation.error.message, observation.error.hint)
    if isinstance(observation, Absent):
        reason = "it is gone already" if record.external_id else "it does not exist"
        return Change(node.address, Action.FORGET, reasons=(reason,))
    if record.protect and observation.owner in (None, standing.owner):
        return Change(
            node.address,
            Action.NONE,
            observed=observation,
            reasons=(why, "it is protected"),
        )
    if observation.owner != standing.owner:
        whose = (
            f"belongs to {observation.owner.address}" if observation.owner else "carries no marker of ours"
        )
        return Change(node.address, Action.FORGET, observed=observation, reasons=(f"the object {whose}",))
    if record.external_id and record.external_id != observation.external_id:
        return refuse(
            node,
            "the object was replaced by another one since it was recorded, so it is not deleted",
            "declare it again, or delete it by hand",
        )
    if record.on_delete == "orphan":
        reasons = (why, "lifecycle.onDelete is orphan")
        return Change(node.address, Action.FORGET, observed=observation, reasons=reasons)
    if standing.kind.traits.shared and not record.created:
        reasons = (why, "it was there before trueup")
        return Change(node.address, Action.FORGET, observed=observation, reasons=reasons)
    return Change(node.address, Action.DELETE, observed=observation, reasons=(why,))
