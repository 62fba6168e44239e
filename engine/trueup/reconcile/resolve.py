"""Turns a node's expressions into values, as far as the nodes that they refer to are known. Pure.

Called by plan for every node in dependency order, and by act again once the dependencies are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from trueup.errors import Invalid, ManifestError, ProviderError
from trueup.graph.build import deferred_in
from trueup.manifests.expressions import Expression, Lookup, resolve
from trueup.manifests.schema import CompiledSchema
from trueup.manifests.suggestions import did_you_mean
from trueup.manifests.text_budget import TextBudget
from trueup.model.address import Address
from trueup.model.observation import Observed
from trueup.model.resource import Facts, Node, Target
from trueup.model.values import (
    UNKNOWN,
    Document,
    PartlyKnown,
    Sensitive,
    Unknown,
    Value,
    has_unknown,
    leaves,
    map_leaves,
    reveal,
    split_pointer,
    to_record,
)
from trueup.sdk.contracts import Kind


def resolve_node(node: Node, lookup: Lookup, texts: TextBudget | None = None) -> Node:
    """The node with every expression evaluated; UNKNOWN where it needs what is not known yet.

    Raises ManifestError with all problems of its expressions.
    """
    return node.with_body(resolve(node.body, lookup, partial(texts.take, node) if texts else None))


class FactsAlone:
    """The look-up for what may read secrets and other stacks, but no node."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def node(self, _address: Address) -> Unknown:
        return UNKNOWN

    def secret(self, text: str) -> Value:
        return self._facts.secrets.get(text, UNKNOWN)

    def outputs(self, stack: str) -> Mapping[str, Value] | Unknown:
        return self._facts.outputs.get(stack, UNKNOWN)


_EXPRESSION = "$expression"


def settle_target(target: Target, facts: Facts, schema: Mapping[str, object]) -> Target:
    """The target with the secrets of its config in place, as a provider may connect with it.

    Raises Invalid where one is not there, or where the config does not fit the provider's schema with it.
    """
    for path, leaf in leaves(target.config):
        if path.endswith(f"/{_EXPRESSION}"):
            raise Invalid(
                f"target {target.name!r} is no longer in the stack, and its config needs {leaf}",
                hint="declare it again until its resources are deleted,"
                f" or `trueup forget SOURCE --target {target.name}`",
            )
    if not any(True for _ in deferred_in(target.config)):
        return target
    try:
        config = resolve(target.config, FactsAlone(facts))
    except ManifestError as error:
        raise Invalid("; ".join(str(problem) for problem in error.problems)) from None
    if has_unknown(config):
        missing = ", ".join(f'secret("{text}")' for text in _missing_secrets(target.config, facts))
        raise Invalid(
            f"the config of target {target.name!r} needs {missing}, which is not there",
            hint="a secret that a target needs cannot be read through a target: take it from env or sops",
        )
    if not CompiledSchema(schema, f"the config of provider {target.provider}").accepts(reveal(config)):
        raise Invalid(
            f"the config of target {target.name!r} does not fit its provider with the secrets in it",
            hint="look at their types and at their form: white space at the end, for one",
        )
    return replace(target, config=config)


def hide_config(error: ProviderError, target: Target) -> ProviderError:
    """The error of a connection without the secrets of the target's config, which libraries may quote."""
    hidden = [str(reveal(leaf)) for _, leaf in leaves(target.config) if isinstance(leaf, Sensitive)]
    for text in sorted(filter(None, hidden), key=len, reverse=True):
        if text in error.message or text in error.hint:
            error.message = error.message.replace(text, str(Sensitive(text)))
            error.hint = error.hint.replace(text, str(Sensitive(text)))
            error.args = (error.message,)
            error.__cause__ = error.__context__ = None  # the exception of the library quotes it too
    return error


def record_config(config: Document) -> Document:
    """A target's config as the inventory keeps it: the text of an expression in place of a value."""
    texts = map_leaves(
        config, lambda leaf: {_EXPRESSION: repr(leaf)} if isinstance(leaf, Expression) else leaf
    )
    recorded: Document = to_record(texts)
    return recorded


