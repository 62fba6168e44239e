"""A host shows another key than the known one: it is refused, and is not told who wanted to log in.

The server is one of the test's own, which speaks the real protocol and writes down whatever is asked of it.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from tests.e2e.shop import TRUEUP

from trueup.sdk import Denied, Invalid
from trueup_ssh.client import SshTransport


class _Door(paramiko.ServerInterface):
    """Lets everybody in, and remembers who knocked."""

    def __init__(self, attempts: list[str]) -> None:
        self._attempts = attempts

    def get_allowed_auths(self, username: str) -> str:
        self._attempts.append(f"methods of {username}")
        return "publickey,password"

    def check_auth_none(self, username: str) -> int:
        self._attempts.append(f"none of {username}")
        return paramiko.common.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self._attempts.append(f"password of {username}")
        return paramiko.common.AUTH_SUCCESSFUL

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._attempts.append(f"key of {username}")
        return paramiko.common.AUTH_SUCCESSFUL


class Server:
    """An SSH server on loopback with these host keys."""

    def __init__(self, *keys: paramiko.PKey) -> None:
        self.attempts: list[str] = []
        self.connections = 0
        self._keys = keys
        self._transports: list[paramiko.Transport] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def name(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    def close(self) -> None:
        self._socket.close()
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            transport = paramiko.Transport(connection)
            self._transports.append(transport)
            for key in self._keys:
                transport.add_server_key(key)
            try:
                transport.start_server(server=_Door(self.attempts))
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()


@pytest.fixture(scope="module")
def keys() -> dict[str, paramiko.PKey]:
    """Keys of hosts, and `user`, with which the client would log in."""
    made: dict[str, paramiko.PKey] = {
        name: paramiko.ECDSAKey.generate() for name in ("host", "other", "user")
    }
    return {**made, "rsa": paramiko.RSAKey.generate(2048)}


@pytest.fixture
def server(keys: dict[str, paramiko.PKey]) -> Iterator[Server]:
    server = Server(keys["host"])
    yield server
    server.close()


def line(names: str, key: paramiko.PKey, marker: str = "") -> str:
    return f"{marker} {names} {key.get_name()} {key.get_base64()}\n".lstrip()


def open_transport(server: Server, known: str, user: paramiko.PKey, folder: Path) -> SshTransport:
    (folder / "known_hosts").write_text(known)
    user.write_private_key_file(str(folder / "identity"))
    return SshTransport(
        {
            "host": "127.0.0.1",
            "port": server.port,
            "user": "deploy",
            "knownHosts": str(folder / "known_hosts"),
            "identityFile": str(folder / "identity"),
            "connectTimeout": 10,
        }
    )


CASES = {
    "unknown": lambda name, keys: "",
    "changed": lambda name, keys: line(name, keys["other"]),
    "known by another type of key": lambda name, keys: line(name, keys["rsa"]),
    "known under another name": lambda name, keys: line("[127.0.0.2]:22", keys["host"]),
    "a changed one among hashed names": lambda name, keys: line(
        paramiko.HostKeys.hash_host(name), keys["other"]
    ),
    "revoked": lambda name, keys: line(name, keys["host"]) + line("*", keys["host"], "@revoked"),
    "revoked before it was known": lambda name, keys: (
        line(name, keys["host"], "@revoked") + line(name, keys["host"])
    ),
    "revoked beside a key of another type": lambda name, keys: (
        line(name, keys["host"]) + line(name, keys["rsa"]) + line("*", keys["host"], "@revoked")
    ),
    "vouched for by its own key": lambda name, keys: line("*", keys["host"], "@cert-authority"),
    "an unreadable line": lambda name, keys: f"{name} {keys['host'].get_name()} AAAA=AAAA\n",
    "a cut line": lambda name, keys: f"{name} {keys['host'].get_name()}\n",
    "an unknown type of key": lambda name, keys: f"{name} ssh-future {keys['host'].get_base64()}\n",
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_and_nothing_is_sent(
    case: str, server: Server, keys: dict[str, paramiko.PKey], tmp_path: Path
) -> None:
    known = CASES[case](server.name, keys)
    with pytest.raises(Denied, match=r"its host key is (not|revoked)") as caught:
        open_transport(server, known, keys["user"], tmp_path)
    assert ("revoked in" in caught.value.message) == (case in ("revoked", "revoked before it was known"))
    assert server.connections == 1
    assert server.attempts == []
    assert (tmp_path / "known_hosts").read_text() == known


@pytest.mark.parametrize("is_hashed", [False, True])
def test_the_known_key_is_taken_among_lines_that_are_not_legible(
    is_hashed: bool, server: Server, keys: dict[str, paramiko.PKey], tmp_path: Path
) -> None:
    name = paramiko.HostKeys.hash_host(server.name) if is_hashed else server.name
    noise = f"# comment\n\n{name} ssh-ed25519 AAAA=A\nx\n" + line("*", keys["other"], "@revoked")
    transport = open_transport(server, noise + line(name, keys["host"]), keys["user"], tmp_path)
    assert transport.fingerprint == keys["host"].fingerprint
    assert server.attempts == ["key of deploy", "key of deploy"] or server.attempts == ["key of deploy"]
    transport.close()


@pytest.mark.parametrize("words", ["@revoked *", "@revoked * ssh-ed25519 !"])
def test_a_revocation_that_is_not_legible_is_refused_before_the_network(
    words: str, server: Server, keys: dict[str, paramiko.PKey], tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="line 2 revokes what is no key"):
        open_transport(server, line(server.name, keys["host"]) + words + "\n", keys["user"], tmp_path)
    assert server.connections == 0


def test_a_run_is_refused_as_a_whole(server: Server, keys: dict[str, paramiko.PKey], tmp_path: Path) -> None:
    keys["user"].write_private_key_file(str(tmp_path / "identity"))
    (tmp_path / "known_hosts").write_text(line(server.name, keys["other"]))
    config = (
        f"{{host: 127.0.0.1, port: {server.port}, user: deploy, identityFile: {tmp_path}/identity, "
        f"knownHosts: {tmp_path}/known_hosts}}"
    )
    stack = tmp_path / "stack"
    stack.mkdir()
    (stack / "stack.yaml").write_text(
        "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: s}\nspec:\n"
        f"  targets: [{{name: web, provider: ssh, config: {config}}}]\n"
    )
    (stack / "a.yaml").write_text(
        "apiVersion: ssh.trueup.dev/v1\nkind: File\nmetadata: {name: a}\nspec: {path: /etc/a, content: x}\n"
    )
    for command in (["plan"], ["reconcile", "--yes"]):
        done = subprocess.run(
            [*TRUEUP, *command, str(stack), "--store", str(tmp_path / "store.db")],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert "its host key is not the known one; nothing was sent to it" in done.stdout + done.stderr
    assert server.connections > 0
    assert server.attempts == []
