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


@pytest.fixture(scope="session")
def _postgres_socket() -> Iterator[Path]:
    binaries = _find_binaries() or _install()
    if binaries is None:
        reason = "PostgreSQL is not installed (apt-get install postgresql)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    # Below /tmp, because the path of a socket has at most 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.chown(directory, user.pw_uid, user.pw_gid)
    data = directory / "data"
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(_as_user(initdb), cwd=directory, check=True, capture_output=True)
    log = directory / "log"
    server = [str(binaries / "postgres"), "-D", str(data), "-k", str(directory), "-h", "", "-c", "fsync=off"]
    with log.open("wb") as output:
        process = subprocess.Popen(_as_user(server), cwd=directory, stdout=output, stderr=output)
    try:
        ready = [str(binaries / "pg_isready"), "-q", "-h", str(directory)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield directory
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgresql(_postgres_socket: Path) -> Callable[[], str]:
    """Makes empty databases: each call gives the URL of a new one."""
    import psycopg

    def create() -> str:
        name = f"db_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(host=str(_postgres_socket), user=USER, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return f"postgresql://{USER}@/{name}?host={_postgres_socket}"

    return create
