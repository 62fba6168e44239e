"""kill -9 of runs against a real host: at sampled points, while they mend, and at any moment.

The phases follow each other in a circle. The first round tells which points each phase passes; in the others
each phase is killed at one of them, chosen by a fixed seed, and again while the next run mends it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.hosts.fixtures import Host
from tests.stress.forking import Runs
from tests.stress.samples import Phase, Rounds, kill_at_some_moment
from tests.stress.systems import Machine

pytestmark = [pytest.mark.hosts, pytest.mark.xdist_group("hosts")]


def resource(kind: str, name: str, spec: dict[str, Any], **lifecycle: Any) -> dict[str, Any]:
    whole = {"apiVersion": "ssh.trueup.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return {**whole, "lifecycle": lifecycle} if lifecycle else whole


def stack(version: int, path: str, is_running: bool, **lifecycle: Any) -> list[dict[str, Any]]:
    template = {"path": path, "template": "version {{ number }}\n", "data": {"number": version}}
    return [
        resource("Directory", "folder", {"path": "/srv/sample", "mode": f"07{version}5"}),
        resource("File", "plain", {"path": "/srv/sample/plain", "content": f"{version}\n"}),
        resource("File", "made", template, **lifecycle),
        resource("Service", "cron", {"running": is_running}, adopt=True, triggers=["File/plain"]),
    ]


FOUND = resource("File", "found", {"path": "/srv/found", "content": "mine\n"}, adopt=True, onDelete="orphan")
LAST = stack(2, "/srv/sample/three", True)
PHASES = [
    Phase("create", stack(1, "/srv/sample/one", True)),
    Phase("update", stack(2, "/srv/sample/one", False)),
    Phase("replace", stack(2, "/srv/sample/two", True), doomed=("shop/File/made@h1",)),
    Phase(
        "createFirst",
        stack(2, "/srv/sample/three", True, replace="createFirst"),
        doomed=("shop/File/made@h1",),
    ),
    Phase("adopt", [*LAST, FOUND]),
    Phase("release", LAST),
    Phase(
        "delete",
        [],
        doomed=("shop/File/made@h1", "shop/File/plain@h1", "shop/Directory/folder@h1"),
    ),
]


@pytest.fixture
def host_runs() -> Iterator[Runs]:
    with Runs() as runs:
        yield runs


@pytest.fixture
def rounds(fresh_host: Host, host_runs: Runs, tmp_path: Path) -> Rounds:
    fresh_host.run("echo theirs > /srv/foreign; echo theirs > /srv/found")
    target = fresh_host.target("h1")
    return Rounds(tmp_path, host_runs, [Machine(fresh_host, target)], target)


def test_a_run_against_a_host_killed_at_sampled_points_is_finished_by_the_next_one(rounds: Rounds) -> None:
    assert rounds.go_around(PHASES, random.Random(7), count=2) == []


def test_a_run_against_a_host_killed_at_any_moment_is_finished_by_the_next_one(rounds: Rounds) -> None:
    for phase in (PHASES[0], PHASES[2], PHASES[6]):
        kill_at_some_moment(rounds, phase, random.Random(phase.name))
