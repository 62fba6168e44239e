"""kill -9 at every point of every kind of step, for every way in which an object is found again.

Each test is one kind and one operation; it is repeated for each point that a run passes, each time from the
same start. After the kill and after the runs that follow, the invariants hold. A run that mends what a kill
has left is killed at each of its points, too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.canary import Canary, files_below
from tests.stress.forking import Answer, Job, Runs
from tests.stress.invariants import check_always, check_at_rest, check_removed, check_untouched, look

from trueup.app import App, SourceSpec
from trueup.reconcile.crash_point import POINTS
from trueup.reconcile.report import Selection
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, MemorySession
from trueup.sdk.testing.memory_world import Entry, FileWorld
from trueup.state.open import open_store

NAMED = ["Thing", "Slow", "Shared", "Secretive", "Named"]
UNNAMED = ["Tagged", "Tokened", "Nameless"]
OPERATIONS = {
    "create": [*NAMED, *UNNAMED],
    "update": [*NAMED, *UNNAMED],
    "replace": ["Thing", "Slow", "Shared", "Named", *UNNAMED],
    "createFirst": ["Named"],
    "delete": [*NAMED, *UNNAMED],
    "release": ["Thing", "Named", *UNNAMED],
    "adopt": NAMED,
    "move": ["Named", *UNNAMED],
    "move and replace": ["Named"],
    "move and createFirst": ["Named"],
    "refresh": ["Runner"],
}
CASES = [(operation, kind) for operation, kinds in OPERATIONS.items() for kind in kinds]
# What is killed twice: each operation, and each identity class where they differ in what mends them.
TWICE = [
    *(("create", kind) for kind in ("Thing", "Slow", "Tagged", "Tokened")),
    *(("replace", kind) for kind in ("Thing", "Tagged", "Tokened")),
    *((operation, "Thing") for operation in ("update", "delete", "release", "adopt")),
    *((operation, "Named") for operation in ("createFirst", "move", "move and createFirst")),
    ("refresh", "Runner"),
]
# Where the answer of a create that nothing leads to is lost, or may have been.
IN_DOUBT = "nothing tells whether it has made an object"
FOREIGN: dict[str, Entry] = {
    "Thing/nobody": {"id": "nobody", "version": 1, "owner": None, "spec": {"size": 7}},
    "Thing/other": {"id": "other", "version": 1, "owner": ["else", "shop", "shop/Thing/it@here"], "spec": {}},
}


@dataclass(frozen=True)
class Scenario:
    """One operation on an object of one kind. `canary` is the secret of the stack."""

    operation: str
    kind: str
    canary: str

    def before(self) -> list[dict[str, Any]]:
        if self.operation in ("create", "adopt"):
            return []
        return [self._it()]

    def after(self) -> list[dict[str, Any]]:
        operation = self.operation
        if operation in ("delete", "release"):
            return []
        if operation == "update":
            return [self._it(2)]
        if operation in ("replace", "createFirst"):
            return [self._it(zone="y")]
        if operation.startswith("move"):
            return [
                self._it(zone="y" if "and" in operation else "x", name="that", movedFrom=[f"{self.kind}/it"])
            ]
        if operation == "refresh":
            return [self._it()]
        return [self._it(adopt=True)] if operation == "adopt" else [self._it()]

    def _it(self, size: int = 1, zone: str = "x", name: str = "it", **lifecycle: Any) -> dict[str, Any]:
        if self.operation.endswith("createFirst"):
            lifecycle["replace"] = "createFirst"
        if self.operation == "release":
            lifecycle["onDelete"] = "orphan"
        if self.operation == "refresh":
            lifecycle["triggers"] = ["Secretive/keeper"]
        spec: dict[str, Any] = {"size": size, "zone": zone}
        if self.kind == "Named":
            spec = {"size": size, "name": zone}
        if self.kind == "Secretive":
            spec = {"user": f"u{size}", "token": self.canary, "password": f"{self.canary}{size}"}
        return resource(self.kind, name, spec, **lifecycle)

    def key(self) -> str:
        return "Named/x" if self.kind == "Named" else f"{self.kind}/it"


def resource(kind: str, name: str, spec: dict[str, Any], **lifecycle: Any) -> dict[str, Any]:
    metadata = {"name": name}
    whole = {"apiVersion": "memory.trueup.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}
    return {**whole, "lifecycle": lifecycle} if lifecycle else whole


class Place:
    """The folder of one case: a store, a world, a stack. It can be put back as it was."""

    def __init__(self, folder: Path, runs: Runs, scenario: Scenario) -> None:
        self.folder = folder / "case"
        self._template = folder / "template"
        self.runs = runs
        self.scenario = scenario
        self.outputs: list[str] = []

    @property
    def world(self) -> FileWorld:
        return FileWorld(self.folder / "world")

    def prepare(self) -> None:
        """What is there before the run that is killed, and the stack that it reads."""
        (self.folder / "stack").mkdir(parents=True)
        self._write(self.scenario.before(), 1)
        answer = self.run()
        assert answer.status == "converged", answer
        for key, entry in FOREIGN.items():
            self.world.put(key, entry)
        if self.scenario.operation == "adopt":
            found: Entry = {"id": "found", "version": 1, "owner": None, "spec": {"size": 9, "zone": "x"}}
            if self.scenario.kind == "Named":
                found = {**found, "spec": {"size": 9, "name": "x"}}
            if self.scenario.kind == "Secretive":
                found = {**found, "spec": {"user": "nobody"}}
            self.world.put(self.scenario.key(), found)
        self._write(self.scenario.after(), 2 if self.scenario.operation == "refresh" else 1)
        self.keep()

    def keep(self) -> None:
        """From now on `restore` leads back to what is there now."""
        shutil.rmtree(self._template, ignore_errors=True)
        shutil.copytree(self.folder, self._template)

    def _write(self, documents: list[dict[str, Any]], version: int) -> None:
        spec = {"targets": [{"name": "here", "provider": "memory"}], "guards": {"maxDeletes": 9}}
        stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec}
        canary = self.scenario.canary
        secret = {"user": f"u{version}", "token": canary, "password": canary}
        whole = [resource("Secretive", "keeper", secret), *documents]
        (self.folder / "stack" / "stack.yaml").write_text(yaml.safe_dump(stack))
        (self.folder / "stack" / "resources.yaml").write_text(yaml.safe_dump_all(whole))

    def restore(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self._template, self.folder)

    def run(self, where: str = "", count: int = 1) -> Answer:
        answer = self.runs.run(Job(str(self.folder), where, count=count))
        self.outputs.append(answer.output + "".join(answer.problems))
        return answer

    def objects(self) -> list[Entry]:
        """The live objects of the scenario's kind but for those of others."""
        world, kind = self.world, self.scenario.kind
        keys = [key for key in world.list_keys() if key.startswith(f"{kind}/") and key not in FOREIGN]
        return [world.peek(key) or {} for key in keys if key != "Secretive/keeper"]

    def let_time_pass(self) -> None:
        """The system makes to the end what was begun, without anybody who asks for it."""
        for key in self.world.list_keys():
            entry = self.world.peek(key) or {}
            if entry.get("pending"):
                self.world.put(key, {**entry, "pending": 0})

    def forget(self) -> None:
        """A person has looked: what may have been made is deleted by hand, and forgotten."""
        world, kind = self.world, self.scenario.kind
        for key in world.list_keys():
            if key.startswith(f"{kind}/"):
                world.put(key, None)
        catalog = MemoryCatalog(MemoryProvider(world))
        store = str(self.folder / "store.db")
        with pytest.MonkeyPatch.context() as patch, App(store, catalog=catalog) as app:
            # On the machine of the runs: see forking.
            patch.setenv("XDG_STATE_HOME", str(self.folder / "state"))
            source = SourceSpec(str(self.folder / "stack"))
            app.forget(source, Selection(only=(f"{kind}/it",)), confirm=lambda _plan: True)


