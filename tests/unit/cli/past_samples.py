"""A history with one of everything, in a real store: what the tests of the commands about the past share."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli import samples

from trueup.model.outcome import Outcome, Result, RunStatus
from trueup.model.plan import Hold, Plan
from trueup.reconcile.plan_document import plan_document
from trueup.reconcile.record import to_step
from trueup.state.open import open_store
from trueup.state.process import Clock
from trueup.state.store import Store

FIRST = "6d4a380aa9e4b6f8a70c5d2e9b1f3a4c6d8e0f22"
START = 1_795_629_000.0
SOURCE = "https://git.example.com/estate.git//shop"


class Past:
    """Runs of the stack `shop`, each begun and ended at a time of its own."""

    def __init__(self, file: Path) -> None:
        self._now = START
        self.store: Store = open_store(str(file), Clock(now=lambda: self._now, steady=lambda: self._now))

    def add(
        self, plan: Plan, status: RunStatus | None, outcomes: list[Outcome], commit: str, **origin: str
    ) -> int:
        """One run of 4 s, an hour after the one before; without a status, it is still under way."""
        self._now += 3600
        lease = self.store.acquire_lease("shop", "me", 60)
        assert lease is not None
        document = json.dumps(plan_document(plan))
        digest = f"sha256:{'0' * 64}"
        run = self.store.begin_run(lease, url=SOURCE, commit=commit, digest=digest, plan=document, **origin)
        self.store.record_steps(lease, run, [to_step(outcome) for outcome in outcomes], [])
        self._now += 4
        if status is not None:
            counts = {result.value: 0 for result in Result}
            for outcome in outcomes:
                counts[outcome.result.value] += 1
            found = {name: number for name, number in counts.items() if number}
            self.store.finish_run(lease, run, status, found)
        self.store.release_lease(lease)
        return run


def make_past(folder: Path) -> Store:
    """A converged run, an approved one that failed in part, an interrupted one, and one under way."""
    past = Past(folder / "past.db")
    created, updated = samples.created(), samples.updated()
    past.add(
        samples.plan_of(created, samples.unchanged("a")),
        RunStatus.CONVERGED,
        [samples.outcome(created, Result.CREATED), samples.outcome(samples.unchanged("a"), Result.UNCHANGED)],
        FIRST,
        author="Ada <ada@example.com>",
        trigger="once",
    )
    hold = Hold("deletion-budget", "2 deletes and replaces,\nwhere the stack may have 1\x1b[2J")
    past.add(
        samples.plan_of(updated, samples.replaced(), samples.deleted(), samples.drifted(), holds=[hold]),
        RunStatus.FAILED,
        [
            samples.outcome(samples.deleted(), Result.DELETED),
            samples.outcome(samples.drifted(), Result.UPDATED),
            samples.outcome(updated, Result.FAILED, "not done after 12 s\n1 of 3 pods is ready\x1b[2J"),
            samples.outcome(
                samples.replaced(), Result.BLOCKED, "waits for shop/Deployment/prod/web@k3s, which failed"
            ),
        ],
        samples.REVISION.commit,
        author="Bö \u202e <bo@example.com>",
        trigger="commit",
        approved_by="eve@desk",
    )
    past.add(
        samples.plan_of(updated, samples.replaced()),
        RunStatus.INTERRUPTED,
        [samples.outcome(updated, Result.UPDATED)],
        samples.REVISION.commit,
        author="Bö \u202e <bo@example.com>",
        trigger="retry",
    )
    past.add(samples.converged_plan(), None, [], f"sha256:{'c' * 64}")
    return past.store
