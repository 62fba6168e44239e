"""The deadline of a request that a host does not answer."""

from __future__ import annotations

import threading
import time

import paramiko
import pytest

from trueup_ssh.client import _execute


class SilentChannel:
    """Waits in exec_command as paramiko does: until the answer comes, or the channel is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def exec_command(self, command: str) -> None:
        assert self._closed.wait(60)
        raise paramiko.SSHException("Channel closed.")

    def close(self) -> None:
        self._closed.set()


def test_a_host_that_does_not_answer_a_request_is_given_up_at_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        _execute(SilentChannel(), "sh -s", time.monotonic() + 0.2)  # type: ignore[arg-type]
