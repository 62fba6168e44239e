"""One run of the engine over the memory provider, in a process of its own. Started by run.py.

    python engine.py first|plan|reconcile STACK STORE WORLD

The world is read from a file before the run and, after the first one, written to it. A run that finds
something to do where nothing is, or writes, ends with an error: it would not measure what it says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trueup.app import App, SourceSpec
from trueup.model.outcome import RunStatus
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import MemoryWorld


def main(command: str, stack: str, store: str, world_file: str) -> None:
    file = Path(world_file)
    known = json.loads(file.read_text()) if file.exists() else {"objects": {}, "identity": ""}
    world = MemoryWorld(known["objects"], known["identity"])
    with App(f"sqlite:///{store}", catalog=MemoryCatalog(MemoryProvider(world))) as app:
        if command == "plan":
            plan = app.plan(SourceSpec(stack))
            if plan.has_changes or plan.failures:
                raise SystemExit(f"the plan is not empty: {plan.summary}")
        else:
            report = app.reconcile(SourceSpec(stack))
            if report.status is not RunStatus.CONVERGED:
                raise SystemExit(f"the run did not converge: {report.counts}")
    if command == "first":
        objects = {key: world.peek(key) for key in world.list_keys()}
        file.write_text(json.dumps({"objects": objects, "identity": world.identity}))
    elif world.count_writes():
        raise SystemExit(f"{world.count_writes()} writes in a run with nothing to do")


if __name__ == "__main__":
    main(*sys.argv[1:])
