"""The ssh provider on the machine itself, against the SDK's contract suite: files and directories."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueup.sdk import Node, Provider, Target, reveal
from trueup.sdk.testing.contract import Case, ProviderContract, Rig
from trueup_ssh.plugin import trueup_provider

API = "ssh.trueup.dev/v1"
SECRET = "canary-7f3a91c2d4"


def file_cases(root: str) -> list[Case]:
    """Files of every flavour: plain, secret, rendered from a template."""
    return [
        Case(
            API,
            "File",
            "plain",
            {"spec": {"path": f"{root}/plain", "content": "one\ntwo\n"}},
            changed={"spec": {"path": f"{root}/plain", "content": "one\nthree\n", "mode": "0600"}},
            sibling_body={"spec": {"path": f"{root}/plain-2", "content": "other\n"}},
        ),
        Case(
            API,
            "File",
            "secret",
            {"spec": {"path": f"{root}/secret", "content": f"key={SECRET}-1\n", "sensitive": True}},
            changed={"spec": {"path": f"{root}/secret", "content": f"key={SECRET}-2\n", "sensitive": True}},
            sensitive=(f"{SECRET}-1", f"{SECRET}-2"),
            sibling_body={"spec": {"path": f"{root}/secret-2", "content": "other\n"}},
        ),
        Case(
            API,
            "File",
            "rendered",
            {"spec": {"path": f"{root}/rendered", "template": "a {{ b }}\n", "data": {"b": "c"}}},
            changed={"spec": {"path": f"{root}/rendered", "template": "a {{ b }}\n", "data": {"b": "d"}}},
            sibling_body={"spec": {"path": f"{root}/rendered-2", "template": "x", "data": {}}},
        ),
    ]


def directory_case(root: str) -> Case:
    """A directory whose mode changes."""
    return Case(
        API,
        "Directory",
        "box",
        {"spec": {"path": f"{root}/box", "mode": "0755"}},
        changed={"spec": {"path": f"{root}/box", "mode": "2750"}},
        sibling_body={"spec": {"path": f"{root}/box-2", "mode": "0700"}},
    )


# Known at collection, when cases are made, and no one else's.
ROOT = Path(tempfile.gettempdir()) / f"trueup-contract-{os.getpid()}"


class TestLocal(ProviderContract):
    """Every promise, for files and directories of this machine."""

    cases = [*file_cases(str(ROOT)), directory_case(str(ROOT))]
    plugin_module = "trueup_ssh.plugin"
    sdk_modules = ("paramiko", "jinja2")

    @pytest.fixture
    def provider(self) -> Provider:
        return trueup_provider()

    @pytest.fixture
    def target(self, tmp_path: Path) -> Iterator[Target]:
        ROOT.mkdir(mode=0o700)
        yield Target("here", "ssh", config={"connection": "local", "stateDir": str(tmp_path / "state")})
        shutil.rmtree(ROOT)

    def snapshot(self, rig: Rig, node: Node) -> bytes:
        path = Path(node.body["spec"]["path"])
        found = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        return b"%d %o %d %d " % (found.st_ino, found.st_mode, found.st_uid, found.st_gid) + content

    def plant_foreign(self, rig: Rig, node: Node, case: Case) -> str:
        spec = reveal(node.body["spec"])
        path = Path(spec["path"])
        if node.kind == "Directory":
            path.mkdir()
            path.chmod(int(spec.get("mode", "0755"), 8))
        else:
            path.write_text(spec.get("content") or "a c\n")
            path.chmod(0o644)
        return f"file:{path}"

    def remove(self, rig: Rig, node: Node) -> None:
        path = Path(node.body["spec"]["path"])
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        for marker in Path(rig.target.config["stateDir"]).rglob("*.json"):
            marker.unlink()
