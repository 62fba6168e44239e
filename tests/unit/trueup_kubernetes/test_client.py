"""Kubeconfig files: what is taken, and what is refused before any request is sent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trueup.sdk import Invalid, Transient
from trueup_kubernetes.client import MAX_KUBECONFIG, open_client


def write(path: Path, user: dict[str, Any], server: str = "http://127.0.0.1:1") -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "current-context": "main",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    return str(path)


def command(tmp_path: Path) -> dict[str, Any]:
    """A credential plugin that leaves a trace."""
    script = tmp_path / "plugin"
    token = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t"},
    }
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/trace\necho '{json.dumps(token)}'\n")
    script.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}


def test_the_contexts_namespace_is_told(tmp_path: Path) -> None:
    client, namespace = open_client(write(tmp_path / "config", {"token": "t"}), "", 5.0, 1)
    client.close()
    assert namespace == "shop"


@pytest.mark.parametrize("context", ["", "main"])
def test_the_operators_credential_plugin_runs(tmp_path: Path, context: str) -> None:
    path = write(tmp_path / "config", command(tmp_path))
    open_client(path, context, 5.0, 1)[0].close()
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("is_linked", [False, True])
@pytest.mark.parametrize("mark", [".git", "stack.yaml"])
def test_a_command_from_a_repository_is_refused_and_not_run(
    tmp_path: Path, mark: str, is_linked: bool
) -> None:
    tree = tmp_path / "repository"
    path = write(tree / "deep" / "config", command(tmp_path))
    (tree / mark).mkdir()
    if is_linked:
        (tmp_path / "link").symlink_to(path)
        path = str(tmp_path / "link")
    with pytest.raises(Invalid, match="Git work tree or in a stack, and asks to run a command"):
        open_client(path, "", 5.0, 1)
    assert not (tmp_path / "trace").exists()


OUTWARD = {
    "auth-provider": {"name": "gcp", "config": {"cmd-path": "/bin/sh", "cmd-args": "-c 'touch trace'"}},
    "tokenFile": "/etc/hostname",
    "client-certificate": "/etc/hostname",
    "client-key": "/etc/hostname",
    "certificate-authority": "/etc/hostname",
}


@pytest.mark.parametrize("key", OUTWARD)
@pytest.mark.parametrize("context", ["", "main"])
def test_a_repositorys_kubeconfig_names_no_file_of_the_machine(
    tmp_path: Path, key: str, context: str
) -> None:
    is_of_cluster = key == "certificate-authority"
    path = Path(write(tmp_path / "config", {} if is_of_cluster else {key: OUTWARD[key]}))
    if is_of_cluster:
        config = json.loads(path.read_text())
        config["clusters"][0]["cluster"][key] = OUTWARD[key]
        path.write_text(json.dumps(config))
    (tmp_path / ".git").mkdir()
    with pytest.raises(Invalid, match=r"asks to run a command|names a file \(") as caught:
        open_client(str(path), context, 5.0, 1)
    assert ("a command" in caught.value.message) == (key == "auth-provider")


def test_a_repository_without_a_command_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "config", {"token": "t"})
    (tmp_path / ".git").mkdir()
    open_client(path, "", 5.0, 1)[0].close()


def test_the_environments_kubeconfig_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", write(tmp_path / "config", {"token": "t"}))
    client, namespace = open_client("", "", 5.0, 1)
    client.close()
    assert namespace == "shop"


def test_a_missing_file_and_context_are_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such file"):
        open_client(str(tmp_path / "none"), "", 5.0, 1)
    with pytest.raises(Invalid, match="no context 'other'"):
        open_client(write(tmp_path / "config", {"token": "t"}), "other", 5.0, 1)


def test_two_paths_in_one_are_refused(tmp_path: Path) -> None:
    one, two = (write(tmp_path / name, {"token": "t"}) for name in ("a", "b"))
    with pytest.raises(Invalid, match="no such file"):
        open_client(f"{one}:{two}", "", 5.0, 1)


@pytest.mark.parametrize("is_named", [True, False])
def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    file = tmp_path / "config"
    with file.open("wb") as stream:
        stream.truncate(MAX_KUBECONFIG + 1)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{file}")
    with pytest.raises(Invalid, match="is larger than 16 MiB"):
        open_client(str(file) if is_named else "", "", 1.0, 1)


def test_a_broken_file_is_named_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("users: [{user: {token: canary")
    with pytest.raises(Invalid) as caught:
        open_client(str(path), "", 5.0, 1)
    assert str(path) in str(caught.value) and "canary" not in str(caught.value)


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in kept:
            each.close()


def test_a_server_that_does_not_answer_is_transient_and_asked_once(tmp_path: Path, mute: str) -> None:
    client, _ = open_client(write(tmp_path / "config", {"token": "t"}, mute), "", 0.2, 1)
    with pytest.raises(Transient, match=r"no answer within 0\.2 s"):
        client.request("GET", "/api")
    client.close()


def test_a_closed_port_is_transient(tmp_path: Path) -> None:
    client, _ = open_client(write(tmp_path / "config", {"token": "t"}), "", 5.0, 1)
    with pytest.raises(Transient, match="cannot be reached"):
        client.request("PATCH", "/api", body={})
    client.close()
