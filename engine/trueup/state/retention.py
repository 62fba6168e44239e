"""Which runs the history keeps. Called by sql when a run begins and when it ends."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, func, select

from trueup.model.outcome import Result, RunStatus
from trueup.state.schema import runs, steps

# Unchanged nodes fill the history without telling much: only the latest runs keep them.
RUNS_WITH_UNCHANGED = 10
# Of so many commits that are older than all that is kept, the last run that converged: to go back to one.
KEPT_COMMITS = 20
# Runs of these make nothing as their commit says, or are the word of somebody.
_SPECIAL = frozenset({"rollback", "recover", "destroy", "forget"})
_NOT_APPLIED = ("recover", "destroy", "forget")


def prune_history(connection: Connection, stack: str, keep_runs: int) -> None:
    """Drops what is older than the latest `keep_runs` runs, but for what is needed longer."""
    if first := _oldest_of(connection, stack, keep_runs):
        kept = {*_find_converged(connection, stack, first), _find_recovery(connection, stack)}
        connection.execute(
            runs.delete().where(runs.c.stack == stack, runs.c.id < first, runs.c.id.not_in(kept))
        )
    if first := _oldest_of(connection, stack, RUNS_WITH_UNCHANGED):
        older = select(runs.c.id).where(runs.c.stack == stack, runs.c.id < first)
        connection.execute(
            steps.delete().where(steps.c.run.in_(older), steps.c.result == Result.UNCHANGED.value)
        )


def fold_quiet(connection: Connection, stack: str, run: int) -> None:
    """Of runs of one commit in a row that found nothing to do, the first and the last are enough.

    To be called as each run ends, so three runs are all that there is to look at.
    """
    columns = [column for column in runs.c if column.name != "plan"]
    latest = (
        select(*columns).where(runs.c.stack == stack, runs.c.id <= run).order_by(runs.c.id.desc()).limit(3)
    )
    found = connection.execute(latest).all()
    is_row = len(found) == 3 and len({(row.url, row.commit_id) for row in found}) == 1
    if is_row and all(map(_is_quiet, found)) and found[1].trigger not in _SPECIAL:
        connection.execute(runs.delete().where(runs.c.id == found[1].id))


def _is_quiet(row: Row[Any]) -> bool:
    """Whether the run found nothing to do. One that cannot be read is kept, and is in no other's way."""
    try:
        counts = json.loads(row.counts)
    except ValueError:
        return False
    is_idle = isinstance(counts, dict) and counts.keys() <= {Result.UNCHANGED.value}
    return is_idle and row.status == RunStatus.CONVERGED.value and not row.approved_by


def _oldest_of(connection: Connection, stack: str, kept: int) -> int:
    """The id of the stack's `kept`th latest run: runs are numbered in order, across stacks."""
    query = (
        select(runs.c.id).where(runs.c.stack == stack).order_by(runs.c.id.desc()).offset(kept - 1).limit(1)
    )
    return int(connection.execute(query).scalar() or 0)


def _find_converged(connection: Connection, stack: str, before: int) -> list[int]:
    """The last converged run of each of the latest commits among older runs, which are few."""
    last = func.max(runs.c.id)
    query = (
        select(last)
        .where(runs.c.stack == stack, runs.c.id < before, runs.c.status == RunStatus.CONVERGED.value)
        .where(runs.c.trigger.not_in(_NOT_APPLIED))
        .group_by(runs.c.url, runs.c.commit_id)
        .order_by(last.desc())
        .limit(KEPT_COMMITS)
    )
    return [int(found) for found in connection.execute(query).scalars()]


def _find_recovery(connection: Connection, stack: str) -> int:
    """By the latest recovery, other machines know that what they remember is no news."""
    of_stack = (runs.c.stack == stack, runs.c.trigger == "recover")
    query = select(runs.c.id).where(*of_stack).order_by(runs.c.id.desc()).limit(1)
    return int(connection.execute(query).scalar() or 0)
