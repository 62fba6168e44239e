"""Whether the holder of a lease still lives."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.state import process
from trueup.state.process import Clock, Process, is_dead, this_process


def test_this_process_lives():
    me = this_process()
    assert me.pid == os.getpid()
    assert me.machine
    assert not is_dead(me)


def test_a_process_that_was_reaped_is_dead():
    child = subprocess.Popen(["true"])
    child.wait()
    assert is_dead(replace(this_process(), pid=child.pid))


def test_another_process_with_the_same_id_does_not_count():
    assert is_dead(replace(this_process(), started=1))


def test_a_process_that_ended_and_was_not_reaped_is_dead():
    child = subprocess.Popen(["sleep", "60"])
    started = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    holder = replace(this_process(), pid=child.pid, started=started)
    assert not is_dead(holder)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(holder)
    child.wait()


@pytest.mark.parametrize("machine", ["", "another boot pid:[1] time:[1]"])
def test_nothing_is_known_of_a_process_elsewhere(machine: str):
    assert not is_dead(Process(machine, 2**22 + 1, 1))


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_machine", lambda: "")
    assert this_process().machine == ""
    assert not is_dead(this_process())


def test_the_steady_clock_runs_on():
    clock = Clock()
    first = clock.steady()
    assert clock.steady() >= first > 0
