from __future__ import annotations

import time
from io import StringIO

import pytest
from rich.console import Console
from tests.unit.cli import samples

from trueup.cli.output import make_console
from trueup.cli.progress import Progress
from trueup.model.outcome import Result
from trueup.model.plan import Plan


def ignore(_plan: Plan) -> None: ...


class Broken(StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_on_a_pipe_each_event_is_a_line() -> None:
    out = StringIO()
    with Progress(make_console(out), ignore, is_live=False) as progress:
        progress.started(samples.created())
        progress.waiting(samples.created().address, "the file\nsettles\x1b")
        progress.finished(samples.outcome(samples.created(), Result.CREATED))
        progress.finished(samples.outcome(samples.unchanged("a"), Result.UNCHANGED))
        progress.finished(samples.outcome(samples.updated(), Result.FAILED, "one\ntwo"))
    assert out.getvalue() == (
        "waiting shop/File/site@web-1: the file settles\\x1b\n"
        "created shop/File/site@web-1 (0.3s)\n"
        "failed shop/Deployment/prod/web@k3s (12s): one two\n"
    )


def live_console(out: StringIO, width: int = 100, height: int = 10) -> Console:
    return Console(
        file=out, force_terminal=True, width=width, height=height, color_system=None, legacy_windows=False
    )


def test_on_a_terminal_the_steps_under_way_are_drawn_below() -> None:
    out = StringIO()
    with Progress(live_console(out), ignore, is_live=True) as progress:
        progress.started(samples.created())
        progress.started(samples.updated())
        progress.waiting(samples.updated().address, "1 of 3 pods are ready")
        deadline = time.monotonic() + 60
        while "pods are ready" not in out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        progress.finished(samples.outcome(samples.created(), Result.CREATED))
    shown = out.getvalue()
    assert "creating shop/File/site@web-1  0s" in shown
    assert "updating shop/Deployment/prod/web@k3s  0s, waiting: 1 of 3 pods are ready" in shown
    assert "created shop/File/site@web-1 (0.3s)\n" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_the_live_area_never_outgrows_the_terminal() -> None:
    out = StringIO()
    console = live_console(out, width=30, height=8)
    progress = Progress(console, ignore, is_live=False)
    for number in range(20):
        progress.started(samples.unchanged(f"{number}-{'x' * 60}"))
    console.print(progress._render())
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert max(len(line) for line in lines) <= 30
    assert lines[-1].strip() == "and 15 more"


def test_a_terminal_that_went_away_does_not_end_the_run() -> None:
    shown: list[Plan] = []
    with Progress(make_console(Broken()), shown.append, is_live=False) as progress:
        progress.finished(samples.outcome(samples.created(), Result.CREATED))
        progress.finished(samples.outcome(samples.updated(), Result.UPDATED))


def test_a_silent_progress_still_learns_of_the_plan() -> None:
    out, shown = StringIO(), list[Plan]()
    with Progress(make_console(out), shown.append, is_live=True, is_silent=True) as progress:
        progress.planned(samples.converged_plan())
        progress.started(samples.created())
        progress.finished(samples.outcome(samples.created(), Result.CREATED))
    assert shown == [samples.converged_plan()]
    assert out.getvalue() == ""


@pytest.mark.parametrize("result", list(Result))
def test_every_result_has_a_line(result: Result) -> None:
    out = StringIO()
    progress = Progress(make_console(out), ignore, is_live=False)
    progress.finished(samples.outcome(samples.created(), result))
    assert (result.value in out.getvalue()) == (result is not Result.UNCHANGED)
