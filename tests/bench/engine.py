"""Runs of the engine over the memory provider, in one process that stays up. Started by run.py.

    python engine.py first|plan|reconcile STACK STORE WORLD NODES RUNS

Prints as JSON what each run took: elapsed and processor time, and the most memory in MiB that the process has
held by its end. The first run has everything to import and to compile; each one reads all files anew. The
world is read from a file before the first run and, after `first`, written to it. A run that sees other than
NODES, finds something to do where nothing is, or writes, ends with an error: it would not measure what it
says.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trueup.app import App, SourceSpec
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import Call, MemoryWorld


def main(arguments: Sequence[str]) -> None:
    command, stack, store, world_file = arguments[:4]
    nodes, runs = int(arguments[4]), int(arguments[5])
    file = Path(world_file)
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"objects": {}, "identity": ""}
    world = MemoryWorld(known["objects"], known["identity"])
    taken = []
    with App(f"sqlite:///{store}", catalog=MemoryCatalog(MemoryProvider(world))) as app:
        for _ in range(runs):
            calls_before = len(world.calls())
            started, cpu_started = time.perf_counter(), time.process_time()
            run(app, SourceSpec(stack), command, nodes)
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            taken.append({"seconds": seconds, "cpu": cpu, "memory": memory})
            if command != "first":
                check_calls(world.calls()[calls_before:], nodes)
    if command == "first":
        objects = {key: world.peek(key) for key in world.list_keys()}
        file.write_text(json.dumps({"objects": objects, "identity": world.identity}))
    print(json.dumps({"runs": taken}))


def run(app: App, source: SourceSpec, command: str, nodes: int) -> None:
    """One run, from the files to the plan, and to the record unless it is only a plan.

    What it made is let go when it returns, so that this is measured too.
    """
    if command == "plan":
        plan = app.plan(source)
    else:
        report = app.reconcile(source)
        plan = report.plan
        if report.status is not RunStatus.CONVERGED:
            raise SystemExit(f"the run did not converge: {report.counts}")
    expected = Action.CREATE if command == "first" else Action.NONE
    if len(plan.changes) != nodes or plan.summary[expected] != nodes or plan.failures:
        raise SystemExit(f"{command}: not a plan of {nodes} times {expected.value}: {plan.summary}")


def check_calls(calls: Sequence[Call], nodes: int) -> None:
    """Ends the process unless a run looked at every node and wrote nothing."""
    looked = sum(call.count for call in calls if call.verb == "observe")
    if looked < nodes:
        raise SystemExit(f"the run looked at {looked} of {nodes} nodes")
    if writes := [call for call in calls if call.is_write]:
        raise SystemExit(f"{len(writes)} writes in a run with nothing to do")


if __name__ == "__main__":
    main(sys.argv[1:])
