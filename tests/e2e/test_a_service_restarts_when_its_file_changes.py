"""`lifecycle.triggers` on a real host and a real cluster: one restart a change, owed until it happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fakenode import FakeNode
from tests.cluster.fixtures import Cluster
from tests.e2e.shop import read_json, results, run_trueup
from tests.hosts.fixtures import Host

from trueup.sdk import Target

SSH = "ssh.trueup.dev/v1"
UNIT = """[Unit]
Description=Says what it has read

[Service]
ExecStartPre=/bin/cp /etc/t-web.conf /run/t-web.seen
ExecStart=/bin/sleep infinity
ExecReload=/bin/cp /etc/t-web.conf /run/t-web.seen

[Install]
WantedBy=multi-user.target
"""
# The command line, in a process that dies right before the first restart.
DIES = """
import os, signal, sys
from trueup_ssh.kinds.service import Service
Service.refresh = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.argv[0] = "trueup"
import runpy
runpy.run_module("trueup", run_name="__main__")
"""


class Stack:
    """A stack in a directory, reconciled by the command line."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self.arguments = [str(folder / "stack"), "--store", str(folder / "store.db")]
        (folder / "stack").mkdir()
        spec = {
            "targets": [{"name": target.name, "provider": target.provider, "config": dict(target.config)}]
        }
        self.write("stack", apiVersion="trueup.dev/v1", kind="Stack", metadata={"name": "web"}, spec=spec)

    def write(self, name: str, **document: Any) -> None:
        (self.folder / "stack" / f"{name}.yaml").write_text(yaml.safe_dump(document))

    def plan(self) -> list[Mapping[str, Any]]:
        done = run_trueup("plan", *self.arguments, "--output", "json")
        changes: list[Mapping[str, Any]] = read_json(done, done.returncode)["changes"]
        return changes

    def reconcile(self, expect: int = 0) -> dict[str, str]:
        """Each resource without stack and target, and what became of it."""
        done = run_trueup("reconcile", *self.arguments, "--yes", "--output", "json")
        outcomes = results(read_json(done, expect))
        return {
            address.partition("/")[2].partition("@")[0]: result
            for address, result in outcomes.items()
            if result != "unchanged"
        }


