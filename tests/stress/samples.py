"""Rounds of operations on a real system, each killed at sampled points, for the tests of crash samples."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.shop import TRUEUP, run_trueup
from tests.stress.forking import Answer, Job, Runs
from tests.stress.invariants import check_always, check_at_rest, check_quiet, check_spared, look_at, survey
from tests.stress.systems import System

from trueup.sdk import Target

# A run that mends is killed at one of these; where it does not pass it, it comes to its end.
WHILE_MENDING = ("before-close:1", "after-close:1", "before-intent:1", "after-call:1", "before-outcome:1")


@dataclass(frozen=True)
class Phase:
    """One operation on all resources: what is declared from now on, and which addresses lose an object."""

    name: str
    documents: Sequence[Mapping[str, Any]]
    doomed: tuple[str, ...] = ()


class Rounds:
    """A stack in a folder, and the systems that it is about."""

    def __init__(self, folder: Path, runs: Runs, systems: Sequence[System], target: Target) -> None:
        self.folder = folder
        self.systems = systems
        self.store = folder / "store.db"
        self._runs = runs
        (folder / "stack").mkdir()
        one = {"name": target.name, "provider": target.provider, "config": dict(target.config)}
        spec = {"targets": [one], "allowEmpty": True, "guards": {"maxDeletes": 99}}
        stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec}
        (folder / "stack" / "stack.yaml").write_text(yaml.safe_dump(stack))

    def declare(self, phase: Phase) -> None:
        file = self.folder / "stack" / "resources.yaml"
        file.unlink(missing_ok=True)
        if phase.documents:
            file.write_text(yaml.safe_dump_all(phase.documents))

    def go_around(self, phases: Sequence[Phase], choice: random.Random, count: int) -> list[str]:
        """A round that is not killed, and `count` that are; what was wrong in them."""
        # What a run loads is there for those that are forked later.
        self.declare(Phase("nothing", ()))
        assert self.run(is_inline=True).status == "converged"
        passes = {}
        for phase in phases:
            self.declare(phase)
            passes[phase.name] = self._runs.passes(self._job())
        wrong = []
        for _ in range(count):
            for phase in phases:
                where, again = choice.choice(passes[phase.name]), choice.choice(WHILE_MENDING)
                try:
                    self._kill_and_finish(phase, where, again)
                except AssertionError as error:
                    wrong.append(f"{phase.name} at {where}, then at {again}: {error}")
        return wrong

    def _kill_and_finish(self, phase: Phase, where: str, again: str) -> None:
        self.declare(phase)
        before = survey(self.systems)
        answer = self.run(where)
        assert answer.is_killed, f"the run was not killed: {answer}"
        check_always(look_at(self.systems, self.store, "shop"))
        if self.run(again).is_killed:
            check_always(look_at(self.systems, self.store, "shop"))
        answer = self.run()
        assert answer.status == "converged", f"I4: {answer}"
        check_at_rest(look_at(self.systems, self.store, "shop"))
        check_spared(before, self.store, "shop", phase.doomed)
        check_quiet(self.systems, self._expect_nothing)

    def _expect_nothing(self) -> None:
        answer = self.run()
        assert (answer.status, answer.has_changes) == ("converged", False), f"I4: {answer}"

    def run(self, where: str = "", is_inline: bool = False) -> Answer:
        return self._runs.run(self._job(where, is_inline))

    def _job(self, where: str = "", is_inline: bool = False) -> Job:
        return Job(str(self.folder), where, is_memory=False, is_approved=True, is_inline=is_inline)


def kill_at_some_moment(rounds: Rounds, phase: Phase, choice: random.Random) -> None:
    """The command line itself, killed after some time of the seed's, or when it has ended by then."""
    rounds.declare(phase)
    before = survey(rounds.systems)
    place = [str(rounds.folder / "stack"), "--store", str(rounds.store)]
    environment = {**os.environ, "NO_COLOR": "1"}
    for _ in range(2):
        with subprocess.Popen(
            [*TRUEUP, "reconcile", *place, "--yes"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            # The first third of a second goes by before anything is called.
            time.sleep(0.3 + choice.random() * 0.7)
            process.send_signal(signal.SIGKILL)
        check_always(look_at(rounds.systems, rounds.store, "shop"))
    answer = rounds.run()
    assert answer.status == "converged", f"I4: {answer}"
    check_at_rest(look_at(rounds.systems, rounds.store, "shop"))
    check_spared(before, rounds.store, "shop", phase.doomed)
    check_quiet(rounds.systems, lambda: run_trueup("reconcile", *place, "--yes"))
