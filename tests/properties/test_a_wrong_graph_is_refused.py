"""Random graphs with one fault: they are refused before anything is asked or written, and the fault is named.

A cycle is shown with its whole path, a name that leads nowhere and an object that is declared twice with
their places. Without the fault, the same graph is applied; afterwards nothing has changed by the refusal.
"""

from __future__ import annotations

import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stress.invariants import check_at_rest, look

from trueup.app import App, SourceSpec
from trueup.errors import ManifestError
from trueup.model.outcome import RunStatus
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, MemorySession
from trueup.sdk.testing.memory_world import MemoryWorld

API = "memory.trueup.dev/v1"
WAYS = ("ref", "dependsOn", "triggers")
MEMORY = Path("/dev/shm")

Resources = dict[str, dict[str, Any]]


class Estate:
    """A stack in a directory, each resource in a file of its own, on a world in memory."""

    def __init__(self, folder: Path) -> None:
        self.world = MemoryWorld()
        self.provider = MemoryProvider(self.world)
        self.app = App(str(folder / "store.db"), catalog=MemoryCatalog(self.provider), parallelism=2)
        self._stack = folder / "stack"

    def write(self, resources: Resources, **more: dict[str, Any]) -> None:
        shutil.rmtree(self._stack, ignore_errors=True)
        self._stack.mkdir()
        spec = {"targets": [{"name": "here", "provider": "memory"}], "guards": {"maxDeletes": "100%"}}
        stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec}
        for name, document in {"stack": stack, **resources, **more}.items():
            (self._stack / f"{name}.yaml").write_text(yaml.safe_dump(document))

    @property
    def source(self) -> SourceSpec:
        return SourceSpec(str(self._stack))

    def refusal(self) -> ManifestError:
        """The error that plan and run give alike, while nothing else happens."""
        before = len(self.world.calls()), self.app.store.runs("shop"), self.app.store.inventory("shop")
        texts = []
        for command in (self.app.plan, self.app.reconcile, self.app.drift):
            with pytest.raises(ManifestError) as caught:
                command(self.source)
            texts.append(str(caught.value))
        assert len(set(texts)) == 1
        after = len(self.world.calls()), self.app.store.runs("shop"), self.app.store.inventory("shop")
        assert after == before
        return caught.value

    def check_rest(self) -> None:
        """It converges, the invariants hold, and a second run writes nothing."""
        assert self.app.reconcile(self.source).status is RunStatus.CONVERGED
        writes = self.world.count_writes()
        assert self.app.reconcile(self.source).status is RunStatus.CONVERGED
        assert self.world.count_writes() == writes
        store = self.app.store
        session = MemorySession(self.world, f"{store.installation}/shop")
        check_at_rest(look(self.provider.kinds(), session, store, "shop"))


@contextmanager
def open_estate() -> Iterator[Estate]:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    estate = Estate(folder)
    try:
        yield estate
    finally:
        estate.app.close()
        shutil.rmtree(folder)


def lead(resources: Resources, name: str, way: str, to: str) -> None:
    """Makes a resource wait for another one; `to` is a reference such as Runner/a."""
    document = resources[name]
    if way == "ref":
        values = document["spec"].setdefault("value", [])
        values.append(f"${{{{ ref('{to}').status.id }}}}")
    elif way == "dependsOn":
        document.setdefault("dependsOn", []).append(to)
    else:
        document.setdefault("lifecycle", {}).setdefault("triggers", []).append(to)


@st.composite
def sound_graphs(draw: st.DrawFn, least: int = 1) -> Resources:
    """Resources whose edges lead to earlier ones, in files whose order says nothing."""
    count = draw(st.integers(least, 8))
    names = draw(st.permutations([f"r{index}" for index in range(count)]))
    resources: Resources = {
        name: {"apiVersion": API, "kind": "Runner", "metadata": {"name": name}, "spec": {"size": 1}}
        for name in names
    }
    for index, name in enumerate(names):
        for earlier in draw(st.sets(st.sampled_from(names[:index]))) if index else ():
            lead(resources, name, draw(st.sampled_from(WAYS)), f"Runner/{earlier}")
    return resources


