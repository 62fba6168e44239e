"""Files that the real sops encrypts for age, and the two ways in which they are decrypted."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest


@dataclass(frozen=True)
class Encryptor:
    """The real sops with an age key of the test's own."""

    binary: Path
    identity: str
    recipient: str

    def encrypt(self, name: str, text: str | bytes, *options: str) -> bytes:
        """The content of a file of that name as sops writes it."""
        folder = Path(os.environ["XDG_STATE_HOME"])
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        keys = [] if any(option.startswith("--age") for option in options) else ["--age", self.recipient]
        command = [self.binary, "--encrypt", *keys, *options, file]
        done = subprocess.run(command, capture_output=True, check=False, cwd=folder)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@pytest.fixture
def sops(sops_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Encryptor:
    """sops, whose key is in the environment; nothing of the person who runs the test is in reach."""
    identity = pyrage.x25519.Identity.generate()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in list(os.environ):
        if name.startswith(("SOPS_", "VAULT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SOPS_AGE_KEY", str(identity))
    return Encryptor(sops_binary, str(identity), str(identity.to_public()))


@pytest.fixture(params=["the binary", "our own reader"])
def decrypter(
    request: pytest.FixtureRequest, sops_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Which of the two ways a test takes."""
    folder = tmp_path / "path"
    folder.mkdir()
    if request.param == "the binary":
        (folder / "sops").symlink_to(sops_binary)
    monkeypatch.setenv("PATH", str(folder))
    return str(request.param)