@pytest.mark.hosts
@pytest.mark.xdist_group("hosts")
class TestHost:
    @pytest.fixture
    def host(self, hosts: Sequence[Host]) -> Host:
        hosts[0].fresh()
        return hosts[0]

    @pytest.fixture
    def stack(self, host: Host, tmp_path: Path) -> Stack:
        """A unit, what it reads, and the service, all there and at rest."""
        stack = Stack(tmp_path, host.target("web-1"))
        self.write_file(stack, "unit", "/etc/systemd/system/t-web.service", UNIT)
        self.write_file(stack, "conf", "/etc/t-web.conf", "one\n")
        self.write_service(stack)
        assert stack.reconcile() == {
            "File/unit": "created",
            "File/conf": "created",
            "Service/t-web": "created",
        }
        assert stack.plan() == []
        return stack

    @staticmethod
    def write_file(stack: Stack, name: str, path: str, content: str) -> None:
        spec = {"path": path, "content": content}
        stack.write(name, apiVersion=SSH, kind="File", metadata={"name": name}, spec=spec)

    @staticmethod
    def write_service(stack: Stack, **spec: Any) -> None:
        stack.write(
            "service",
            apiVersion=SSH,
            kind="Service",
            metadata={"name": "t-web"},
            lifecycle={"triggers": ["File/unit", "File/conf"]},
            spec=spec,
        )

    @staticmethod
    def seen(host: Host) -> tuple[str, str]:
        """What the service has read, and its process."""
        pid = host.run("systemctl show --property=MainPID --value t-web").strip()
        return host.run("cat /run/t-web.seen"), pid

    def test_a_changed_file_restarts_it_once(self, stack: Stack, host: Host) -> None:
        before = self.seen(host)
        assert before[0] == "one\n"
        self.write_file(stack, "conf", "/etc/t-web.conf", "two\n")
        change = stack.plan()[1]
        assert (change["action"], change["fields"]) == ("update", [])
        assert (change["reasons"], change["triggeredBy"]) == (["File/conf changes"], ["web/File/conf@web-1"])
        assert stack.reconcile() == {"File/conf": "updated", "Service/t-web": "updated"}
        after = self.seen(host)
        assert (after[0], after[1] != before[1]) == ("two\n", True)
        assert stack.plan() == []
        assert stack.reconcile() == {}
        assert self.seen(host) == after

    def test_a_changed_unit_is_read_again(self, stack: Stack, host: Host) -> None:
        content = UNIT.replace("/bin/sleep infinity", "/bin/sleep 1234567")
        self.write_file(stack, "unit", "/etc/systemd/system/t-web.service", content)
        assert stack.reconcile() == {"File/unit": "updated", "Service/t-web": "updated"}
        assert "1234567" in host.run(f"tr '\\0' ' ' < /proc/{self.seen(host)[1]}/cmdline")
        assert stack.plan() == []

    def test_a_reload_keeps_the_process(self, stack: Stack, host: Host) -> None:
        self.write_service(stack, onTrigger="reload")
        assert stack.reconcile() == {}
        before = self.seen(host)
        self.write_file(stack, "conf", "/etc/t-web.conf", "two\n")
        assert stack.reconcile() == {"File/conf": "updated", "Service/t-web": "updated"}
        assert self.seen(host) == ("two\n", before[1])
        assert stack.plan() == []

    def test_a_unit_that_cannot_reload_says_so_and_owes_it(self, stack: Stack, host: Host) -> None:
        content = "".join(line for line in UNIT.splitlines(True) if not line.startswith("ExecReload"))
        self.write_file(stack, "unit", "/etc/systemd/system/t-web.service", content)
        stack.reconcile()
        self.write_service(stack, onTrigger="reload")
        self.write_file(stack, "conf", "/etc/t-web.conf", "two\n")
        assert stack.reconcile(expect=1) == {"File/conf": "updated", "Service/t-web": "failed"}
        self.write_service(stack, onTrigger="reload-or-restart")
        assert stack.reconcile() == {"Service/t-web": "updated"}
        assert self.seen(host)[0] == "two\n"

    def test_a_restart_is_owed_when_the_run_was_killed_before_it(self, stack: Stack, host: Host) -> None:
        before = self.seen(host)
        # Drift: once it is corrected, the manifest and the host say the same as ever.
        host.run("printf 'by hand\\n' > /etc/t-web.conf; systemctl restart t-web")
        assert self.seen(host)[0] == "by hand\n"
        done = subprocess.run(
            [sys.executable, "-c", DIES, "reconcile", *stack.arguments, "--yes"],
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert host.run("cat /etc/t-web.conf") == "one\n"
        assert self.seen(host)[0] == "by hand\n"
        assert [(change["action"], change["reasons"]) for change in stack.plan()] == [
            ("update", ["File/conf has changed"])
        ]
        assert stack.reconcile() == {"Service/t-web": "updated"}
        assert self.seen(host)[0] == before[0]
        assert stack.plan() == []

    def test_a_service_that_is_to_be_stopped_is_not_started(self, stack: Stack, host: Host) -> None:
        self.write_service(stack, running=False)
        stack.reconcile()
        self.write_file(stack, "conf", "/etc/t-web.conf", "two\n")
        assert stack.reconcile() == {"File/conf": "updated", "Service/t-web": "updated"}
        assert host.run("systemctl is-active t-web", check=False).strip() == "inactive"
        assert stack.plan() == []


@pytest.mark.cluster
@pytest.mark.xdist_group("cluster")
def test_a_deployment_rolls_out_when_its_config_map_changes(
    cluster: Cluster, fakenode: FakeNode, namespace: str, tmp_path: Path
) -> None:
    stack = Stack(tmp_path, cluster.target("prod", namespace=namespace))

    def write_settings(value: str) -> None:
        stack.write(
            "settings", apiVersion="v1", kind="ConfigMap", metadata={"name": "settings"}, data={"a": value}
        )

    def write_web(image: str) -> None:
        template = {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": image}]},
        }
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        stack.write(
            "web",
            apiVersion="apps/v1",
            kind="Deployment",
            metadata={"name": "web"},
            lifecycle={"triggers": ["ConfigMap/settings"]},
            spec=spec,
        )

    def pods() -> dict[str, str]:
        """The running pods: name and image."""
        found = cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        return {
            pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
            for pod in found
            if not pod["metadata"].get("deletionTimestamp")
        }

    write_settings("1")
    write_web("web:1")
    assert stack.reconcile() == {"ConfigMap/settings": "created", "Deployment/web": "created"}
    first = pods()
    assert list(first.values()) == ["web:1"] * 2
    assert stack.plan() == []

    write_settings("2")
    assert stack.plan()[1]["reasons"] == ["ConfigMap/settings changes"]
    assert stack.reconcile() == {"ConfigMap/settings": "updated", "Deployment/web": "updated"}
    second = pods()
    assert len(second) == 2
    assert not first.keys() & second.keys(), "the old pods still run"
    assert stack.plan() == []
    assert stack.reconcile() == {}
    assert pods() == second

    # Our next apply neither takes the mark of the restart for its own nor drops it.
    write_web("web:2")
    assert stack.reconcile() == {"Deployment/web": "updated"}
    assert list(pods().values()) == ["web:2"] * 2
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    live = cluster.request("GET", path)
    assert "kubectl.kubernetes.io/restartedAt" in live["spec"]["template"]["metadata"]["annotations"]
    assert stack.plan() == []

    # A restart by hand is nobody's drift either.
    marks = {"kubectl.kubernetes.io/restartedAt": "2031-01-01T00:00:00Z"}
    template = {"spec": {"template": {"metadata": {"annotations": marks}}}}
    cluster.patch(path, template, manager="kubectl-rollout")
    assert stack.plan() == []
