"""A proxy in front of an HTTP API that spoils the answers that it is told to. Used by the tests of faults.

It forwards whatever it gets, keeps a list of it, and runs in threads of the test's own process.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
PAGE_OF_A_GATEWAY = b"<html><body><h1>The gateway has something to say</h1></body></html>"


class Mode(StrEnum):
    """How an answer is spoiled."""

    STATUS = "another status, with a page of HTML"
    CUT = "half of the body, and the end of the connection"
    SHORT = "half of the body, as if it were the whole"
    PAGE = "success, with a page of HTML"
    RESET = "the connection is reset before the first byte"
    HANG = "no answer"
    LOST = "it is carried out, and the connection is reset before the first byte of the answer"
    BODY = "another body"


@dataclass(frozen=True)
class Fault:
    """What happens to an answer. `body` is what the upstream's own body is turned into."""

    mode: Mode
    status: int = 0
    body: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Asked:
    """One request: `name` says what for (`sqs:ListQueues`, `GET /api/v1/...`), `text` is all of it."""

    name: str
    is_write: bool
    text: str


Namer = Callable[[str, str, Mapping[str, str], bytes], tuple[str, bool]]


@dataclass
class _Spoiled:
    is_meant: Callable[[Asked], bool]
    fault: Fault
    passes: int


