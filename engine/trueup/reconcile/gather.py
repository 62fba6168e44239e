"""Gathers what expressions need from outside of a stack: its secrets, and the outputs of other stacks.

Called by app once for each run, after the stack was loaded and before the cycle. To validate a stack nothing
of it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace

from trueup.errors import ManifestError, Problem
from trueup.graph.build import Graph, deferred_in
from trueup.model.resource import Deferred, Facts, OutputReference, SecretReference, Stack, Target
from trueup.model.values import UNKNOWN, Sensitive, Value
from trueup.reconcile.observe import Connections
from trueup.reconcile.resolve import settle_target
from trueup.sdk.contracts import Catalog
from trueup.secrets.check import CheckedSecrets
from trueup.secrets.resolve import Access, resolve_secrets
from trueup.state.store import Store


def find_secrets(stack: Stack, graph: Graph) -> tuple[SecretReference, ...]:
    """Every secret that a stack reads, each once."""
    return tuple(dict.fromkeys(found for each in _deferred(stack, graph) for found in each.secrets))


def find_outputs_read(stack: Stack, graph: Graph) -> tuple[OutputReference, ...]:
    """Every output of another stack that a stack reads, each once."""
    return tuple(dict.fromkeys(found for each in _deferred(stack, graph) for found in each.outputs))


def check_outputs_read(stack: Stack, graph: Graph) -> None:
    """Raises ManifestError where a stack reads an output of its own."""
    problems = [
        Problem(
            f'stack("{output.stack}") is this very stack',
            output.place,
            "use ref() for a resource of it, or vars",
        )
        for output in find_outputs_read(stack, graph)
        if output.stack == stack.name
    ]
    if problems:
        raise ManifestError(problems)


def _deferred(stack: Stack, graph: Graph) -> Iterable[Deferred]:
    yield from _deferred_in_targets(stack)
    for found in graph.expressions.values():
        yield from found
    yield from deferred_in(stack.outputs)


def _deferred_in_targets(stack: Stack) -> Iterable[Deferred]:
    for target in stack.targets:
        yield from deferred_in(target.config)


def gather_facts(
    stack: Stack,
    graph: Graph,
    checked: CheckedSecrets,
    store: Store,
    catalog: Catalog,
    settings: Mapping[str, Value],
    *,
    is_destroy: bool = False,
) -> Facts:
    """The facts for one run. Raises ManifestError with all secrets that cannot be read, StoreError.

    To destroy a stack only the targets have to be reached.
    """
    if is_destroy:
        needed = {secret.text for each in _deferred_in_targets(stack) for secret in each.secrets}
        kept = tuple(secret for secret in checked.secrets if secret.reference.text in needed)
        checked = replace(checked, secrets=kept)
    outputs = {} if is_destroy else read_outputs(find_outputs_read(stack, graph), store)
    if not checked.secrets:
        return Facts({}, outputs)

    def settle(target: Target, known: Mapping[str, Sensitive]) -> Target:
        return settle_target(target, Facts(known), catalog.provider(target.provider).config_schema)

    with closing(Connections(catalog, f"{store.installation}/{stack.name}")) as connections:
        secrets = resolve_secrets(checked, Access(connections.session, settle, settings))
    return Facts(secrets, outputs)


def read_outputs(references: Iterable[OutputReference], store: Store) -> dict[str, Mapping[str, Value]]:
    """What the stacks gave last, by their names. One that was never reconciled is missing.

    Raises ManifestError for outputs that are sensitive: the store has their hashes alone.
    """
    found: dict[str, Mapping[str, Value]] = {}
    problems: list[Problem] = []
    references = list(references)
    for name in sorted({reference.stack for reference in references}):
        values = store.outputs(name)
        if values is not None:
            found[name] = {key: _from_record(value) for key, value in values.items()}
            read = (each for each in references if each.stack == name and each.output in values)
            problems.extend(_withheld(each) for each in read if "$sensitive" in _keys(values[each.output]))
    if problems:
        raise ManifestError(problems)
    return found


def _withheld(reference: OutputReference) -> Problem:
    what = f"output {reference.output} of stack {reference.stack}"
    message = f"{what} is sensitive, and the store holds no secrets"
    return Problem(message, reference.place, "read it with secret() here, as that stack does")


def _keys(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)


def _from_record(value: Value) -> Value:
    """A value as it was before `to_record`; what the store does not keep is UNKNOWN."""
    if isinstance(value, Mapping):
        if value.keys() in ({"$sensitive"}, {"$unknown"}):
            return UNKNOWN
        return {key: _from_record(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_record(item) for item in value]
    return value
