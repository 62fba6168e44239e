"""kill -9 at every call of a replacement by an object of another name: in the end one object, the right one.

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
ORDERS = {"old-first": "allow", "new-first": "createFirst"}
# Where a run is killed: before or after the effect of each call of the replacement and of what it goes with.
POINTS = [
    (verb, moment, skip)
    for verb, skips in (("create", 1), ("update", 1), ("delete", 1), ("observe", 6))
    for skip in range(skips)
    for moment in ("before", "after")
]


def write(folder: Path, name: str, order: str, *, is_gone: bool = False) -> None:
    """An object that is called so, and one that holds its id."""
    stack = folder / "stack"
    stack.mkdir(parents=True, exist_ok=True)
    spec = {"targets": [{"name": "here", "provider": "memory"}], "allowEmpty": True}
    documents = {
        "stack": {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec},
        "app": {
            "kind": "Named",
            "metadata": {"name": "app"},
            "lifecycle": {"replace": ORDERS[order]},
            "spec": {"name": name},
        },
        "user": {
            "kind": "Thing",
            "metadata": {"name": "user"},
            "spec": {"value": "${{ ref('Named/app').status.id }}"},
        },
        "kept": {"kind": "Thing", "metadata": {"name": "kept"}, "spec": {}},
    }
    for key, document in documents.items():
        file = stack / f"{key}.yaml"
        file.unlink(missing_ok=True)
        if key in ("stack", "kept") or not is_gone:
            file.write_text(yaml.safe_dump({"apiVersion": "memory.trueup.dev/v1", **document}))


def run(folder: Path) -> int:
    command = [sys.executable, "-c", RUN, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).returncode


def expect_rest(folder: Path, world: FileWorld, *keys: str) -> None:
    with App(str(folder / "store.db"), catalog=MemoryCatalog(MemoryProvider(world))) as app:
        source = SourceSpec(str(folder / "stack"))
        report = app.reconcile(source)
        assert report.status is RunStatus.CONVERGED, [(o.address, o.message) for o in report.outcomes]
        writes = world.count_writes()
        report = app.reconcile(source)
        assert (report.status, report.plan.has_changes) == (RunStatus.CONVERGED, False)
        assert world.count_writes() == writes
        keys = (*keys, "Thing/kept")
        assert world.list_keys() == sorted(keys)
        records = app.store.inventory("shop")
        live = {key: world.peek(key) or {} for key in keys}
        assert sorted(record.external_id for record in records.values()) == sorted(
            entry["id"] for entry in live.values()
        )
        assert all(record.replacing == {} for record in records.values())
        assert not app.store.open_intents("shop")
        if "Thing/user" in keys:
            named = next(entry for key, entry in live.items() if key.startswith("Named/"))
            assert live["Thing/user"]["spec"] == {"value": named["id"]}


@pytest.fixture
def world(tmp_path: Path) -> FileWorld:
    return FileWorld(tmp_path / "world")


def begin(folder: Path, world: FileWorld, order: str, verb: str, moment: Moment, skip: int) -> None:
    """The object called `a`, and a run that is to call it `b` and is killed."""
    write(folder, "a", order)
    assert run(folder) == 0
    write(folder, "b", order)
    world.inject(Fault(verb, KILL, moment, skip=skip))
    code = run(folder)
    if code == 0:
        pytest.skip("the run has fewer of these calls")
    # Else the fault would still be there, for this very process.
    assert code == -signal.SIGKILL


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("verb", "moment", "skip"), POINTS)
def test_a_replacement_that_was_killed_is_finished(
    tmp_path: Path, world: FileWorld, order: str, verb: str, moment: Moment, skip: int
) -> None:
    begin(tmp_path, world, order, verb, moment, skip)
    expect_rest(tmp_path, world, "Named/b", "Thing/user")
    deleted = [call.key for call in world.calls() if call.verb == "delete"]
    assert set(deleted) == {"Named/a"}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("verb", "moment"), [("create", "before"), ("create", "after"), ("delete", "after")])
@pytest.mark.parametrize("after", ["named otherwise", "taken back", "gone"])
def test_a_replacement_that_was_killed_and_is_no_longer_wanted_leaves_nothing_behind(
    tmp_path: Path, world: FileWorld, order: str, verb: str, moment: Moment, after: str
) -> None:
    begin(tmp_path, world, order, verb, moment, 0)
    name = "c" if after == "named otherwise" else "a"
    write(tmp_path, name, order, is_gone=after == "gone")
    expect_rest(tmp_path, world, *([] if after == "gone" else [f"Named/{name}", "Thing/user"]))


@pytest.mark.parametrize("order", ORDERS)
def test_a_replacement_that_is_killed_again_and_again_is_finished(
    tmp_path: Path, world: FileWorld, order: str
) -> None:
    write(tmp_path, "a", order)
    assert run(tmp_path) == 0
    write(tmp_path, "b", order)
    for verb in ("create", "delete", "update", "create", "delete"):
        for moment in ("before", "after"):
            world.inject(Fault(verb, KILL, moment))  # type: ignore[arg-type]
            if run(tmp_path) != -signal.SIGKILL:
                break
    while world._load_faults():
        world._store_faults([])
    expect_rest(tmp_path, world, "Named/b", "Thing/user")
