"""The ssh provider against the SDK's contract suite: on the machine itself, and on a real Debian host."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.hosts.fixtures import Host

from trueup.sdk import Absent, Failed, Invalid, Node, Provider, Target, reveal
from trueup.sdk.testing.contract import Case, ProviderContract, Rig
from trueup.sdk.testing.promises_failure import FailurePromises
from trueup.sdk.testing.promises_import import ImportPromises
from trueup.sdk.testing.promises_lifecycle import LifecyclePromises
from trueup.sdk.testing.promises_ownership import OwnershipPromises
from trueup.sdk.testing.promises_pure import PurePromises
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
        ROOT.mkdir(mode=0o755)  # what other users cannot reach is not imported
        yield Target("here", "ssh", config={"connection": "local", "stateDir": str(tmp_path / "state")})
        shutil.rmtree(ROOT)

    def snapshot(self, rig: Rig, node: Node) -> bytes:
        path = Path(node.body["spec"]["path"])
        found = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        return b"%d %o %d %d " % (found.st_ino, found.st_mode, found.st_uid, found.st_gid) + content

    def import_ids(self, rig: Rig, node: Node) -> Sequence[str]:
        return [node.body["spec"]["path"]]

    def plant_foreign(self, rig: Rig, node: Node, case: Case) -> str:
        spec = reveal(node.body["spec"])
        path = Path(spec["path"])
        if node.kind == "Directory":
            path.mkdir()
            path.chmod(int(spec.get("mode", "0755"), 8))
        else:
            path.write_text(spec.get("content") or "a c\n")
            path.chmod(0o600 if spec.get("sensitive") else 0o644)
        return f"file:{path}"

    def remove(self, rig: Rig, node: Node) -> None:
        path = Path(node.body["spec"]["path"])
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        for marker in Path(rig.target.config["stateDir"]).rglob("*.json"):
            marker.unlink()


HOST_ROOT = "/srv/contract"
SIBLING_UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"

PACKAGE_CASE = Case(
    API,
    "Package",
    "t-one",
    {"spec": {"version": "1.0"}},
    changed={"spec": {"version": "1.1"}},
    sibling_name="t-two",
    sibling_body={"spec": {}},
)
SERVICE_CASE = Case(
    API,
    "Service",
    "cron",
    {"spec": {}},
    changed={"spec": {"running": False}},
    is_refreshable=True,
    sibling_name="t-sibling",
)


@pytest.fixture(scope="module")
def host(hosts: Sequence[Host]) -> Host:
    host = hosts[0]
    host.fresh()
    host.run(
        f"mkdir -p {HOST_ROOT}; cat > /etc/systemd/system/t-sibling.service <<'X'\n{SIBLING_UNIT}X\n"
        "systemctl daemon-reload; systemctl disable -q --now cron t-sibling"
    )
    return host


@pytest.mark.hosts
@pytest.mark.xdist_group("hosts")
class TestOverSsh(LifecyclePromises, OwnershipPromises, FailurePromises, ImportPromises):
    """What needs a live system, once for each kind, on a real Debian host: root by key."""

    cases = [file_cases(HOST_ROOT)[1], directory_case(HOST_ROOT), PACKAGE_CASE, SERVICE_CASE]

    @pytest.fixture
    def provider(self) -> Provider:
        return trueup_provider()

    @pytest.fixture
    def target(self, host: Host) -> Target:
        return host.target()

    @pytest.fixture
    def unreachable_target(self, host: Host) -> Target:
        return host.target(port=9, connectTimeout=3)

    @pytest.fixture
    def denied_target(self, host: Host) -> Target:
        return host.target(user="op", sudo=True)

    def snapshot(self, rig: Rig, node: Node) -> bytes:
        return _host_of(rig).run(_SHOW[node.kind].format(_thing(node)), check=False).encode()

    def import_ids(self, rig: Rig, node: Node) -> Sequence[str]:
        return [node.body["spec"]["path"]] if node.kind in ("File", "Directory") else []

    def plant_foreign(self, rig: Rig, node: Node, case: Case) -> str:
        spec, thing = reveal(node.body["spec"]), _thing(node)
        text = spec.get("content") or "a c\n"
        mode = "600" if spec.get("sensitive") else "644"
        version = f"={spec['version']}" if "version" in spec else ""
        script = {
            "File": f"cat > {thing} <<'X'\n{text}X\nchmod {mode} {thing}",
            "Directory": f"mkdir -m {spec.get('mode', '0755')} {thing}",
            "Package": f"apt-get -qqy install {thing}{version} </dev/null",
            "Service": f"systemctl enable -q --now {thing}",
        }[node.kind]
        _host_of(rig).run(script)
        return str(rig.kind(node).identity(node))

    def remove(self, rig: Rig, node: Node) -> None:
        thing = _thing(node)
        script = {
            "File": f"rm -f {thing}",
            "Directory": f"if [ -d {thing} ]; then rmdir {thing}; fi",
            "Package": f"apt-get -qqy purge {thing} </dev/null",
            "Service": f"systemctl disable -q --now {thing}",
        }[node.kind]
        _host_of(rig).run(f"{script}; rm -f /var/lib/trueup/owners/*")


_SHOW = {
    "File": "stat -c '%i %f %u %g' {0}; cat {0}",
    "Directory": "stat -c '%i %f %u %g' {0}; ls -A {0}",
    "Package": "dpkg-query -W {0}; dpkg -L {0} | xargs -d '\\n' stat -c '%n %i'",
    "Service": "systemctl show -p MainPID,ActiveState,UnitFileState {0}",
}


def _thing(node: Node) -> str:
    spec = node.body["spec"]
    return str(spec.get("path") or spec.get("name") or node.name)


def _host_of(rig: Rig) -> Host:
    config = rig.target.config
    return Host("h1", config["host"], Path(config["identityFile"]).parent)


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="this machine runs systemd")
def test_a_machine_without_systemd_fails_its_services_and_nothing_else(tmp_path: Path) -> None:
    target = Target("here", "ssh", config={"connection": "local", "stateDir": str(tmp_path)})
    rig = Rig(trueup_provider(), target)
    service, file = rig.node(SERVICE_CASE), rig.node(file_cases(str(tmp_path))[0])
    seen = rig.observe_all([service, file])
    failed = seen[service.address]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, Invalid)
    assert "systemd" in failed.error.message
    assert isinstance(seen[file.address], Absent)
    with pytest.raises(Invalid, match="systemd"):
        rig.create(service)
    rig.close()


class TestPureHalf(PurePromises):
    """What needs no host, for the kinds that this machine must not be changed by."""

    cases = [PACKAGE_CASE, SERVICE_CASE]
    plugin_module = "trueup_ssh.plugin"
    sdk_modules = ("paramiko", "jinja2")

    @pytest.fixture
    def provider(self) -> Provider:
        return trueup_provider()

    @pytest.fixture
    def target(self) -> Target:
        return Target("h", "ssh", config={"host": "h.example.com", "user": "root", "sudo": True})
