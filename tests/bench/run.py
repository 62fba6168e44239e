"""The engine's benchmark: a run with nothing to do, against `terraform plan` over the same estate.

    python tests/bench/run.py

Prints a table of ratios, writes bench-results/engine.json, and ends with 1 where a promise is missed. Each
measurement is a whole process, fresh each time: reading the files, the graph, the state, the comparison.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from estate import Estate

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "bench-results"
SMALL, LARGE = 2_000, 10_000
ROUNDS = 3
COMMANDS = ("plan", "reconcile")
# What is promised: how many times faster than terraform, and how time may grow from small to large.
LEAST_SPEEDUP = 5.0
MOST_GROWTH = 6.0


@dataclass(frozen=True)
class Sample:
    """One process: elapsed and processor time in seconds, and the most memory it held, in MiB."""

    seconds: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Promise:
    """A number that has to be met, and whether it was."""

    text: str
    measured: float
    is_kept: bool


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Sample:
    """Runs a command to its end. Raises SystemExit with its output where it fails."""
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each quantity by itself."""
    return Sample(
        statistics.median(sample.seconds for sample in samples),
        statistics.median(sample.cpu for sample in samples),
        statistics.median(sample.memory for sample in samples),
    )


class Peer:
    """terraform on the same estate, with a state in which everything is applied already."""

    def __init__(self, estate: Estate, folder: Path) -> None:
        self.folder = folder / "terraform"
        estate.write_terraform(self.folder)
        # Nothing outside the folder takes part, and nothing is asked of the network.
        self._environment = {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": "", "TF_IN_AUTOMATION": "1"}
        measure(["terraform", "init", "-input=false"], self.folder, self._environment)

    def plan(self) -> Sample:
        """A plan with nothing to do: exit code 0 says that it found nothing."""
        command = ["terraform", "plan", "-detailed-exitcode", "-input=false", "-no-color"]
        return measure(command, self.folder, self._environment)


class Engine:
    """trueup on the same estate, over the memory provider, after a first run has made everything."""

    def __init__(self, estate: Estate, folder: Path) -> None:
        self.folder = folder
        estate.write_trueup(folder / "stack")
        self.first = self.run("first")

    def run(self, command: str) -> Sample:
        """One command in a process of its own."""
        files = [str(self.folder / name) for name in ("stack", "store.db", "world.json")]
        return measure([sys.executable, str(HERE / "engine.py"), command, *files], self.folder)


def run_benchmark(folder: Path) -> dict[str, list[Sample]]:
    """Every measurement by name, one sample a round.

    What is compared runs one after the other in each round, so that both meet the same machine.
    """
    small = Engine(Estate(SMALL), folder / "small")
    large = Engine(Estate(LARGE), folder / "large")
    has_peer = shutil.which("terraform") is not None
    peer = Peer(Estate(SMALL), folder / "small") if has_peer else None
    samples: dict[str, list[Sample]] = {
        "first reconcile, small": [small.first],
        "first reconcile, large": [large.first],
    }
    if has_peer:
        # For the record, and once: it takes as long as all the rest.
        samples["terraform plan, large"] = [Peer(Estate(LARGE), folder / "large").plan()]
    for _ in range(ROUNDS):
        for command in COMMANDS:
            if peer is not None:
                samples.setdefault(f"terraform plan before {command}", []).append(peer.plan())
            samples.setdefault(f"{command}, small", []).append(small.run(command))
            samples.setdefault(f"{command}, large", []).append(large.run(command))
    return samples


def judge(samples: Mapping[str, Sequence[Sample]]) -> list[Promise]:
    """The promises that could be measured, each by the median of the rounds' ratios.

    Against the peer it is elapsed time that a person waits for. Growth is judged by processor time: the
    engine computes on one core here, and the other work of a machine does not show in it.
    """
    promises = []
    for command in COMMANDS:
        small, large = samples[f"{command}, small"], samples[f"{command}, large"]
        peer = samples.get(f"terraform plan before {command}")
        if peer is not None:
            ratio = statistics.median(p.seconds / s.seconds for p, s in zip(peer, small, strict=True))
            text = (
                f"{command} with nothing to do: at least {LEAST_SPEEDUP:g} times faster than terraform plan"
            )
            promises.append(Promise(text, ratio, ratio >= LEAST_SPEEDUP))
        growth = statistics.median(big.cpu / s.cpu for big, s in zip(large, small, strict=True))
        text = f"{command}: {LARGE // SMALL} times the nodes take at most {MOST_GROWTH:g} times as long"
        promises.append(Promise(text, growth, growth <= MOST_GROWTH))
    return promises


def show(results: Mapping[str, Sample], promises: Sequence[Promise]) -> None:
    """The table: ratios to the small no-op plan, and seconds for the record."""
    unit = results["plan, small"]
    for name, size in (("small", SMALL), ("large", LARGE)):
        print(f"{name}: {size} nodes, {Estate(size).edges} edges")
    print(f"times are ratios to trueup's plan of the small estate; median of {ROUNDS}\n")
    print(f"{'':32}{'elapsed':>10}{'processor':>11}{'memory':>11}{'seconds':>10}")
    for name, sample in sorted(results.items(), key=lambda item: item[1].seconds):
        print(
            f"{name:32}{sample.seconds / unit.seconds:9.2f}x{sample.cpu / unit.cpu:10.2f}x"
            f"{sample.memory:7.0f} MiB{sample.seconds:9.2f}s"
        )
    print()
    for promise in promises:
        print(f"{'kept  ' if promise.is_kept else 'MISSED'} {promise.text}: {promise.measured:.1f}")
    if not any(name.startswith("terraform") for name in results):
        print("terraform is not installed: no comparison with it")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        print(f"the machine was busy (load {load:.1f} on {cores} cores): measure again for numbers to quote")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="trueup-bench-") as folder:
        samples = run_benchmark(Path(folder))
    results = {name: median(found) for name, found in samples.items()}
    promises = judge(samples)
    show(results, promises)
    RESULTS.mkdir(exist_ok=True)
    report = {
        "sizes": {"small": SMALL, "large": LARGE},
        "samples": {name: [asdict(sample) for sample in found] for name, found in samples.items()},
        "promises": [asdict(promise) for promise in promises],
    }
    (RESULTS / "engine.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(promise.is_kept for promise in promises) else 1


if __name__ == "__main__":
    raise SystemExit(main())
