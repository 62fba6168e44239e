"""An author's file of SOPS must not make sops send the operator's token of Vault to the author's server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trueup.errors import ProviderError
from trueup.model.values import Sensitive
from trueup.sdk.secrets import SecretContext
from trueup.secrets.sops import SopsSource

TOKEN = "hvs.of-the-operator"
TRUSTED = "https://vault.example.com"
_ENCRYPTED = "ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]"
_METADATA = {"lastmodified": "2024-01-01T00:00:00Z", "mac": _ENCRYPTED, "version": "3.9.0"}
_YAML = "a: b\nsops:\n  mac: x\n  lastmodified: '2024-01-01T00:00:00Z'\n  version: 3.9.0\n"
_ENV = "A=b\nsops_mac=x\nsops_lastmodified=2024-01-01T00:00:00Z\nsops_version=3.9.0\n"
_INI = "[a]\nb = c\n[sops]\nmac = x\nlastmodified = 2024-01-01T00:00:00Z\nversion = 3.9.0\n"


class Listener(ThreadingHTTPServer):
    """A server of the author's that keeps the tokens that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokens: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.tokens.append(self.headers.get("X-Vault-Token") or "")
        self.send_error(403)

    do_GET = do_POST = do_PUT

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests are silent."""


@pytest.fixture
def listener(sops_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("PATH", str(sops_binary.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vault-token").write_text(TOKEN)
    monkeypatch.setenv("VAULT_ADDR", TRUSTED)
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _as_json(**more: object) -> str:
    return json.dumps({"a": _ENCRYPTED, "sops": {**_METADATA, **more}})


def _files(address: str) -> dict[str, tuple[str, str]]:
    """What an author could write so that we see no server in it and sops does."""
    key = {"vault_address": address, "engine_path": "transit", "key_name": "k", "enc": "vault:v1:AAAA"}
    key["created_at"] = "2024-01-01T00:00:00Z"
    flat = {f"list_0__map_{name}": value for name, value in key.items()}
    env = _ENV + "".join(f"sops_HC_VAULT__{name}={value}\n" for name, value in flat.items())
    kelvin = {"\u212aey_groups": [{"hc_vault": [key]}]}
    plain, inline = {**key, "vault_address": TRUSTED}, json.dumps(key)
    return {
        "as it is": ("a.json", _as_json(hc_vault=[key])),
        "upper case": ("a.json", _as_json(HC_VAULT=[key])),
        "upper case beside the right one": ("a.json", _as_json(hc_vault=[plain], Hc_Vault=[key])),
        "in a group": ("a.json", _as_json(KEY_GROUPS=[{"hc_vault": [key]}])),
        "a sign of Kelvin": ("a.json", _as_json(**kelvin)),
        "a file as a whole": ("tls.key", _as_json(HC_VAULT=[key])),
        "metadata twice": (
            "a.json",
            json.dumps({"sops": _METADATA, "SOPS": {**_METADATA, "hc_vault": [key]}}),
        ),
        "no list": ("a.yaml", f"{_YAML}  hc_vault: {inline}\n"),
        "a merge key": ("a.yaml", f"{_YAML}  <<: {{hc_vault: [{inline}]}}\n"),
        "a name in base64": ("a.yaml", f"{_YAML}  !!binary aGNfdmF1bHQ=: [{inline}]\n"),
        "upper case in variables": ("a.env", env),
        "quotes": ("a.ini", _INI + "".join(f"`hc_vault__{name}` = {flat[name]}\n" for name in flat)),
        "indented": ("a.ini", _INI + "".join(f"  hc_vault__{name} = {flat[name]}\n" for name in flat)),
    }


@pytest.mark.parametrize("way", list(_files("")))
def test_no_form_of_a_file_gets_the_token_of_vault(listener: Listener, way: str) -> None:
    name, content = _files(listener.address)[way]
    key = f"{name}#/a"
    answer = SopsSource().read([key], SecretContext({name: content.encode()}))[key]
    assert isinstance(answer, ProviderError)
    assert listener.tokens == []


def test_a_file_without_a_vault_is_decrypted_without_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    program = tmp_path / "sops"
    program.write_text(f'#!/bin/sh\necho "$VAULT_TOKEN" > {said}\necho \'{{"a": "plain"}}\'\n')
    program.chmod(0o755)
    kms = [{"arn": "arn:aws:kms:eu-west-1:1:key/k", "context": {"App": "shop"}, "enc": "AAAA"}]
    content = _as_json(kms=kms).encode()
    answer = SopsSource().read(["a.json#/a"], SecretContext({"a.json": content}))["a.json#/a"]
    assert answer == Sensitive("plain")
    assert said.read_text() == "none\n"


def test_the_right_server_gets_the_token(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", listener.address)
    name, content = _files(listener.address)["as it is"]
    SopsSource().read([f"{name}#/a"], SecretContext({name: content.encode()}))
    assert TOKEN in listener.tokens


def test_a_program_in_a_relative_folder_of_the_path_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "sops"
    program.write_text('#!/bin/sh\necho \'{"a": "of the author"}\'\n')
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".::relative")
    answer = SopsSource().read(["a.json#/a"], SecretContext({"a.json": _as_json().encode()}))["a.json#/a"]
    assert isinstance(answer, ProviderError)
