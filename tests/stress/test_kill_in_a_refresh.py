"""kill -9 between a change and the restart that it asks for: the restart is owed until it has happened.

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
from trueup.sdk.testing.memory_world import KILL, Fault, FileWorld, Moment

RUN = """
import sys
from trueup.app import App, SourceSpec
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import FileWorld
folder = sys.argv[1]
with App(f"{folder}/store.db", catalog=MemoryCatalog(MemoryProvider(FileWorld(f"{folder}/world")))) as app:
    app.reconcile(SourceSpec(f"{folder}/stack"))
"""
KEYS = ["Runner/web", "Thing/site"]


def write(folder: Path, size: int) -> None:
    """A Runner that a Thing triggers, the Thing with that size."""
    stack = folder / "stack"
    stack.mkdir(parents=True, exist_ok=True)
    spec = {"targets": [{"name": "here", "provider": "memory"}]}
    documents = {
        "stack": {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec},
        "site": {"kind": "Thing", "metadata": {"name": "site"}, "spec": {"size": size}},
        "web": {"kind": "Runner", "metadata": {"name": "web"}, "lifecycle": {"triggers": ["Thing/site"]}},
    }
    for name, document in documents.items():
        (stack / f"{name}.yaml").write_text(
            yaml.safe_dump({"apiVersion": "memory.trueup.dev/v1", "spec": {}, **document})
        )


def run(folder: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)], capture_output=True, text=True, timeout=120
    )
    return done.returncode


def refreshes(world: FileWorld) -> int:
    entry = world.peek("Runner/web")
    assert entry is not None
    count: int = entry.get("refreshes", 0)
    return count


def expect_rest(folder: Path, world: FileWorld) -> None:
    with App(str(folder / "store.db"), catalog=MemoryCatalog(MemoryProvider(world))) as app:
        source = SourceSpec(str(folder / "stack"))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        writes = world.count_writes()
        report = app.reconcile(source)
        assert (report.status, report.plan.has_changes) == (RunStatus.CONVERGED, False)
        assert world.count_writes() == writes
        assert world.list_keys() == KEYS
        assert not app.store.open_intents("shop")


@pytest.fixture
def world(tmp_path: Path) -> FileWorld:
    """The site and the runner, there and at rest."""
    world = FileWorld(tmp_path / "world")
    write(tmp_path, 1)
    assert run(tmp_path) == 0
    expect_rest(tmp_path, world)
    assert refreshes(world) == 0
    return world


def spoil(folder: Path, world: FileWorld, cause: str) -> None:
    """Makes the next run write the site: by another manifest, or by drift, with the manifest as it was."""
    if cause == "manifest":
        write(folder, 2)
        return
    entry = world.peek("Thing/site")
    assert entry is not None
    world.put("Thing/site", {**entry, "spec": {"size": 9}, "version": entry["version"] + 1})


@pytest.mark.parametrize("cause", ["manifest", "drift"])
@pytest.mark.parametrize(
    ("verb", "moment", "refreshed"),
    [("update", "before", 1), ("update", "after", 1), ("refresh", "before", 1), ("refresh", "after", 2)],
)
def test_a_restart_is_owed_after_a_kill_until_it_has_happened(
    tmp_path: Path, world: FileWorld, cause: str, verb: str, moment: Moment, refreshed: int
) -> None:
    spoil(tmp_path, world, cause)
    world.inject(Fault(verb, KILL, moment))
    assert run(tmp_path) == -signal.SIGKILL
    expect_rest(tmp_path, world)
    # A restart whose end nobody could record happens once more; it is never left out.
    assert refreshes(world) == refreshed


@pytest.mark.parametrize("cause", ["manifest", "drift"])
def test_a_restart_is_owed_after_many_kills(tmp_path: Path, world: FileWorld, cause: str) -> None:
    spoil(tmp_path, world, cause)
    for verb, moment in (("update", "after"), ("observe", "after"), ("refresh", "before")):
        world.inject(Fault(verb, KILL, moment))  # type: ignore[arg-type]
        assert run(tmp_path) == -signal.SIGKILL
        assert refreshes(world) == 0
    expect_rest(tmp_path, world)
    assert refreshes(world) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_create_that_was_killed_ends_with_something_that_has_seen_its_source(
    tmp_path: Path, moment: Moment
) -> None:
    world = FileWorld(tmp_path / "world")
    write(tmp_path, 1)
    world.inject(Fault("create", KILL, moment, skip=1))
    assert run(tmp_path) == -signal.SIGKILL
    expect_rest(tmp_path, world)
    write(tmp_path, 2)
    seen = refreshes(world)
    assert run(tmp_path) == 0
    expect_rest(tmp_path, world)
    assert refreshes(world) == seen + 1
