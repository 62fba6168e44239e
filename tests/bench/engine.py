"""Runs of the engine over the memory provider, in one process that stays up. Started by run.py.

    python engine.py first|plan|reconcile STACK STORE WORLD NODES RUNS

Prints each run's elapsed and processor time as JSON, the first run's too, which has everything to import and
to compile. Each run reads all files anew. The world is read from a file before the first run and, after
`first`, written to it. A run that sees fewer than NODES, finds something to do where nothing is, or writes,
ends with an error: it would not measure what it says.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from trueup.app import App, SourceSpec
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.model.plan import Plan
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import MemoryWorld


def main(command: str, stack: str, store: str, world_file: str, nodes: int, runs: int) -> None:
    file = Path(world_file)
    known = json.loads(file.read_text()) if file.exists() else {"objects": {}, "identity": ""}
    world = MemoryWorld(known["objects"], known["identity"])
    times = []
    with App(f"sqlite:///{store}", catalog=MemoryCatalog(MemoryProvider(world))) as app:
        for _ in range(runs):
            started, cpu_started = time.perf_counter(), time.process_time()
            plan = run_once(app, SourceSpec(stack), command)
            times.append([time.perf_counter() - started, time.process_time() - cpu_started])
            if command != "first":
                check(plan, world, nodes)
            # The next run begins with as little in memory as this one did.
            del plan
    if command == "first":
        objects = {key: world.peek(key) for key in world.list_keys()}
        file.write_text(json.dumps({"objects": objects, "identity": world.identity}))
    print(json.dumps({"runs": times}))


def run_once(app: App, source: SourceSpec, command: str) -> Plan:
    """One run from the files to the plan, and to the record unless it is only a plan."""
    if command == "plan":
        return app.plan(source)
    report = app.reconcile(source)
    if report.status is not RunStatus.CONVERGED:
        raise SystemExit(f"the run did not converge: {report.counts}")
    return report.plan


def check(plan: Plan, world: MemoryWorld, nodes: int) -> None:
    """Ends the process unless the run looked at every node, found nothing to do, and wrote nothing."""
    if len(plan.changes) != nodes or plan.summary[Action.NONE] != nodes or plan.failures:
        raise SystemExit(f"the plan is not that of {nodes} nodes with nothing to do: {plan.summary}")
    looked = sum(call.count for call in world.take_calls() if call.verb == "observe")
    if looked < nodes:
        raise SystemExit(f"the run looked at {looked} of {nodes} nodes")
    if world.count_writes():
        raise SystemExit(f"{world.count_writes()} writes in a run with nothing to do")


if __name__ == "__main__":
    main(*sys.argv[1:5], nodes=int(sys.argv[5]), runs=int(sys.argv[6]))
