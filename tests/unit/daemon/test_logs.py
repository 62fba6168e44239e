from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from trueup.daemon.logs import configure_logs


@pytest.fixture(autouse=True)
def _logs_as_before():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("trueup").setLevel(logging.NOTSET)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fail_with_a_secret_around():
    password = "hunter2"  # noqa: F841 - a local variable that a traceback must not show
    raise ValueError("a bug")


def log_a_crash():
    log = structlog.get_logger("trueup.daemon").bind(stack="shop")
    try:
        fail_with_a_secret_around()
    except ValueError:
        log.exception("crashed", commit="abc")


def test_lines_are_json_when_nobody_reads_them_on_a_terminal():
    stream = io.StringIO()
    configure_logs(stream)
    structlog.get_logger("trueup.daemon").bind(stack="shop").info("run ended", run=7)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "run ended",
        "stack": "shop",
        "run": 7,
        "level": "info",
        "logger": "trueup.daemon",
    }


def test_a_terminal_gets_text_that_begins_with_the_stack():
    stream = Terminal()
    configure_logs(stream)
    structlog.get_logger("trueup.daemon").bind(stack="shop").info("run ended", run=7)
    assert "shop: run ended" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "terminal"])
def test_a_traceback_shows_code_and_no_local_variable(stream):
    configure_logs(stream)
    log_a_crash()
    assert "ValueError: a bug" in stream.getvalue()
    assert "in fail_with_a_secret_around" in stream.getvalue()
    # Once, as the line of code that the traceback may quote; never as a variable's value.
    assert "password = 'hunter2'" not in stream.getvalue()
    assert "locals" not in stream.getvalue()


def test_warnings_of_libraries_come_in_the_same_form_and_their_chatter_does_not_come():
    stream = io.StringIO()
    configure_logs(stream)
    logging.getLogger("urllib3").warning("retrying %s", "once")
    logging.getLogger("urllib3").info("GET /?token=secret")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "retrying once"