def name_unknown(body: Document, facts: Facts) -> tuple[str, str]:
    """Why values that a body takes from outside of the stack are not known, and a hint; empty for none."""
    reasons: dict[str, None] = {}
    hints: dict[str, None] = {}
    for each in deferred_in(body):
        for secret in each.secrets:
            if secret.text not in facts.secrets:
                reasons[f'secret("{secret.text}") was not read'] = None
        for output in each.outputs:
            given = facts.outputs.get(output.stack)
            if given is None:
                reasons[f"stack {output.stack} was never reconciled: reconcile it first"] = None
            elif output.output and output.output not in given:
                reason = f"stack {output.stack} has no output {output.output}"
                reasons[reason if given else f"{reason} yet: reconcile it first"] = None
                if given:
                    hints[_suggest(output.output, given)] = None
            elif has_unknown(given[output.output] if output.output else given):
                what = f"output {output.output}" if output.output else "an output"
                reason = f"{what} of stack {output.stack} is sensitive, which no other stack can read"
                reasons[reason] = None
    return "; ".join(reasons), "; ".join(hints)


def _suggest(name: str, given: Iterable[str]) -> str:
    """What to do where a stack has other outputs: the name is wrong, or new."""
    there = f"there are: {', '.join(sorted(given))}"
    return did_you_mean(name, given) or f"{there}; if that stack declares it by now, reconcile it first"


def _missing_secrets(config: Document, facts: Facts) -> Iterator[str]:
    for each in deferred_in(config):
        yield from (secret.text for secret in each.secrets if secret.text not in facts.secrets)


def known_document(node: Node, observed: Observed | None, *, is_made_anew: bool) -> Document:
    """What expressions of other nodes may see of a node: desired over observed, and its status.

    A node that is created or replaced has a status only afterwards.
    """
    if observed is None or is_made_anew:
        return PartlyKnown({**node.body, "status": UNKNOWN})
    document: Document = overlay(observed.body, node.body)
    return document


def overlay(below: Value, above: Value) -> Value:
    """`above` laid over `below`, maps merged key by key, all else taken from `above`."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged = {**below, **above}
        for key in below.keys() & above.keys():
            merged[key] = overlay(below[key], above[key])
        return merged
    return above


def keep_ignored(node: Node, observed: Observed, kind: Kind, recorded: Document | None = None) -> Node:
    """The node with the live value in every field of `lifecycle.ignore`, so that it is left as it is."""
    if not node.lifecycle.ignore:
        return node
    body: Value = node.body
    for pointer in node.lifecycle.ignore:
        body = _with_live(body, observed.body, (), tuple(split_pointer(pointer)), observed, kind, recorded)
    return node.with_body(body)


def _with_live(
    desired: Value,
    live: Value,
    above: tuple[str, ...],
    below: tuple[str, ...],
    observed: Observed,
    kind: Kind,
    recorded: Value,
) -> Value:
    """`desired` with the live value at the path `below`; `above` is the path to here."""
    token, rest = below[0], below[1:]
    if isinstance(desired, list) and isinstance(live, list):
        index = kind.find_item(observed, above, desired, token)
        other = kind.find_item(observed, above, live, token)
        if index is None or other is None:
            return desired
        item = live[other]
        if rest:
            item = _with_live(desired[index], item, (*above, token), rest, observed, kind, None)
        return [*desired[:index], item, *desired[index + 1 :]]
    if not isinstance(desired, Mapping):
        return desired
    has_live = isinstance(live, Mapping) and token in live
    was_ours = isinstance(recorded, Mapping) and token in recorded
    # What we set before, or a kind with a schema fills in, is sent as it lives; else we would come to own it.
    if token not in desired and (rest or not has_live or (kind.schema is None and not was_ours)):
        return desired
    changed = dict(desired)
    if rest:
        if has_live:
            last = recorded[token] if isinstance(recorded, Mapping) and token in recorded else None
            changed[token] = _with_live(
                desired[token], live[token], (*above, token), rest, observed, kind, last
            )
    elif has_live:
        changed[token] = live[token]
    else:
        del changed[token]
    return changed
