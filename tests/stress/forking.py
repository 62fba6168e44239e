"""Runs of trueup in processes that may be killed, each forked from one that has imported everything.

`Runs` is what tests use; executed as a program, this file is the parent of the runs. A run is asked for, and
answered, by one line of JSON.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """One run: of the stack at `folder/stack` with the store `folder/store.db`.

    `where` is the crash point at which it dies. `is_memory`: the world is at `folder/world`. `is_approved`:
    what holds the plan is approved. `is_noted`: the points that it passes are told. `count` runs follow each
    other as long as they converge. `is_inline`: not forked, so that what it loads is there for later ones.
    """

    folder: str
    where: str = ""
    stack: str = "stack"
    is_memory: bool = True
    is_approved: bool = False
    is_noted: bool = False
    is_destroy: bool = False
    count: int = 1
    is_inline: bool = False


@dataclass(frozen=True)
class Answer:
    """How a run ended: `status` is that of the last run, empty where it was killed; `passes` in order.

    `writes` are those that the last run made in a world of memory.
    """

    is_killed: bool
    status: str = ""
    has_changes: bool = False
    writes: int = 0
    problems: list[str] = field(default_factory=list)
    passes: list[str] = field(default_factory=list)
    output: str = ""


class Runs:
    """The parent of the runs, in a process of its own, so that no thread of a test is forked along."""

    def __enter__(self) -> Runs:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, job: Job) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the parent of the runs has died"
        return Answer(**json.loads(line))

    def passes(self, job: Job) -> list[str]:
        """Carries the run out to its end; every point that it passes, as `where` names it."""
        answer = self.run(Job(**{**asdict(job), "is_noted": True}))
        assert not answer.is_killed
        assert answer.status == "converged", answer
        counted: dict[str, int] = {}
        found = []
        for point in answer.passes:
            counted[point] = counted.get(point, 0) + 1
            found.append(f"{point}:{counted[point]}")
        return found


def main() -> None:
    """Serves until its input ends."""
    _import_everything()
    for line in sys.stdin:
        job = Job(**json.loads(line))
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as told:
            child = 0 if job.is_inline else os.fork()
            if job.is_inline:
                told.write(json.dumps(_carry_out(job)))
                told.flush()
            elif child == 0:
                _run_and_end(job, output.fileno(), told.fileno())
            code = os.waitpid(child, 0)[1] if child else 0
            output.seek(0)
            told.seek(0)
            is_killed = os.WIFSIGNALED(code) and os.WTERMSIG(code) == signal.SIGKILL
            lines = told.read().splitlines()
            said = (
                json.loads(lines[-1]) if lines and not is_killed else {"status": "", "problems": [str(code)]}
            )
            answer = Answer(is_killed, output=output.read(), **said)
        sys.stdout.write(json.dumps(asdict(answer)) + "\n")
        sys.stdout.flush()


def _import_everything() -> None:
    """What a run needs, once for all of them: modules, and what they keep after their first use."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Path(folder) / "stack"
        stack.mkdir()
        (stack / "stack.yaml").write_text(
            "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: warm}\n"
            "spec: {allowEmpty: true, targets: [{name: here, provider: memory}]}\n"
        )
        (stack / "thing.yaml").write_text(
            "apiVersion: memory.trueup.dev/v1\nkind: Thing\nmetadata: {name: a}\nspec: {size: 1}\n"
        )
        _carry_out(Job(folder))
    with contextlib.suppress(ImportError):
        from botocore import loaders

        # Each session would read the same large files of botocore again.
        loaders.create_loader = functools.lru_cache(loaders.create_loader)


def _run_and_end(job: Job, output: int, told: int) -> None:
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        said = _carry_out(job)
        os.write(told, json.dumps(said).encode() + b"\n")
        code = 0
    except Exception:  # noqa: BLE001 - the test shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _carry_out(job: Job) -> dict[str, object]:
    from trueup.app import App, SourceSpec
    from trueup.reconcile import crash_point
    from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
    from trueup.sdk.testing.memory_world import FileWorld

    passes: list[str] = []
    if job.where:
        crash_point.arm(job.where)
    elif job.is_noted:
        crash_point.watch(passes.append)
    world = FileWorld(f"{job.folder}/world") if job.is_memory else None
    catalog = MemoryCatalog(MemoryProvider(world)) if world else None
    source = SourceSpec(f"{job.folder}/{job.stack}")
    # One after the other, so that the n-th pass of a point is the same in every run.
    # What a machine remembers of a store lies beside it here, and goes back with it to an earlier moment.
    os.environ["XDG_STATE_HOME"] = f"{job.folder}/state"
    with App(f"{job.folder}/store.db", catalog=catalog, parallelism=1) as app:
        for _ in range(job.count):
            writes = world.count_writes() if world else 0
            if job.is_destroy:
                report = app.destroy(source, confirm=lambda _plan: True)
            else:
                approved = app.plan(source).digest if job.is_approved else ""
                report = app.reconcile(source, approved=approved, approved_by="a test")
            writes = world.count_writes() - writes if world else 0
            if report.status.value != "converged":
                break
    problems = [
        f"{outcome.address}: {outcome.message}; {outcome.hint}"
        for outcome in report.outcomes
        if outcome.result.value in ("failed", "blocked")
    ]
    problems += [hold.message for hold in report.plan.holds] if report.status.value == "held" else []
    return {
        "status": report.status.value,
        "has_changes": report.plan.has_changes,
        "writes": writes,
        "problems": problems,
        "passes": passes,
    }


if __name__ == "__main__":
    main()
