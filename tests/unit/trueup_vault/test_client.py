"""A server that is no Vault, or that quotes what it was sent, gives an error without a value."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trueup.sdk import Invalid, ProviderError, SecretContext, Throttled, Transient
from trueup_vault.source import VaultSource

CANARY = "kanarienvogel"
ANSWERS: dict[str, tuple[int, str]] = {
    "page": (200, f"<html>{CANARY}</html>"),
    "list": (200, f'["{CANARY}"]'),
    "text": (200, f'{{"data": "{CANARY}"}}'),
    "deep": (200, '{"data": ' + '{"a": ' * 5000 + "1" + "}" * 5001),
    "elsewhere": (307, ""),
    "refusal": (403, f'{{"errors": ["{CANARY}"]}}'),
    "trouble": (500, f'{{"errors": ["{CANARY}"]}}'),
    "teapot": (418, f'{{"errors": ["{CANARY}"]}}'),
    "patience": (429, f'{{"errors": ["{CANARY}"]}}'),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, text = ANSWERS[self.path.rpartition("/")[2]]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Location", "http://127.0.0.1:9/")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests are silent."""


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def read(name: str) -> ProviderError:
    key = f"kv/{name}#/password"
    answer = VaultSource().read([key], SecretContext())[key]
    assert isinstance(answer, ProviderError)
    return answer


@pytest.mark.parametrize("name", list(ANSWERS))
def test_what_is_no_secret_is_an_error_that_quotes_nothing(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("VAULT_ADDR", f"http://me:{CANARY}@127.0.0.1:{server.server_port}")
    monkeypatch.setenv("VAULT_TOKEN", "a token")
    error = read(name)
    assert CANARY not in f"{error!r} {error.hint}"
    assert isinstance(error, Throttled) is (name == "patience")


def test_no_message_shows_the_password_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", f"http://me:{CANARY}@127.0.0.1:9")
    monkeypatch.setenv("VAULT_TOKEN", "a token")
    error = read("page")
    assert isinstance(error, Transient)
    assert error.message == "kv/page in Vault: http://127.0.0.1:9 cannot be reached (ConnectionError)"


def test_what_is_no_address_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", f"hvs.{CANARY}")
    with pytest.raises(Invalid, match=r"VAULT_ADDR is no address$"):
        VaultSource().read(["kv/a#/b"], SecretContext())
