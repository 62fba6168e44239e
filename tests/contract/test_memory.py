"""The memory provider keeps every promise, in this process and in a directory."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trueup.sdk import Target
from trueup.sdk.testing.contract import Case, ProviderContract
from trueup.sdk.testing.memory import API_VERSION, MemoryProvider
from trueup.sdk.testing.memory_world import Fault, FileWorld, MemoryWorld

CANARIES = ("token-canary-7f3a", "password-canary-91bc", "password-canary-changed-02de")


class MemoryContract(ProviderContract):
    """What both worlds have in common; a subclass has the fixture `world`."""

    plugin_module = "trueup.sdk.testing.memory"
    sdk_modules = ("pytest", "boto3")
    cases = (
        Case(
            API_VERSION,
            "Thing",
            "plain",
            {"spec": {"zone": "a", "size": 3, "tags": ["x", "y"], "value": {"deep": [1, {"er": None}]}}},
            changed={"spec": {"zone": "a", "size": 4, "tags": ["x", "y"], "value": {"deep": [2]}}},
            replaced={"spec": {"zone": "b", "size": 3}},
        ),
        Case(
            API_VERSION,
            "Thing",
            "fewer",
            {"spec": {"size": 3, "value": "set"}},
            changed={"spec": {"value": "set"}},
            namespace="shop",
        ),
        Case(API_VERSION, "Vault", "data", {"spec": {"size": 1}}, changed={"spec": {"size": 2}}),
        Case(API_VERSION, "Slow", "late", {"spec": {"size": 1}}, changed={"spec": {"size": 2}}),
        Case(API_VERSION, "Shared", "tool", {"spec": {"size": 1}}, changed={"spec": {"size": 2}}),
        Case(
            API_VERSION,
            "Runner",
            "web",
            {"spec": {"size": 1}},
            changed={"spec": {"size": 2}},
            is_refreshable=True,
        ),
        Case(
            API_VERSION,
            "Named",
            "path",
            {"spec": {"name": "a", "size": 1}},
            changed={"spec": {"name": "a", "size": 2}},
            sibling_body={"spec": {"name": "c"}},
        ),
        *(
            Case(
                API_VERSION,
                kind,
                "unnamed",
                {"spec": {"size": 1, "zone": "a"}},
                changed={"spec": {"size": 2, "zone": "a"}},
                replaced={"spec": {"size": 1, "zone": "b"}},
            )
            for kind in ("Tagged", "Tokened", "Nameless")
        ),
        Case(
            API_VERSION,
            "Secretive",
            "secret",
            {"spec": {"user": "u", "token": CANARIES[0], "password": CANARIES[1]}},
            changed={"spec": {"user": "u", "token": CANARIES[0], "password": CANARIES[2]}},
            sensitive=CANARIES,
            is_drift_visible=False,
        ),
    )

    @pytest.fixture
    def provider(self, world):
        return MemoryProvider(world)

    @pytest.fixture
    def target(self):
        return Target("world", "memory")

    @pytest.fixture
    def unreachable_target(self, world):
        world.inject(Fault("observe", "Transient"))
        return Target("world", "memory")

    @pytest.fixture
    def denied_target(self, world):
        world.inject(Fault("connect", "Denied"))
        return Target("world", "memory")

    def count_writes(self, rig):
        return rig.provider.world.count_writes()

    def snapshot(self, rig, node):
        world, kind = rig.provider.world, rig.kind(node)
        key = kind.key(node)
        if not rig.is_named(node):
            keys = [key for key in world.list_keys() if key.startswith(f"{kind.name}/")]
            return json.dumps([world.peek(key) for key in keys], sort_keys=True).encode()
        return json.dumps(world.peek(key), sort_keys=True).encode()

    def plant_foreign(self, rig, node, case):
        entry = {"id": "foreign", "version": 1, "owner": None, "spec": case.body["spec"]}
        rig.provider.world.put(rig.kind(node).key(replace(node, external_id="foreign")), entry)
        return "foreign"

    def remove(self, rig, node):
        rig.provider.world.put(rig.kind(node).key(node), None)


class TestMemoryWorld(MemoryContract):
    @pytest.fixture
    def world(self):
        return MemoryWorld()


class TestFileWorld(MemoryContract):
    @pytest.fixture
    def world(self, tmp_path):
        return FileWorld(tmp_path / "world")


class TestHooksByDefault(MemoryContract):
    """The defaults of the hooks do as well: they go through the provider itself."""

    count_writes = ProviderContract.count_writes
    snapshot = ProviderContract.snapshot
    plant_foreign = ProviderContract.plant_foreign
    remove = ProviderContract.remove

    @pytest.fixture
    def world(self):
        return MemoryWorld()
