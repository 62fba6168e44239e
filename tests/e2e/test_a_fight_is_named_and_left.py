"""A controller sets a field back after every run: it is named and left alone, and all else goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fixtures import Cluster
from tests.e2e.shop import read_json, run_trueup
from tests.stress.invariants import check_at_rest, check_quiet, check_spared, look_at, survey
from tests.stress.systems import ClusterPart

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

RIVAL = "autoscaler"


class Arena:
    """A stack of three ConfigMaps in a namespace, and a rival who changes one of them."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.cluster = cluster
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.stack = folder / "stack"
        self.stack.mkdir()
        target = cluster.target("prod", namespace=namespace)
        targets = [{"name": target.name, "provider": target.provider, "config": dict(target.config)}]
        self.write("stack", "trueup.dev/v1", "Stack", {"spec": {"targets": targets}})
        for name in ("fought", "other", "third"):
            self.declare(name, {"size": "1", "colour": "red"})
        self.store = folder / "store.db"
        self.options = [str(self.stack), "--store", str(self.store)]

    def write(self, name: str, api: str, kind: str, rest: Mapping[str, Any]) -> None:
        document = {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **rest}
        (self.stack / f"{name}.yaml").write_text(yaml.safe_dump(document))

    def declare(self, name: str, data: Mapping[str, str]) -> None:
        depends = {"dependsOn": ["ConfigMap/fought"]} if name == "third" else {}
        self.write(name, "v1", "ConfigMap", {"data": dict(data), **depends})

    def strike(self, name: str = "fought", size: str = "9") -> None:
        """What the rival does whenever it looks."""
        self.cluster.patch(f"{self.path}/{name}", {"data": {"size": size}}, manager=RIVAL)

    def size(self, name: str = "fought") -> str:
        return str(self.cluster.request("GET", f"{self.path}/{name}")["data"]["size"])

    def reconcile(self) -> dict[str, Any]:
        return read_json(run_trueup("reconcile", *self.options, "--yes", "-o", "json"), 0)

    def writes(self, name: str) -> int:
        """How often trueup has written the object since the mark."""
        return sum(event["objectRef"].get("name") == name for event in self.cluster.writes())


@pytest.fixture
def arena(cluster: Cluster, namespace: str, tmp_path: Path) -> Arena:
    return Arena(cluster, namespace, tmp_path)


@contextmanager
def lurking(arena: Arena) -> Iterator[None]:
    """A controller who answers each write of the object within milliseconds."""
    is_over = threading.Event()

    def lurk() -> None:
        while not is_over.wait(0.005):
            if arena.size() != "9":
                arena.strike()

    thread = threading.Thread(target=lurk, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def results(document: Mapping[str, Any]) -> dict[str, str]:
    names = {each["address"]: each["result"] for each in document["outcomes"]}
    return {address.rpartition("/")[2].partition("@")[0]: result for address, result in names.items()}


def test_a_fight_is_named_and_left(arena: Arena, namespace: str) -> None:
    arena.reconcile()
    systems = [ClusterPart(arena.cluster, namespace)]
    before = survey(systems)

    # Five corrections are drift; the sixth is one too many.
    for number in range(1, 7):
        arena.strike()
        document = arena.reconcile()
        assert results(document)["fought"] == "updated"
        assert len(document["quarantines"]) == (number == 6)
    (quarantine,) = document["quarantines"]
    assert quarantine["paths"] == ["/data/size"]
    assert quarantine["writer"].startswith(RIVAL)
    assert quarantine["until"] - quarantine["since"] == 600
    written = arena.writes("fought")
    assert written >= 6

    # It is left alone, however often the rival comes back; nobody waits for it, and others are corrected.
    for number in range(3):
        arena.strike()
        arena.strike("other")
        arena.declare("third", {"size": f"1{number}", "colour": "red"})
        document = arena.reconcile()
        assert document["status"] == "converged"
        assert results(document) == {"fought": "skipped", "other": "updated", "third": "updated"}
    assert (arena.size(), arena.size("other")) == ("9", "1")
    assert (arena.writes("fought"), arena.writes("other") > 0) == (written, True)

    # Whoever looks is told who it is.
    told = f"{RIVAL} (Update) changes /data/size again and again"
    for command, code in (("reconcile", 0), ("status", 0), ("drift", 2), ("plan", 0)):
        yes = ["--yes"] if command == "reconcile" else []
        done = run_trueup(command, *arena.options, *yes)
        assert (done.returncode, told in done.stdout) == (code, True), done.stdout + done.stderr
    assert "warning: " in run_trueup("reconcile", *arena.options, "--yes").stdout
    options = ["--source", *arena.options]
    assert told in run_trueup("why", "ConfigMap/fought", *options).stdout
    events = read_json(run_trueup("events", *arena.options, "ConfigMap/fought", "-o", "json"), 0)["events"]
    assert [event["kind"] for event in events] == ["quarantined"]
    assert told in events[0]["message"]

    # By hand it is lifted, and then corrected with the next run.
    done = run_trueup("resume", *arena.options, "--only", "ConfigMap/fought")
    assert done.returncode == 0, done.stdout + done.stderr
    document = arena.reconcile()
    assert (results(document)["fought"], document["quarantines"], arena.size()) == ("updated", [], "1")
    check_at_rest(look_at(systems, arena.store, "stack"))
    check_spared(before, arena.store, "stack")
    check_quiet(systems, arena.reconcile)


def test_a_change_of_the_manifest_ends_a_fight_at_once(arena: Arena, namespace: str) -> None:
    arena.reconcile()
    for _ in range(6):
        arena.strike()
        document = arena.reconcile()
    assert len(document["quarantines"]) == 1
    arena.strike()
    # Who accepts what the rival wants has ended the fight, and what else the file says is applied.
    arena.declare("fought", {"size": "9", "colour": "blue"})
    document = arena.reconcile()
    assert (results(document)["fought"], document["quarantines"]) == ("updated", [])
    found = arena.cluster.request("GET", f"{arena.path}/fought")["data"]
    assert found == {"size": "9", "colour": "blue"}, json.dumps(found)
    check_quiet([ClusterPart(arena.cluster, namespace)], arena.reconcile)


def test_a_rival_who_answers_at_once_is_named_and_left(arena: Arena, namespace: str) -> None:
    arena.reconcile()
    with lurking(arena):
        arena.strike()
        for number in range(1, 7):
            done = run_trueup("reconcile", *arena.options, "--yes", "-o", "json")
            document = json.loads(done.stdout)
            # Where he is a little late, it is an ordinary correction, and counts alike.
            assert results(document)["fought"] in ("failed", "updated"), done.stdout
            assert len(document["quarantines"]) == (number == 6)
        messages = {each["message"] for each in document["outcomes"] if each["result"] == "failed"}
        told = f"/data/size did not last: right after it was set, {RIVAL} (Update) has changed it"
        assert messages <= {told}
        arena.strike()
        written = arena.writes("fought")
        arena.declare("third", {"size": "5", "colour": "red"})
        document = arena.reconcile()
        assert document["status"] == "converged"
        assert results(document) == {"fought": "skipped", "other": "unchanged", "third": "updated"}
        assert document["quarantines"][0]["writer"].startswith(RIVAL)
        assert (arena.size(), arena.writes("fought")) == ("9", written)
    check_quiet([ClusterPart(arena.cluster, namespace)], arena.reconcile)
