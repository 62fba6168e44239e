"""A cluster and a host whose reads go wrong: what is not seen is neither deleted nor made again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.fixtures import Cluster
from tests.e2e.test_an_unreadable_system_is_never_absent import FAULTS
from tests.e2e.test_another_place_is_refused import lead_through, server_of, write_stack
from tests.faults.proxy import Fault, Mode, Proxy, Relay, name_of_kubernetes
from tests.faults.sshd import Sshd

from trueup.app import App, SourceSpec
from trueup.model.change import Action
from trueup.model.outcome import Result, RunStatus
from trueup.reconcile.report import RunReport


def check_blind(report: RunReport) -> None:
    """Nothing was done: each node that was looked at failed, and what depends on one of them is blocked."""
    results = {outcome.address.name: outcome.result for outcome in report.outcomes}
    assert set(results.values()) <= {Result.FAILED, Result.BLOCKED}, results
    assert {change.action for change in report.plan.changes} == {Action.UNKNOWN}


@pytest.mark.cluster
@pytest.mark.xdist_group("cluster")
def test_a_cluster_that_cannot_be_read(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    def bag(name: str, value: str = "1") -> str:
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}
        return yaml.safe_dump(body)

    place = f"/api/v1/namespaces/{namespace}/configmaps"
    with Proxy(server_of(cluster), name_of_kubernetes) as proxy, App(str(tmp_path / "store.db")) as app:
        file = lead_through(proxy, cluster, tmp_path / "kubeconfig")
        target = cluster.target("prod", kubeconfig=str(file), timeout=1)
        source = write_stack(tmp_path / "shop", target, *map(bag, "abcdef"))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        before = cluster.request("GET", place)["items"]
        write_stack(tmp_path / "shop", target, bag("b", "2"), *map(bag, "cdefg"))
        proxy.mark()
        healthy = app.plan(source)
        assert [healthy.summary[each] for each in (Action.CREATE, Action.UPDATE, Action.DELETE)] == [1, 1, 1]
        reads = proxy.reads()
        assert len(reads) >= 3
        faults = {
            **{name: FAULTS[name] for name in ("401", "403", "404 of a gateway", "half a body", "a reset")},
            "no answer": Fault(Mode.HANG),
            "a list of nothing known": Fault(Mode.BODY, body=lambda _content: b'{"kind": "Status"}'),
            "an empty object": Fault(Mode.BODY, body=lambda _content: b"{}"),
        }
        for name, fault in faults.items():
            for read in reads if name != "no answer" else reads[-1:]:
                proxy.spoil(lambda asked, read=read: asked.name == read, fault)
                proxy.mark()
                report = app.reconcile(source)
                proxy.heal()
                assert report.status is RunStatus.FAILED, f"{name} of {read}"
                check_blind(report)
                assert proxy.writes() == [], f"{name} of {read}"
        assert cluster.request("GET", place)["items"] == before
        assert app.reconcile(source).status is RunStatus.CONVERGED
        proxy.mark()
        assert not app.reconcile(source).plan.has_changes
        assert proxy.writes() == []


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd


def file(folder: Path, name: str, content: str = "1", **more: object) -> str:
    body = {"apiVersion": "ssh.trueup.dev/v1", "kind": "File", "metadata": {"name": name}, **more}
    return yaml.safe_dump({**body, "spec": {"path": str(folder / name), "content": content}})


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_host_that_cannot_be_read(sshd: Sshd, tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()

    def write(*files: str) -> SourceSpec:
        return write_stack(tmp_path / "shop", target, *files)

    with Relay(sshd.port) as relay, App(str(tmp_path / "store.db")) as app:
        target = sshd.target("web", relay.port, stateDir=str(tmp_path / "state"), connectTimeout=1)
        source = write(*(file(live, name) for name in "abc"))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        before = contents(live)
        write(file(live, "b", "2"), file(live, "c"), file(live, "d", dependsOn=["File/b"]))
        for mode in ("missing", "sudo", "silent", "noise", "half", "killed"):
            sshd.behave(mode)
            report = app.reconcile(source)
            assert report.status is RunStatus.FAILED, mode
            check_blind(report)
            assert contents(live) == before, mode
        sshd.behave("good")
        for how in ("refuse", "close", "drop"):
            relay.spoil(how)
            report = app.reconcile(source)
            relay.heal()
            assert report.status is RunStatus.FAILED, how
            check_blind(report)
            assert contents(live) == before, how
        # A name that leads nowhere, and a port at which nobody listens.
        for wrong in ({"host": "no-such-host.invalid"}, {"port": 1}):
            write_stack(
                tmp_path / "shop",
                type(target)("web", "ssh", config={**target.config, **wrong}),
                file(live, "b", "2"),
                file(live, "c"),
            )
            report = app.reconcile(source)
            assert report.status is RunStatus.FAILED, wrong
            check_blind(report)
            assert contents(live) == before, wrong
        write(file(live, "b", "2"), file(live, "c"), file(live, "d", dependsOn=["File/b"]))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert {name: text for name, (text, _) in contents(live).items()} == {"b": "2", "c": "1", "d": "1"}
        assert not app.reconcile(source).plan.has_changes


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk has to be mounted")
def test_a_host_whose_disk_is_full(sshd: Sshd, tmp_path: Path) -> None:
    """What lives stays as it is, whole, and so do the notes of whose it is."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        live, state = disk / "live", disk / "state"
        live.mkdir()
        target = sshd.target("web", stateDir=str(state))
        with App(str(tmp_path / "store.db")) as app:
            source = write_stack(tmp_path / "shop", target, *(file(live, name) for name in "abc"))
            assert app.reconcile(source).status is RunStatus.CONVERGED
            with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
                while True:
                    ballast.write(b"x" * 4096)
            before = contents(live)
            write_stack(
                tmp_path / "shop",
                target,
                file(live, "b", "2" * 9000),
                file(live, "c"),
                file(live, "d", "4" * 9000),
            )
            report = app.reconcile(source)
            assert report.status is RunStatus.FAILED
            results = {outcome.address.name: outcome.result for outcome in report.outcomes}
            assert (results["b"], results["d"]) == (Result.FAILED, Result.FAILED)
            now = contents(live)
            assert {name: now[name] for name in "bc"} == {name: before[name] for name in "bc"}
            assert "d" not in now
            (disk / "ballast").unlink()
            assert app.reconcile(source).status is RunStatus.CONVERGED
            assert {name: len(text) for name, (text, _) in contents(live).items()} == {
                "b": 9000,
                "c": 1,
                "d": 9000,
            }
            assert not app.reconcile(source).plan.has_changes
    finally:
        subprocess.run(["umount", str(disk)], check=True)
