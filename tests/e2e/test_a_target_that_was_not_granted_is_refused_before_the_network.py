"""A stack that names a place or a credential that it was not granted: refused, and nobody is contacted."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import wait_until
from tests.e2e.listening import listening, was_contacted
from tests.e2e.shop import TRUEUP

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {{name: shop}}
spec:
  targets:
    - {{name: here, provider: ssh, config: {{connection: local, stateDir: {folder}/host}}}}
"""
SITE = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {{name: site}}
targets: {{names: [here]}}
spec: {{path: {folder}/site, content: "hello\\n"}}
"""
SETTINGS = """\
store = "state.db"
[daemon]
listen = "127.0.0.1:{port}"
[[stacks]]
name = "prod"
location = "shop"
poll = "1s"
allow_targets = [
    {{provider = "ssh", config = {{connection = "local", stateDir = "{folder}/*"}}}},
    {{provider = "ssh", config = {{host = "web-*.example.com", user = "deploy"}}}},
]
"""


class Estate:
    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.folder = folder
        self.listener = listener
        self.port = listener.getsockname()[1]
        self.stack = folder / "shop" / "stack.yaml"
        self.stack.parent.mkdir()
        self.stack.write_text(STACK.format(folder=folder))
        (folder / "shop" / "site.yaml").write_text(SITE.format(folder=folder))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (folder / "trueup.toml").write_text(SETTINGS.format(port=port, folder=folder))

    def add_target(self, **config: str | int) -> None:
        line = f"    - {{name: other, provider: ssh, config: {json.dumps(config)}}}\n"
        self.stack.write_text(STACK.format(folder=self.folder) + line)
        (self.folder / "shop" / "other.yaml").write_text(
            SITE.format(folder=self.folder).replace("[here]", "[other]").replace("name: site", "name: o")
        )

    def trueup(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*TRUEUP, *words], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def was_contacted(self) -> bool:
        return was_contacted(self.listener)


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    with listening() as listener:
        yield Estate(tmp_path, listener)


def test_over_the_command_line(estate: Estate) -> None:
    estate.trueup("reconcile", "prod", "--yes")
    site = estate.folder / "site"
    assert site.read_text() == "hello\n"
    site.unlink()

    # Another place.
    estate.add_target(host="127.0.0.1", port=estate.port, user="deploy")
    for verb in (["validate"], ["plan"], ["reconcile", "--yes"], ["status"], ["destroy", "--yes"]):
        refused = estate.trueup(verb[0], "prod", *verb[1:], code=1)
        assert 'stack.yaml:7:7: this stack may not use target "other" of provider ssh: ' in refused
        assert "allow_targets" in refused
    # The right place, with a credential that was not granted.
    estate.add_target(host="web-1.example.com", user="deploy", identityFile="/etc/ssh/ssh_host_ed25519_key")
    refused = estate.trueup("plan", "prod", code=1)
    assert "config.identityFile is not granted\n" in refused
    estate.add_target(host="web-1.example.com", user="root")
    assert "config.user has another value\n" in estate.trueup("plan", "prod", code=1)
    # Nothing at all was done, in the places that it may use neither.
    assert not site.exists()
    assert not estate.was_contacted()


def test_by_a_daemon(estate: Estate) -> None:
    estate.add_target(host="127.0.0.1", port=estate.port, user="deploy")
    log = estate.folder / "daemon.log"
    with log.open("wb") as file:
        daemon = subprocess.Popen([*TRUEUP, "daemon"], cwd=estate.folder, stdout=file, stderr=file)
    try:
        wait_until(lambda: "may not use target" in log.read_text(), "the stack is refused")
        assert not (estate.folder / "site").exists()
        assert not estate.was_contacted()
        (estate.folder / "shop" / "other.yaml").unlink()
        estate.stack.write_text(STACK.format(folder=estate.folder))
        wait_until(lambda: (estate.folder / "site").exists(), "the mended stack is applied")
    finally:
        daemon.terminate()
        assert daemon.wait(40) == 0
