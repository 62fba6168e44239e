"""Checks `lifecycle.movedFrom` of a whole stack: nothing is in two places, nothing goes to two.

Called by load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trueup.errors import Problem
from trueup.manifests.document import Path
from trueup.manifests.expand import Expanded
from trueup.model.address import Address
from trueup.model.resource import Node


def check_moves(nodes: Sequence[Expanded]) -> Iterator[Problem]:
    """What is wrong with where the nodes say that they were before."""
    moved = [expanded for expanded in nodes if expanded.node.lifecycle.moved_from]
    if not moved:
        return
    declared = {expanded.node.address: expanded.node for expanded in nodes}
    heirs: dict[Address, Expanded] = {}
    for expanded in moved:
        for index, old in enumerate(expanded.node.former_addresses):
            wrong = _find_fault(expanded.node, old, declared)
            first = heirs.setdefault(old, expanded)
            if wrong is None and first is not expanded:
                other = _name(first.node, expanded.node)
                wrong = (
                    f"{other} at {first.node.place} is moved from there too",
                    _hint_for_two(first, expanded),
                )
            if wrong is not None:
                text = expanded.node.lifecycle.moved_from[index]
                path = _path_of(expanded, index)
                message = f'lifecycle.movedFrom: "{text}": {wrong[0]}'
                yield expanded.declaration.document.problem(message, path, wrong[1])


def _find_fault(node: Node, old: Address, declared: Mapping[Address, Node]) -> tuple[str, str] | None:
    if old == node.address:
        return "the resource is that one itself", "name what it was called before, or remove it"
    if old in declared:
        message = f"{old.reference} is still declared, at {declared[old].place}"
        return message, "remove that one: an object cannot be both; or remove movedFrom here"
    return None


def _hint_for_two(first: Expanded, second: Expanded) -> str:
    if first.declaration is second.declaration:
        return "say which item of forEach it was: put each.key into the address"
    return "an object can go on as one resource only: remove one of the two"


def _name(node: Node, beside: Node) -> str:
    address = node.address
    is_near = address.target == beside.address.target
    return address.reference if is_near else f"{address.reference}@{address.target}"


def _path_of(expanded: Expanded, index: int) -> Path:
    """Where the address stands; an annotation, or what an expression gave, has no place for each item."""
    own = expanded.declaration.own.get("lifecycle")
    path = own.path if own is not None else ()
    return path if "annotations" in path else (*path, "movedFrom", index)
