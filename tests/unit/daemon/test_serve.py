from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from trueup.daemon.serve import MAX_CONNECTIONS, Server, check_address
from trueup.errors import UsageError


class Condition:
    def __init__(self):
        self.faults = {}
        self.unready = {}

    def find_faults(self):
        return self.faults

    def find_unready(self):
        return self.unready


@pytest.fixture
def condition():
    return Condition()


@pytest.fixture
def server(condition, metrics):
    server = Server("127.0.0.1", 0, condition, metrics)
    server.start()
    yield server
    server.close()


@pytest.fixture
def ask(server):
    def send(method, path):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    return send


def test_health_names_each_stack_that_is_not_looked_after(ask, condition):
    assert ask("GET", "/healthz") == (200, "ok\n")
    condition.faults = {"shop": "its run is overdue by 901 s"}
    assert ask("GET", "/healthz") == (503, "shop: its run is overdue by 901 s\n")


def test_readiness_is_a_question_of_its_own(ask, condition):
    condition.unready = {"shop": "its first run has not ended yet"}
    assert ask("GET", "/readyz") == (503, "shop: its first run has not ended yet\n")
    assert ask("GET", "/healthz")[0] == 200


def test_metrics_are_in_the_text_format(ask, metrics):
    metrics.watch_source("shop", lambda: 1.0)
    status, text = ask("GET", "/metrics?format=text")
    assert status == 200
    assert 'trueup_source_age_seconds{stack="shop"} 1.0' in text


def test_other_paths_and_methods_are_refused(ask):
    assert ask("GET", "/")[0] == 404
    assert ask("POST", "/metrics")[0] == 501
    assert ask("HEAD", "/healthz") == (200, "")


def test_nonsense_on_the_port_does_not_stop_the_probes(ask, server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"\x00\xff\r\n\r\n")
        assert b"400" in connection.recv(4096)
    assert ask("GET", "/healthz")[0] == 200


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def test_a_body_of_any_size_is_not_read(ask, server):
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\nContent-Length: 1000000000\r\n\r\n" + bytes(4096))
        assert connection.recv(4096).startswith(b"HTTP/1.0 200")
    with connect(server) as connection:
        connection.sendall(b"GET /" + b"x" * 100_000)
        assert b"414" in connection.recv(4096)
    assert ask("GET", "/healthz")[0] == 200


def test_a_request_that_comes_byte_by_byte_has_its_time(server, monkeypatch):
    monkeypatch.setattr("trueup.daemon.serve.REQUEST_TIME", 0.5)
    with connect(server) as connection:
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 30:
                connection.sendall(b"G")
                connection.settimeout(0.1)
                try:
                    if connection.recv(4096) == b"":
                        break
                except TimeoutError:
                    pass
        assert time.monotonic() - began < 20


def test_a_flood_of_connections_is_sent_away_and_the_probes_come_back(ask, server):
    threads = threading.active_count()
    crowd = [connect(server) for _ in range(MAX_CONNECTIONS)]
    try:
        late = connect(server)
        assert late.recv(4096).startswith(b"HTTP/1.0 503")
        late.close()
        assert threading.active_count() <= threads + 2 * MAX_CONNECTIONS
    finally:
        for connection in crowd:
            connection.close()
    deadline = time.monotonic() + 30
    while ask("GET", "/healthz")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_fault_of_ours_is_told_and_ends_one_request_alone(ask, condition):
    condition.find_faults = None
    with capture_logs() as told, pytest.raises(http.client.RemoteDisconnected):
        ask("GET", "/healthz")
    assert ("request failed", "error") in {(line["event"], line["log_level"]) for line in told}
    del condition.find_faults
    assert ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_no_permission(host):
    check_address(host, allow_remote=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7", "example.com", "localhost.example.com"])
def test_an_address_that_others_can_reach_needs_it(host):
    with pytest.raises(UsageError, match="refuses to listen") as caught:
        check_address(host, allow_remote=False)
    assert "allow_remote" in caught.value.hint
    check_address(host, allow_remote=True)


def test_a_port_in_use_is_a_message(server, condition, metrics):
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{server.port}"):
        Server("127.0.0.1", server.port, condition, metrics)


def test_it_listens_on_the_loopback_of_ipv6_too(condition, metrics):
    try:
        server = Server("::1", 0, condition, metrics)
    except UsageError:
        pytest.skip("this machine has no IPv6 loopback")
    server.start()
    connection = http.client.HTTPConnection("::1", server.port, timeout=30)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    server.close()
