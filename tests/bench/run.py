"""The engine's benchmark: a run with nothing to do, against `terraform plan` over the same estate.

    python tests/bench/run.py

Prints a table, writes bench-results/engine.json, and ends with 1 where a promise is missed. The promises are
about a process that is up already, as the daemon is; the whole cold process stands beside it in the table.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from estate import Estate
from judgement import Promise, Round, Rounds, Sample, growth_of, judge, median, speedup_of

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "bench-results"
SMALL, LARGE = 2_000, 10_000
ROUNDS = 3
# Runs that count in a process that is up, after one that does not.
RUNS = 5
COMMANDS = ("plan", "reconcile")


def measure(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[Sample, str]:
    """Runs a command to its end: what the whole process took, and its output.

    Raises SystemExit with its output where it fails.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
        if process.returncode:
            errors.seek(0)
            text += errors.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{text[-2000:]}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), text


class Peer:
    """terraform on the same estate, with a state in which everything is applied already."""

    def __init__(self, estate: Estate, folder: Path) -> None:
        self.folder = folder / "terraform"
        estate.write_terraform(self.folder)
        # Nothing outside the folder takes part, and nothing is asked of the network.
        self._environment = {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": "", "TF_IN_AUTOMATION": "1"}
        self._run("init", "-input=false")

    def plan(self) -> Sample:
        """A plan with nothing to do: exit code 0 says that it found nothing."""
        return self._run("plan", "-detailed-exitcode", "-input=false", "-no-color")[0]

    def version(self) -> str:
        """Its version, for the record."""
        return str(json.loads(self._run("version", "-json")[1])["terraform_version"])

    def _run(self, *arguments: str) -> tuple[Sample, str]:
        return measure(["terraform", *arguments], self.folder, self._environment)


class Engine:
    """trueup on the same estate, over the memory provider, after a first run has made everything."""

    def __init__(self, estate: Estate, folder: Path) -> None:
        self._size = estate.size
        self._folder = folder
        estate.write_trueup(folder / "stack")
        self.first = self._run("first", 1)[0]

    def run_cold(self, command: str) -> Sample:
        """One run in a process of its own, with all that it takes to start it."""
        return self._run(command, 1)[0]

    def run_up(self, command: str) -> Sample:
        """The median of the runs after the first one in a process; the memory is that of the process."""
        whole, text = self._run(command, 1 + RUNS)
        runs = json.loads(text)["runs"][1:]
        seconds = tuple(run["seconds"] for run in runs)
        cpu = statistics.median(run["cpu"] for run in runs)
        growth = (runs[-1]["memory"] - runs[0]["memory"]) / (RUNS - 1)
        return Sample(statistics.median(seconds), cpu, whole.memory, seconds, growth)

    def _run(self, command: str, runs: int) -> tuple[Sample, str]:
        files = [str(self._folder / name) for name in ("stack", "store.db", "world.json")]
        arguments = [command, *files, str(self._size), str(runs)]
        return measure([sys.executable, str(HERE / "engine.py"), *arguments], self._folder)


@dataclass
class Results:
    """Everything that was measured. `peer_large` stands in each round of the large estate too."""

    first_small: Sample
    first_large: Sample
    terraform: str = ""
    peer_large: Sample | None = None
    small: dict[str, list[Round]] = field(default_factory=lambda: {command: [] for command in COMMANDS})
    large: dict[str, list[Round]] = field(default_factory=lambda: {command: [] for command in COMMANDS})


def run_benchmark(folder: Path) -> Results:
    """Every measurement. What is compared runs one after the other, so that both meet the same machine."""
    small = Engine(Estate(SMALL), folder / "small")
    large = Engine(Estate(LARGE), folder / "large")
    results = Results(small.first, large.first)
    peer = Peer(Estate(SMALL), folder / "small") if shutil.which("terraform") else None
    if peer is not None:
        results.terraform = peer.version()
        # Once: it takes as long as all the rest.
        results.peer_large = Peer(Estate(LARGE), folder / "large").plan()
    for _ in range(ROUNDS):
        for command in COMMANDS:
            beside = peer.plan() if peer is not None else None
            results.small[command].append(Round(beside, small.run_up(command), small.run_cold(command)))
            beside = results.peer_large
            results.large[command].append(Round(beside, large.run_up(command), large.run_cold(command)))
    return results


def show(results: Results, promises: Sequence[Promise]) -> None:
    """The table for each size, the growth, and the promises."""
    print(f"a run with nothing to do; medians of {ROUNDS} rounds; seconds are this machine's")
    for size, rounds, first in (
        (SMALL, results.small, results.first_small),
        (LARGE, results.large, results.first_large),
    ):
        title = f"{size:,} nodes, {Estate(size).edges:,} edges"
        print(f"\n{title:36}{'elapsed':>9}{'processor':>11}{'memory':>11}{'terraform takes':>17}")
        peers = [found.peer for command in COMMANDS for found in rounds[command] if found.peer is not None]
        if peers:
            show_row("terraform plan, whole process", median(peers))
        show_rounds(rounds)
        show_row("reconcile that makes it all, cold", first)
    print(f"\n{LARGE:,} nodes against {SMALL:,}:")
    for command in COMMANDS:
        small, large = results.small[command], results.large[command]
        elapsed = median(r.up for r in large).seconds / median(r.up for r in small).seconds
        growth = growth_of(small, large)
        print(f"  {command}, process already up: {growth:.1f}x processor time, {elapsed:.1f}x elapsed")
    print("\neach further run in the same process adds to its memory:")
    for command in COMMANDS:
        more = [median(r.up for r in rounds[command]).growth for rounds in (results.small, results.large)]
        print(f"  {command}: {more[0]:.1f} MiB with {SMALL:,} nodes, {more[1]:.1f} MiB with {LARGE:,}")
    print()
    for promise in promises:
        print(f"{'kept  ' if promise.is_kept else 'MISSED'} {promise.text}: {promise.measured:.1f}")
    print("The promises are about a process that is up; the cold process carries none.")
    if not results.terraform:
        print("terraform is not installed: no comparison with it")


def show_rounds(rounds: Rounds) -> None:
    """trueup's rows: each command in a process that is up, and in a cold one."""
    for command in COMMANDS:
        found = rounds[command]
        up, cold = speedup_of(found, lambda r: r.up), speedup_of(found, lambda r: r.cold)
        show_row(f"{command}, process already up", median(r.up for r in found), up)
        show_row(f"{command}, whole cold process", median(r.cold for r in found), cold)


def show_row(name: str, sample: Sample, ratio: float | None = None) -> None:
    ratio_text = f"{ratio:16.1f}x" if ratio is not None else ""
    print(f"{name:36}{sample.seconds:8.2f}s{sample.cpu:10.2f}s{sample.memory:7.0f} MiB{ratio_text}")


def main() -> int:
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="trueup-bench-") as folder:
        results = run_benchmark(Path(folder))
    promises = judge(results.small, results.large)
    show(results, promises)
    print(
        f"{cores} cores, Python {platform.python_version()}, terraform {results.terraform or 'none'}; "
        f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    if load > cores / 2:
        print("the machine had other work: measure again for numbers to quote")
    RESULTS.mkdir(exist_ok=True)
    report = {
        "sizes": {"small": SMALL, "large": LARGE},
        "cores": cores,
        "python": platform.python_version(),
        "load_before": load,
        "results": asdict(results),
        "promises": [asdict(promise) for promise in promises],
    }
    (RESULTS / "engine.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(promise.is_kept for promise in promises) else 1


if __name__ == "__main__":
    raise SystemExit(main())
