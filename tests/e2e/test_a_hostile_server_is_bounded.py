"""API servers that answer without end, without bound, or nested without bottom: an error, never "absent".

The server is a real one on loopback that plays Kubernetes, AWS or Vault; the clients are the real ones.
"""

from __future__ import annotations

import gzip
import json
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from trueup.sdk import ProviderError, SecretContext, TooLarge, Transient
from trueup_aws import client as aws
from trueup_kubernetes import client as kubernetes
from trueup_kubernetes import objects
from trueup_kubernetes.discovery import Resource
from trueup_kubernetes.session import ClusterSession
from trueup_vault import client as vault
from trueup_vault.source import VaultSource

MIB = 1024 * 1024
DEEP = b'{"a":' * 200_000


class Server(ThreadingHTTPServer):
    """Answers everything in the way that the test sets. `count` says how often it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[_Handler], None] = send_nothing
        self.count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.count += 1
        with suppress(OSError):
            self.server.answer(self)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """The test's output is for the test."""


def send_nothing(handler: _Handler) -> None:
    send(handler, b"{}")


def send(handler: _Handler, body: bytes, status: int = 200, **headers: str) -> None:
    start(handler, status, **{"Content_Length": str(len(body)), **headers})
    handler.wfile.write(body)


def start(handler: _Handler, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def send_without_end(handler: _Handler) -> None:
    start(handler, Transfer_Encoding="chunked")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    while True:
        handler.wfile.write(chunk)


def send_a_gigabyte(handler: _Handler) -> None:
    start(handler, Content_Length=str(1024 * MIB))
    for _ in range(1024):
        handler.wfile.write(b" " * MIB)


def send_drops(handler: _Handler) -> None:
    """A byte now and then, each well within the time that one read may take."""
    start(handler, Content_Length="1000000")
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def send_depths(handler: _Handler) -> None:
    send(handler, DEEP)


def send_unpacking(handler: _Handler) -> None:
    send(handler, gzip.compress(bytes(256 * MIB), 1), Content_Encoding="gzip")


HOSTILE = [send_without_end, send_a_gigabyte, send_drops, send_depths]
hostile = pytest.mark.parametrize("answer", HOSTILE, ids=lambda answer: answer.__name__)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def grown() -> Iterator[Callable[[], int]]:
    """By how many MiB the most memory that this process had has grown."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield lambda: (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds as they are, but in sizes that a test can wait for."""
    for module in (kubernetes, aws, vault):
        monkeypatch.setattr(module, "MAX_ANSWER", 8 * MIB)
        monkeypatch.setattr(module, "ANSWER_SECONDS", 1.0)


# -- Kubernetes


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Iterator[ClusterSession]:
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    client, _namespace = kubernetes.open_client(str(file), "", 5.0, 2)
    server.answer = lambda handler: send(handler, b'{"metadata": {"uid": "u"}}')
    session = ClusterSession(client, "default", "i/s")
    yield session
    session.close()


THINGS = Resource("example.com/v1", "Thing", "things", True, frozenset({"list"}))


@hostile
def test_a_cluster_is_read_within_bounds(
    cluster: ClusterSession, server: Server, grown: Callable[[], int], answer: Callable[[_Handler], None]
) -> None:
    server.answer = answer
    for read in (
        lambda: objects.list_objects(cluster, THINGS, "default"),
        lambda: objects.read_object(cluster, objects.Spot(THINGS, "default", "web")),
        lambda: cluster.get("/openapi/v3", "the OpenAPI"),
    ):
        with pytest.raises(Transient):
            read()
    assert grown() < 100


def page(handler: _Handler, items: int, token: str) -> None:
    things = [{"metadata": {"uid": f"u{number}", "name": "n"}} for number in range(items)]
    send(
        handler, json.dumps({"kind": "ThingList", "items": things, "metadata": {"continue": token}}).encode()
    )


def test_a_list_that_announces_the_same_page_again_is_given_up(
    cluster: ClusterSession, server: Server
) -> None:
    server.answer = lambda handler: page(handler, 1, "again")
    with pytest.raises(Transient, match="does not come to an end"):
        objects.list_objects(cluster, THINGS, "default")


def test_a_list_with_a_new_token_on_each_page_is_given_up(
    cluster: ClusterSession, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MAX_OBJECTS", 100)
    server.answer = lambda handler: page(handler, 10, f"token-{server.count}")
    with pytest.raises(Transient, match="does not come to an end"):
        objects.list_objects(cluster, THINGS, "default")
    monkeypatch.setattr(objects, "MAX_PAGES", 20)
    server.answer = lambda handler: page(handler, 0, f"token-{server.count}")
    with pytest.raises(Transient, match="does not come to an end"):
        objects.list_objects(cluster, THINGS, "default")


def test_a_list_of_large_objects_is_asked_for_in_smaller_pages(
    cluster: ClusterSession, server: Server
) -> None:
    limits: list[int] = []

    def answer(handler: _Handler) -> None:
        limits.append(int(handler.path.partition("limit=")[2].partition("&")[0]))
        things = [{"metadata": {"uid": f"u{number}"}, "data": "x" * 100_000} for number in range(limits[-1])]
        send(handler, json.dumps({"kind": "ThingList", "items": things, "metadata": {}}).encode())

    server.answer = answer
    assert len(objects.list_objects(cluster, THINGS, "default")) == objects.SMALL_PAGE
    assert limits == [objects.PAGE, objects.SMALL_PAGE]


# -- AWS


@pytest.fixture
def account(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[aws.Connection]:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    whoami = (
        b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
        b"<Arn>arn:aws:iam::123456789012:user/a</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    server.answer = lambda handler: send(handler, whoami)
    connection = aws.Connection(
        {"region": "eu-west-1", "endpointUrl": server.url, "timeout": 5, "maxAttempts": 1}, "i/s", 2
    )
    yield connection
    connection.close()


def send_deep_xml(handler: _Handler) -> None:
    send(handler, b"<a>" * 200_000 + b"</a>" * 200_000)


@hostile
@pytest.mark.parametrize(("service", "operation"), [("ssm", "describe_parameters"), ("s3", "list_buckets")])
def test_an_account_is_read_within_bounds(
    account: aws.Connection,
    server: Server,
    grown: Callable[[], int],
    answer: Callable[[_Handler], None],
    service: str,
    operation: str,
) -> None:
    server.answer = answer
    with pytest.raises(ProviderError):
        account.call(service, operation)
    assert grown() < 150


def test_what_is_nested_without_bottom_is_no_account(
    account: aws.Connection, server: Server, grown: Callable[[], int]
) -> None:
    server.answer = send_deep_xml
    with pytest.raises(Transient, match="not one of AWS"):
        aws.Connection({"region": "eu-west-1", "endpointUrl": server.url, "maxAttempts": 1}, "i/s", 2)
    assert grown() < 150


def test_pages_that_do_not_come_to_an_end_are_given_up(
    account: aws.Connection, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "MAX_PAGES", 20)
    server.answer = lambda handler: send(
        handler, json.dumps({"Parameters": [], "NextToken": f"t{server.count}"}).encode()
    )
    with pytest.raises(Transient, match="the pages do not come to an end"):
        list(account.pages("ssm", "describe_parameters", "Parameters"))
    server.answer = lambda handler: send(handler, b'{"Parameters": [], "NextToken": "again"}')
    with pytest.raises(Transient, match="the same page was announced twice"):
        list(account.pages("ssm", "describe_parameters", "Parameters"))


# -- Vault


@pytest.mark.parametrize("answer", [*HOSTILE, send_unpacking], ids=lambda answer: answer.__name__)
def test_a_vault_is_read_within_bounds(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    grown: Callable[[], int],
    answer: Callable[[_Handler], None],
) -> None:
    monkeypatch.setenv("VAULT_ADDR", server.url)
    monkeypatch.setenv("VAULT_TOKEN", "t")
    server.answer = answer
    found = VaultSource().read(["kv/shop#/password"], SecretContext())["kv/shop#/password"]
    assert isinstance(found, Transient)
    assert grown() < 100


def test_an_answer_that_is_too_large_is_no_answer_that_something_was_refused() -> None:
    """Of a create whose answer is too large nobody knows whether it was carried out."""
    assert issubclass(TooLarge, Transient)
