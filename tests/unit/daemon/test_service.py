from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from trueup.daemon.service import Service, serve_until_stopped
from trueup.errors import UsageError
from trueup.model.outcome import RunStatus


@pytest.fixture
def serve(engine, metrics, clock, daemon):
    """Makes a service of stacks with one commit each; it is drained when the test ends."""
    made = []

    def make(*names):
        engine.commits.update(dict.fromkeys(names, "a"))
        service = Service(engine, [daemon.followed(name) for name in names], metrics, clock)
        made.append(service)
        return service

    yield make
    for service in made:
        assert service.drain(30) == ()


def test_a_service_without_stacks_is_refused(engine, metrics):
    with pytest.raises(UsageError, match="no stack"):
        Service(engine, [], metrics)


def test_a_stack_that_hangs_or_crashes_does_not_touch_the_others(serve, engine, daemon):
    release = threading.Event()

    def behave(location, commit, stop):
        if location == "hangs":
            assert release.wait(60)
        if location == "crashes":
            raise ZeroDivisionError("a bug")
        return RunStatus.CONVERGED

    engine.behave = behave
    service = serve("hangs", "crashes", "works")
    service.start()
    daemon.wait_until(lambda: {name for name, _ in engine.runs} == {"hangs", "crashes", "works"})
    engine.commits["works"] = "b"
    service.look()
    daemon.wait_until(lambda: engine.runs_of("works") == ["a", "b"])
    assert service.find_faults() == {}
    daemon.wait_until(lambda: list(service.find_unready()) == ["hangs"])
    release.set()
    daemon.wait_until(lambda: not service.find_unready())


def test_a_stack_that_nobody_looks_at_is_named(serve, engine, clock, daemon):
    service = serve("shop", "network")
    service.start()
    daemon.wait_until(lambda: not service.find_unready())
    clock.advance(2000)
    assert list(service.find_faults()) == ["shop", "network"]


def test_a_drain_lets_runs_end_and_names_those_that_do_not(serve, engine, clock, daemon):
    release = threading.Event()

    def behave(location, commit, stop):
        assert (release if location == "stubborn" else stop).wait(60)
        return RunStatus.INTERRUPTED

    engine.behave = behave
    service = serve("stubborn", "polite")
    service.start()
    daemon.wait_until(lambda: len(engine.runs) == 2)
    assert service.drain(0.2) == ("stubborn",)
    assert set(service.find_unready()) == {"stubborn", "polite"}
    release.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_handlers_are_as_before(serve, engine, daemon, number):
    before = signal.getsignal(number)
    service = serve("shop")

    def kill_when_run():
        daemon.wait_until(lambda: engine.runs)
        os.kill(os.getpid(), number)

    killer = threading.Thread(target=kill_when_run)
    killer.start()
    assert serve_until_stopped(service, drain_timeout=30) is True
    killer.join()
    assert signal.getsignal(number) is before


def test_a_hangup_looks_at_every_source_at_once(serve, engine, daemon):
    service = serve("shop")

    def push_then_hang_up_then_end():
        daemon.wait_until(lambda: engine.runs_of("shop") == ["a"])
        engine.commits["shop"] = "b"
        os.kill(os.getpid(), signal.SIGHUP)
        daemon.wait_until(lambda: engine.runs_of("shop") == ["a", "b"])
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=push_then_hang_up_then_end)
    sender.start()
    assert serve_until_stopped(service, drain_timeout=30) is True
    sender.join()
    assert engine.runs_of("shop") == ["a", "b"]


STUBBORN = """
import threading
from trueup.app import SourceSpec
from trueup.daemon.engine import Followed
from trueup.daemon.metrics import Metrics
from trueup.daemon.service import Service, serve_until_stopped

class Engine:
    def latest_commit(self, source):
        return "a"
    def follow(self, source):
        print("running", flush=True)
        threading.Event().wait()

service = Service(Engine(), [Followed("shop", SourceSpec("shop"))], Metrics())
serve_until_stopped(service, drain_timeout=3600)
"""


def test_a_second_signal_ends_the_process_on_the_spot():
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        # Everything up to the line that says that the first signal was taken.
        line = ""
        while "running" not in line:
            line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        while "stopping" not in line:
            line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert "stopped at once" in errors
