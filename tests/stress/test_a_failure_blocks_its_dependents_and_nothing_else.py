"""Random graphs in which random nodes fail: what depends on them is blocked, all else done and recorded."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stress.invariants import check_always, check_at_rest, look

from trueup.app import App, SourceSpec
from trueup.model.outcome import Result, RunStatus
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, MemorySession
from trueup.sdk.testing.memory_world import Fault, MemoryWorld

# Where each commit of a store costs no disk; it is not the disk that is tested here.
MEMORY = Path("/dev/shm")
MOST = 8


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[int, set[int]], set[int]]:
    """For each node those that it depends on, all of a smaller number; and the nodes that fail."""
    count = draw(st.integers(1, MOST))
    edges = {node: draw(st.sets(st.sampled_from(range(node)))) if node else set() for node in range(count)}
    return edges, draw(st.sets(st.sampled_from(range(count)), min_size=1))


def write(folder: Path, edges: dict[int, set[int]], size: int) -> None:
    spec = {"targets": [{"name": "here", "provider": "memory"}]}
    documents: list[dict[str, Any]] = [
        {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec}
    ]
    for node, used in edges.items():
        value = [f"${{{{ ref('Thing/n{each}').status.id }}}}" for each in sorted(used)]
        documents.append(
            {
                "apiVersion": "memory.trueup.dev/v1",
                "kind": "Thing",
                "metadata": {"name": f"n{node}"},
                "spec": {"size": size, "value": value},
            }
        )
    (folder / "stack.yaml").write_text(yaml.safe_dump(documents[0]))
    (folder / "things.yaml").write_text(yaml.safe_dump_all(documents[1:]))


def find_blocked(edges: dict[int, set[int]], failing: set[int]) -> set[int]:
    """What cannot be done for a failure, in any number of steps."""
    blocked: set[int] = set()
    for node, used in edges.items():
        if used & (failing | blocked):
            blocked.add(node)
    return blocked


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(graph=graphs(), verb=st.sampled_from(["create", "update"]), parallelism=st.integers(1, 4))
def test_random_graphs(graph: tuple[dict[int, set[int]], set[int]], verb: str, parallelism: int) -> None:
    edges, faulty = graph
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    try:
        world = MemoryWorld()
        provider = MemoryProvider(world)
        (folder / "stack").mkdir()
        source = SourceSpec(str(folder / "stack"))
        with App(str(folder / "store.db"), catalog=MemoryCatalog(provider), parallelism=parallelism) as app:
            write(folder / "stack", edges, 1)
            if verb == "update":
                assert app.reconcile(source).status is RunStatus.CONVERGED
                write(folder / "stack", edges, 2)
            blocked = find_blocked(edges, faulty)
            for node in faulty - blocked:
                world.inject(Fault(verb, "Denied", key=f"Thing/n{node}"))
            report = app.reconcile(source)
            done = {Result.CREATED if verb == "create" else Result.UPDATED}
            results = {int(outcome.address.name[1:]): outcome.result for outcome in report.outcomes}
            assert report.status is RunStatus.FAILED
            assert {node for node, result in results.items() if result is Result.FAILED} == faulty - blocked
            assert {node for node, result in results.items() if result is Result.BLOCKED} == blocked
            assert {result for node, result in results.items() if node not in blocked | faulty} <= done
            # What was done is recorded, with the history of it.
            steps = {int(step.address.name[1:]): step.result for step in app.store.steps(report.run)}
            assert steps == results
            rows = {int(a.name[1:]): row for a, row in app.store.inventory("shop").items() if row.external_id}
            for node in set(edges) - blocked - faulty:
                assert rows[node].body["spec"]["size"] == (1 if verb == "create" else 2)
            session = MemorySession(world, f"{app.store.installation}/shop")
            check_always(look(provider.kinds(), session, app.store, "shop"))

            assert app.reconcile(source).status is RunStatus.CONVERGED
            writes = world.count_writes()
            last = app.reconcile(source)
            assert (last.status, last.plan.has_changes) == (RunStatus.CONVERGED, False)
            assert world.count_writes() == writes
            check_at_rest(look(provider.kinds(), session, app.store, "shop"))
    finally:
        shutil.rmtree(folder)
