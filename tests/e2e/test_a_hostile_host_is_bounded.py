"""Hosts that talk without end, and files that grew to any size: an error in bounded memory, never "absent".

The host is this machine, by a shell of its own and through a real sshd on loopback.
"""

from __future__ import annotations

import getpass
import re
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.git.fixtures import GitServer

from trueup.sdk import Absent, Address, Failed, Node, Observed, Target, TooLarge, Transient
from trueup_ssh import session as session_module
from trueup_ssh.client import SshTransport
from trueup_ssh.kinds.file import File
from trueup_ssh.local import LocalTransport
from trueup_ssh.session import HostSession, Transport

MIB = 1024 * 1024


@pytest.fixture(params=["local", "ssh"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    made: Transport
    if request.param == "local":
        made = LocalTransport(str(tmp_path / "owners"), sudo=False)
    else:
        server: GitServer = request.getfixturevalue("git_server")
        found = re.search(r"-p (\d+) -i (\S+)", server.ssh_command)
        assert found is not None
        made = SshTransport(
            {
                "host": "127.0.0.1",
                "port": int(found[1]),
                "user": getpass.getuser(),
                "identityFile": found[2],
                "knownHosts": str(Path(found[2]).parent / "known_hosts"),
            }
        )
    yield made
    made.close()


@pytest.fixture
def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def grown_since(peak: int) -> int:
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) // 1024


def test_output_without_end_is_cut_off(transport: Transport, peak: int) -> None:
    with pytest.raises(TooLarge, match="larger than 64 MiB"):
        transport.run(b"yes 'a line of a host that has gone mad'\n", 120.0)
    assert grown_since(peak) < 250


def test_errors_without_end_do_not_fill_the_memory(transport: Transport, peak: int) -> None:
    done = transport.run(b"yes | head -c 100000000 >&2; echo said\n", 120.0)
    assert (done.status, done.output) == (0, b"said\n")
    assert len(done.errors) <= 2 * MIB
    assert grown_since(peak) < 100


def test_output_in_drops_is_given_up_at_the_deadline(transport: Transport) -> None:
    with pytest.raises(Transient, match="no answer within 1 s"):
        transport.run(b"while :; do echo drop; sleep 0.1; done\n", 1.0)
    with pytest.raises(Transient, match="no answer within 1 s"):
        transport.run(b"exec >&- 2>&-; sleep 60\n", 1.0)


def test_a_long_script_and_a_shell_that_ends_early_are_no_trouble(transport: Transport) -> None:
    filler = b"# " + b"x" * 5000 + b"\n"
    assert transport.run(filler * 1000 + b"echo end\n", 60.0).output == b"end\n"
    assert transport.run(b"echo early; exit 3\n" + filler * 1000, 60.0).status == 3


def node_of(path: Path, index: int) -> Node:
    body = {
        "apiVersion": File.api_version,
        "kind": "File",
        "metadata": {"name": f"f{index}"},
        "spec": {"path": str(path), "content": "short"},
    }
    return Node(Address("s", "File", f"f{index}", "t"), File.api_version, Target("t", "ssh"), body)


def test_a_file_that_grew_is_seen_without_being_read(transport: Transport, tmp_path: Path, peak: int) -> None:
    session = HostSession(transport, str(tmp_path / "owners"), 1)
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(10 * 1024**3)
    (seen,) = File().observe(session, [node_of(huge, 0)])
    assert isinstance(seen, Observed)
    assert seen.body["spec"]["content"] == f"(a file of {10 * 1024**3} bytes)"
    assert grown_since(peak) < 50


def test_what_is_too_much_for_one_answer_is_asked_for_in_parts(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MAX_OUTPUT", 400_000)
    session = HostSession(transport, str(tmp_path / "owners"), 1)
    nodes = []
    for index in range(6):
        path = tmp_path / f"file{index}"
        path.write_text("x" * (100_000 if index < 5 else 1))
        nodes.append(node_of(path, index))
    nodes.append(node_of(tmp_path / "nowhere", 6))
    seen = {each.address: each for each in File().observe(session, nodes)}
    assert all(isinstance(seen[node.address], Observed) for node in nodes[:6])
    assert isinstance(seen[nodes[6].address], Absent)


def test_where_no_part_is_small_enough_all_of_it_is_not_known(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MAX_OUTPUT", 10)
    session = HostSession(transport, str(tmp_path / "owners"), 1)
    nodes = [node_of(tmp_path / f"nowhere{index}", index) for index in range(20)]
    seen = list(File().observe(session, nodes))
    assert {each.address for each in seen} == {node.address for node in nodes}
    assert all(isinstance(each, Failed) and isinstance(each.error, TooLarge) for each in seen)


@pytest.mark.parametrize("flood", [b"x" * 65536, b"banner\r\n" * 8192], ids=["no-line-end", "lines"])
def test_a_flood_before_authentication_is_given_up(tmp_path: Path, peak: int, flood: bytes) -> None:
    (tmp_path / "known_hosts").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pour() -> None:
            connection, _address = server.accept()
            with connection:
                try:
                    while True:
                        connection.sendall(flood)
                except OSError:
                    return

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        config = {
            "host": "127.0.0.1",
            "port": server.getsockname()[1],
            "knownHosts": str(tmp_path / "known_hosts"),
            "connectTimeout": 2,
        }
        with pytest.raises(Transient):
            SshTransport(config)
        thread.join(20)
        assert not thread.is_alive()
    assert grown_since(peak) < 200
