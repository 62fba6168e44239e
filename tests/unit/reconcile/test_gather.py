"""Secrets and outputs in a run: read once, used at their destination, and shown nowhere."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.unit.reconcile.conftest import Loop, results

from trueup.app import App, SourceSpec
from trueup.errors import Denied, ManifestError
from trueup.model.values import UNKNOWN, Sensitive
from trueup.reconcile.report import Selection
from trueup.sdk import Session, Target, reveal
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import MemoryWorld, World

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", CANARY)


def assert_hidden(folder: Path, *shown: object) -> None:
    for value in shown:
        assert CANARY not in str(value)
        assert CANARY not in repr(value)
    for file in folder.glob("store.db*"):
        assert CANARY.encode() not in file.read_bytes(), file


def test_a_secret_reaches_its_destination_and_nothing_else(loop: Loop) -> None:
    loop.declare("a", {"url": 'db://u:${{ secret("env:SHOP_KEY") }}@h', "n": 1})
    loop.declare("b", {"of": '${{ ref("Thing/a").spec.url }}', "n": '${{ ref("Thing/a").spec.n }}'})
    plan = loop.plan()
    report = loop.run()
    assert results(report) == {"a": "created", "b": "created"}
    assert loop.spec("Thing/a") == {"url": f"db://u:{CANARY}@h", "n": 1}
    assert loop.spec("Thing/b") == {"of": f"db://u:{CANARY}@h", "n": 1}
    assert_hidden(loop.folder, plan, report, loop.records(), loop.app.load(loop.source))
    assert not loop.plan().has_changes


def test_another_value_of_a_secret_is_a_change(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.declare("a", {"key": '${{ secret("env:SHOP_KEY") }}'})
    loop.run()
    monkeypatch.setenv("SHOP_KEY", "another")
    assert results(loop.run()) == {"a": "updated"}
    assert loop.spec("Thing/a") == {"key": "another"}


def test_a_secret_that_cannot_be_read_stops_the_run_with_its_place(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.declare("a", {"key": '${{ secret("env:SHOP_KEY") }}'})
    loop.declare("b", {})
    monkeypatch.delenv("SHOP_KEY")
    loop.app.load(loop.source)  # to validate a stack nothing is read
    with pytest.raises(ManifestError, match=r"Thing-a\.yaml:\d+:\d+: secret\(.env:SHOP_KEY.\)"):
        loop.run()
    assert loop.world.peek("Thing/b") is None


def test_to_delete_and_to_forget_no_secret_of_a_node_is_needed(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.declare("a", {"key": '${{ secret("env:SHOP_KEY") }}'})
    loop.declare("b", {"key": '${{ secret("env:SHOP_KEY") }}'})
    loop.run()
    monkeypatch.delenv("SHOP_KEY")
    loop.app.forget(loop.source, Selection(only=("Thing/b",)), confirm=lambda _plan: True)
    assert results(loop.destroy()) == {"a": "deleted"}
    assert loop.world.peek("Thing/b") is not None


def test_outputs_of_another_stack_are_used_once_they_are_there(loop: Loop) -> None:
    loop.declare("a", {"vpc": '${{ stack("network").vpcId }}'})
    plan = loop.plan()
    assert [field.after for field in plan.changes[0].fields] == [UNKNOWN]
    report = loop.run()
    assert results(report) == {"a": "failed"}
    assert report.outcomes[0].message == "stack network was never reconciled: reconcile it first"
    assert loop.world.peek("Thing/a") is None

    network = Loop(make_folder(loop.folder / "network"), MemoryWorld())
    network.app.close()
    network.app = loop.app
    network.write_stack(outputs={"subnet": "s"})
    rename(network, "network")
    network.run()
    report = loop.run()
    assert report.outcomes[0].message == "stack network has no output vpcId"
    hint = "there are: subnet; if that stack declares it by now, reconcile it first"
    assert report.outcomes[0].hint == hint
    network.write_stack(outputs={"vpcID": "s"})
    rename(network, "network")
    network.run()
    assert loop.run().outcomes[0].hint == 'did you mean "vpcID"?'

    network.write_stack(outputs={"vpcId": "vpc-1", "key": '${{ secret("env:SHOP_KEY") }}'})
    rename(network, "network")
    network.run()
    assert results(loop.run()) == {"a": "created"}
    assert loop.spec("Thing/a") == {"vpc": "vpc-1"}

    loop.declare("b", {"all": '${{ size(stack("network")) }}'})
    report = loop.run()
    assert results(report)["b"] == "failed"
    (outcome,) = [outcome for outcome in report.outcomes if outcome.address.name == "b"]
    assert outcome.message == "an output of stack network is sensitive, which no other stack can read"
    assert_hidden(loop.folder, report)
    loop.declare("b", {"key": '${{ stack("network").key }}'})
    with pytest.raises(
        ManifestError, match=r"Thing-b\.yaml:\d+:\d+: output key of stack network is sensitive"
    ):
        loop.run()


def test_a_stack_cannot_read_its_own_outputs(loop: Loop) -> None:
    loop.declare("a", {"v": '${{ stack("shop").v }}'})
    with pytest.raises(ManifestError, match=r'Thing-a\.yaml:\d+:\d+: stack\("shop"\) is this very stack'):
        loop.app.load(loop.source)


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def rename(loop: Loop, name: str) -> None:
    path = loop.folder / "stack" / "stack.yaml"
    path.write_text(path.read_text().replace("name: shop", f"name: {name}"))


class Locked(MemoryProvider):
    """A world behind a password, which complains like many libraries: with all that it was given."""

    config_schema = {
        "type": "object",
        "properties": {
            "password": {"type": "string", "x-sensitive": True},
            "place": {"type": "string", "x-plain": True},
        },
        "additionalProperties": False,
    }

    def __init__(self, world: World, password: str) -> None:
        super().__init__(world)
        self.password = password
        self.given: list[object] = []

    def connect(self, target: Target, owner_key: str) -> Session:
        self.given.append(target.config["password"])
        given = reveal(target.config["password"])
        if given != self.password:
            raise Denied(f"wrong password {given}", hint=f"not {given}") from ValueError(given)
        return super().connect(Target(target.name, target.provider), owner_key)


def locked_loop(folder: Path, password: str = CANARY) -> tuple[Loop, Locked]:
    loop = Loop(folder, MemoryWorld())
    provider = Locked(loop.world, password)
    loop.app = App(str(folder / "store.db"), catalog=MemoryCatalog(provider))
    write_locked(loop, '${{ secret("env:SHOP_KEY") }}')
    loop.declare("a", {"n": 1})
    return loop, provider


def write_locked(loop: Loop, password: str, **more: str) -> None:
    loop.write_stack(
        targets=[{"name": "here", "provider": "memory", "config": {"password": password, **more}}]
    )


def test_a_target_gets_the_secrets_of_its_config_and_the_store_gets_their_names(tmp_path: Path) -> None:
    loop, provider = locked_loop(tmp_path)
    report = loop.run()
    assert results(report) == {"a": "created"}
    assert all(isinstance(given, Sensitive) for given in provider.given)
    expression = '${{ secret("env:SHOP_KEY") }}'
    assert loop.records()["a"].target["config"] == {"password": {"$expression": expression}}
    assert not loop.plan().has_changes
    assert_hidden(tmp_path, report, loop.records(), provider.given, loop.app.load(loop.source))
    loop.app.close()


def test_a_connection_that_fails_does_not_tell_the_secret(tmp_path: Path) -> None:
    loop, _ = locked_loop(tmp_path, "something else")
    report = loop.run()
    assert results(report) == {"a": "failed"}
    assert report.outcomes[0].message == "wrong password (sensitive)"
    assert report.outcomes[0].hint == "not (sensitive)"
    assert_hidden(tmp_path, report)
    loop.app.close()


def test_what_a_target_that_left_the_stack_needs_is_said(tmp_path: Path) -> None:
    loop, _ = locked_loop(tmp_path)
    loop.run()
    loop.undeclare("a")
    loop.write_stack(targets=[])
    report = loop.run()
    assert results(report) == {"a": "failed"}
    assert report.outcomes[0].message == (
        "target 'here' is no longer in the stack, and its config needs ${{ secret(\"env:SHOP_KEY\") }}"
    )
    assert loop.world.peek("Thing/a") is not None
    # It is needed to delete, and its target is what has to be there for that.
    write_locked(loop, '${{ secret("env:SHOP_KEY") }}')
    assert results(loop.run()) == {"a": "deleted"}
    loop.app.close()


def test_a_config_that_does_not_fit_with_its_secret_is_refused_before_the_connection(tmp_path: Path) -> None:
    loop, provider = locked_loop(tmp_path)
    write_locked(loop, '${{ size(secret("env:SHOP_KEY")) }}')
    report = loop.run()
    assert report.outcomes[0].message == (
        "the config of target 'here' does not fit its provider with the secrets in it"
    )
    assert provider.given == []
    loop.app.close()


def test_what_is_shown_and_recorded_cannot_be_a_secret(tmp_path: Path) -> None:
    loop, _ = locked_loop(tmp_path)
    write_locked(loop, "p", place='${{ secret("env:SHOP_KEY") }}')
    with pytest.raises(ManifestError, match=r"config\.place is shown in messages and records"):
        loop.app.load(SourceSpec(str(tmp_path / "stack")))
    loop.app.close()


def test_the_store_holds_no_secret_after_a_failed_step_either(loop: Loop) -> None:
    loop.declare("a", {"key": '${{ int(secret("env:SHOP_KEY")) }}'})
    report = loop.run()
    assert results(report) == {"a": "failed"}
    assert "the expression fails on a sensitive value" in report.outcomes[0].message
    assert_hidden(loop.folder, report)
    with sqlite3.connect(loop.folder / "store.db") as database:
        assert CANARY not in "".join(database.iterdump())
