"""Why a script did not come to its end, from what the shell and sudo say."""

from __future__ import annotations

import pytest

from trueup.sdk import Denied, Invalid, Transient
from trueup_ssh.errors import error_of, failure_of


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (1, "sudo: a password is required", Denied),
        (1, "sudo: a terminal is required to read the password", Denied),
        (1, "sudo: sorry, you must have a tty to run sudo", Denied),
        (1, "op is not in the sudoers file.", Denied),
        (1, "Sorry, user op is not allowed to execute '/bin/sh -s' as root on h1.", Denied),
        (1, "This account is currently not available.", Denied),
        (127, "sh: 1: sudo: not found", Invalid),
        (None, "", Transient),
        (-9, "", Transient),
        (137, "Killed", Transient),
    ],
)
def test_what_a_shell_says_becomes_an_error(status: int | None, words: str, error: type[Exception]) -> None:
    failure = failure_of("web-1", status, words)
    assert type(failure) is error
    assert "web-1" in failure.message


def test_an_unknown_code_is_invalid() -> None:
    assert type(error_of("new", "what")) is Invalid
