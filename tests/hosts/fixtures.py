"""Pytest fixtures: real Debian hosts with systemd and sshd, on this machine. Registered by tests/conftest.py.

`hosts` needs root; where it cannot have hosts it skips with the reason, and fails in CI. One lab a machine:
a lock makes other test runs wait. Tests that use it carry `pytest.mark.hosts` and
`pytest.mark.xdist_group("hosts")`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from trueup.sdk import Target, Value

HERE = Path(__file__).parent
LAB = HERE / "lab.sh"
RUN = Path("/run/trueup-hosts")
LOCK = Path("/run/trueup-hosts.lock")
COUNT = 3
BUILD_SECONDS = 1200
# What the scripts need: a command, and the Debian package that brings it.
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "dpkg-scanpackages": "dpkg-dev",
}


class LabError(Exception):
    """The hosts cannot be had on this machine, and why."""


@dataclass
class Host:
    """One host of the lab. Its disk lasts until `fresh`, whatever tests do to it."""

    name: str
    ip: str
    directory: Path

    @property
    def identity_file(self) -> Path:
        return self.directory / "id"

    @property
    def known_hosts(self) -> Path:
        return RUN / "known_hosts"

    @property
    def disk(self) -> Path:
        """Its root directory as this machine sees it; for reading."""
        return RUN / self.name / "root"

    def target(self, name: str = "", labels: dict[str, str] | None = None, **config: Value) -> Target:
        """A target of the ssh provider: root by key, unless `config` says otherwise."""
        settings = {
            "host": self.ip,
            "user": "root",
            "identityFile": str(self.identity_file),
            "knownHosts": str(self.known_hosts),
            **config,
        }
        return Target(name or self.name, "ssh", labels or {}, settings)

    def run(self, command: str, *, user: str = "root", check: bool = True, timeout: float = 120.0) -> str:
        """What a shell command prints, errors too, run past the provider. Raises where it fails."""
        options = [
            "-oBatchMode=yes",
            "-oConnectTimeout=10",
            f"-oUserKnownHostsFile={self.known_hosts}",
            f"-oIdentityFile={self.identity_file}",
            "-oIdentitiesOnly=yes",
            "-oLogLevel=ERROR",
        ]
        done = subprocess.run(
            ["ssh", "-F", "none", *options, f"{user}@{self.ip}", "sh -s"],
            input=command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {command!r} ended with {done.returncode}: {done.stderr}")
        return done.stdout + done.stderr

    def exec_count(self) -> int:
        """How many commands its sshd has started since its disk was made, by sshd's own log."""
        return self._log().count("Starting session: ")

    def login_count(self) -> int:
        """How many logins its sshd has accepted."""
        return self._log().count("Accepted publickey for ")

    def attempt_count(self) -> int:
        """How many times anyone tried to authenticate."""
        log = self._log()
        return sum(log.count(word) for word in ("Accepted ", "Failed ", "Postponed ", "by authenticating"))

    def off(self) -> None:
        """Pulls the plug."""
        self._lab("off")

    def on(self) -> None:
        """Starts it again, with its disk and host key."""
        self._lab("on")

    def cut(self) -> None:
        """No packet reaches it any more, and nothing says so."""
        self._lab("cut")

    def heal(self) -> None:
        """Undoes `cut`."""
        self._lab("heal")

    def freeze(self) -> None:
        """Its kernel accepts connections; no process does anything."""
        self._lab("freeze")

    def thaw(self) -> None:
        """Undoes `freeze`."""
        self._lab("thaw")

    def fresh(self) -> None:
        """A new disk and a new host key."""
        self._lab("fresh")

    def _log(self) -> str:
        path = self.disk / "var/log/sshd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _lab(self, verb: str) -> None:
        run_script(LAB, verb, self.name, directory=self.directory)


def image_directory() -> Path:
    """Where the base image is kept: one for each version of the script that builds it."""
    given = os.environ.get("HOSTS_DIR")
    if given:
        return Path(given)
    cache = Path(os.environ.get("TRUEUP_TEST_CACHE") or Path.home() / ".cache" / "trueup-tests")
    version = hashlib.sha256((HERE / "build.sh").read_bytes()).hexdigest()[:16]
    return cache / "hosts" / version


def run_script(script: Path, *words: str, directory: Path, timeout: float = 120.0) -> str:
    """What a script of the lab prints. Raises LabError with its last words."""
    environment = {**os.environ, "HOSTS_DIR": str(directory)}
    try:
        done = subprocess.run(
            ["bash", str(script), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{script.name} {' '.join(words)} took longer than {timeout:.0f} s") from None
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise LabError(f"{script.name} {' '.join(words)} ended with {done.returncode}: {tail}")
    return done.stdout


def install_tools() -> None:
    """Installs the Debian packages that the lab needs, where they are missing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = sorted({package for command, package in NEEDED.items() if not shutil.which(command, path=path)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"these are not installed: {', '.join(missing)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(
            ["apt-get", "-q", *words],
            env=quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise LabError(f"cannot install {', '.join(missing)}: {done.stderr.strip()[-500:]}")


@contextmanager
def lab_of(count: int) -> Iterator[Sequence[Host]]:
    """Fresh hosts, alone on this machine, removed at the end whatever happens."""
    if os.geteuid() != 0:
        raise LabError("the test hosts need root")
    install_tools()
    directory = image_directory()
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_script(HERE / "build.sh", str(directory), directory=directory, timeout=BUILD_SECONDS)
        run_script(LAB, "down", directory=directory)
        try:
            lines = run_script(LAB, "up", str(count), directory=directory).split("\n")
            yield tuple(Host(*line.split(), directory) for line in lines if line)
        finally:
            run_script(LAB, "down", directory=directory)


@pytest.fixture(scope="session")
def hosts() -> Iterator[Sequence[Host]]:
    """Three fresh hosts, for the whole session. A test that spoils one calls its `fresh`."""
    lab = lab_of(COUNT)
    try:
        made = lab.__enter__()
    except LabError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no test hosts: {error}")
        pytest.skip(f"no test hosts: {error}")
    try:
        yield made
    finally:
        lab.__exit__(None, None, None)


@pytest.fixture
def fresh_host(hosts: Sequence[Host]) -> Host:
    """The first host with a fresh disk."""
    host = hosts[0]
    host.fresh()
    return host
