"""The daemon's HTTP port: /healthz, /readyz and /metrics. It changes nothing. Called by cli/daemon."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import structlog

from trueup.daemon.metrics import CONTENT_TYPE, Metrics
from trueup.errors import UsageError

log = structlog.get_logger("trueup.daemon")
TEXT = "text/plain; charset=utf-8"
# Probes and a scraper need a few; whoever opens more is sent away, so that the daemon keeps its threads.
MAX_CONNECTIONS = 64
# Seconds for a whole request, however slowly it comes; nobody who means well needs one of them.
REQUEST_TIME = 10.0
_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class Condition(Protocol):
    """What the probes ask of the service: stacks with a reason each, none where all is well."""

    def find_faults(self) -> Mapping[str, str]: ...

    def find_unready(self) -> Mapping[str, str]: ...


def check_address(host: str, *, allow_remote: bool) -> None:
    """Refuses an address that others can reach unless the configuration says that this is meant.

    The port knows no users: it would tell the names of all stacks to whoever asks.
    """
    if allow_remote or host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(
            f"the daemon refuses to listen on {host or 'all addresses'}: others could reach it unasked",
            hint="listen on 127.0.0.1, or set `allow_remote = true` in [daemon] of trueup.toml",
        )


class Server(ThreadingHTTPServer):
    """Serves until `close`, in a thread of its own."""

    daemon_threads = True
    allow_reuse_address = True
    # With the few of the default, those who mean well would wait for seconds to be let in beside a flood.
    request_queue_size = 128

    def __init__(self, host: str, port: int, condition: Condition, metrics: Metrics) -> None:
        self.condition = condition
        self.metrics = metrics
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"the daemon cannot listen on {host}:{port}: {error.strerror or error}"
            ) from error
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._thread = threading.Thread(target=self.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on, which is the system's choice where 0 was asked for."""
        return int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._places.release()  # there is no thread that will
                raise
            return
        with suppress(OSError):
            request.send(_BUSY, socket.MSG_DONTWAIT)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves one connection, within its time; a body that comes with a request is never read."""
        end = threading.Timer(REQUEST_TIME, _end_reading, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called in the middle of handling the exception. A client that goes away is no fault of ours."""
        is_theirs = isinstance(sys.exception(), ConnectionError | TimeoutError)
        tell = log.debug if is_theirs else log.error
        tell("request failed", client=client_address[0], exc_info=True)


def _end_reading(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "trueup"
    sys_version = ""
    # A client that takes nothing of an answer gives its thread back.
    timeout = REQUEST_TIME

    def do_GET(self) -> None:
        page = self._pages.get(self.path.partition("?")[0])
        if page is None:
            self._answer(HTTPStatus.NOT_FOUND, b"there are /healthz, /readyz and /metrics\n", TEXT)
        else:
            self._answer(*page(self))

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _health(self) -> tuple[HTTPStatus, bytes, str]:
        return _tell(self.server.condition.find_faults())

    def _readiness(self) -> tuple[HTTPStatus, bytes, str]:
        return _tell(self.server.condition.find_unready())

    def _metrics(self) -> tuple[HTTPStatus, bytes, str]:
        return HTTPStatus.OK, self.server.metrics.text(), CONTENT_TYPE

    _pages: Mapping[str, Callable[[_Handler], tuple[HTTPStatus, bytes, str]]] = {
        "/healthz": _health,
        "/readyz": _readiness,
        "/metrics": _metrics,
    }

    def log_message(self, format: str, *args: object) -> None:
        log.debug("request", client=self.client_address[0], line=format % args)


def _tell(faults: Mapping[str, str]) -> tuple[HTTPStatus, bytes, str]:
    if not faults:
        return HTTPStatus.OK, b"ok\n", TEXT
    lines = "".join(f"{name}: {why}\n" for name, why in faults.items())
    return HTTPStatus.SERVICE_UNAVAILABLE, lines.encode(), TEXT
