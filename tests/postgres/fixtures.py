"""A PostgreSQL cluster of the tests' own, from the machine's binaries, on a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

USER = "postgres"


def _find_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).resolve().parent if on_path else None


def _install() -> Path | None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "--no-install-recommends", "postgresql"]
        subprocess.run(command, env=environment, capture_output=True, check=False)
    return _find_binaries()


def _as_user(command: list[str]) -> list[str]:
    # The programs of PostgreSQL refuse to run as root.
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *command]


class PostgresServer:
    """A server with a cluster of its own, in a directory below /tmp. It can be stopped and started again."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # Below /tmp, because the path of a socket has at most 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self._data = str(self.directory / "data")
        initdb = [str(binaries / "initdb"), "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8"]
        subprocess.run(_as_user([*initdb, "--no-sync"]), cwd=self.directory, check=True, capture_output=True)

    def start(self) -> None:
        log = self.directory / "log"
        server = [str(self._binaries / "postgres"), "-D", self._data, "-k", str(self.directory), "-h", ""]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                _as_user([*server, "-c", "fsync=off"]), cwd=self.directory, stdout=output, stderr=output
            )
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", str(self.directory)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """At once: whoever is connected loses the connection."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=30)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ask(self, statement: str, database: str = "postgres") -> None:
        import psycopg

        host = str(self.directory)
        with psycopg.connect(host=host, user=USER, dbname=database, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def create(self) -> str:
        """The URL of a new, empty database."""
        name = f"db_{uuid.uuid4().hex[:12]}"
        self.ask(f"CREATE DATABASE {name}")
        return f"postgresql://{USER}@/{name}?host={self.directory}"


def start_server() -> PostgresServer:
    binaries = _find_binaries() or _install()
    if binaries is None:
        reason = "PostgreSQL is not installed (apt-get install postgresql)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    server = PostgresServer(binaries)
    server.start()
    return server


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[PostgresServer]:
    server = start_server()
    yield server
    server.remove()


@pytest.fixture
def postgresql(_postgres_server: PostgresServer) -> Callable[[], str]:
    """Makes empty databases: each call gives the URL of a new one."""
    return _postgres_server.create
