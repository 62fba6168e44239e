"""Batches across targets: their order, their limits, and that a walk always comes to its end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trueup.model.outcome import RunStatus
from trueup.reconcile.report import RunReport, Selection
from trueup.reconcile.rollout import batch_size
from trueup.sdk.testing.memory_world import Fault, FileWorld, MemoryWorld

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop


@pytest.fixture
def fleet(loop: Loop, tmp_path: Path) -> Loop:
    """The loop with five targets in worlds of their own."""
    loop.provider._has_own_world = False
    targets = []
    for index in range(1, 6):
        (tmp_path / f"w{index}").mkdir()
        config = {"directory": str(tmp_path / f"w{index}")}
        targets.append(
            {"name": f"w{index}", "provider": "memory", "labels": {"all": "yes"}, "config": config}
        )
    loop.write_stack(targets=targets)
    return loop


def world(fleet: Loop, target: str) -> FileWorld:
    return FileWorld(fleet.folder / target)


def roll(fleet: Loop, name: str, spec: dict[str, Any] | None = None, **keys: Any) -> None:
    fleet.declare(name, spec or {"size": 1}, targets={"matchLabels": {"all": "yes"}}, **keys)


def ends(report: RunReport, name: str) -> list[tuple[str, str]]:
    """Target and result of each node of a resource, in the order of their ends."""
    return [(o.address.target, o.result.value) for o in report.outcomes if o.address.name == name]


def batches(report: RunReport, name: str) -> dict[str, tuple[int, int]]:
    return {
        change.address.target: (change.batch.number, change.batch.total)
        for change in report.plan.changes
        if change.address.name == name and change.batch
    }


@pytest.mark.parametrize(
    ("batch", "size", "wanted"),
    [("2", 5, 2), ("9", 5, 9), ("25%", 5, 2), ("25%", 4, 1), ("1%", 5, 1), ("100%", 5, 5), ("33%", 10, 4)],
)
def test_a_share_of_the_targets_is_rounded_up(batch: str, size: int, wanted: int) -> None:
    assert batch_size(batch, size) == wanted


def test_batches_follow_the_order_of_the_targets(fleet: Loop) -> None:
    roll(fleet, "a", rollout={"batch": 2})
    report = fleet.run()
    assert report.status is RunStatus.CONVERGED
    assert batches(report, "a") == {"w1": (1, 3), "w2": (1, 3), "w3": (2, 3), "w4": (2, 3), "w5": (3, 3)}
    order = [target for target, _ in ends(report, "a")]
    assert [set(order[:2]), set(order[2:4]), set(order[4:])] == [{"w1", "w2"}, {"w3", "w4"}, {"w5"}]
    assert not batches(fleet.run(), "a")


def test_a_batch_waits_until_the_one_before_is_ready(fleet: Loop) -> None:
    fleet.declare(
        "s", {"size": 1}, kind="Slow", targets={"matchLabels": {"all": "yes"}}, rollout={"batch": "20%"}
    )
    assert fleet.run().status is RunStatus.CONVERGED
    lines = [line for line in fleet.notes.lines if not line.startswith(("waiting", "planned"))]
    assert lines == ["started s", "created s"] * 5


def test_what_needs_nothing_counts_as_done(fleet: Loop) -> None:
    roll(fleet, "a", rollout={"batch": 2})
    fleet.run()
    for target in ("w2", "w4", "w5"):
        entry = world(fleet, target).peek("Thing/a")
        assert entry is not None
        world(fleet, target).put("Thing/a", {**entry, "spec": {"size": 7}, "version": 2})
    report = fleet.run()
    assert batches(report, "a") == {"w2": (1, 2), "w4": (1, 2), "w5": (2, 2)}
    assert sorted(ends(report, "a")) == [
        ("w1", "unchanged"),
        ("w2", "updated"),
        ("w3", "unchanged"),
        ("w4", "updated"),
        ("w5", "updated"),
    ]


def test_a_failure_over_the_limit_stops_the_rest(fleet: Loop) -> None:
    roll(fleet, "a", rollout={"batch": 1})
    world(fleet, "w2").inject(Fault("create", "Invalid", times=5))
    report = fleet.run()
    assert report.status is RunStatus.FAILED
    assert ends(report, "a") == [
        ("w1", "created"),
        ("w2", "failed"),
        ("w3", "blocked"),
        ("w4", "blocked"),
        ("w5", "blocked"),
    ]
    last = report.outcomes[-1]
    assert last.message == ("the rollout of Thing/a stopped: it failed on w2, and rollout.maxFailures is 0")
    assert "run again" in last.hint
    for target in ("w3", "w4", "w5"):
        assert world(fleet, target).count_writes() == 0


def test_a_rollout_that_was_stopped_goes_on_with_what_is_left(fleet: Loop) -> None:
    roll(fleet, "a", rollout={"batch": 1})
    world(fleet, "w2").inject(Fault("create", "Invalid"))
    fleet.run()
    report = fleet.run()
    assert report.status is RunStatus.CONVERGED
    assert batches(report, "a") == {"w2": (1, 4), "w3": (2, 4), "w4": (3, 4), "w5": (4, 4)}


def test_as_many_failures_as_are_allowed_do_not_stop_it(fleet: Loop) -> None:
    roll(fleet, "a", rollout={"batch": 1, "maxFailures": 2})
    for target in ("w1", "w3"):
        world(fleet, target).inject(Fault("create", "Invalid"))
    assert [result for _, result in ends(fleet.run(), "a")] == [
        "failed",
        "created",
        "failed",
        "created",
        "created",
    ]


def test_a_failure_within_a_batch_begins_no_further_node_of_it(fleet: Loop) -> None:
    roll(fleet, "a", rollout={"batch": "100%"})
    world(fleet, "w1").inject(Fault("observe", "Denied", times=9))
    report = fleet.run()
    assert ("w1", "failed") in ends(report, "a")
    assert {result for target, result in ends(report, "a") if target != "w1"} == {"blocked"}


def test_a_blocked_node_counts_as_a_failure(fleet: Loop) -> None:
    roll(fleet, "base")
    roll(fleet, "a", dependsOn=["Thing/base"], rollout={"batch": 1})
    world(fleet, "w1").inject(Fault("create", "Invalid", key="Thing/base"))
    report = fleet.run()
    assert [result for _, result in ends(report, "a")] == ["blocked"] * 5
    assert "stopped: it failed on w1" in report.outcomes[-1].message


def test_two_resources_that_depend_on_each_other_by_target_roll_out_side_by_side(fleet: Loop) -> None:
    roll(fleet, "config", rollout={"batch": 1})
    roll(fleet, "service", dependsOn=["Thing/config"], rollout={"batch": 1})
    report = fleet.run()
    assert report.status is RunStatus.CONVERGED
    for name in ("config", "service"):
        assert [target for target, _ in ends(report, name)] == ["w1", "w2", "w3", "w4", "w5"]
    order = [(o.address.name, o.address.target) for o in report.outcomes]
    for target in ("w1", "w2", "w3", "w4", "w5"):
        assert order.index(("config", target)) < order.index(("service", target))


def test_dependencies_across_targets_bend_the_order_and_never_stop_it(fleet: Loop) -> None:
    # Both in the order of the targets would wait for each other for ever.
    for name, other in (("a", "b"), ("b", "a")):
        after = f'${{{{ target.name == "w1" ? ["Thing/{other}@w5"] : [] }}}}'
        roll(fleet, name, dependsOn=after, rollout={"batch": 1})
    report = fleet.run()
    assert report.status is RunStatus.CONVERGED
    order = [(o.address.name, o.address.target) for o in report.outcomes]
    assert order.index(("b", "w5")) < order.index(("a", "w1"))
    assert order.index(("a", "w5")) < order.index(("b", "w1"))


def test_a_selection_rolls_out_what_it_selects(fleet: Loop) -> None:
    roll(fleet, "a", rollout={"batch": "50%"})
    report = fleet.run(Selection(targets=("w4", "w5")))
    assert batches(report, "a") == {"w4": (1, 2), "w5": (2, 2)}


def test_a_node_that_may_follow_a_change_has_its_place_in_the_batches(fleet: Loop) -> None:
    roll(fleet, "source", {"size": 1})
    roll(fleet, "a", {"value": "${{ ref('Thing/source').spec.size }}"}, rollout={"batch": 1})
    fleet.run()
    fleet.declare("source", {"size": 1, "value": "x"}, targets={"matchLabels": {"all": "yes"}})
    report = fleet.run()
    assert report.status is RunStatus.CONVERGED
    assert len(batches(report, "a")) == 5


TARGETS = ("w1", "w2", "w3")
NAMES = ("a", "b", "c", "d")


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Resources on three targets with dependencies between any two nodes, earlier ones in a random order."""
    nodes = draw(st.permutations([(name, target) for name in NAMES for target in TARGETS]))
    rollouts = {name: draw(st.none() | st.integers(1, 3)) for name in NAMES}
    edges = {}
    for index, node in enumerate(nodes):
        before = st.sampled_from(nodes[:index]) if index else st.nothing()
        edges[node] = draw(st.lists(before, max_size=3, unique=True)) if index else []
    failing = draw(st.sets(st.sampled_from(nodes), max_size=2))
    limits = {name: draw(st.integers(0, 2)) for name in NAMES}
    return {"edges": edges, "rollouts": rollouts, "failing": failing, "limits": limits}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_a_walk_ends_and_keeps_to_edges_and_batches(
    tmp_path_factory: pytest.TempPathFactory, case: dict[str, Any]
) -> None:
    report = run_graph(tmp_path_factory.mktemp("graph"), case)
    assert not report.left
    ended = {(o.address.name, o.address.target): index for index, o in enumerate(report.outcomes)}
    result = {(o.address.name, o.address.target): o.result.value for o in report.outcomes}
    assert len(ended) == len(NAMES) * len(TARGETS)
    for node, dependencies in case["edges"].items():
        for dependency in dependencies:
            assert ended[dependency] < ended[node]
            if result[dependency] != "created":
                assert result[node] == "blocked"
    for name, size in case["rollouts"].items():
        if size is None:
            continue
        number = {
            c.address.target: c.batch.number
            for c in report.plan.changes
            if c.address.name == name and c.batch
        }
        assert set(number) == set(TARGETS)
        assert max(list(number.values()).count(each) for each in set(number.values())) <= size
        for first in TARGETS:
            for second in TARGETS:
                if number[first] < number[second]:
                    assert ended[name, first] < ended[name, second]
        bad = sorted(ended[name, target] for target in TARGETS if result[name, target] != "created")
        if len(bad) > case["limits"][name]:
            stop = bad[case["limits"][name]]
            later = [t for t in TARGETS if ended[name, t] > stop and number[t] > 1]
            assert all(result[name, t] == "blocked" for t in later)


