"""A real sshd on loopback with a host key of its own, whose shell can misbehave. For the tests of faults.

It leads to this machine, as the user who runs the tests: use it with a `stateDir` of the test's own.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from trueup.sdk import Target, Value

# What stands between sshd and the shell that was asked for: `mode` says what becomes of it.
SHELL = """\
#!/bin/sh
case "$(cat {folder}/mode)" in
  good) exec sh -c "$SSH_ORIGINAL_COMMAND" ;;
  missing) echo "sh: 1: sh: not found" >&2; exit 127 ;;
  sudo) echo "sudo: a password is required" >&2; exit 1 ;;
  silent) cat >/dev/null; exit 0 ;;
  noise) echo "Welcome to this host"; cat >/dev/null; exit 0 ;;
  half)
    sh -c "$SSH_ORIGINAL_COMMAND" >{folder}/answer
    head -c $(($(wc -c <{folder}/answer) / 2)) {folder}/answer ;;
  killed) kill -9 $PPID ;;
  lost)
    sh -c "$SSH_ORIGINAL_COMMAND" >{folder}/answer
    [ -e "$(cat {folder}/watched)" ] && rm {folder}/watched && kill -9 $PPID
    cat {folder}/answer ;;
esac
"""


class Sshd:
    """Use it as a context manager. `key` is the type of its host key: a client knows one of each type."""

    def __init__(self, folder: Path, key: str = "ed25519") -> None:
        self._folder = folder
        folder.mkdir()
        for name, kind in (("host", key), ("user", "ed25519")):
            command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        self.behave("good")
        shell = folder / "shell"
        shell.write_text(SHELL.format(folder=folder))
        shell.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nPidFile {folder}/pid\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nForceCommand {shell}\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        )
        self._seen = 0

    def __enter__(self) -> Sshd:
        sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        assert sshd, "install openssh-server"
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self._folder / "log").open("wb") as log:
            command = [sshd, "-D", "-e", "-f", str(self._folder / "config")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self._process.poll() is None, self._log()
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)

    def behave(self, mode: str) -> None:
        """What the shells that are started from now on do: `good`, or one of those in SHELL."""
        (self._folder / "mode").write_text(mode)

    def lose(self, path: Path) -> None:
        """The answer of the command that makes this path is lost, once: the connection dies after it."""
        (self._folder / "watched").write_text(str(path))
        self.behave("lost")

    def target(self, name: str, port: int = 0, **config: Value) -> Target:
        """A target that leads here, or through another port, with `known_hosts` of this sshd."""
        self.know(port or self.port, self)
        settings = {
            "host": "127.0.0.1",
            "port": port or self.port,
            "user": getpass.getuser(),
            "identityFile": str(self._folder / "user"),
            "knownHosts": str(self._folder / "known_hosts"),
            "connectTimeout": 3,
            **config,
        }
        return Target(name, "ssh", config=settings)

    def know(self, port: int, *servers: Sshd) -> None:
        """These servers' host keys, and no other, are known at a port. They also take each other's user."""
        lines = []
        for server in servers:
            kind, key = (server._folder / "host.pub").read_text().split()[:2]
            lines.append(f"[127.0.0.1]:{port} {kind} {key}\n")
            if server is not self:
                shutil.copy(self._folder / "user.pub", server._folder / "authorized")
        (self._folder / "known_hosts").write_text("".join(lines))

    def log_since_last_look(self) -> str:
        text = self._log()
        new, self._seen = text[self._seen :], len(text)
        return new

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")
