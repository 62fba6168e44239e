"""Secrets of a real server that speaks Vault's API: both KV engines, each way to sign in, each refusal."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vault.fixtures import ROOT_TOKEN, Vault

from trueup.sdk import Denied, Invalid, ProviderError, SecretAnswer, SecretContext, Sensitive, Transient
from trueup_vault.source import VaultSource

CANARY = "kanarienvogel"
SOURCE = VaultSource()


@pytest.fixture
def signed_in(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The environment of someone who may read below shop/."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_ADDR", vault.address)
    monkeypatch.setenv("VAULT_TOKEN", vault.token())
    vault.root.secrets.kv.v2.create_or_update_secret(
        "shop/db", {"password": CANARY, "port": 5432, "a": {"b": "c"}}
    )
    vault.root.secrets.kv.v1.create_or_update_secret(
        "shop/db", {"password": f"{CANARY} 1"}, mount_point="old"
    )
    return vault


def read(*keys: str) -> list[SecretAnswer]:
    for key in keys:
        SOURCE.check(key, {})
    answers = SOURCE.read(keys, SecretContext())
    assert CANARY not in repr(answers)
    return [answers[key] for key in keys]


def refuse(*keys: str) -> ProviderError:
    """The error of a read, which quotes nothing of the server or of the token."""
    try:
        answer = read(*keys)[-1]
    except ProviderError as error:
        answer = error
    assert isinstance(answer, ProviderError), answer
    seen: BaseException | None = answer
    while seen is not None:
        for secret in (CANARY, ROOT_TOKEN):
            assert secret not in f"{seen} {seen!r}"
        seen = seen.__cause__ or seen.__context__
    return answer


def test_fields_of_both_engines_are_read(signed_in: Vault) -> None:
    keys = ["secret/data/shop/db#/password", "secret/data/shop/db#/port", "secret/data/shop/db#/a/b"]
    assert read(*keys, "old/shop/db#/password", "old/shop/db") == [
        Sensitive(CANARY),
        Sensitive(5432),
        Sensitive("c"),
        Sensitive(f"{CANARY} 1"),
        Sensitive({"password": f"{CANARY} 1"}),
    ]


def test_a_secret_with_fields_called_data_and_metadata_is_no_envelope(signed_in: Vault) -> None:
    fields = {"data": CANARY, "metadata": "m"}
    signed_in.root.secrets.kv.v1.create_or_update_secret("shop/odd", fields, mount_point="old")
    assert read("old/shop/odd#/data") == [Sensitive(CANARY)]


def test_what_is_not_there_says_how_paths_look(signed_in: Vault) -> None:
    error = refuse("secret/data/shop/nothing#/a")
    assert isinstance(error, Invalid)
    assert "MOUNT/data/NAME" in error.hint
    assert "has nothing at #/a/x" in refuse("secret/data/shop/db#/a/x").message


def test_a_deleted_version_is_no_secret(signed_in: Vault) -> None:
    signed_in.root.secrets.kv.v2.create_or_update_secret("shop/gone", {"a": CANARY})
    signed_in.root.secrets.kv.v2.delete_latest_version_of_secret("shop/gone")
    assert isinstance(refuse("secret/data/shop/gone#/a"), Invalid)


def test_what_the_token_may_not_read_is_denied_and_the_rest_is_read(signed_in: Vault) -> None:
    found, denied = read("secret/data/shop/db#/port", "secret/data/other#/a")
    assert found == Sensitive(5432)
    assert isinstance(denied, Denied)


@pytest.mark.parametrize("token", ["nonsense", ""])
def test_a_token_that_is_wrong_or_missing_is_denied(
    token: str, signed_in: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", token)
    assert isinstance(refuse("secret/data/shop/db#/port"), Denied)


def test_the_token_of_vault_login_is_used(
    signed_in: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    (tmp_path / ".vault-token").write_text(f"{signed_in.token()}\n")
    assert read("secret/data/shop/db#/port") == [Sensitive(5432)]


def test_an_approle_signs_in(signed_in: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    role, secret = signed_in.role()
    monkeypatch.setenv("VAULT_ROLE_ID", role)
    monkeypatch.setenv("VAULT_SECRET_ID", secret)
    assert read("secret/data/shop/db#/port") == [Sensitive(5432)]
    monkeypatch.setenv("VAULT_SECRET_ID", CANARY)
    assert isinstance(refuse("secret/data/shop/db#/port"), Invalid | Denied)


@pytest.mark.parametrize(
    ("address", "error"),
    [("", Invalid), ("vault:8200", Invalid), ("http://127.0.0.1:1", Transient), ("https://", Transient)],
)
def test_an_address_that_leads_nowhere_says_so(
    address: str, error: type[ProviderError], signed_in: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_ADDR", address)
    assert isinstance(refuse("secret/data/shop/db#/port"), error)


def test_a_certificate_that_is_not_trusted_is_refused(
    signed_in: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_ADDR", signed_in.address.replace("http://", "https://"))
    assert isinstance(refuse("secret/data/shop/db#/port"), Invalid)
    monkeypatch.setenv("VAULT_CACERT", "/nowhere.pem")
    assert "VAULT_CACERT" in refuse("secret/data/shop/db#/port").message


@pytest.fixture
def redirecting(signed_in: Vault) -> Iterator[tuple[str, list[str]]]:
    """A server that sends everyone to another one, and the tokens that reached that one."""
    tokens: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/v1/"):
                self.send_response(307)
                port = self.server.server_address[1]
                self.send_header("Location", f"http://localhost:{port}/elsewhere")
            else:
                tokens.append(self.headers.get("X-Vault-Token", ""))
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", tokens
        server.shutdown()


def test_a_redirect_gets_no_token(
    redirecting: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, tokens = redirecting
    monkeypatch.setenv("VAULT_ADDR", address)
    error = refuse("secret/data/shop/db#/port")
    assert isinstance(error, Transient)
    assert "answers 307" in error.message
    assert tokens == []
