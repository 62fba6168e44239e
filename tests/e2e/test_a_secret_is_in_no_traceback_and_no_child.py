"""Secrets while trueup crashes, and in what it starts: git, sops, helm and kustomize tell what they got."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml
from tests.e2e.canary import Canary, files_below
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer, Repository

# A fault of ours in the middle of a run, with the secrets in its locals and in its own words.
CRASH = """
import os
import trueup.app
from trueup.model.values import reveal

gather = trueup.app.App._gather

def crash(self, *arguments, **options):
    facts = gather(self, *arguments, **options)
    opened = [reveal(each) for each in facts.secrets.values()]
    deeper(opened, os.environ["CANARY_ENV"])

def deeper(opened, variable):
    try:
        raise ValueError(f"cannot parse {opened}")
    except ValueError as error:
        raise RuntimeError(f"a fault of ours, with {variable}") from error

if "CRASH" in os.environ:
    trueup.app.App._gather = crash
"""
WRAPPER = """#!/bin/sh
{{ printf '%s\\n' "$@"; /usr/bin/env; }} > {dumps}/{name}.$$
exec {program} "$@"
"""
RENDERED = {
    "overlay/kustomization.yaml": "configMapGenerator: [{name: web, literals: [a=b]}]\n",
    "chart/Chart.yaml": "apiVersion: v2\nname: cache\nversion: 0.1.0\n",
    "chart/templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cache}\ndata: {a: b}\n",
}
FILE = """
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: env}
spec:
  path: OUT/env
  content: |
    PASSWORD=${{ secret("sops:secrets.yaml#/password") }}
    USER=${{ secret("env:CANARY_ENV") }}
"""


class Estate:
    """A stack of a file on this machine and of two renderings for a cluster that is away."""

    def __init__(self, folder: Path, repository: Repository, tools: dict[str, Path]) -> None:
        self.folder = folder
        self.repository = repository
        self.by_sops, self.by_env = Canary.make(), Canary.make()
        self.said: list[tuple[str, bytes]] = []
        self.dumps = folder / "dumps"
        self.out = folder / "out"
        self.bin = folder / "bin"
        for each in (self.dumps, self.out, self.bin, folder / "python"):
            each.mkdir()
        for name, program in tools.items():
            wrapper = self.bin / name
            wrapper.write_text(WRAPPER.format(dumps=self.dumps, name=name, program=program))
            wrapper.chmod(0o755)
        (folder / "python" / "sitecustomize.py").write_text(CRASH)
        self.identity: Any = pyrage.x25519.Identity.generate()
        self.environment = {
            **os.environ,
            "NO_COLOR": "1",
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "python"),
            "SOPS_AGE_KEY": str(self.identity),
            "CANARY_ENV": self.by_env.value,
        }
        repository.commit({**RENDERED, **self._files(tools["sops"])})

    def _files(self, sops: Path) -> dict[str, str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        kubeconfig = self.folder / "kubeconfig"
        name = {"name": "away"}
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "current-context": "away",
                    "clusters": [{**name, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "contexts": [{**name, "context": {"cluster": "away", "user": "away"}}],
                    "users": [{**name, "user": {"token": "none"}}],
                }
            )
        )
        local = {"connection": "local", "stateDir": str(self.folder / "host")}
        stack = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "canary"},
            "spec": {
                "targets": [
                    {"name": "here", "provider": "ssh", "config": local},
                    {"name": "away", "provider": "kubernetes", "config": {"kubeconfig": str(kubeconfig)}},
                ],
                "render": [
                    {"kustomize": {"path": "overlay"}},
                    {"helm": {"chart": "chart", "namespace": "default"}},
                ],
            },
        }
        plain = self.folder / "plain.yaml"
        plain.write_text(yaml.safe_dump({"password": self.by_sops.value}))
        key = str(self.identity.to_public())
        done = subprocess.run([sops, "-e", "--age", key, plain], capture_output=True, text=True, check=True)
        plain.unlink()
        return {
            "stack.yaml": yaml.safe_dump(stack),
            "file.yaml": FILE.replace("OUT", str(self.out)),
            "secrets.yaml": done.stdout,
        }

    def run(self, command: str, *options: str, expect: int, **variables: str) -> str:
        line = [*TRUEUP, command, self.repository.url("http"), *options]
        line += ["--store", str(self.folder / "store.db")]
        done = subprocess.run(line, env={**self.environment, **variables}, capture_output=True, timeout=120)
        said = done.stdout + done.stderr
        self.said.append((f"trueup {command} {' '.join(options)}", said))
        assert done.returncode == expect, said.decode()
        return said.decode()

    def leaks(self) -> list[str]:
        """Where the secrets stand beside their file, and in what the children got."""
        apart = (str(self.out), str(self.dumps))
        places = [*self.said]
        for folder in (self.folder, Path(os.environ["XDG_CACHE_HOME"]), Path(os.environ["XDG_STATE_HOME"])):
            places += [each for each in files_below(folder) if not each[0].startswith(apart)]
        children = list(files_below(self.dumps))
        found = [leak for canary in (self.by_sops, self.by_env) for leak in canary.leaks(places)]
        found += self.by_sops.leaks(children)
        # git and sops may need the environment of trueup; renderings are of somebody else's files.
        found += self.by_env.leaks(
            [each for each in children if Path(each[0]).name.startswith(("helm", "kust"))]
        )
        return found


@pytest.fixture
def estate(
    tmp_path: Path,
    git_server: GitServer,
    sops_binary: Path,
    helm_binary: Path,
    kustomize_binary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Estate:
    for name in ("TRUEUP_HELM", "TRUEUP_KUSTOMIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    git = shutil.which("git")
    assert git is not None
    tools = {"git": Path(git), "sops": sops_binary, "helm": helm_binary, "kustomize": kustomize_binary}
    return Estate(tmp_path, git_server.create(f"canary-{os.urandom(4).hex()}"), tools)


def test_a_secret_is_in_no_traceback_and_no_child(estate: Estate) -> None:
    for command, *options in (["plan", "-vv"], ["reconcile", "--yes"]):
        said = estate.run(command, *options, expect=1, CRASH="1")
        assert "a fault of ours" in said
        assert "Traceback" in said
    assert not (estate.out / "env").exists()
    _crash_in_a_daemon(estate)

    estate.run("reconcile", "--yes", "-vv", expect=1)
    assert estate.by_sops.value in (estate.out / "env").read_text()
    dumped = {path.name.partition(".")[0] for path in estate.dumps.iterdir()}
    assert dumped == {"git", "sops", "helm", "kustomize"}
    assert estate.leaks() == []


def _crash_in_a_daemon(estate: Estate) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = estate.folder / "trueup.toml"
    config.write_text(
        f'store = "{estate.folder / "store.db"}"\n[daemon]\nlisten = "127.0.0.1:{port}"\n'
        f'[[stacks]]\nname = "canary"\nlocation = "{estate.repository.url("http")}"\npoll = "1s"\n'
    )
    log = estate.folder / "daemon.log"
    with log.open("wb") as stream:
        daemon = subprocess.Popen(
            [*TRUEUP, "daemon", "--config", str(config), "--verbose"],
            env={**estate.environment, "CRASH": "1"},
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_until(lambda: "a fault of ours" in log.read_text(), "the crash is told")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
    assert "Traceback" in log.read_text()
