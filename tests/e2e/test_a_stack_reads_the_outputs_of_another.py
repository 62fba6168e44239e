"""Two stacks on one machine: what one puts out, the other one writes into a file."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP


class Estate:
    """The stacks `network` and `app`, as directories, with one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store.db"
        (folder / "live").mkdir()
        config = {"connection": "local", "stateDir": str(folder / "host")}
        self.targets = [{"name": "here", "provider": "ssh", "config": config}]
        outputs = {"file": '${{ ref("File/net").spec.path }}', "key": '${{ secret("env:NETWORK_KEY") }}'}
        self.write("network", {"net": "10.0.0.0/8"}, outputs=outputs)
        self.write("app", {"config": 'net at ${{ stack("network").file }}', "alone": "alone"})

    def write(self, stack: str, files: dict[str, str], **spec: object) -> None:
        """The stack's directory, with a file resource for each name."""
        folder = self.folder / stack
        folder.mkdir(exist_ok=True)
        head = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": stack}}
        (folder / "stack.yaml").write_text(
            yaml.safe_dump({**head, "spec": {"targets": self.targets, **spec}})
        )
        documents = [
            {
                "apiVersion": "ssh.trueup.dev/v1",
                "kind": "File",
                "metadata": {"name": name},
                "spec": {"path": str(self.live(stack, name)), "content": content},
            }
            for name, content in files.items()
        ]
        (folder / "files.yaml").write_text(yaml.safe_dump_all(documents))

    def live(self, stack: str, name: str) -> Path:
        return self.folder / "live" / f"{stack}-{name}"

    def run(self, verb: str, stack: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [*TRUEUP, verb, str(self.folder / stack), "--store", str(self.store), *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Estate:
    monkeypatch.setenv("NETWORK_KEY", "k3y")
    return Estate(tmp_path)


def test_what_is_not_put_out_yet_holds_back_what_needs_it_and_nothing_else(estate: Estate) -> None:
    planned = estate.run("plan", "app")
    assert planned.returncode == 2
    assert "(known after apply)" in planned.stdout
    early = estate.run("reconcile", "app", "--yes")
    assert early.returncode == 1
    assert "stack network was never reconciled: reconcile it first" in early.stdout
    assert estate.live("app", "alone").read_text() == "alone"
    assert not estate.live("app", "config").exists()

    assert estate.run("reconcile", "network", "--yes").returncode == 0
    assert estate.run("reconcile", "app", "--yes").returncode == 0
    assert estate.live("app", "config").read_text() == f"net at {estate.live('network', 'net')}"
    assert estate.run("plan", "app").returncode == 0


def test_outputs_are_shown_and_follow_the_stack_and_secrets_stay_secret(estate: Estate) -> None:
    assert "has no outputs yet" in estate.run("outputs", "network").stderr
    run = json.loads(estate.run("reconcile", "network", "--yes", "--output", "json").stdout)
    path = str(estate.live("network", "net"))
    assert run["outputs"] == {"file": path, "key": "(sensitive)"}
    assert estate.run("outputs", "network", "--name", "file").stdout == f"{path}\n"
    shown = json.loads(estate.run("outputs", "network", "--output", "json").stdout)
    assert shown == {"file": path, "key": "(sensitive)"}
    assert b"k3y" not in estate.store.read_bytes()

    estate.write("app", {"config": '${{ stack("network").key }}'})
    refused = estate.run("plan", "app")
    assert refused.returncode == 1
    assert "files.yaml:" in refused.stderr
    assert "output key of stack network is sensitive, and the store holds no secrets" in refused.stderr

    estate.write("network", {"net": "1"}, outputs={"file": "moved"})
    estate.write("app", {"config": 'net at ${{ stack("network").file }}'})
    assert estate.run("reconcile", "network", "--yes").returncode == 0
    assert estate.run("reconcile", "app", "--yes").returncode == 0
    assert estate.live("app", "config").read_text() == "net at moved"
    assert estate.run("destroy", "network", "--yes").returncode == 0
    assert "(known after apply)" in estate.run("plan", "app").stdout


def test_an_output_that_cannot_be_evaluated_fails_the_run_and_keeps_its_value(estate: Estate) -> None:
    assert estate.run("reconcile", "network", "--yes").returncode == 0
    estate.write("network", {"net": "1"}, outputs={"file": '${{ ref("File/net").status.nothing }}'})
    failed = estate.run("reconcile", "network", "--yes")
    assert failed.returncode == 1
    assert "stack.yaml:" in failed.stdout
    assert 'has no field "nothing"' in failed.stdout
    assert estate.run("outputs", "network", "--name", "file").stdout == f"{estate.live('network', 'net')}\n"


def test_a_daemon_takes_them_in_their_order_and_passes_changes_on(estate: Estate) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = estate.folder / "trueup.toml"
    stacks = "".join(
        f'[[stacks]]\nlocation = "{estate.folder / name}"\npoll = "1s"\ninterval = "1h"\n'
        for name in ("app", "network")
    )
    config.write_text(f'store = "{estate.store}"\n[daemon]\nlisten = "127.0.0.1:{port}"\n{stacks}')
    log = estate.folder / "daemon.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([*TRUEUP, "daemon", "--config", str(config)], stdout=stream, stderr=stream)
    try:
        wait_until(estate.live("app", "config").exists, "the app has its file")
        assert '"failed"' not in log.read_text()
        estate.write("network", {"net": "1"}, outputs={"file": "moved"})
        wait_until(
            lambda: estate.live("app", "config").read_text() == "net at moved", "the new output arrives"
        )
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