def limits(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@given(data=st.data(), was_applied=st.booleans())
@limits(25)
def test_a_cycle_is_shown_with_its_path(data: st.DataObject, was_applied: bool) -> None:
    resources = data.draw(sound_graphs())
    with open_estate() as estate:
        if was_applied:
            estate.write(resources)
            estate.check_rest()
        knot = data.draw(st.lists(st.sampled_from(sorted(resources)), min_size=1, unique=True))
        faulty = _copy(resources)
        for name, to in zip(knot, [*knot[1:], knot[0]], strict=True):
            lead(faulty, name, data.draw(st.sampled_from(WAYS)), f"Runner/{to}")
        estate.write(faulty)
        problems = estate.refusal().problems
        # An edge that was there before can close a shorter cycle: each that is shown is one of the graph.
        edges = _edges(faulty)
        assert problems
        for problem in problems:
            path = re.findall(r"Runner/(\w+)(?: \((\w+)\))?", problem.message)
            names = [name for name, _ in path]
            if len(names) == 1:
                assert "itself" in problem.message and edges[names[0], names[0]], problem.message
                continue
            assert len(names) > 1 and names[0] == names[-1], problem.message
            assert len(set(names)) == len(names) - 1, problem.message
            for (name, _), (to, way) in itertools.pairwise(path):
                assert way in edges[name, to], (problem.message, edges)
        estate.write(resources)
        estate.check_rest()


@given(
    data=st.data(),
    way=st.sampled_from(WAYS),
    wrong=st.sampled_from(["Runner/r99", "Named/r0", "Runner/r0@there"]),
)
@limits(20)
def test_a_name_that_leads_nowhere_is_shown_with_its_place(data: st.DataObject, way: str, wrong: str) -> None:
    resources = data.draw(sound_graphs())
    name = data.draw(st.sampled_from(sorted(resources)))
    with open_estate() as estate:
        faulty = _copy(resources)
        lead(faulty, name, way, wrong)
        estate.write(faulty)
        problems = estate.refusal().problems
        assert [problem.place.file for problem in problems] == [f"{name}.yaml"], str(problems)
        assert problems[0].place.line > 0
        assert wrong.split("@")[-1] in problems[0].message
        estate.write(resources)
        estate.check_rest()


@given(data=st.data(), is_address=st.booleans())
@limits(20)
def test_what_is_declared_twice_is_shown_with_both_places(data: st.DataObject, is_address: bool) -> None:
    resources = data.draw(sound_graphs())
    name = data.draw(st.sampled_from(sorted(resources)))
    with open_estate() as estate:
        if is_address:
            twins = {"twin": _copy(resources)[name]}
            original = name
        else:
            named = {"apiVersion": API, "kind": "Named", "spec": {"name": "one", "size": 1}}
            resources["first"] = {**named, "metadata": {"name": "first"}}
            twins = {"twin": {**named, "metadata": {"name": "second"}}}
            original = "first"
        estate.write(resources, **twins)
        # What refers to it does not know which of the two is meant, and may say so as well.
        shown = [f"{problem.place} {problem.message}" for problem in estate.refusal().problems]
        assert any(f"{original}.yaml:1:1" in each and "twin.yaml:1:1" in each for each in shown), shown
        estate.write(resources)
        estate.check_rest()


def _copy(resources: Resources) -> Resources:
    copied: Resources = yaml.safe_load(yaml.safe_dump(resources))
    return copied


def _edges(resources: Resources) -> dict[tuple[str, str], set[str]]:
    """What waits for what, and why, by the names of the resources."""
    edges: dict[tuple[str, str], set[str]] = {}
    for name, document in resources.items():
        found = {
            "ref": re.findall(r"Runner/(\w+)", str(document["spec"].get("value", ""))),
            "dependsOn": [to.removeprefix("Runner/") for to in document.get("dependsOn", [])],
            "triggers": [
                to.removeprefix("Runner/") for to in document.get("lifecycle", {}).get("triggers", [])
            ],
        }
        for way, targets in found.items():
            for to in targets:
                edges.setdefault((name, to), set()).add(way)
    return edges
