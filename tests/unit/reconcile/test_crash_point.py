from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trueup.errors import UsageError
from trueup.reconcile import crash_point

CODE = (
    "from trueup.reconcile.crash_point import reach; reach('before-call'); reach('before-call'); print('on')"
)


def run(where: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, crash_point.VARIABLE: where}
    return subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("where", ["before-call", "before-call:2"])
def test_the_process_is_killed_at_the_pass_that_was_asked_for(where: str) -> None:
    assert run(where).returncode == -signal.SIGKILL


@pytest.mark.parametrize("where", ["", "before-call:3", "after-call"])
def test_the_process_goes_on_where_that_pass_does_not_come(where: str) -> None:
    assert run(where).stdout == "on\n"


@pytest.mark.parametrize("where", ["befor-call", "before-call:0", "before-call:x", ":1"])
def test_a_point_that_is_none_is_an_error(where: str) -> None:
    with pytest.raises(UsageError, match="names no point of a run"):
        crash_point.arm(where)


def test_every_point_is_reached_somewhere_and_no_other() -> None:
    folder = Path(crash_point.__file__).parent
    reached = {
        name for file in folder.glob("*.py") for name in re.findall(r'reach\("([^"]+)"\)', file.read_text())
    }
    assert reached == set(crash_point.POINTS)
