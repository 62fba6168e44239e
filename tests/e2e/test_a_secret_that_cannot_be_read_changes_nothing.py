"""Secrets of a stack on this machine: read before a run, granted by name, never in the way of a delete."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
import yaml
from tests.e2e.shop import TRUEUP


class Site:
    """A stack of files of this machine in a directory, and the environment that it is run in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = folder / "stack"
        self.out = folder / "out"
        self.environment: dict[str, str] = {}
        for place in (self.stack, self.out):
            place.mkdir()
        config = {"connection": "local", "stateDir": str(folder / "host")}
        self.declare(targets=[{"name": "here", "provider": "ssh", "config": config}])

    def declare(self, **spec: object) -> None:
        document = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "s"}, "spec": spec}
        (self.stack / "stack.yaml").write_text(yaml.safe_dump(document))

    def file(self, name: str, content: str, **own: object) -> None:
        """Declares a file with a content."""
        document = {
            "apiVersion": "ssh.trueup.dev/v1",
            "kind": "File",
            "metadata": {"name": name},
            **own,
            "spec": {"path": str(self.out / name), "content": content},
        }
        (self.stack / f"{name}.yaml").write_text(yaml.safe_dump(document))

    def run(self, *command: str, source: str = "", expect: int = 0) -> str:
        line = [*TRUEUP, *command, source or str(self.stack)]
        if command[0] != "validate":
            line += ["--store", str(self.folder / "store.db")]
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **self.environment}
        done = subprocess.run(
            line, env=environment, capture_output=True, text=True, timeout=120, cwd=self.folder
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def written(self, name: str) -> str:
        return (self.out / name).read_text()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    return Site(tmp_path)


def test_a_secret_that_cannot_be_read_stops_the_run_and_nothing_is_pruned(site: Site) -> None:
    site.environment["SITE_PASSWORD"] = "correct horse"
    site.file("a", 'password=${{ secret("env:SITE_PASSWORD") }}')
    site.file("b", "b")
    site.run("reconcile", "--yes")
    assert site.written("a") == "password=correct horse"

    del site.environment["SITE_PASSWORD"]
    (site.stack / "b.yaml").unlink()
    for command in (["plan"], ["reconcile", "--yes"], ["status"]):
        said = site.run(*command, expect=1)
        assert "a.yaml:6:" in said
        assert 'secret("env:SITE_PASSWORD"): the environment variable SITE_PASSWORD is not set' in said
    assert site.written("b") == "b"
    site.run("validate")


def test_a_secret_that_changes_at_its_source_is_a_change_without_a_commit(site: Site) -> None:
    site.environment["SITE_PASSWORD"] = "correct horse"
    site.file("a", '${{ secret("env:SITE_PASSWORD") }}')
    site.run("reconcile", "--yes")
    site.run("plan")
    site.environment["SITE_PASSWORD"] = "battery staple"
    (change,) = json.loads(site.run("plan", "--output", "json", expect=2))["changes"]
    assert change["fields"] == [{"path": "/spec/content", "from": None, "to": None, "sensitive": True}]
    site.run("reconcile", "--yes")
    assert site.written("a") == "battery staple"


def test_what_is_deleted_needs_no_secret(site: Site) -> None:
    site.environment["SITE_PASSWORD"] = "correct horse"
    site.file("a", '${{ secret("env:SITE_PASSWORD") }}')
    site.run("reconcile", "--yes")
    del site.environment["SITE_PASSWORD"]
    site.run("destroy", "--yes")
    assert not (site.out / "a").exists()


def test_a_stack_reads_what_it_is_granted_and_nothing_else(site: Site) -> None:
    secrets = site.folder / "secrets"
    secrets.mkdir()
    (secrets / "db").write_text("from a file\n")
    site.environment["SITE_PASSWORD"] = "from the environment"
    site.file("a", f'${{{{ secret("file:{secrets}/db") }}}}')
    said = site.run("validate", expect=1)
    assert f"stacks may not read {secrets}/db" in said

    head = f'store = "{site.folder / "store.db"}"\n[secrets]\nfiles = ["{secrets}"]\n'
    stack = f'[[stacks]]\nname = "s"\nlocation = "{site.stack}"\n'
    config = site.folder / "trueup.toml"
    config.write_text(f'{head}env = ["SITE_*"]\n{stack}secrets = ["file:*"]\n')
    site.run("validate", source="s")
    site.run("reconcile", "--yes", source="s")
    assert site.written("a") == "from a file"

    site.file("b", '${{ secret("env:SITE_PASSWORD") }}')
    assert 'secret("env:SITE_PASSWORD"): this stack may not read this secret' in site.run(
        "reconcile", "--yes", source="s", expect=1
    )
    config.write_text(f'{head}env = ["SITE_*"]\nallow = ["*:SITE_*", "file:*"]\n{stack}')
    site.run("reconcile", "--yes", source="s")
    assert site.written("b") == "from the environment"
    site.file("c", '${{ secret("env:HOME") }}')
    for command in (["validate"], ["plan"]):
        assert "c.yaml" in site.run(*command, source="s", expect=1)


def test_a_file_of_sops_lies_beside_the_resources_and_is_none(site: Site, sops_binary: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    plain = site.folder / "secrets.yaml"
    plain.write_text("db: {password: correct horse, port: 5432}\n")
    command = [sops_binary, "--encrypt", "--age", str(identity.to_public()), plain]
    encrypted = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (site.stack / "secrets.yaml").write_text(encrypted)
    db = 'secret("sops:secrets.yaml#/db")'
    site.file("a", f'${{{{ {db}.password }}}}:${{{{ secret("sops:secrets.yaml#/db/port") }}}}')
    site.run("validate")
    assert "secrets.yaml" in site.run("plan", expect=1)  # without a key
    site.environment["SOPS_AGE_KEY"] = str(identity)
    for path in (f"{sops_binary.parent}:{os.environ['PATH']}", os.environ["PATH"]):
        site.environment["PATH"] = path
        site.run("reconcile", "--yes")
        assert site.written("a") == "correct horse:5432"
        (site.out / "a").unlink()
    (site.stack / "secrets.yaml").unlink()
    assert db in site.run("validate", expect=1)
