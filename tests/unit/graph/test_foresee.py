"""Paths that are made of declared fields of other resources draw edges and clash as written ones do."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup.app import App, SourceSpec
from trueup.errors import ManifestError
from trueup.graph.build import EdgeReason
from trueup.model.resource import Node
from trueup.sdk.contracts import Kind
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_kinds import Named

CONF = "${{ ref('Located/root').spec.name }}/conf"


class Located(Named):
    """Is in a directory, which comes first. Relies on its schema: a name is a string."""

    name = "Located"

    def identity(self, node: Node) -> str:
        name = node.spec.get("name")
        return f"at:{name.strip()}" if hasattr(name, "strip") or isinstance(name, list) else ""

    def provides(self, node: Node) -> Iterable[str]:
        name = node.spec.get("name")
        return [f"path:{name}"] if isinstance(name, str) else []

    def needs(self, node: Node) -> Iterable[str]:
        name = node.spec.get("name")
        return [f"path:{posixpath.dirname(name)}"] if isinstance(name, str | list) else []


class Locating(MemoryProvider):
    def kind(self, api_version: str, name: str) -> Kind | None:
        return Located() if name == "Located" else super().kind(api_version, name)


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = App(str(folder / "store.db"), catalog=MemoryCatalog(Locating()))
        spec = {"targets": [{"name": "here", "provider": "memory"}]}
        self.write("stack.yaml", "trueup.dev/v1", "Stack", "shop", spec)

    def write(self, path: str, version: str, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        file = self.folder / "stack" / path
        file.parent.mkdir(exist_ok=True, parents=True)
        document = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        file.write_text(yaml.safe_dump(document))

    def declare(self, name: str, path: str, folder: str = "", **spec: Any) -> None:
        self.write(f"{folder}{name}.yaml", "memory.trueup.dev/v1", "Located", name, {"name": path, **spec})

    @property
    def implied(self) -> set[tuple[str, str]]:
        """First and then, for each implied edge."""
        graph = self.app.load(SourceSpec(str(self.folder / "stack"))).graph
        return {
            (first.name, then.name)
            for (first, then), reason in graph.edges.items()
            if reason is EdgeReason.IMPLIED
        }

    def problems(self) -> list[str]:
        with pytest.raises(ManifestError) as caught:
            assert self.implied is None
        return [problem.message for problem in caught.value.problems]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = Files(tmp_path)
    yield files
    files.app.close()


def test_a_path_of_two_steps_has_the_edges_of_a_written_one(files: Files) -> None:
    files.declare("a", "${{ ref('Located/dir').spec.name }}/file")
    files.declare("dir", "${{ ref('Located/root').spec.name }}/dir")
    files.declare("plain", "/srv/dir/plain")
    files.declare("root", "/srv")
    assert files.implied == {("dir", "plain")}  # for the others there is the reference itself
    files.declare("b", "${{ ref('Located/root').spec.name }}/dir/b")
    assert files.implied == {("dir", "plain"), ("dir", "b")}


def test_a_path_given_to_a_module_has_the_edges_of_a_written_one(files: Files) -> None:
    inputs = {"root": {"type": "string"}}
    files.write("site/module.yaml", "trueup.dev/v1", "Module", "site", {"inputs": inputs})
    files.declare("dir", "${{ vars.root }}/dir", folder="site/")
    files.declare("conf", "${{ vars.root }}/dir/conf", folder="site/")
    files.declare("root", "/srv")
    call = {"source": "./site", "inputs": {"root": "${{ ref('Located/root').spec.name }}"}}
    files.write("call.yaml", "trueup.dev/v1", "Module", "one", call)
    assert files.implied == {("one/dir", "one/conf")}


def test_two_resources_with_one_path_are_refused(files: Files) -> None:
    files.declare("root", "/srv")
    files.declare("a", CONF)
    files.declare("b", CONF)
    assert files.problems() == ["Located/b is the same object as Located/a at a.yaml:1:1"]
    files.declare("b", "/srv/conf")
    assert files.problems() == ["Located/b is the same object as Located/a at a.yaml:1:1"]
    files.declare("b", "/srv/other")
    assert files.implied == {("root", "b")}


def test_what_only_the_live_systems_tell_implies_nothing(files: Files) -> None:
    files.declare("root", "/srv")
    files.declare("a", "/srv/${{ ref('Located/root').status.id }}")
    files.declare("b", "${{ ref('Located/a').spec.name }}/b")
    files.declare("c", "${{ ref('Located/root').spec.name }}/${{ stack('other').name }}")
    files.declare("d", "${{ ref('Located/root').spec.name }}/${{ ref('Located/root').spec.mode }}")
    assert files.implied == set()


def test_a_value_that_the_kind_cannot_work_with_is_left_to_the_plan(files: Files) -> None:
    files.declare("root", "/srv", value=["a"])
    files.declare("a", "${{ ref('Located/root').spec.value }}")
    files.declare("b", "/srv/b")
    assert files.implied == {("root", "b")}


def test_a_path_that_needs_what_waits_for_it_is_a_cycle(files: Files) -> None:
    files.declare("file", "/srv/dir/file")
    files.declare("dir", "${{ ref('Located/file').spec.value }}")
    files.declare("file", "/srv/dir/file", value="/srv/dir")
    assert files.problems() == [
        "these resources wait for each other: Located/dir -> Located/file (ref) -> Located/dir (implied)"
    ]
