"""Finds who set a resource, or one field of it, last: the run, its commit, the author.

Called by `trueup blame`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trueup.errors import UsageError
from trueup.model.address import Address
from trueup.model.change import MISSING, FieldChange
from trueup.model.outcome import Result
from trueup.model.resource import Node
from trueup.model.values import Value, split_pointer
from trueup.reconcile.drift import DriftedNode
from trueup.reconcile.history import NothingNamed, find_addresses, read_fields
from trueup.reconcile.situation import exact_address
from trueup.state.store import PastStep, Record, RunRecord, Store

_GONE = frozenset({Result.DELETED, Result.FORGOTTEN})
_WHOLE = frozenset({Result.CREATED, Result.REPLACED, *_GONE})
_SETTING = frozenset({Result.UPDATED, Result.ADOPTED, *_WHOLE})
_INDEX = re.compile(r"\[(\d+)\]")
# More than a history keeps by default.
_DEPTH = 2000


# Gives those of some nodes that are not as they were applied.
DriftFinder = Callable[[Sequence[Address]], Mapping[Address, DriftedNode]]


# The step that set something, and what it did to the field.
Setter = tuple[PastStep | None, Sequence[FieldChange]]


def nothing_found(_addresses: Sequence[Address]) -> Mapping[Address, DriftedNode]:
    """The drift of a question that is not to look at any live system."""
    return {}


@dataclass(frozen=True)
class Blame:
    """Who set one node, or a field of it, last.

    `run` is None where its run is no longer in the history; commit and time are then those of the inventory's
    row, or empty. `fields` are the field as that run changed it, empty where the node as a whole is asked
    for. `result` is None where no kept run has set it. `place` is where the manifests declare the node.
    `drifted` are the fields that somebody else has changed since then, `is_gone` says that the object was
    deleted.
    """

    address: Address
    field: str
    run: RunRecord | None
    run_id: int
    commit: str
    at: float
    place: str
    result: Result | None
    fields: Sequence[FieldChange] = ()
    drifted: Sequence[FieldChange] = ()
    is_gone: bool = False


def find_blames(
    store: Store,
    stack: str,
    text: str,
    declared: Mapping[Address, Node],
    find_drifted: DriftFinder = nothing_found,
) -> Sequence[Blame]:
    """One for each node that `ADDRESS[.field]` names, declared ones, recorded ones and past ones.

    What was done under an address that a declared node had before counts for it. `find_drifted`
    looks at the nodes for what others have changed since then. Raises UsageError.
    """
    records = {exact_address(record): record for record in store.inventory(stack).values()}
    drifted: Mapping[Address, DriftedNode] = {}
    try:
        addresses, field = find_addresses(text, [*dict.fromkeys((*declared, *records))])
        drifted = find_drifted(addresses)
    except NothingNamed:
        addresses, field = [_find_past(store, stack, text)], ""
    _check_form(text, field)
    field = normalize_field(field)
    blames = []
    for address in addresses:
        node = declared.get(address)
        formers = node.former_addresses if node is not None else ()
        setter = _find_setter(store, (address, *formers), field)
        found = _blame(store, address, field, records.get(address), setter)
        blames.append(_add_drift(found, drifted.get(address)))
    if field and not any(
        _is_known(each, declared.get(each.address), records.get(each.address)) for each in blames
    ):
        raise UsageError(
            f"nothing is known of a field {field} of {text.removesuffix(f'.{field}')}",
            hint="a field stands behind the address as in the file, with dots: File/site.spec.content",
        )
    return blames


def normalize_field(text: str) -> str:
    """`spec.ports[0].name` as `spec.ports.0.name`."""
    return _INDEX.sub(r".\1", text).strip(".")


def _check_form(text: str, field: str) -> None:
    """Refuses what ends in dots, or has too many: a slip of the pen."""
    if "" in field.split(".") and (field or text.endswith(".")):
        raise UsageError(f"{text} names no field: there is a dot too many")


def _is_known(found: Blame, node: Node | None, record: Record | None) -> bool:
    """Whether the field was ever set, is declared, or stands in the object as it was applied."""
    if found.run is not None or found.drifted:
        return True
    bodies = [each.body for each in (node, record) if each is not None]
    return any(_is_there(body, found.field) for body in bodies)


def _is_there(value: Value, path: str) -> bool:
    """Whether a value has something at a path with dots; what is not known yet may have anything."""
    if not path:
        return True
    if isinstance(value, Mapping):
        if value.keys() in ({"$sensitive"}, {"$unknown"}):  # as the inventory keeps them
            return True
        return any(key in value and _is_there(value[key], rest) for key, rest in _splits(path))
    if isinstance(value, list):
        return any(
            key.isdecimal() and int(key) < len(value) and _is_there(value[int(key)], rest)
            for key, rest in _splits(path)
        )
    if isinstance(value, str):
        return "${{" in value
    return not isinstance(value, int | float | None)


def _find_past(store: Store, stack: str, text: str) -> Address:
    """The address of a node that is gone, which has to be written in full."""
    try:
        address = Address.parse(text if text.startswith(f"{stack}/") else f"{stack}/{text}")
    except ValueError:
        address = None
    if address is None or not store.past_steps(address, _SETTING, 1):
        raise UsageError(
            f"nothing in the stack {stack} is or was called {text}",
            hint="`trueup status` shows the addresses; what is gone is named in full: File/site@web-1",
        )
    return address


def _blame(
    store: Store,
    address: Address,
    field: str,
    record: Record | None,
    setter: Setter,
) -> Blame:
    past, fields = setter
    place = record.place if record is not None else ""
    if past is not None:
        run, step = past.run, past.step
        return Blame(address, field, run, run.id, run.commit, run.started_at, place, step.result, fields)
    if record is None or field:
        return Blame(address, field, None, 0, "", 0.0, place, None)
    run_of_row = store.run(record.run) if record.run else None
    return Blame(address, "", run_of_row, record.run, record.commit, record.applied_at, place, None)


def _find_setter(store: Store, addresses: Sequence[Address], field: str) -> Setter:
    """The latest step that set the node or the field, with what it did to the field.

    The first address is the node's own. Under those before it, it was only forgotten when it moved on.
    """
    steps = (
        past
        for address in addresses
        for past in store.past_steps(address, _SETTING, _DEPTH)
        if address == addresses[0] or past.step.result is not Result.FORGOTTEN
    )
    for past in steps:
        changed = read_fields(past.step)
        touched = [each for each in changed if touches(each, field)] if field else []
        if touched:
            return past, touched
        if past.step.result in _WHOLE:
            # Whatever was set before belonged to another object.
            is_answer = not field or past.step.result in _GONE
            return (past, ()) if is_answer else (None, ())
        if not field and (changed or past.step.result is not Result.UPDATED):
            return past, ()
    return None, ()


def _add_drift(found: Blame, drifted: DriftedNode | None) -> Blame:
    if drifted is None:
        return found
    fields = [each for each in drifted.fields if not found.field or touches(each, found.field)]
    return replace(found, drifted=fields, is_gone=drifted.is_gone)


def touches(change: FieldChange, field: str) -> bool:
    """Whether the change sets the field, something inside of it, or a value around it that differs in it."""
    path = ".".join(split_pointer(change.path))
    if path == field or path.startswith(f"{field}."):
        return True
    if path and not field.startswith(f"{path}."):
        return False
    rest = field.removeprefix(path).strip(".")
    return bool(_dig(change.before, rest) != _dig(change.after, rest))


def _dig(value: Value, path: str) -> Value:
    """What is inside of a value at a path with dots; keys may hold dots themselves."""
    if not path:
        return value
    for key, rest in _splits(path):
        if isinstance(value, Mapping) and key in value:
            return _dig(value[key], rest)
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            return _dig(value[int(key)], rest)
    return MISSING


def _splits(path: str) -> Iterator[tuple[str, str]]:
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        yield ".".join(parts[:end]), ".".join(parts[end:])
