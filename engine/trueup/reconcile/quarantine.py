"""Tells a fight for a field from drift, and leaves the node alone for a while then. Pure.

Called by plan for each node, and by pacify with what a run has corrected. A fight is a field that was
corrected more than `LIMIT` times within `WINDOW`. What somebody goes on fighting for right after a quarantine
is left alone again at once, for twice as long.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.outcome import Outcome, Result
from trueup.model.quarantine import MARKER, OBJECT, Quarantine
from trueup.model.resource import Drift, Node
from trueup.model.values import Document, has_unknown, to_record
from trueup.reconcile.situation import Knowledge, Situation
from trueup.state.store import Correction

# So many corrections of one field within so many seconds are no fight yet.
LIMIT = 5
WINDOW = 600.0
FIRST_PAUSE = 600.0
LONGEST_PAUSE = 86_400.0
# So long after a quarantine its strikes are forgotten.
QUIET = 86_400.0
# What a person can do about a quarantine.
RELEASE = "a change of its manifest ends this, or `trueup resume SOURCE --only ADDRESS`; see docs/drift.md"
# More names than these say no more.
_NAMES = 3

_CORRECTING = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT})
_CORRECTED = frozenset({Result.CREATED, Result.UPDATED, Result.REPLACED, Result.ADOPTED})
# What a provider says of when, behind the name: each time is another one.
_WHEN = re.compile(r",?(?: written)? at \d{4}-\d\d-\d\dT[\d:.]+Z?$")


def is_in_force(quarantine: Quarantine, now: float) -> bool:
    """Whether the node is left alone now: for about a day at most, wherever the clock was set."""
    is_over = quarantine.since >= quarantine.until
    return not is_over and 0 < quarantine.until - now <= LONGEST_PAUSE + WINDOW


def leave_alone(change: Change, situation: Situation, declared: Document) -> Change:
    """The change, without its action where it would correct what somebody fights for.

    What the manifest changed is applied: whoever wrote it may have settled the matter. `declared` is the
    node's body as Git says it.
    """
    quarantine = situation.quarantines.get(change.address)
    if quarantine is None or change.problem or change.action not in _CORRECTING:
        return change
    if not change.is_drift and not _restores_marker(change, situation):
        return change
    if change.action is Action.CREATE and _has_changed(change.address, declared, situation):
        return change
    reasons = (describe_quarantine(quarantine),)
    return replace(change, action=Action.NONE, reasons=reasons, is_new_first=False, quarantine=quarantine)


def _has_changed(address: Address, declared: Document | None, situation: Situation) -> bool:
    """Whether Git has changed the manifest since it was applied; not where that is not known yet."""
    record = situation.records.get(address)
    if declared is None or record is None or has_unknown(declared):
        return False
    is_changed: bool = record.body != to_record(declared)
    return is_changed


def _restores_marker(change: Change, situation: Situation) -> bool:
    """Whether the object is adopted that is recorded already."""
    is_known = situation.is_recorded(change.address) and change.moved_from is None
    return is_known and change.action is Action.ADOPT


def find_corrections(
    outcomes: Iterable[Outcome], situation: Situation, knowledge: Knowledge, at: float
) -> Sequence[Correction]:
    """What a run has set again, field by field, that somebody else had changed."""
    return [
        Correction(outcome.address, path, name_writer(writer), at)
        for outcome in outcomes
        if (outcome.result in _CORRECTED or outcome.is_undone) and outcome.change is not None
        for path, writer in _find_corrected(outcome.change, situation, knowledge)
    ]


def _find_corrected(change: Change, situation: Situation, knowledge: Knowledge) -> Iterator[tuple[str, str]]:
    """What was set again, each with who had changed it."""
    address, observed = change.address, change.observed
    if change.moved_from is not None or not situation.is_recorded(address):
        return
    if change.is_drift and change.action is Action.CREATE:
        if not _has_changed(address, knowledge.declared.get(address), situation):
            yield OBJECT, ""
    elif change.is_drift:
        yield from ((field.path, field.by) for field in change.fields)
    if observed is None or observed.owner == situation.owner(address):
        return
    if not situation.catalog.kind_of(situation.node(address)).traits.shared:
        yield MARKER, str(observed.owner.address) if observed.owner else ""


def find_fights(
    noted: Sequence[Correction],
    recent: Sequence[Correction],
    earlier: Mapping[Address, Quarantine],
    now: float,
) -> Sequence[Quarantine]:
    """The quarantines that begin now.

    `noted` are the corrections of this run, `recent` all of the latest with these among them, `earlier` the
    quarantines that are over.
    """
    fought: dict[Address, list[str]] = {}
    latest = [each for each in recent if abs(now - each.at) < WINDOW]
    counts = Counter((each.address, each.path) for each in latest)
    for address, path in dict.fromkeys((each.address, each.path) for each in noted):
        before = _recall(earlier.get(address), now)
        is_tried = before is not None and path in before.paths
        if counts[address, path] > (1 if is_tried else LIMIT):
            fought.setdefault(address, []).append(path)
    writers: dict[Address, list[str]] = {}
    for each in latest:
        if each.path in fought.get(each.address, ()):
            writers.setdefault(each.address, []).append(each.writer)
    begun = []
    for address, paths in fought.items():
        before = _recall(earlier.get(address), now)
        strikes = before.strikes + 1 if before else 1
        until = now + find_pause(strikes)
        begun.append(Quarantine(address, tuple(sorted(paths)), _join(writers[address]), strikes, now, until))
    return begun


def find_pause(strikes: int) -> float:
    """How many seconds a node is left alone: twice as long each time, up to a day."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(strikes - 1, 30))


