"""The machine itself as a target: the same scripts, run by a shell of its own. Called by `provider`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import selectors
import signal
import subprocess
import time
from pathlib import Path

from trueup.sdk import Invalid, Transient
from trueup_ssh.session import MAX_ERRORS, Execution, check_output


class LocalTransport:
    """Runs `sh -s`, or `sudo -n sh -s`, as a child process."""

    def __init__(self, owners: str, sudo: bool) -> None:
        self.place = "this machine"
        self.fingerprint = _fingerprint(owners, 0 if sudo else os.geteuid())
        needs_sudo = sudo and os.geteuid() != 0
        self._command = ["sudo", "-n", "sh", "-s"] if needs_sudo else ["sh", "-s"]

    def run(self, script: bytes, seconds: float) -> Execution:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            raise Invalid(f"{self.place}: cannot run {self._command[0]}: {error.strerror}") from error
        try:
            return _converse(process, script, time.monotonic() + seconds)
        except subprocess.TimeoutExpired:
            raise Transient(f"{self.place}: no answer within {seconds:.0f} s") from None
        finally:
            if process.poll() is None:
                _end(process)

    def close(self) -> None:
        """Nothing stays open between two scripts."""


def _converse(process: subprocess.Popen[bytes], script: bytes, deadline: float) -> Execution:
    """Feeds the script and reads both streams to their ends, within the bounds of every host."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise Transient("the shell has no streams")
    output, errors, rest = bytearray(), bytearray(), memoryview(script)
    os.set_blocking(process.stdin.fileno(), False)
    with process.stdin, process.stdout, process.stderr, selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("sh", 0)
            for key, _events in selector.select(left):
                if key.fileobj is process.stdin:
                    try:
                        rest = rest[os.write(key.fd, rest) :]
                    except BrokenPipeError:
                        rest = rest[:0]  # it ended early; what it said is still to be read
                    if not rest:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += data
                    check_output(len(output))
                elif len(errors) < MAX_ERRORS:
                    errors += data
    process.wait(max(0.1, deadline - time.monotonic()))
    return Execution(process.returncode, bytes(output), bytes(errors))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the shell and what it started, as far as we may; what sudo started ends at its next write."""
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr, process.stdin):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)


def default_owners(sudo: bool) -> str:
    """Where the markers of this machine are, unless the target says."""
    if sudo or os.geteuid() == 0:
        return "/var/lib/trueup/owners"
    state = os.environ.get("XDG_STATE_HOME", "")
    root = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return str(root / "trueup" / "hosts" / "local" / "owners")


def _fingerprint(owners: str, uid: int) -> str:
    machine = platform.node()
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text:
            machine = text
            break
    digest = hashlib.sha256(f"{machine}\n{uid}\n{owners}".encode()).hexdigest()
    return f"local:{digest[:40]}"
