"""Signals of real processes: a thing that mocks could only pretend to prove."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import signal, sys, time
# A shell that runs the tests in the background has SIGINT ignored, and nohup SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.path.insert(0, {root!r})
from tests.unit.cli import samples
from trueup.cli import run
from trueup.model.outcome import Result

def until_stopped(stop):
    print("IN FLIGHT", flush=True)
    if not {heeds}:
        time.sleep(60)
    assert stop.wait(60)
    engine.left = (samples.updated().address,)

plan = samples.plan_of(samples.created(), samples.updated())
engine = samples.PlayedEngine(
    plan, (samples.outcome(samples.created(), Result.CREATED),), during=until_stopped
)
if {planning}:
    def plan_for_long(*_):
        print("PLANNING", flush=True)
        time.sleep(60)
    engine._note = plan_for_long
sys.exit(run(["reconcile", "shop", "--yes"], engine=engine))
"""


def start(*, heeds: bool = True, planning: bool = False) -> subprocess.Popen[str]:
    program = PROGRAM.format(root=str(ROOT), heeds=heeds, planning=planning)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    marker = "PLANNING" if planning else "IN FLIGHT"
    for line in process.stdout:
        if line.strip() == marker:
            return process
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_lets_the_calls_in_flight_end(number: signal.Signals) -> None:
    process = start()
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finishing the calls in flight; again to stop at once" in errors
    assert "shop was interrupted: 1 created, 1 not begun" in out
    assert "  shop/Deployment/prod/web@k3s\n" in out


def test_the_second_signal_ends_it_at_once() -> None:
    process = start(heeds=False)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    while "finishing" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the next run looks up what became of the calls in flight" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_anything_was_done_ends_it_at_once(number: signal.Signals) -> None:
    process = start(planning=True)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "\ninterrupted: nothing was done\n"
