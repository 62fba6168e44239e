"""Both worlds fail, hide and remember as a test asks them to, over threads, processes and kills."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from trueup.sdk import Absent, Denied, Observed, Target, Throttled, Transient
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.memory import API_VERSION, MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import Call, Fault, FileWorld, MemoryWorld
from trueup.sdk.testing.rig import Rig

CASE = Case(API_VERSION, "Thing", "a", {"spec": {"size": 1}})

CREATE_IN_ANOTHER_PROCESS = """
import sys
from trueup.sdk import Target
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.memory import API_VERSION, MemoryProvider
from trueup.sdk.testing.rig import Rig
rig = Rig(MemoryProvider(), Target("world", "memory", config={"directory": sys.argv[1]}))
rig.create(rig.node(Case(API_VERSION, "Thing", sys.argv[2], {"spec": {"size": 1}})))
"""


@pytest.fixture(params=["memory", "file"])
def world(request, tmp_path):
    return MemoryWorld() if request.param == "memory" else FileWorld(tmp_path / "world")


@pytest.fixture
def rig(world):
    return Rig(MemoryProvider(world), Target("world", "memory"))


def create_elsewhere(directory, name):
    command = [sys.executable, "-c", CREATE_IN_ANOTHER_PROCESS, str(directory), name]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_refused_call_changes_nothing(rig, world):
    world.inject(Fault("create", "Denied"))
    node = rig.node(CASE)
    with pytest.raises(Denied):
        rig.create(node)
    assert world.list_keys() == []
    rig.create(node)
    assert world.list_keys() == ["Thing/a"]


def test_a_lost_answer_leaves_the_object(rig, world):
    world.inject(Fault("create", "Transient", moment="after"))
    with pytest.raises(Transient):
        rig.create(rig.node(CASE))
    assert world.list_keys() == ["Thing/a"]


def test_a_fault_skips_repeats_and_ends(rig, world):
    world.inject(Fault("observe", "Throttled", skip=1, times=2))
    node = rig.node(CASE)
    results = []
    for _ in range(4):
        try:
            results.append(type(rig.observe(node)).__name__)
        except Throttled:
            results.append("Throttled")
    assert results == ["Absent", "Throttled", "Throttled", "Absent"]


def test_a_fault_of_one_object_leaves_the_others_alone(rig, world):
    world.inject(Fault("create", "Denied", key="Thing/a-2"))
    rig.create(rig.node(CASE))
    with pytest.raises(Denied):
        rig.create(rig.node(CASE.sibling))


def test_reads_after_a_create_can_be_hidden(rig, world):
    world.hide_reads = 2
    node = rig.node(CASE)
    rig.create(node)
    seen = [type(rig.observe(node)) for _ in range(3)]
    assert seen == [Absent, Absent, Observed]
    rig.create(node, rig.intent(node))
    assert world.list_keys() == ["Thing/a"]


def test_every_call_is_logged_with_what_it_could_change(rig, world):
    node = rig.node(CASE)
    rig.create(node)
    rig.observe_all([node, rig.node(CASE.sibling)])
    assert world.calls() == [Call("connect"), Call("create", "Thing/a"), Call("observe", "", 2)]
    assert world.count_writes() == 1


def test_a_world_is_safe_for_many_threads(rig, world):
    nodes = [rig.node(Case(API_VERSION, "Thing", f"n{number}", {"spec": {}})) for number in range(40)]
    rig.session(nodes[0])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rig.create, nodes))
    assert len(world.list_keys()) == 40
    assert world.count_writes() == 40


def test_a_file_world_is_shared_by_processes(tmp_path):
    directory = tmp_path / "world"
    world = FileWorld(directory)
    done = create_elsewhere(directory, "other")
    assert done.returncode == 0, done.stderr
    assert world.list_keys() == ["Thing/other"]
    assert FileWorld(directory).identity == world.identity
    assert [call.verb for call in world.calls()] == ["connect", "create"]


@pytest.mark.parametrize(("moment", "left"), [("before", []), ("after", ["Thing/other"])])
def test_a_file_world_outlives_a_process_that_it_kills(tmp_path, moment, left):
    directory = tmp_path / "world"
    world = FileWorld(directory)
    world.inject(Fault("create", "kill", moment=moment))
    assert create_elsewhere(directory, "other").returncode == -signal.SIGKILL
    assert world.list_keys() == left
    assert create_elsewhere(directory, "other").returncode == 0
    assert world.list_keys() == ["Thing/other"]


def test_a_name_that_is_no_file_name_is_kept(tmp_path):
    world = FileWorld(tmp_path / "world")
    entry = {"id": "1", "version": 1, "owner": None, "spec": {}}
    world.put("Thing/../../x%2F", entry)
    assert world.list_keys() == ["Thing/../../x%2F"]
    assert world.peek("Thing/../../x%2F") == entry
    world.put("Thing/../../x%2F", None)
    assert world.list_keys() == []


def test_a_catalog_has_exactly_the_given_providers(world):
    provider = MemoryProvider(world)
    catalog = MemoryCatalog(provider)
    assert catalog.names() == ["memory"]
    assert catalog.provider("memory") is provider


def test_what_a_call_removes_is_remembered_as_it_was(rig, world):
    node = rig.node(CASE)
    seen = rig.apply(node)
    entry = world.peek("Thing/a")
    world.put("Thing/b", {"id": "of another"})
    world.put("Thing/b", None)
    assert world.removed() == []
    rig.delete(rig.recorded(node, seen.external_id))
    assert world.removed() == [("Thing/a", entry)]
