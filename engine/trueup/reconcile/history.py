"""Past runs as the store has them, read back and compared. Called by the commands that show them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueup.errors import UsageError
from trueup.model.address import Address
from trueup.model.change import MISSING, FieldChange
from trueup.model.outcome import Result
from trueup.model.values import UNKNOWN, Document, Sensitive, Value
from trueup.reconcile.cycle import is_selected
from trueup.reconcile.report import Selection
from trueup.reconcile.situation import exact_address
from trueup.state.store import Event, RunRecord, Step, Store

_SENSITIVE_KEY = "$sensitive"
_UNKNOWN_KEY = "$unknown"
# More than a store keeps of one stack.
_ALL_EVENTS = 10_000


class NothingNamed(UsageError):
    """There is nothing by that name in the stack."""


@dataclass(frozen=True)
class PastRun:
    """One run of the history. `plan` is the plan's document, None where none was kept."""

    run: RunRecord
    steps: Sequence[Step]
    plan: Document | None


@dataclass(frozen=True)
class NodeDifference:
    """A node of which two runs did not do the same. A result is None where a run had nothing to do there.

    `fields` are the fields in which the two changes differ, with the change of each run or None.
    """

    address: Address
    first: Result | None
    second: Result | None
    fields: Mapping[str, tuple[FieldChange | None, FieldChange | None]]


@dataclass(frozen=True)
class RunDifference:
    """What differs between two runs of one stack."""

    first: RunRecord
    second: RunRecord
    nodes: Sequence[NodeDifference]


def find_run(store: Store, run: int) -> PastRun:
    """One run with all that was kept of it. Raises UsageError where there is none (any more)."""
    record = store.run(run)
    if record is None:
        raise UsageError(
            f"there is no run {run} in the store",
            hint="`trueup history SOURCE` lists those of a stack; old ones are dropped, see docs/history.md",
        )
    text = store.plan_of(run)
    return PastRun(record, store.steps(run), json.loads(text) if text else None)


def compare_runs(store: Store, first: int, second: int) -> RunDifference:
    """Two runs of one stack side by side. Raises UsageError for runs of different stacks."""
    one, other = find_run(store, first), find_run(store, second)
    if one.run.stack != other.run.stack:
        raise UsageError(
            f"run {first} is of the stack {one.run.stack!r}, run {second} of {other.run.stack!r}",
            hint="compare runs of one stack",
        )
    steps, others = ({step.address: step for step in run.steps} for run in (one, other))
    addresses = dict.fromkeys((*steps, *others))
    found = [_compare(address, steps.get(address), others.get(address)) for address in addresses]
    return RunDifference(one.run, other.run, [each for each in found if each is not None])


def _compare(address: Address, step: Step | None, other: Step | None) -> NodeDifference | None:
    """None where both runs did the same. Unchanged nodes of older runs have no step (any more)."""
    first, second = (
        None if each is None or each.result is Result.UNCHANGED else each.result for each in (step, other)
    )
    before, after = ({field.path: field for field in read_fields(each)} for each in (step, other))
    fields = {
        path: (before.get(path), after.get(path))
        for path in dict.fromkeys((*before, *after))
        if before.get(path) != after.get(path)
    }
    if first is second and not fields:
        return None
    return NodeDifference(address, first, second, fields)


def find_addresses(text: str, addresses: Sequence[Address]) -> tuple[Sequence[Address], str]:
    """What `text` names, and the field behind it: `ADDRESS[.field]`, ADDRESS as a selection takes it.

    Names may hold dots, so the longest beginning that names something is the address. Raises NothingNamed.
    """
    for end in (len(text), *(at for at in range(len(text) - 1, 0, -1) if text[at] == ".")):
        found = [each for each in addresses if is_selected(each, Selection(only=(text[:end],)))]
        if found:
            return found, text[end + 1 :]
    raise nothing_named(text)


def find_events(store: Store, stack: str, text: str, limit: int) -> Sequence[Event]:
    """The latest events of a stack, or of the nodes that `text` names, newest first. Raises NothingNamed.

    What is gone from the inventory is known by its events.
    """
    if not text:
        return store.events(stack, limit=limit)
    found = store.events(stack, limit=_ALL_EVENTS)
    known = [exact_address(record) for record in store.inventory(stack).values()]
    known += [event.address for event in found if event.address is not None]
    named = {each for each in known if is_selected(each, Selection(only=(text,)))}
    if not named:
        raise nothing_named(text)
    return [event for event in found if event.address in named][:limit]


def nothing_named(text: str) -> NothingNamed:
    """What a name ends with that no resource has."""
    return NothingNamed(
        f"nothing in the stack is called {text}",
        hint="`trueup status` shows the addresses: File/site, File/site@web-1, shop/File/site@web-1",
    )


def read_fields(step: Step | None) -> Sequence[FieldChange]:
    """The fields of a step as they were written, their sensitive values masked."""
    return [read_field(document) for document in step.fields] if step is not None else []


def read_field(document: Document) -> FieldChange:
    """One field of a step, as `field_record` wrote it."""
    before, after = (_read_value(document[key]) if key in document else MISSING for key in ("from", "to"))
    by = str(document.get("by", ""))
    return FieldChange(str(document["path"]), before, after, sensitive=bool(document.get("sensitive")), by=by)


def _read_value(value: Value) -> Value:
    if isinstance(value, Mapping):
        if value.keys() == {_SENSITIVE_KEY}:
            # The hash, which tells two values apart and is shown as a mask.
            return Sensitive(value[_SENSITIVE_KEY])
        if value.keys() == {_UNKNOWN_KEY}:
            return UNKNOWN
        return {key: _read_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_read_value(item) for item in value]
    return value
