"""`lifecycle.movedFrom` of a module's call: which use it was before, for all of its nodes.

Called by `modules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trueup.errors import Problem
from trueup.manifests.expand import Expanded
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.resource import MODULE, Declaration
from trueup.manifests.templates import Scope
from trueup.model.address import Address
from trueup.model.values import UNKNOWN

_FORM = f"write {MODULE}/old-name, or stack/{MODULE}/old-name for one of another stack"


@dataclass(frozen=True)
class FormerUse:
    """A use as it was called before: its stack, and its name with the modules around it."""

    stack: str
    name: str


def read_former_uses(
    call: Declaration, scope: Scope, prefix: str, stack: str, problems: list[Problem]
) -> tuple[FormerUse, ...]:
    """The uses that a call says it was. `prefix` is that of the names around it, as in `site/`."""
    own = call.own.get("lifecycle")
    if own is None:
        return ()
    value = own.template.fill(scope, problems, "in lifecycle").value
    if value is UNKNOWN:
        return ()
    fields = Fields(call.document, value, own.path, problems, known=("movedFrom",), where="lifecycle")
    found = []
    for index, text in enumerate(fields.strings("movedFrom", _FORM)):
        parts = text.split("/")
        is_near = parts[0] == MODULE
        names = parts[1:] if is_near else parts[2:]
        is_use = is_near or (len(parts) > 2 and parts[1] == MODULE)
        if not is_use or not names or any(name_fault(part) for part in parts):
            fields.note(
                f'lifecycle.movedFrom: "{text}" is no use of a module', "movedFrom", index, hint=_FORM
            )
        else:
            name = "/".join(names)
            found.append(FormerUse(stack, prefix + name) if is_near else FormerUse(parts[0], name))
    return tuple(found)


def add_moves(nodes: Sequence[Expanded], use: str, formers: Sequence[FormerUse]) -> list[Expanded]:
    """The nodes of a use, each with the addresses that it had in the former ones."""
    if not formers:
        return list(nodes)
    moved = []
    for expanded in nodes:
        node = expanded.node
        addresses = (node.address, *node.former_addresses)
        more = [text for address in addresses for text in _former_texts(address, node.address, use, formers)]
        lifecycle = replace(node.lifecycle, moved_from=(*node.lifecycle.moved_from, *more))
        moved.append(replace(expanded, node=replace(node, lifecycle=lifecycle)))
    return moved


def _former_texts(address: Address, own: Address, use: str, formers: Sequence[FormerUse]) -> Iterator[str]:
    """An address of a node of the use, as it was in each of the former uses."""
    above = f"{own.kind}/{own.namespace}/" if own.namespace else f"{own.kind}/"
    start = f"{own.stack}/{above}{use}/"
    if address.text.startswith(start):
        rest = address.text.removeprefix(start)
        for former in formers:
            yield f"{former.stack}/{above}{former.name}/{rest}"
