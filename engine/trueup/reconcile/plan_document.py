"""A plan as JSON for programs and for the history: docs/plan-format.md, docs/schemas/plan-v1.json.

Called by commands and by cycle.
"""

from __future__ import annotations

from typing import Any

from trueup.model.change import MISSING, Action, Change, FieldChange
from trueup.model.plan import Breach, Decision, Hold, Pin, Plan
from trueup.model.quarantine import Quarantine
from trueup.model.values import (
    UNKNOWN,
    Document,
    Sensitive,
    Value,
    has_sensitive,
    has_unknown,
    map_leaves,
    to_record,
)

FORMAT_VERSION = "1.0"


def is_shown(change: Change) -> bool:
    """Whether a plan lists the change: also the drift that is left as it is, and what is refused."""
    return change.action is not Action.NONE or bool(change.fields or change.problem or change.quarantine)


def plan_document(plan: Plan) -> dict[str, Any]:
    """The whole plan; unchanged nodes are counted in the summary and not listed."""
    return {
        "formatVersion": FORMAT_VERSION,
        "stack": plan.stack,
        "commit": plan.revision.commit,
        "revision": {
            "url": plan.revision.url,
            "path": plan.revision.path,
            "ref": plan.revision.ref,
            "branch": plan.revision.branch,
            "values": plan.revision.values,
        },
        "destroy": plan.is_destroy,
        "digest": plan.digest,
        "summary": {action.value: number for action, number in plan.summary.items()},
        "changes": [change_document(change) for change in plan.changes if is_shown(change)],
        "holds": [hold_document(hold) for hold in plan.holds],
        "verdicts": [breach_document(breach) for breach in plan.breaches],
        **{
            key: decision_document(said)
            for key, said in (("decision", plan.decision), ("staleApproval", plan.stale_approval))
            if said is not None
        },
        **({"rewrittenFrom": plan.rewritten_from} if plan.rewritten_from else {}),
        **({"pin": pin_document(plan.pin)} if plan.pin is not None else {}),
        **({"unseenStacks": list(plan.unseen)} if plan.unseen else {}),
    }


def breach_document(breach: Breach) -> dict[str, Any]:
    """A change that does not fulfil a policy."""
    policy = breach.policy
    return {
        "policy": policy.name,
        "origin": "installation" if policy.is_installation else "stack",
        "place": str(policy.place),
        "enforce": policy.enforce.value,
        "address": breach.address.text,
        "message": policy.message,
        "rule": policy.rule,
        "why": breach.why,
    }


def hold_document(hold: Hold) -> dict[str, Any]:
    """What holds a plan, or some of its nodes."""
    document = {"guard": hold.guard, "message": hold.message, "final": hold.is_final}
    document |= {"hint": hold.hint} if hold.hint else {}
    return {**document, "nodes": [address.text for address in hold.nodes]} if hold.nodes else document


def pin_document(pin: Pin) -> dict[str, Any]:
    """Why a stack does not follow its source; the time is in seconds since the epoch."""
    return {
        "kind": pin.kind.value,
        "commit": pin.commit or None,
        "who": pin.who,
        "reason": pin.reason,
        "at": pin.at,
    }


def decision_document(decision: Decision) -> dict[str, Any]:
    """What somebody said to a plan; the time is in seconds since the epoch."""
    return {
        "digest": decision.digest,
        "verdict": decision.verdict.value,
        "who": decision.who,
        "note": decision.note,
        "at": decision.at,
    }


def quarantine_document(quarantine: Quarantine) -> dict[str, Any]:
    """Until when a node is left alone, and whom it is left to; times are in seconds since the epoch."""
    return {
        "paths": list(quarantine.paths),
        "writer": quarantine.writer or None,
        "strikes": quarantine.strikes,
        "since": quarantine.since,
        "until": quarantine.until,
    }


def change_document(change: Change) -> dict[str, Any]:
    document: dict[str, Any] = {
        "address": change.address.text,
        "action": change.action.value,
        "reasons": list(change.reasons),
        "drift": change.is_drift,
        "fields": [field_document(field) for field in change.fields],
    }
    if change.triggered_by:
        document["triggeredBy"] = [address.text for address in change.triggered_by]
    if change.moved_from is not None:
        document["movedFrom"] = change.moved_from.text
    if change.moved_to is not None:
        document["movedTo"] = change.moved_to.text
    if change.batch is not None:
        document["batch"] = {"number": change.batch.number, "of": change.batch.total}
    if change.quarantine is not None:
        document["quarantine"] = quarantine_document(change.quarantine)
    if change.problem:
        document["problem"] = change.problem
    if change.hint:
        document["hint"] = change.hint
    return document


def field_document(field: FieldChange) -> dict[str, Any]:
    """One field: a side that does not exist has no key, and a mark says what is masked or not known yet."""
    document: dict[str, Any] = {"path": field.path}
    if field.before is not MISSING:
        document["from"] = None if field.sensitive else _plain(field.before)
    if field.after is not MISSING and field.after is not UNKNOWN:
        document["to"] = None if field.sensitive else _plain(field.after)
    document["sensitive"] = field.sensitive or has_sensitive(field.before) or has_sensitive(field.after)
    if field.by:
        document["by"] = field.by
    if field.immutable:
        document["immutable"] = True
    if has_unknown(field.after):
        document["toUnknown"] = True
    return document


def field_record(field: FieldChange) -> Document:
    """One field as a step of the history keeps it, with hashes of sensitive values; see history."""
    document: dict[str, Value] = {"path": field.path, "sensitive": field.sensitive}
    if field.by:
        document["by"] = field.by
    for key, value in (("from", field.before), ("to", field.after)):
        if value is not MISSING:
            document[key] = to_record(Sensitive(value) if field.sensitive else value)
    return document


def _plain(value: Value) -> Value:
    return map_leaves(value, lambda leaf: None if leaf is UNKNOWN or isinstance(leaf, Sensitive) else leaf)
