"""Stacks of a few kilobytes, or of one large file, that would multiply to more than any memory holds.

Each is read by a process of its own that may take no more than a gigabyte, and has to say what is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup.app import App, SourceSpec
from trueup.errors import ManifestError
from trueup.manifests import expand, joining, templates, text_budget
from trueup.model.outcome import Result
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import MemoryWorld

MEMORY = 1024 * 1024
_READ = """
import json, sys
from pathlib import Path
from trueup.app import App, SourceSpec
from trueup.errors import TrueupError
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import MemoryWorld

app = App(str(Path(sys.argv[1]).parent / "store.db"), catalog=MemoryCatalog(MemoryProvider(MemoryWorld())))
try:
    app.load(SourceSpec(sys.argv[1]))
    problems = []
except TrueupError as error:
    problems = [str(problem) for problem in error.problems]
lines = Path("/proc/self/status").read_text().splitlines()
peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
size = sum(map(len, problems))
told = {"memory": peak, "count": len(problems), "size": size, "told": problems[:3], "last": problems[-1:]}
print(json.dumps(told))
"""
LARGE = "x" * (4 * 1024 * 1024 - 1)
MANY = {"forEach": [f"n{number}" for number in range(9_000)]}


def thing(spec: Any, **more: Any) -> dict[str, Any]:
    head = {"apiVersion": "memory.trueup.dev/v1", "kind": "Thing", "metadata": {"name": "a"}}
    return {**head, **more, "spec": spec}


def write_stack(folder: Path, *documents: dict[str, Any], **spec: Any) -> Path:
    stack = folder / "stack"
    stack.mkdir()
    head = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "bomb"}}
    given = {"targets": [{"name": "memory", "provider": "memory"}], **spec}
    (stack / "stack.yaml").write_text(yaml.safe_dump({**head, "spec": given}))
    (stack / "things.yaml").write_text(yaml.safe_dump_all(documents))
    (stack / "large.txt").write_text(LARGE)
    return stack


def fill_by_whole_files(folder: Path) -> Path:
    return write_stack(folder, thing({"labels": {"text": "${{ file('large.txt') }}"}}, **MANY))


def fill_by_joins(folder: Path) -> Path:
    return write_stack(folder, thing({"labels": {"text": "${{ each.key }}${{ file('large.txt') }}"}}, **MANY))


def fill_by_kept_files(folder: Path) -> Path:
    other = {**thing({"size": 1}), "metadata": {"name": "b"}}
    text = "${{ ref('Thing/b').spec.size }}${{ file('large.txt') }}"
    return write_stack(folder, other, thing({"labels": {"text": text}}, **MANY))


def join_one_large_text(folder: Path) -> Path:
    text = "${{ file('large.txt') }}" * 10
    return write_stack(folder, thing({"labels": {"text": text}}))


def fill_one_resource(folder: Path) -> Path:
    labels = {f"k{number}": "${{ file('large.txt') }}" for number in range(10_000)}
    return write_stack(folder, thing({"labels": labels}))


def read_in_a_loop(folder: Path) -> Path:
    text = "${{ [1,2,3,4,5,6,7,8,9,10].map(a, [1,2,3,4,5,6,7,8,9,10].map(b, file('large.txt'))) }}"
    return write_stack(folder, thing({"labels": {"text": text}}))


def add_up_in_one_expression(folder: Path) -> Path:
    text = "${{ " + " + ".join(["file('large.txt')"] * 20) + " }}"
    return write_stack(folder, thing({"labels": {"text": text}}))


BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "whole files": (fill_by_whole_files, "the expressions of a stack make more than 512 MiB of text"),
    "joined files": (fill_by_joins, "the expressions of a stack make more than 512 MiB of text"),
    "files that are kept": (fill_by_kept_files, "the expressions of a stack make more than 512 MiB of text"),
    "one text": (join_one_large_text, "the text would have more than 16 MiB"),
    "one resource": (fill_one_resource, "the expressions here make more than 64 MiB of text"),
    "a loop": (read_in_a_loop, "the expression is too expensive for the files that it reads"),
    "a sum": (add_up_in_one_expression, "the expression is too expensive for the files that it reads"),
}


def read(stack: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", _READ, str(stack)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", BOMBS)
def test_what_expressions_make_is_bounded(name: str, tmp_path: Path) -> None:
    make, message = BOMBS[name]
    told = read(make(tmp_path))
    assert any(message in problem for problem in told["told"]), told
    assert "things.yaml:" in told["told"][0]
    assert told["memory"] < 2 * MEMORY, told
    assert told["size"] < 100_000


def test_many_bad_documents_are_told_in_part(tmp_path: Path) -> None:
    stack = write_stack(tmp_path, thing({"size": 1}))
    bad = "---\napiVersion: memory.trueup.dev/v1\nkind: Thin\nmetadata: {name: %s}\nspec: {size: 1}\n"
    for number in range(20):
        names = (f"n{number}-{index}" for index in range(200))
        (stack / f"bad{number:02}.yaml").write_text("".join(bad % name for name in names))
    told = read(stack)
    assert told["count"] == 1001
    assert "and 3000 more problems" in told["last"][0]


def load(stack: Path) -> None:
    app = App(str(stack.parent / "store.db"), catalog=MemoryCatalog(MemoryProvider(MemoryWorld())))
    try:
        app.load(SourceSpec(str(stack)))
    finally:
        app.close()


def test_what_is_left_out_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "MAX_TRIES", 50)
    never = {"when": "${{ each.key == '' }}"}
    load(write_stack(tmp_path, thing({"size": 1}, forEach=[f"n{n}" for n in range(49)], **never), thing({})))
    (tmp_path / "more").mkdir()
    with pytest.raises(ManifestError, match="multiply to more than 50"):
        load(write_stack(tmp_path / "more", thing({}, forEach=[f"n{n}" for n in range(51)], **never)))


def test_reading_goes_no_further_where_all_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "MAX_PROBLEMS", 10)
    wrong = thing({"size": "${{ vars.nothing[each.key] }}"}, forEach=[f"n{n}" for n in range(1000)])
    with pytest.raises(ManifestError) as raised:
        load(write_stack(tmp_path, wrong))
    assert len(raised.value.problems) < 30


def test_what_comes_of_other_resources_is_counted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known only in the run: what would be too much fails, the rest is done."""
    monkeypatch.setattr(text_budget, "MAX_RUN_TEXT", 25_000)
    first = {**thing({"labels": {"text": "x" * 10_000}}), "metadata": {"name": "first"}}
    read = "ref('Thing/first').spec.labels.text"
    joined = thing({"labels": {"text": f"${{{{ each.key }}}}${{{{ {read} }}}}"}}, forEach=["1", "2", "3"])
    shared = {**thing({"labels": {"text": f"${{{{ {read} }}}}"}}, forEach=["1", "2", "3"])}
    shared["metadata"] = {"name": "shared"}
    stack = write_stack(tmp_path, first, joined, shared)
    world = MemoryWorld()
    app = App(str(tmp_path / "store.db"), catalog=MemoryCatalog(MemoryProvider(world)))
    try:
        for _ in range(2):
            report = app.reconcile(SourceSpec(str(stack)))
            failed = [outcome for outcome in report.outcomes if outcome.result is Result.FAILED]
            assert [outcome.address.name for outcome in failed] == ["a-3"]
            assert "the expressions of a run make more than" in failed[0].message
            assert len(world.list_keys()) == 6
    finally:
        app.close()


def test_a_fleet_with_files_of_its_own_is_no_bomb(tmp_path: Path) -> None:
    """A thousand hosts with thirty files of 16 KiB each, made of one text and a name."""
    size = 1000 * 30 * 16 * 1024
    assert size < expand.MAX_STACK_TEXT
    assert 4 * 1024 * 1024 < joining.MAX_TEXT < templates.MAX_RESOURCE_TEXT