class Proxy:
    """Use it as a context manager. `upstream` is a URL without a path; its certificate is not looked at."""

    def __init__(self, upstream: str, name: Namer) -> None:
        self._upstream = urlsplit(upstream)
        self._name = name
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        self._spoiled: list[_Spoiled] = []
        self._is_healed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._make_handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heal()
        self._server.shutdown()
        self._server.server_close()

    def spoil(self, is_meant: Callable[[Asked], bool], fault: Fault, *, passes: int = 0) -> None:
        """From now on, and after the first `passes` of them, the answers to such requests are spoiled."""
        self._is_healed.clear()
        with self._lock:
            self._spoiled.append(_Spoiled(is_meant, fault, passes))

    def heal(self) -> None:
        """All answers are those of the upstream again; what hangs is let go."""
        with self._lock:
            self._spoiled.clear()
        self._is_healed.set()

    def lead_to(self, upstream: str) -> None:
        """From here on another server answers under this URL."""
        self._upstream = urlsplit(upstream)

    def mark(self) -> None:
        """From here on `asked` and `writes` count."""
        with self._lock:
            self._asked.clear()

    def asked(self) -> list[Asked]:
        """Every request since the mark, in order, also those whose answer was spoiled."""
        with self._lock:
            return list(self._asked)

    def reads(self) -> list[str]:
        """The names of the reads since the mark, each once, in order."""
        return list(dict.fromkeys(each.name for each in self.asked() if not each.is_write))

    def writes(self) -> list[str]:
        return [each.name for each in self.asked() if each.is_write]

    def _note(self, asked: Asked) -> Fault | None:
        with self._lock:
            self._asked.append(asked)
            for spoiled in self._spoiled:
                if not spoiled.is_meant(asked):
                    continue
                if spoiled.passes > 0:
                    spoiled.passes -= 1
                    continue
                return spoiled.fault
        return None

    def _forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        place = self._upstream
        assert place.hostname is not None
        connection: http.client.HTTPConnection
        if place.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(place.hostname, place.port, timeout=60, context=context)
        else:
            connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        try:
            connection.request(method, path, body or None, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None:
                """The test's output is for the test."""

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {key: value for key, value in self.headers.items() if key.lower() != "connection"}
                name, is_write = proxy._name(self.command, self.path, headers, body)
                text = f"{self.command} {self.path}\n{body.decode('utf-8', 'replace')}"
                fault = proxy._note(Asked(name, is_write, text))
                if fault is not None and fault.mode in (Mode.RESET, Mode.HANG):
                    self.end_without_answer(fault)
                    return
                if fault is not None and fault.mode in (Mode.STATUS, Mode.PAGE):
                    self.answer(fault.status or 200, [("Content-Type", "text/html")], PAGE_OF_A_GATEWAY)
                    return
                status, found, content = proxy._forward(self.command, self.path, headers, body)
                if fault is not None and fault.mode is Mode.LOST:
                    self.end_without_answer(fault)
                    return
                if fault is not None and fault.body is not None:
                    status, content = fault.status or status, fault.body(content)
                if fault is not None and fault.mode is Mode.SHORT:
                    content = content[: len(content) // 2]
                is_cut = fault is not None and fault.mode is Mode.CUT
                self.answer(status, found, content, is_cut=is_cut)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def answer(
                self, status: int, headers: list[tuple[str, str]], content: bytes, *, is_cut: bool = False
            ) -> None:
                self.send_response_only(status)
                is_head = self.command == "HEAD"
                for key, value in headers:
                    if key.lower() not in HOP_BY_HOP or (is_head and key.lower() == "content-length"):
                        self.send_header(key, value)
                # Also where there is no body: one more byte is announced than comes.
                length = len(content) + (1 if is_cut else 0)
                if not is_head:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(b"" if is_head else content[: len(content) // 2] if is_cut else content)
                self.close_connection = self.close_connection or is_cut

            def end_without_answer(self, fault: Fault) -> None:
                if fault.mode is Mode.HANG:
                    proxy._is_healed.wait(30)
                # An end without the courtesies of TCP: the client sees a reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what the test wanted."""


SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")
ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]+)")
READS = ("Get", "List", "Describe", "Head", "Assume")


def name_of_aws(method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str, bool]:
    """`sqs:ListQueues`; of S3, the method and the part of the bucket: `s3:Get?tagging`."""
    lower = {key.lower(): value for key, value in headers.items()}
    found = SERVICE.search(lower.get("authorization", ""))
    service = found.group(1) if found else "?"
    if "x-amz-target" in lower:
        action = lower["x-amz-target"].rpartition(".")[2]
    elif service == "s3":
        where, _, query = path.partition("?")
        part = "&".join(sorted(word.split("=")[0] for word in query.split("&") if word))
        action = f"{method.capitalize()}{'Bucket' if where.strip('/') else 's'}{f'?{part}' if part else ''}"
    else:
        named = ACTION.search(body)
        action = named.group(1).decode() if named else path
    return f"{service}:{action}", not action.startswith(READS)


def name_of_kubernetes(method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str, bool]:
    """`GET /api/v1/namespaces/shop/configmaps`, and whether it is a later page of a list."""
    where, _, query = path.partition("?")
    page = " page 2" if "continue=" in query else ""
    return f"{method} {where}{page}", method != "GET"


class Relay:
    """A TCP port in front of another one, which can be led elsewhere, shut, or made to swallow everything.

    `spoil` is "refuse" (nobody listens), "close" (accepts and hangs up), "drop" (accepts and says nothing).
    """

    def __init__(self, port: int) -> None:
        self.upstream = port
        self._spoil = ""
        self._connections: list[socket.socket] = []
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)
        self.hang_up()

    def lead_to(self, port: int) -> None:
        """New connections go to another port from now on."""
        self.upstream = port

    def spoil(self, how: str) -> None:
        self._spoil = how
        if how == "refuse":
            _close(self._listener)

    def heal(self) -> None:
        if self._spoil == "refuse":
            self._listener = self._listen(self.port)
        self._spoil = ""
        self.hang_up()

    def hang_up(self) -> None:
        """Ends every connection that there is."""
        while self._connections:
            _close(self._connections.pop())

    def _listen(self, port: int) -> socket.socket:
        # After a refusal the very port is needed again, and others may have taken it for a moment.
        deadline = time.monotonic() + 20
        while True:
            try:
                listener = socket.create_server(("127.0.0.1", port))
            except OSError:
                assert time.monotonic() < deadline, f"port {port} is taken"
                time.sleep(0.05)
                continue
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self._spoil == "close":
                _close(client)
                continue
            self._connections.append(client)
            if self._spoil == "drop":
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream), 10)
            except OSError:
                _close(client)
                continue
            self._connections.append(server)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        _close(source)
        _close(sink)


def _close(end: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def with_field(path: tuple[str, ...], value: object) -> Callable[[bytes], bytes]:
    """A body of JSON with another value at that place."""

    def change(content: bytes) -> bytes:
        document = json.loads(content)
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return json.dumps(document).encode()

    return change
