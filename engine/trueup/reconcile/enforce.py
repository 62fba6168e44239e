"""Holds each change against the policies of the stack and of the installation. Pure. Called by plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trueup.manifests.policy import Facts, find_breach
from trueup.model.change import MISSING, Action, Change, FieldChange
from trueup.model.plan import Breach, Hold
from trueup.model.resource import Enforce, Policy
from trueup.model.values import UNKNOWN, Sensitive, Value
from trueup.reconcile.situation import Knowledge, Situation

_LISTED = 5


def find_breaches(
    changes: Sequence[Change], situation: Situation, knowledge: Knowledge
) -> tuple[Breach, ...]:
    """Every change that writes and does not fulfil a policy, in the order of the changes."""
    policies = (*situation.policies, *situation.stack.policies)
    if not policies:
        return ()
    revision = situation.revision
    git = {"commit": revision.commit, "branch": revision.branch}
    breaches = []
    for change in changes:
        if not change.is_write:
            continue
        facts = Facts(_describe(change, situation, knowledge), situation.stack.variables, git)
        for policy in policies:
            why = find_breach(policy, facts)
            if why is not None:
                breaches.append(Breach(policy, change.address, why))
    return tuple(breaches)


def refuse_breach(
    change: Change, passed: Sequence[Breach], situation: Situation, knowledge: Knowledge
) -> str:
    """Why a change that was judged anew must not be made, empty if it may: the plan was not held for this."""
    policies = [breach.policy for breach in passed]
    for breach in find_breaches([change], situation, knowledge):
        policy = breach.policy
        if policy.enforce is not Enforce.WARN and policy not in policies:
            reason = policy.message or policy.rule
            return f"policy {policy.name} is not fulfilled by what is known now: {reason}"
    return ""


def hold_breaches(breaches: Sequence[Breach], situation: Situation) -> tuple[Hold, ...]:
    """One hold for each policy that is not fulfilled and says so.

    A destroy is asked for by name, which approves it; what is denied stays so.
    """
    by_policy: dict[tuple[bool, str], list[Breach]] = {}
    for breach in breaches:
        policy = breach.policy
        if policy.enforce is Enforce.DENY or (policy.enforce is Enforce.APPROVE and not situation.is_destroy):
            by_policy.setdefault((policy.is_installation, policy.name), []).append(breach)
    return tuple(_hold(found[0].policy, found) for found in by_policy.values())


def _hold(policy: Policy, breaches: Sequence[Breach]) -> Hold:
    addresses = ", ".join(breach.address.text for breach in breaches[:_LISTED])
    if len(breaches) > _LISTED:
        addresses += f" and {len(breaches) - _LISTED} more"
    word = "denies" if policy.enforce is Enforce.DENY else "asks for an approval of"
    origin = " of the installation" if policy.is_installation else ""
    reason = f": {policy.message}" if policy.message else ""
    message = f"{policy.name}{origin} {word} the change of {addresses}{reason}"
    return Hold("policy", message, is_final=policy.enforce is Enforce.DENY)


def _describe(change: Change, situation: Situation, knowledge: Knowledge) -> Mapping[str, Value]:
    """The change as rules see it; docs/policies.md lists the fields."""
    node = knowledge.nodes.get(change.address) or situation.node(change.address)
    target = node.target
    described: dict[str, Value] = {
        "address": change.address.text,
        "stack": change.address.stack,
        "kind": node.kind,
        "apiVersion": node.api_version,
        "name": node.name,
        "namespace": node.namespace,
        "action": change.action.value,
        "isDrift": change.is_drift,
        "fields": [_describe_field(field) for field in change.fields],
        "target": {"name": target.name, "provider": target.provider, "labels": dict(target.labels)},
    }
    if change.observed is not None:
        described["before"] = change.observed.body
    if change.action is not Action.DELETE:
        described["after"] = node.body
    return described


def _describe_field(field: FieldChange) -> dict[str, Value]:
    described: dict[str, Value] = {"path": field.path}
    for key, value in (("before", field.before), ("after", field.after)):
        if value is not MISSING:
            described[key] = Sensitive(value) if field.sensitive and value is not UNKNOWN else value
    return described