@pytest.mark.parametrize(("operation", "kind"), CASES)
def test_a_run_killed_anywhere_is_finished_by_the_next_one(
    runs: Runs, tmp_path: Path, operation: str, kind: str
) -> None:
    canary = Canary.make()
    place = Place(tmp_path, runs, Scenario(operation, kind, canary.value))
    place.prepare()
    doomed = {entry["id"] for entry in place.objects()} if _removes(operation) else set[str]()
    found = runs.passes(Job(str(place.folder)))
    assert {"before-intent:1", "after-call:1", "before-outcome:1", "after-finish:1"} <= {*found}
    wrong = _kill_at_each(place, found, doomed)
    places = [*files_below(tmp_path / "case"), *(("output", text.encode()) for text in place.outputs)]
    wrong += canary.leaks(_without_world(places))
    assert wrong == []


@pytest.mark.parametrize(("operation", "kind"), TWICE)
def test_a_run_killed_while_it_mends_what_a_kill_left_is_finished_by_the_next_one(
    runs: Runs, tmp_path: Path, operation: str, kind: str
) -> None:
    place = Place(tmp_path, runs, Scenario(operation, kind, Canary.make().value))
    place.prepare()
    doomed = {entry["id"] for entry in place.objects()} if _removes(operation) else set[str]()
    calls = [where for where in runs.passes(Job(str(place.folder))) if where.startswith("after-call:")]
    place.restore()
    assert place.run(calls[-1]).is_killed
    place.let_time_pass()
    place.keep()
    found = runs.passes(Job(str(place.folder)))
    assert "after-finish:1" in found
    assert _kill_at_each(place, found, doomed) == []


