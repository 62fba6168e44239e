"""Works out what expressions give as far as the files alone say it: fields of other nodes that are declared.

Called by build, so that a path that a module was given by `ref()` draws the edges of a written one. What only
the live systems, secrets and other stacks tell stays UNKNOWN. Used for edges and names, for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trueup.errors import ManifestError
from trueup.model.address import Address
from trueup.model.resource import Deferred, Node
from trueup.model.values import (
    UNKNOWN,
    Document,
    PartlyKnown,
    Sensitive,
    Unknown,
    Value,
    map_leaves,
)


def is_foreseeable(expression: Deferred) -> bool:
    """Whether an expression reads nothing but fields that manifests may hold."""
    references = expression.references
    if not references or not all(each.path and each.path[0] != "status" for each in references):
        return False
    return not expression.secrets and not expression.outputs


def foresee(
    nodes: Mapping[Address, Node],
    expressions: Mapping[Address, Sequence[Deferred]],
    waiting: Iterable[Address],
) -> Mapping[Address, Node]:
    """The waiting nodes with their foreseeable expressions evaluated; UNKNOWN for the others.

    `waiting` holds dependencies first, so that each step of a chain is evaluated once.
    """
    declared = _Declared(nodes, expressions)
    return {address: nodes[address].with_body(declared.evaluate(address)) for address in waiting}


class _Declared:
    """The look-up of expressions among the bodies as the files say them."""

    def __init__(
        self, nodes: Mapping[Address, Node], expressions: Mapping[Address, Sequence[Deferred]]
    ) -> None:
        self._nodes = nodes
        self._expressions = expressions
        self._bodies: dict[Address, Document] = {}

    def evaluate(self, address: Address) -> Document:
        body: Document = map_leaves(self._nodes[address].body, self._foresee_leaf)
        self._bodies[address] = body
        return body

    def node(self, address: Address) -> Document | Unknown:
        node = self._nodes.get(address)
        if node is None:
            return UNKNOWN
        if address in self._expressions and address not in self._bodies:
            self._bodies[address] = map_leaves(node.body, _unless_deferred)
        return PartlyKnown({**self._bodies.get(address, node.body), "status": UNKNOWN})

    def secret(self, _text: str) -> Unknown:
        return UNKNOWN

    def outputs(self, _stack: str) -> Unknown:
        return UNKNOWN

    def _foresee_leaf(self, leaf: Value) -> Value:
        if _is_plain(leaf):
            return leaf
        try:
            return leaf.evaluate(self) if is_foreseeable(leaf) else UNKNOWN
        except ManifestError:
            return UNKNOWN  # the plan says what is wrong with it


def _unless_deferred(leaf: Value) -> Value:
    return leaf if _is_plain(leaf) else UNKNOWN


def _is_plain(leaf: Value) -> bool:
    return leaf is None or isinstance(leaf, str | int | float | Sensitive | Unknown)