def make_loop(folder: Path) -> Loop:
    from tests.unit.reconcile.conftest import Loop

    return Loop(folder, MemoryWorld())


def run_graph(folder: Path, case: dict[str, Any]) -> RunReport:
    loop = make_loop(folder)
    loop.provider._has_own_world = False
    targets = []
    for target in TARGETS:
        (folder / target).mkdir()
        targets.append({"name": target, "provider": "memory", "config": {"directory": str(folder / target)}})
    loop.write_stack(targets=targets)
    for name in NAMES:
        for target in TARGETS:
            if (name, target) in case["failing"]:
                FileWorld(folder / target).inject(Fault("create", "Invalid", key=f"Thing/{name}"))
    for name in NAMES:
        edges = {
            target: [f"Thing/{other}@{where}" for other, where in case["edges"][name, target]]
            for target in TARGETS
        }
        keys: dict[str, Any] = {"targets": {"names": list(TARGETS)}}
        if case["rollouts"][name] is not None:
            keys["rollout"] = {"batch": case["rollouts"][name], "maxFailures": case["limits"][name]}
        if any(edges.values()):
            keys["dependsOn"] = "${{ " + expression(edges) + " }}"
        loop.declare(name, {"size": 1}, **keys)
    timer = threading.Timer(60, loop.stop.set)
    timer.start()
    try:
        report = loop.run()
    finally:
        timer.cancel()
        loop.app.close()
    return report


def expression(edges: dict[str, list[str]]) -> str:
    """What each target's node depends on, as one expression over the target's name."""
    text = "[]"
    for target, words in edges.items():
        listed = ", ".join(f'"{word}"' for word in words)
        text = f'target.name == "{target}" ? [{listed}] : ({text})'
    return text