def test_every_point_is_killed_at_in_some_case(runs: Runs, tmp_path: Path) -> None:
    passed: set[str] = set()
    for operation, kind in (("replace", "Thing"), ("createFirst", "Named"), ("delete", "Thing")):
        place = Place(tmp_path / f"{operation} {kind}", runs, Scenario(operation, kind, "not looked for"))
        place.prepare()
        passed |= {where.partition(":")[0] for where in runs.passes(Job(str(place.folder)))}
        place.restore()
        assert place.run("after-call:1").is_killed
        passed |= {where.partition(":")[0] for where in runs.passes(Job(str(place.folder)))}
    assert {*POINTS} <= passed, "no case of the matrix passes it"


def _kill_at_each(place: Place, found: list[str], doomed: set[str]) -> list[str]:
    """What is wrong after a kill at each of the points, each time from the same start."""
    wrong = []
    for where in found:
        place.restore()
        try:
            _kill_and_finish(place, where, doomed)
        except AssertionError as error:
            wrong.append(f"{where}: {error}")
    return wrong


def _removes(operation: str) -> bool:
    return operation in ("replace", "createFirst", "delete") or "and" in operation


def _without_world(places: list[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Where no secret may stand: its destination and the manifest are left out."""
    for place, content in places:
        if "/world/" not in place and "/stack/" not in place:
            yield place, content


def _kill_and_finish(place: Place, where: str, doomed: set[str]) -> None:
    answer = place.run(where)
    assert answer.is_killed, f"the run was not killed: {answer}"
    kinds = MemoryProvider(place.world).kinds()
    store = open_store(str(place.folder / "store.db"))
    session = MemorySession(place.world, f"{store.installation}/shop")
    try:
        check_always(look(kinds, session, store, "shop"))
        place.let_time_pass()
        answer = place.run(count=2)
        if answer.status == "failed" and place.scenario.kind == "Nameless":
            assert any(IN_DOUBT in problem for problem in answer.problems), answer
            assert len(place.objects()) <= 1, "made twice"
            again = place.run()
            assert (again.status, again.writes) == ("failed", 0), "it writes although it is in doubt"
            place.forget()
            answer = place.run(count=2)
        # I4: it converges, then makes no write.
        assert answer.status == "converged", f"I4: {answer}"
        assert not answer.has_changes, f"I4: the plan is not empty: {answer}"
        assert answer.writes == 0, f"I4: {answer.writes} writes"
        check_at_rest(look(kinds, session, store, "shop"))
        check_removed(place.world, f"{store.installation}/shop", doomed)
        check_untouched(place.world, FOREIGN)
        _check_result(place)
    finally:
        store.close()


def _check_result(place: Place) -> None:
    live, wanted = place.objects(), place.scenario.after()
    if place.scenario.operation == "release":
        assert [entry["owner"] for entry in live] == [None], "what was released is gone, or still marked"
        return
    assert len(live) == len(wanted), f"{len(live)} objects"
    for entry, document in zip(live, wanted, strict=True):
        assert {**entry["spec"], **document["spec"]} == entry["spec"], entry
    if place.scenario.operation == "refresh":
        assert live[0]["refreshes"] >= 1, "the refresh was forgotten"
