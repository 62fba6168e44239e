"""The daemon's HTTP port: /healthz, /readyz and /metrics. It changes nothing. Called by cli/daemon."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

import structlog

from trueup.daemon.metrics import CONTENT_TYPE, Metrics
from trueup.errors import UsageError

log = structlog.get_logger("trueup.daemon")
TEXT = "text/plain; charset=utf-8"


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


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "trueup"
    sys_version = ""
    # A client that connects and sends nothing gives its thread back.
    timeout = 10.0

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
