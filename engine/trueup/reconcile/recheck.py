"""Checks bodies once more, as at load, when the values of their expressions are known. Pure.

Called by plan for the nodes with expressions: when all is planned, and again before each is acted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from weakref import WeakKeyDictionary

from trueup.errors import NOWHERE, ManifestError, Place, Problem
from trueup.manifests.document import Path
from trueup.manifests.expressions import Expression, Lookup, expressions_in, resolve
from trueup.manifests.named_fields import join_problems, named_field
from trueup.manifests.schema import LATER, CompiledSchema
from trueup.manifests.text_budget import TextBudget
from trueup.model.resource import Node
from trueup.model.values import UNKNOWN, Document, Sensitive, Value, map_leaves, reveal
from trueup.sdk.contracts import Kind

# What the schema's check says of the quotes of a value, and what helps where an expression gives it.
_QUOTING = ("quote it", "remove the quotes")
_CONVERT = "convert it in the expression, as with string(...) or int(...)"
_schemas: WeakKeyDictionary[Kind, CompiledSchema] = WeakKeyDictionary()


def resolve_checked(
    node: Node, lookup: Lookup, kind: Kind, applied: Document | None, texts: TextBudget | None = None
) -> Document:
    """The body of a node with every expression evaluated, sealed.

    Raises ManifestError with all problems of its expressions, or else of what they give. What was `applied`
    last was checked then.
    """
    body = resolve(node.body, lookup, partial(texts.take, node) if texts else None)
    sealed = kind.seal(body)
    if sealed == applied:
        return sealed
    by_schema, by_kind = list(_check_schema(node, sealed, kind)), list(_check_rules(node, body, kind))
    problems = join_problems(by_schema, by_kind, node.body)
    if problems:
        raise ManifestError(dict.fromkeys(problems))
    return sealed


def _check_schema(node: Node, sealed: Document, kind: Kind) -> Iterator[Problem]:
    if kind.schema is None:
        return
    schema = _schemas.get(kind)
    if schema is None:
        schema = _schemas[kind] = CompiledSchema(kind.schema, kind.name)
    body = map_leaves(sealed, _plain)
    report = _Report(node, sealed)
    if kind.schema_of_document:
        yield from schema.check(body, report, ())
    else:
        spec = body.get("spec")
        yield from schema.check({} if spec is None else spec, report, ("spec",))


def _check_rules(node: Node, body: Document, kind: Kind) -> Iterator[Problem]:
    """What the kind says itself. Sensitive values are kept from it, for it may quote what it refuses."""
    shown = map_leaves(body, lambda leaf: UNKNOWN if isinstance(leaf, Sensitive) else leaf)
    for problem in kind.validate(node.with_body(shown)):
        is_placed = problem.place not in (NOWHERE, node.place)
        path = named_field(problem.message, node.body)
        yield problem if is_placed else replace(problem, place=_place_of(node, path))


def _plain(leaf: Value) -> Value:
    if isinstance(leaf, Sensitive):
        return map_leaves(reveal(leaf), _plain)
    return LATER if leaf is UNKNOWN else leaf


class _Report:
    """The document of a node as the schema's check needs it: with the places of its expressions."""

    def __init__(self, node: Node, sealed: Document) -> None:
        self._node = node
        self._sealed = sealed

    def problem(self, message: str, path: Path = (), hint: str = "", *, at_key: bool = False) -> Problem:
        if hint.startswith(_QUOTING):
            hint = _CONVERT
        return Problem(message, _place_of(self._node, path), hint)

    def is_hidden(self, path: Path) -> bool:
        return isinstance(_follow(self._sealed, path, Sensitive), Sensitive)


def _place_of(node: Node, path: Path) -> Place:
    """Where the expression stands that gives what is at the path, or the first one inside of it.

    Of a whole body with several of them none is to blame.
    """
    found = list(expressions_in(_follow(node.body, path, Expression)))
    return found[0].place if len(found) == 1 or (found and path) else node.place


def _follow(value: Value, path: Path, end: type) -> Value:
    """What stands at a path, or the nearest thing around it; a value of the type `end` is not looked into."""
    for step in path:
        if isinstance(value, end):
            break
        if isinstance(value, Mapping):
            if step not in value:
                break
        elif not (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            break
        value = value[step]
    return value
