"""kill -9 at every call of a run, and start again: no second object, nothing lost, it comes to rest.

The world lives in files and outlives the process that is killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from trueup.app import App, SourceSpec
from trueup.model.outcome import RunStatus
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import KILL, Fault, FileWorld

RUN = """
import sys
from trueup.app import App, SourceSpec
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import FileWorld
folder, stack = sys.argv[1:]
with App(f"{folder}/store.db", catalog=MemoryCatalog(MemoryProvider(FileWorld(f"{folder}/world")))) as app:
    report = app.reconcile(SourceSpec(f"{folder}/{stack}"))
    print(report.status, [(o.address.name, o.result.value, o.message) for o in report.outcomes])
"""

TWO = {"a": {"size": 1}, "b": {"value": "${{ ref('Thing/a').status.id }}"}}


def write(folder: Path, things: dict[str, dict[str, object]]) -> None:
    stack = folder / "stack"
    stack.mkdir(parents=True, exist_ok=True)
    for file in stack.iterdir():
        file.unlink()
    spec = {"targets": [{"name": "here", "provider": "memory"}], "allowEmpty": True}
    documents = [{"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec}]
    (stack / "stack.yaml").write_text(yaml.safe_dump(documents[0]))
    for name, thing in things.items():
        kind = "Slow" if name.startswith("slow") else "Thing"
        document = {
            "apiVersion": "memory.trueup.dev/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": thing,
        }
        (stack / f"{name}.yaml").write_text(yaml.safe_dump(document))


def run(folder: Path, stack: str = "stack") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, str(folder), stack]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def expect_rest(folder: Path, world: FileWorld, keys: list[str]) -> None:
    """It converges, then makes no write; every live object has a row and every row an object."""
    with App(str(folder / "store.db"), catalog=MemoryCatalog(MemoryProvider(world))) as app:
        source = SourceSpec(str(folder / "stack"))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        writes = world.count_writes()
        report = app.reconcile(source)
        assert report.status is RunStatus.CONVERGED
        assert not report.plan.has_changes
        assert world.count_writes() == writes
        assert world.list_keys() == keys
        records = app.store.inventory("shop")
        assert sorted(f"{address.kind}/{address.name}" for address in records) == keys
        for address, record in records.items():
            entry = world.peek(f"{address.kind}/{address.name}")
            assert entry is not None
            assert record.external_id == entry["id"]
        assert not app.store.open_intents("shop")


def kill_at(folder: Path, world: FileWorld, fault: Fault, stack: str = "stack") -> None:
    world.inject(fault)
    done = run(folder, stack)
    assert done.returncode == -signal.SIGKILL, f"the run was not killed: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("skip", [0, 1])
def test_a_run_killed_in_a_create_makes_no_second_object(tmp_path: Path, moment: str, skip: int) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write(tmp_path, TWO)
    kill_at(tmp_path, world, Fault("create", KILL, moment, skip=skip))  # type: ignore[arg-type]
    expect_rest(tmp_path, world, ["Thing/a", "Thing/b"])
    creates = [call.key for call in world.calls() if call.verb == "create"]
    assert len(world.list_keys()) <= len(creates) <= len(world.list_keys()) + 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_create_that_was_killed_and_left_git_leaves_no_object(tmp_path: Path, moment: str) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write(tmp_path, TWO)
    kill_at(tmp_path, world, Fault("create", KILL, moment))  # type: ignore[arg-type]
    write(tmp_path, {})
    expect_rest(tmp_path, world, [])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_in_an_update_is_finished(tmp_path: Path, moment: str) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write(tmp_path, TWO)
    assert run(tmp_path).returncode == 0
    write(tmp_path, {**TWO, "a": {"size": 5}})
    kill_at(tmp_path, world, Fault("update", KILL, moment))  # type: ignore[arg-type]
    expect_rest(tmp_path, world, ["Thing/a", "Thing/b"])
    entry = world.peek("Thing/a")
    assert entry is not None
    assert entry["spec"]["size"] == 5


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("skip", [0, 1])
def test_a_run_killed_in_a_delete_deletes_the_rest_and_nothing_else(
    tmp_path: Path, moment: str, skip: int
) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write(tmp_path, {**TWO, "kept": {"size": 1}})
    assert run(tmp_path).returncode == 0
    write(tmp_path, {"kept": {"size": 1}})
    kill_at(tmp_path, world, Fault("delete", KILL, moment, skip=skip))  # type: ignore[arg-type]
    expect_rest(tmp_path, world, ["Thing/kept"])


@pytest.mark.parametrize("verb", ["delete", "create"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_in_a_replacement_ends_with_one_object(tmp_path: Path, verb: str, moment: str) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write(tmp_path, {"a": {"zone": "x"}})
    assert run(tmp_path).returncode == 0
    write(tmp_path, {"a": {"zone": "y"}})
    kill_at(tmp_path, world, Fault(verb, KILL, moment))  # type: ignore[arg-type]
    expect_rest(tmp_path, world, ["Thing/a"])
    entry = world.peek("Thing/a")
    assert entry is not None
    assert entry["spec"]["zone"] == "y"


def test_a_run_killed_between_two_polls_is_finished(tmp_path: Path) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write(tmp_path, {"slow": {"size": 1}})
    kill_at(tmp_path, world, Fault("poll", KILL))
    world.put("Slow/slow", {**(world.peek("Slow/slow") or {}), "pending": 0})
    expect_rest(tmp_path, world, ["Slow/slow"])


def write_named(
    folder: Path,
    resource: str,
    *moved_from: str,
    stack: str = "stack",
    name: str = "thing",
    order: str = "allow",
) -> None:
    """A stack with one resource, or none where it is empty, for an object that has its name in its spec."""
    directory = folder / stack
    directory.mkdir(exist_ok=True)
    for file in directory.iterdir():
        file.unlink()
    (folder / ".git").mkdir(exist_ok=True)
    spec = {"targets": [{"name": "here", "provider": "memory"}], "allowEmpty": True}
    whole = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": stack}, "spec": spec}
    (directory / "stack.yaml").write_text(yaml.safe_dump(whole))
    if resource:
        document = {
            "apiVersion": "memory.trueup.dev/v1",
            "kind": "Named",
            "metadata": {"name": resource},
            **({"lifecycle": {"movedFrom": list(moved_from), "replace": order}} if moved_from else {}),
            "spec": {"name": name, "size": 1},
        }
        (directory / "resource.yaml").write_text(yaml.safe_dump(document))


def expect_moved(folder: Path, world: FileWorld, resource: str, entry_id: str, stack: str = "stack") -> None:
    """The very object from before is managed under its new address alone, and that stays so."""
    with App(str(folder / "store.db"), catalog=MemoryCatalog(MemoryProvider(world))) as app:
        source = SourceSpec(str(folder / stack))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert not app.plan(source).has_changes
        assert [address.name for address in app.store.inventory(stack)] == [resource]
        assert not app.store.open_intents(stack)
    assert world.list_keys() == ["Named/thing"]
    entry = world.peek("Named/thing")
    assert entry is not None
    assert entry["id"] == entry_id
    assert entry["owner"][1:] == [stack, f"{stack}/Named/{resource}@here"]


# Every call of a run that moves: it looks at the old address and at the new one, and marks the object.
MOVING = [("connect", 0), ("observe", 0), ("observe", 1), ("update", 0), ("observe", 2)]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("verb", "skip"), MOVING)
def test_a_move_that_was_killed_neither_deletes_nor_makes_again(
    tmp_path: Path, verb: str, skip: int, moment: str
) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write_named(tmp_path, "old")
    assert run(tmp_path).returncode == 0
    made = (world.peek("Named/thing") or {})["id"]
    write_named(tmp_path, "new", "Named/old")
    kill_at(tmp_path, world, Fault(verb, KILL, moment, skip=skip))  # type: ignore[arg-type]
    expect_moved(tmp_path, world, "new", made)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_move_that_was_killed_can_be_moved_further(tmp_path: Path, moment: str) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write_named(tmp_path, "old")
    assert run(tmp_path).returncode == 0
    made = (world.peek("Named/thing") or {})["id"]
    write_named(tmp_path, "new", "Named/old")
    kill_at(tmp_path, world, Fault("update", KILL, moment))  # type: ignore[arg-type]
    write_named(tmp_path, "newest", "Named/old", "Named/new")
    expect_moved(tmp_path, world, "newest", made)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_create_that_was_killed_can_be_moved(tmp_path: Path, moment: str) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write_named(tmp_path, "old")
    kill_at(tmp_path, world, Fault("create", KILL, moment))  # type: ignore[arg-type]
    made = (world.peek("Named/thing") or {}).get("id")
    write_named(tmp_path, "new", "Named/old")
    assert run(tmp_path).returncode == 0
    entry = world.peek("Named/thing")
    assert entry is not None
    assert made in (None, entry["id"])
    expect_moved(tmp_path, world, "new", entry["id"])


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("verb", ["delete", "create"])
@pytest.mark.parametrize("order", ["allow", "createFirst"])
def test_a_replacement_of_a_moved_object_that_was_killed_ends_with_one_object(
    tmp_path: Path, order: str, verb: str, moment: str
) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write_named(tmp_path, "old")
    assert run(tmp_path).returncode == 0
    write_named(tmp_path, "new", "Named/old", name="other", order=order)
    kill_at(tmp_path, world, Fault(verb, KILL, moment))  # type: ignore[arg-type]
    with App(str(tmp_path / "store.db"), catalog=MemoryCatalog(MemoryProvider(world))) as app:
        source = SourceSpec(str(tmp_path / "stack"))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert not app.plan(source).has_changes
        assert [address.name for address in app.store.inventory("stack")] == ["new"]
    assert world.list_keys() == ["Named/other"]


@pytest.mark.parametrize("is_old_first", [True, False])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("verb", "skip"), MOVING)
def test_a_move_between_stacks_that_was_killed_loses_nothing_in_either_order(
    tmp_path: Path, verb: str, skip: int, moment: str, is_old_first: bool
) -> None:
    world = FileWorld(_mkdir(tmp_path / "world"))
    write_named(tmp_path, "old", stack="base")
    assert run(tmp_path, "base").returncode == 0
    made = (world.peek("Named/thing") or {})["id"]
    write_named(tmp_path, "", stack="base")
    write_named(tmp_path, "new", "base/Named/old", stack="shop")
    if is_old_first:
        assert run(tmp_path, "base").returncode == 0
    kill_at(tmp_path, world, Fault(verb, KILL, moment, skip=skip), "shop")  # type: ignore[arg-type]
    assert run(tmp_path, "base").returncode == 0
    expect_moved(tmp_path, world, "new", made, "shop")
    assert run(tmp_path, "base").returncode == 0
    with App(str(tmp_path / "store.db"), catalog=MemoryCatalog(MemoryProvider(world))) as app:
        assert not app.store.inventory("base")
    expect_moved(tmp_path, world, "new", made, "shop")


def _mkdir(folder: Path) -> Path:
    folder.mkdir()
    return folder
