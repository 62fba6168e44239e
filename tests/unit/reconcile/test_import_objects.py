"""Import over a world in memory: what is written, what is taken over, and what is left alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.reconcile.conftest import Loop

from trueup.errors import ManifestError, PinnedStack, SourceError, StoreError, TrueupError, UsageError
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.reconcile import pin
from trueup.reconcile.imports import Fate, ImportReport, ImportRequest, Wanted
from trueup.sdk import Invalid, Observed
from trueup.sdk.testing.memory import Thing
from trueup.sdk.testing.memory_world import Fault

ALL = Wanted()


def put(loop: Loop, key: str, owner: list[str] | None = None, **spec: Any) -> None:
    """An object that lives without us, or that belongs to somebody."""
    entry = {"id": f"id-of-{key}", "version": 1, "owner": owner, "spec": spec or {"size": 1}}
    loop.world.put(key, entry)


def run(loop: Loop, wanted: Wanted = ALL, **options: Any) -> ImportReport:
    return loop.app.import_objects(loop.source, ImportRequest(wanted, **options))


def fates(report: ImportReport) -> dict[str, str]:
    return {f"{outcome.kind}/{outcome.id}": outcome.fate.value for outcome in report.outcomes}


def why(report: ImportReport, fate: Fate = Fate.SKIPPED) -> str:
    (outcome,) = [each for each in report.outcomes if each.fate is fate]
    return outcome.why


def files(loop: Loop) -> dict[str, str]:
    folder = loop.folder / "stack"
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_what_lives_is_written_and_taken_over_and_the_next_plan_is_empty(loop: Loop) -> None:
    put(loop, "Thing/a", size=3, value="no")
    put(loop, "Vault/safe", size=2)
    report = run(loop)
    assert fates(report) == {"Thing/a": "imported", "Vault/safe": "imported"}
    assert report.is_done and report.run
    written = files(loop)
    assert sorted(written) == ["stack.yaml", "thing.yaml", "vault.yaml"]
    assert yaml.safe_load(written["thing.yaml"]) == {
        "apiVersion": "memory.trueup.dev/v1",
        "kind": "Thing",
        "metadata": {"name": "a"},
        "spec": {"size": 3, "value": "no"},
    }
    assert loop.spec("Thing/a") == {"size": 3, "value": "no"}
    plan = loop.plan()
    assert not plan.has_changes and not plan.failures
    assert loop.records()["a"].external_id == "id-of-Thing/a"
    assert not loop.records()["a"].created


def test_a_second_import_finds_nothing_to_do(loop: Loop) -> None:
    put(loop, "Thing/a")
    run(loop)
    before, writes = files(loop), loop.world.count_writes()
    report = run(loop)
    assert fates(report) == {"Thing/a": "managed"}
    assert not report.is_done and not report.has_failures
    assert files(loop) == before
    assert loop.world.count_writes() == writes


def test_a_stack_without_resources_can_be_filled(loop: Loop) -> None:
    loop.write_stack(allowEmpty=False)
    put(loop, "Thing/a")
    assert run(loop).is_done
    assert not loop.plan().has_changes


def test_only_markers_are_written_to_the_target(loop: Loop) -> None:
    put(loop, "Thing/a", size=3)
    put(loop, "Shared/tool", size=1)
    run(loop)
    writes = [call for call in loop.world.calls() if call.is_write]
    assert sorted((call.verb, call.key) for call in writes) == [
        ("update", "Shared/tool"),
        ("update", "Thing/a"),
    ]


def test_a_run_from_a_commit_without_the_files_does_not_prune_what_was_imported(loop: Loop) -> None:
    loop.declare("kept")
    loop.run()
    put(loop, "Thing/a")
    run(loop, Wanted(kind="Thing", ids=("a",)))
    (loop.folder / "stack" / "thing.yaml").rename(loop.folder / "thing.yaml")
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert loop.world.peek("Thing/a") is not None
    (loop.folder / "thing.yaml").rename(loop.folder / "stack" / "thing.yaml")
    loop.run()
    assert not loop.records()["a"].protect
    (loop.folder / "stack" / "thing.yaml").unlink()
    assert loop.plan().summary[Action.DELETE] == 1


def test_objects_of_the_system_are_left_out_unless_they_are_named(loop: Loop) -> None:
    put(loop, "Thing/system-a")
    put(loop, "Thing/b")
    report = run(loop, Wanted(kind="Thing"), is_dry_run=True)
    assert (fates(report), report.left_out) == ({"Thing/b": "imported"}, 1)
    report = run(loop, Wanted(kind="Thing", ids=("*",)), is_dry_run=True)
    assert (fates(report), report.left_out) == ({"Thing/b": "imported"}, 1)
    for ids in (("system-a",), ("system-a", "x*")):
        report = run(loop, Wanted(kind="Thing", ids=ids), is_dry_run=True)
        assert fates(report)["Thing/system-a"] == "imported"


def test_a_dry_run_writes_nothing_anywhere(loop: Loop) -> None:
    put(loop, "Thing/a")
    before, writes = files(loop), loop.world.count_writes()
    report = run(loop, is_dry_run=True)
    assert list(report.files) == ["thing.yaml"] and not report.is_done
    assert files(loop) == before
    assert loop.world.count_writes() == writes
    assert loop.records() == {}


def test_a_no_leaves_everything_as_it_is(loop: Loop) -> None:
    put(loop, "Thing/a")
    before = files(loop)
    seen: list[ImportReport] = []
    report = run(loop, confirm=lambda shown: bool(seen.append(shown)))
    assert report.is_declined and not report.is_done
    assert list(seen[0].files) == ["thing.yaml"]
    assert files(loop) == before and loop.records() == {}


def test_a_secret_is_neither_written_nor_taken_over(loop: Loop) -> None:
    put(loop, "Secretive/s", user="u", token="canary-1f")
    put(loop, "Thing/a")
    report = run(loop)
    assert fates(report) == {"Secretive/s": "skipped", "Thing/a": "imported"}
    assert why(report) == "it holds a secret, in /spec/token"
    assert not any("canary-1f" in text for text in files(loop).values())
    assert "canary-1f" not in repr(report)


def test_what_was_named_and_is_not_imported_is_a_failure(loop: Loop) -> None:
    put(loop, "Secretive/s", user="u", token="canary-1f")
    report = run(loop, Wanted(("here",), "Secretive", ("s",)))
    assert fates(report) == {"Secretive/s": "failed"}
    assert report.has_failures and not report.is_done
    assert fates(run(loop, Wanted(("here",), "Secretive", ("s*",)))) == {"Secretive/s": "skipped"}


def test_what_belongs_to_another_stack_is_left_alone(loop: Loop) -> None:
    put(loop, "Thing/a", owner=["other", "stack", "stack/Thing/a@there"])
    before = loop.world.peek("Thing/a")
    report = run(loop)
    assert fates(report) == {"Thing/a": "skipped"}
    assert why(report) == "it belongs to stack/Thing/a@there of other/stack"
    assert loop.world.peek("Thing/a") == before


@pytest.mark.parametrize("address", ["shop/Thing/a@here", "shop/Thing/old-name@here"])
def test_what_was_forgotten_can_be_imported_again(loop: Loop, address: str) -> None:
    put(loop, "Thing/a", owner=[loop.app.store.installation, "shop", address])
    assert fates(run(loop)) == {"Thing/a": "imported"}
    assert not loop.plan().has_changes
    assert fates(run(loop)) == {"Thing/a": "managed"}


def test_what_is_declared_already_is_taken_over_and_not_declared_twice(loop: Loop) -> None:
    put(loop, "Thing/a", size=1, value="more")
    put(loop, "Thing/b", size=1)
    loop.declare("c", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 1}, dependsOn=["Thing/c"], lifecycle={"ignore": ["/spec/value"]})
    before = files(loop)
    report = run(loop, Wanted(("here",), "Thing", ("a", "b")))
    assert fates(report) == {"Thing/a": "imported", "Thing/b": "imported"}
    assert {outcome.id: outcome.file for outcome in report.outcomes} == {
        "a": "Thing-a.yaml",
        "b": "thing.yaml",
    }
    assert files(loop) == {**before, "thing.yaml": files(loop)["thing.yaml"]}
    assert not loop.plan().has_changes
    assert loop.run().status is RunStatus.CONVERGED


def test_what_is_declared_otherwise_is_left_alone(loop: Loop) -> None:
    put(loop, "Thing/a", size=1)
    loop.declare("a", {"size": 2})
    report = run(loop)
    assert fates(report) == {"Thing/a": "skipped"}
    assert why(report) == "it is declared already, as Thing/a, and that would change it"
    assert loop.spec("Thing/a") == {"size": 1} and loop.records() == {}


def test_an_import_that_was_killed_is_finished_by_the_next_one(loop: Loop) -> None:
    for name in ("a", "b", "c"):
        put(loop, f"Thing/{name}")
    text = run(loop, is_dry_run=True).files["thing.yaml"]
    (loop.folder / "stack" / "thing.yaml").write_text(text)
    # The marker of one was written, and nothing recorded.
    put(loop, "Thing/b", owner=[loop.app.store.installation, "shop", "shop/Thing/b@here"])
    before = files(loop)
    assert set(fates(run(loop)).values()) == {"imported"}
    assert files(loop) == before
    assert not loop.plan().has_changes
    assert set(loop.records()) == {"a", "b", "c"}


def test_what_is_recorded_and_no_longer_declared_is_not_imported_again(loop: Loop) -> None:
    put(loop, "Thing/a")
    run(loop)
    (loop.folder / "stack" / "thing.yaml").unlink()
    report = run(loop)
    assert fates(report) == {"Thing/a": "skipped"}
    assert why(report) == "the inventory has it as shop/Thing/a@here, and no resource declares it any more"


def test_an_id_that_names_nothing_fails_and_the_others_are_imported(loop: Loop) -> None:
    put(loop, "Thing/a")
    report = run(loop, Wanted(("here",), "thing", ("a", "b", "c*")))
    assert fates(report) == {"Thing/a": "imported", "Thing/b": "failed", "Thing/c*": "failed"}
    assert report.is_done and report.has_failures


def test_patterns_name_what_they_match(loop: Loop) -> None:
    for name in ("web-1", "web-2", "db"):
        put(loop, f"Thing/{name}")
    report = run(loop, Wanted(("here",), "things", ("web-?",)), is_dry_run=True)
    assert fates(report) == {"Thing/web-1": "imported", "Thing/web-2": "imported"}


def test_files_that_exist_are_never_touched(loop: Loop) -> None:
    loop.declare("mine")
    mine = (
        (loop.folder / "stack" / "Thing-mine.yaml").rename(loop.folder / "stack" / "thing.yaml").read_text()
    )
    put(loop, "Thing/a")
    run(loop)
    written = files(loop)
    assert written["thing.yaml"] == mine
    assert "name: a" in written["thing-2.yaml"]


def test_a_named_file_holds_all_resources_and_must_be_new(loop: Loop) -> None:
    put(loop, "Thing/a")
    put(loop, "Vault/b")
    report = run(loop, file="imported/all.yaml")
    assert list(report.files) == ["imported/all.yaml"]
    assert len(list(yaml.safe_load_all(files(loop)["imported/all.yaml"]))) == 2
    put(loop, "Thing/c")
    with pytest.raises(SourceError, match="is there already"):
        run(loop, file="imported/all.yaml")
    assert "c" not in loop.records()


def test_with_several_targets_each_has_a_folder_and_resources_name_theirs(loop: Loop) -> None:
    targets = [{"name": name, "provider": "memory"} for name in ("here", "there")]
    loop.write_stack(targets=targets)
    put(loop, "Thing/a")
    report = run(loop, Wanted(("here",)))
    assert list(report.files) == ["here/thing.yaml"]
    document = yaml.safe_load(report.files["here/thing.yaml"])
    assert document["targets"] == {"names": ["here"]}
    assert not loop.plan().has_changes


class _Wrong(Thing):
    """Exports something else than what lives."""

    def export(self, body: Any) -> Any:
        return {**super().export(body), "spec": {**body["spec"], "size": 7}}


class _Forbidden(Thing):
    """Exports what its own schema refuses."""

    def export(self, body: Any) -> Any:
        size = -1 if body["metadata"]["name"] == "bad" else body["spec"]["size"]
        return {**super().export(body), "spec": {**body["spec"], "size": size}}


class _Broken(Thing):
    def export(self, body: Any) -> Any:
        raise RuntimeError("canary-2e")


class _Fickle(Thing):
    """Is seen in one way when all are listed, and in another when one is looked at."""

    def _observed(self, node: Any, entry: Any) -> Observed:
        changed = {**entry, "spec": {**entry["spec"], "size": 9}} if node.name == "b" else entry
        return super()._observed(node, changed)


def replace_kind(loop: Loop, kind: Thing) -> None:
    loop.provider._by_name[(kind.api_version, kind.name)] = kind
    loop.provider._kinds = (kind,)


def test_an_object_that_its_resource_would_change_is_not_imported(loop: Loop) -> None:
    replace_kind(loop, _Wrong())
    put(loop, "Thing/a", size=1)
    report = run(loop)
    (outcome,) = report.outcomes
    assert outcome.fate is Fate.FAILED
    assert [field.path for field in outcome.fields] == ["/spec/size"]
    assert "thing.yaml" not in files(loop) and loop.spec("Thing/a") == {"size": 1}


def test_an_object_that_changed_meanwhile_is_not_imported_and_the_others_are(loop: Loop) -> None:
    replace_kind(loop, _Fickle())
    put(loop, "Thing/a")
    put(loop, "Thing/b")
    report = run(loop)
    assert fates(report) == {"Thing/a": "imported", "Thing/b": "failed"}
    assert "name: b" not in files(loop)["thing.yaml"]
    assert loop.world.peek("Thing/b")["owner"] is None  # type: ignore[index]


def test_a_bug_of_a_provider_concerns_its_own_objects_and_is_not_repeated(loop: Loop) -> None:
    replace_kind(loop, _Broken())
    put(loop, "Thing/a")
    report = run(loop)
    assert "a bug in provider 'memory': export raised RuntimeError" in why(report, Fate.FAILED)
    assert "canary-2e" not in repr(report)


def test_a_resource_that_would_not_be_valid_is_left_out(loop: Loop) -> None:
    replace_kind(loop, _Forbidden())
    for name, size in {"a": 1, "bad": -1, "c": 1}.items():
        put(loop, f"Thing/{name}", size=size)
    report = run(loop)
    assert fates(report) == {"Thing/a": "imported", "Thing/bad": "failed", "Thing/c": "imported"}
    assert why(report, Fate.FAILED).startswith("its resource would not be valid: ")


def test_values_that_no_file_can_hold_concern_their_own_object(loop: Loop) -> None:
    put(loop, "Thing/a", value=float("inf"))
    put(loop, "Thing/b", value={"${{ vars.x }}": 1})
    put(loop, "Thing/c", value=2**70)
    put(loop, "Thing/d", value="${{ vars.x }}")
    report = run(loop)
    assert fates(report) == {
        "Thing/a": "failed",
        "Thing/b": "failed",
        "Thing/c": "failed",
        "Thing/d": "imported",
    }
    assert not loop.plan().has_changes


def test_a_stack_that_is_not_valid_is_an_error_before_anything_is_asked(loop: Loop) -> None:
    (loop.folder / "stack" / "broken.yaml").write_text("kind: [\n")
    with pytest.raises(ManifestError):
        run(loop)
    assert loop.world.calls() == []


def test_a_kind_that_cannot_be_listed_does_not_hide_the_others(loop: Loop) -> None:
    put(loop, "Thing/a")
    loop.world.inject(Fault("discover", "Denied"))
    report = run(loop)
    assert report.has_failures and report.is_done is ("Thing/a" in fates(report))
    assert sum(outcome.fate is Fate.FAILED for outcome in report.outcomes) == 1


def test_a_target_that_does_not_answer_is_an_error(loop: Loop) -> None:
    loop.world.inject(Fault("connect", "Denied", times=9))
    with pytest.raises(TrueupError, match="refused"):
        run(loop)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(("nowhere",)), "no target 'nowhere'"),
        (Wanted(("here",), "Thingy"), "no kind 'Thingy'"),
    ],
)
def test_what_there_is_not_is_an_error(loop: Loop, wanted: Wanted, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(loop, wanted)


def test_an_adoption_that_fails_keeps_its_resource_and_says_so(loop: Loop) -> None:
    put(loop, "Thing/a")
    put(loop, "Thing/b")
    loop.world.inject(Fault("update", "Denied", key="Thing/b"))
    report = run(loop)
    assert fates(report) == {"Thing/a": "imported", "Thing/b": "failed"}
    (failed,) = [outcome for outcome in report.outcomes if outcome.fate is Fate.FAILED]
    assert failed.file == "thing.yaml" and "stays in the file" in failed.hint
    assert "name: b" in files(loop)["thing.yaml"]
    # The object was not deleted, changed or lost, and is nobody's until the next import takes it up.
    assert loop.run().status is RunStatus.FAILED
    assert loop.spec("Thing/b") == {"size": 1}
    assert fates(run(loop))["Thing/b"] == "imported"
    assert loop.run().status is RunStatus.CONVERGED
    assert sorted(loop.records()) == ["a", "b"]


def test_an_interruption_takes_out_what_was_not_taken_over(loop: Loop) -> None:
    for number in range(30):
        put(loop, f"Thing/n{number:02}")
    stop = threading.Event()

    class Stopper:
        def planned(self, plan: Any) -> None: ...
        def started(self, change: Any) -> None: ...
        def waiting(self, address: Any, why: str) -> None: ...

        def finished(self, outcome: Any) -> None:
            stop.set()

    report = run(loop, listener=Stopper(), stop=stop)
    assert report.is_interrupted
    owned = {key for key in loop.world.list_keys() if loop.world.peek(key)["owner"]}  # type: ignore[index]
    declared = set(
        yaml.safe_load_all(files(loop).get("thing.yaml", ""))
        and [
            f"Thing/{document['metadata']['name']}"
            for document in yaml.safe_load_all(files(loop)["thing.yaml"])
        ]
    )
    assert declared == owned and 0 < len(owned) < 30
    assert not loop.plan().has_changes
    assert run(loop).counts[Fate.IMPORTED] == 30 - len(owned)


def test_a_suspension_ends_an_import_that_is_under_way(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        put(loop, f"Thing/n{number:02}")
    monkeypatch.setattr(pin, "LOOK_AGAIN", 0.01)
    stop = threading.Event()

    class Suspender:
        def planned(self, plan: Any) -> None: ...
        def started(self, change: Any) -> None: ...
        def waiting(self, address: Any, why: str) -> None: ...

        def finished(self, outcome: Any) -> None:
            if not stop.is_set():
                pin.suspend(loop.app.store, "shop", "bo", "")
                assert stop.wait(30)

    report = run(loop, listener=Suspender(), stop=stop)
    assert report.is_interrupted
    assert 0 < report.counts[Fate.IMPORTED] < 30
    with pytest.raises(PinnedStack):
        run(loop)


def test_a_lease_of_another_run_leaves_no_file(loop: Loop) -> None:
    put(loop, "Thing/a")
    before = files(loop)
    assert loop.app.store.acquire_lease("shop", "somebody", 60.0) is not None
    with pytest.raises(StoreError):
        run(loop)
    assert files(loop) == before


def test_files_are_undone_if_somebody_breaks_the_stack_meanwhile(loop: Loop) -> None:
    put(loop, "Thing/a")

    def confirm(_report: ImportReport) -> bool:
        (loop.folder / "stack" / "broken.yaml").write_text("kind: [\n")
        return True

    with pytest.raises(ManifestError):
        run(loop, confirm=confirm)
    assert sorted(files(loop)) == ["broken.yaml", "stack.yaml"]
    assert loop.records() == {} and loop.world.peek("Thing/a")["owner"] is None  # type: ignore[index]


def test_a_stack_that_does_not_read_the_new_files_is_an_error(loop: Loop) -> None:
    loop.write_stack(exclude=["*.yaml"])
    put(loop, "Thing/a")
    with pytest.raises(SourceError, match=r"does not read shop/Thing/a@here from thing\.yaml"):
        run(loop)
    assert sorted(files(loop)) == ["stack.yaml"]


def test_the_order_of_the_documents_is_that_of_the_names(loop: Loop) -> None:
    for name in ("c", "a", "b"):
        put(loop, f"Thing/{name}")
    text = run(loop, is_dry_run=True).files["thing.yaml"]
    assert [document["metadata"]["name"] for document in yaml.safe_load_all(text)] == ["a", "b", "c"]


def test_a_provider_without_import_says_so(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.provider, "discoverable", lambda session: ())
    monkeypatch.setattr(Thing, "discover", lambda self, session, ids: _raise())
    with pytest.raises(TrueupError, match="provider memory does not support import"):
        run(loop)
    assert why(run(loop, Wanted(("here",), "Thing")), Fate.FAILED) == "not supported"


def _raise() -> Any:
    raise Invalid("not supported")


def test_a_source_that_is_no_directory_is_an_error(loop: Loop, tmp_path: Path) -> None:
    from trueup.app import SourceSpec

    with pytest.raises(SourceError, match="no directory to write new files to"):
        loop.app.import_objects(SourceSpec("https://git.example.com/a.git"), ImportRequest(ALL))
