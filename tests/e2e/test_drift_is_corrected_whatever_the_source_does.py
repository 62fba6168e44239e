"""A server of Git that hangs, refuses, babbles, leads elsewhere or breaks off: drift is corrected anyway.

Each fault is told once, in words that say what it is, and the age of the source shows how long it lasts.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP
from tests.e2e.test_daemon_follows_git_and_corrects_drift import Daemon, has
from tests.git.fixtures import GitServer, Repository

PAGE = b"<html>\n<body>maintenance, back soon</body>\n</html>\n"


class Front:
    """Stands before a server of Git and does to its answers what `mode` says; "" lets them pass."""

    def __init__(self, url: str) -> None:
        self.mode = ""
        self.inner = urllib.parse.urlsplit(url)
        self.released = threading.Event()
        self.strangers: list[str] = []
        self.elsewhere = self._serve(self._stranger())
        self.server = self._serve(self._handler())
        self.port = self.server.server_address[1]

    def url(self, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{self.inner.path}"

    def close(self) -> None:
        self.released.set()
        for server in (self.server, self.elsewhere):
            server.shutdown()
            server.server_close()

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _stranger(self) -> type[BaseHTTPRequestHandler]:
        """Another server, to which nobody's password goes."""
        seen = self.strangers

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(str(self.headers.get("Authorization") or ""))
                _answer(self, 200, PAGE)

            def log_message(self, format: str, *args: object) -> None:
                """The test's output is for the test."""

        return Handler

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._act(None)

            def do_POST(self) -> None:
                assert "chunked" not in self.headers.get("Transfer-Encoding", "")
                self._act(self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def log_message(self, format: str, *args: object) -> None:
                """The test's output is for the test."""

            def _act(self, body: bytes | None) -> None:
                mode = front.mode
                if mode == "hang":
                    front.released.wait(90)
                elif mode == "html":
                    _answer(self, 200, PAGE)
                elif mode == "denied":
                    _answer(self, 401, PAGE, {"WWW-Authenticate": 'Basic realm="git"'})
                elif mode == "broken":
                    _answer(self, 500, PAGE)
                elif mode == "elsewhere":
                    place = f"http://127.0.0.1:{front.elsewhere.server_address[1]}{self.path}"
                    _answer(self, 302, b"", {"Location": place})
                else:
                    self._pass_on(body, is_cut=mode == "cut")

            def _pass_on(self, body: bytes | None, is_cut: bool) -> None:
                inner = http.client.HTTPConnection(str(front.inner.hostname), front.inner.port, timeout=60)
                skipped = ("host", "content-length", "authorization")
                kept = {key: value for key, value in self.headers.items() if key.lower() not in skipped}
                inner.request(self.command, self.path, body, kept)
                answer = inner.getresponse()
                content = answer.read()
                inner.close()
                at = content.find(b"PACK")
                if is_cut and at >= 0:
                    # It says how much there is, and sends the half.
                    self.send_response(answer.status)
                    self.send_header("Content-Type", str(answer.headers["Content-Type"]))
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: at + 20])
                    self.close_connection = True
                    return
                _answer(self, answer.status, content, {"Content-Type": str(answer.headers["Content-Type"])})

        return Handler


def _answer(
    handler: BaseHTTPRequestHandler, status: int, content: bytes, fields: dict[str, str] | None = None
) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "text/html", **(fields or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


class Estate(Daemon):
    """A daemon that reads its stack through the front, with a password in the URL."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        super().__init__(folder, repository)
        self.front = Front(repository.url("http"))
        text = self.config.read_text()
        self.config.write_text(text.replace(repository.url("http"), self.front.url("reader:open-sesame@")))

    def events(self, name: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def fail(self, mode: str, words: str) -> None:
        """One fault: it is told, with these words, and drift is corrected."""
        told = len(self.events("source unreachable"))
        self.front.mode = mode
        wait_until(lambda: len(self.events("source unreachable")) > told, f"{mode} is told", 90)
        message = self.events("source unreachable")[-1]
        assert words in f"{message['error']}: {message['hint']}"
        assert "age" in message
        self.spoil()

    def spoil(self) -> None:
        self.file("one").write_text("by hand\n")
        wait_until(lambda: has(self.file("one"), "1\n"), f"drift is corrected with {self.front.mode}", 90)

    def is_old(self) -> bool:
        return self.metric("trueup_source_age_seconds") > 3


@pytest.fixture
def estate(tmp_path: Path, git_server: GitServer) -> Iterator[Estate]:
    repository = git_server.create(f"front-{os.urandom(4).hex()}")
    estate = Estate(tmp_path, repository)
    (tmp_path / "out").mkdir()
    target = {
        "name": "here",
        "provider": "ssh",
        "config": {"connection": "local", "stateDir": f"{tmp_path}/host"},
    }
    stack = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": "local"},
        "spec": {"targets": [target]},
    }
    repository.commit({"stack.yaml": yaml.safe_dump(stack), "one.yaml": estate.manifest("one", "1\n")})
    yield estate
    if estate.process is not None and estate.process.poll() is None:
        estate.process.kill()
        estate.process.wait()
    estate.front.close()


NO_GIT = "not valid: is this a git repository?"
FAULTS = {
    "html": NO_GIT,
    "denied": "The server refuses the user and the password of the URL",
    "broken": "The requested URL returned error: 500",
    "elsewhere": NO_GIT,
}


def test_drift_is_corrected_whatever_the_source_does(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    # The 30 seconds after which a server is given up, for the patience of a test.
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "4")
    estate.start()
    wait_until(lambda: has(estate.file("one"), "1\n"), "the first commit is applied")
    for mode, words in FAULTS.items():
        estate.fail(mode, words)
    wait_until(estate.is_old, "the source gets old")
    assert estate.front.strangers, "the redirect was not followed"
    assert not any(estate.front.strangers), "the password went elsewhere"

    # It tells of a new commit, and breaks off when it is to give it.
    estate.front.mode = "cut"
    estate.push(one="1\n", two="2\n")
    wait_until(lambda: estate.events("source answers again"), "the source answers again")
    wait_until(lambda: "going on with commit" in estate.log.read_text(), "the transfer breaks off")
    estate.spoil()
    wait_until(estate.is_old, "the source gets old all the same")
    estate.fail("hang", "Operation too slow")
    assert estate.get("/healthz")[0] == 200
    assert not estate.file("two").exists()

    estate.front.mode = ""
    estate.front.released.set()
    wait_until(lambda: has(estate.file("two"), "2\n"), "the commit is fetched at last", 90)
    wait_until(lambda: not estate.is_old(), "the source is young again")
    assert estate.end(signal.SIGTERM) == 0
    told = subprocess.run(
        [*TRUEUP, "events", "local", "--config", str(estate.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "the source gives no answer" in told
    assert "the source answers again" in told
    for text in (told, estate.log.read_text()):
        assert "open-sesame" not in text
        assert "Traceback" not in text