def _recall(quarantine: Quarantine | None, now: float) -> Quarantine | None:
    """A quarantine whose strikes still count."""
    return quarantine if quarantine is not None and now - quarantine.until < QUIET else None


def find_settlement(
    quarantine: Quarantine, outcome: Outcome, situation: Situation, knowledge: Knowledge
) -> str:
    """Why a quarantine in force ends before its time; empty where it goes on."""
    address = quarantine.address
    node = situation.graph.nodes.get(address)
    if node is None or outcome.result in (Result.FAILED, Result.BLOCKED):
        return ""
    is_reported = (node.lifecycle.drift or situation.stack.drift) is Drift.REPORT
    if is_reported and MARKER not in quarantine.paths:
        return "drift of it is only reported now"
    if all(_is_ignored(path, node) for path in quarantine.paths):
        return "what was fought for is ignored now"
    is_changed = _has_changed(address, knowledge.declared.get(address), situation)
    return "its manifest has changed" if is_changed else ""


def _is_ignored(path: str, node: Node) -> bool:
    return any(path == rule or path.startswith(f"{rule}/") for rule in node.lifecycle.ignore)


def name_writer(writer: str) -> str:
    """Who changed a field, without the time."""
    return _WHEN.sub("", writer)


def _join(writers: Iterable[str]) -> str:
    names = [name for name in dict.fromkeys(writers) if name]
    return ", ".join(names[:_NAMES])


def describe_quarantine(quarantine: Quarantine) -> str:
    """`quarantined until 2026-11-25 12:30:00Z: kubectl-edit changes /spec/replicas again and again`."""
    until = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(quarantine.until))
    return f"quarantined until {until}: {describe_fight(quarantine)}"


def describe_fight(quarantine: Quarantine) -> str:
    """Who does what to the node."""
    fields = [path for path in quarantine.paths if path not in (OBJECT, MARKER)]
    doings = [f"changes {', '.join(fields)}"] if fields else []
    doings += ["deletes it"] if OBJECT in quarantine.paths else []
    doings += ["takes its ownership marker away"] if MARKER in quarantine.paths else []
    return f"{quarantine.writer or 'somebody'} {' and '.join(doings)} again and again"
