"""`trueup import` as it is typed, over a world in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.cli import samples
from tests.unit.reconcile.test_plan_document import check

from trueup.app import App
from trueup.cli import run
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import Fault, MemoryWorld

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {name: shop}
spec:
  targets: [{name: here, provider: memory}]
"""
Engine = Callable[[str, int], App]


class Keyboard(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(""))


@pytest.fixture
def world() -> MemoryWorld:
    specs: dict[str, dict[str, Any]] = {
        "Thing/a": {"size": 1},
        "Thing/system-x": {"size": 1},
        "Vault/safe": {"size": 2},
        "Secretive/db": {"user": "u", "token": "canary-3c"},
    }
    return MemoryWorld(
        {key: {"id": key, "version": 1, "owner": None, "spec": spec} for key, spec in specs.items()}
    )


@pytest.fixture
def engine(world: MemoryWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """In a directory that holds a stack without resources."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "stack.yaml").write_text(STACK)
    monkeypatch.chdir(tmp_path / "shop")
    yield lambda _store, parallelism: App(
        str(tmp_path / "store.db"), parallelism=parallelism, catalog=MemoryCatalog(MemoryProvider(world))
    )


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*.yaml"))


def test_it_says_what_it_wrote_what_it_skipped_and_why(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "--all", "--yes"], engine=engine) == 0
    samples.check_snapshot("import.txt", capsys.readouterr().out)
    assert files() == ["stack.yaml", "thing.yaml", "vault.yaml"]
    assert run(["plan", "."], engine=engine) == 0
    assert run(["import", "--all", "--yes"], engine=engine) == 0
    assert "Nothing to import, 1 skipped, 2 managed already" in capsys.readouterr().out


def test_it_asks_before_it_writes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard("n\n"))
    assert run(["import", "here", "Thing"], engine=engine) == 1
    shown = capsys.readouterr()
    assert "Write these files, and take the objects over as they are? [y/N]" in shown.err
    assert "1 object can be imported" in shown.out and "Nothing was done." in shown.out
    assert files() == ["stack.yaml"]
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    assert run(["import", "here", "Thing"], engine=engine) == 0
    assert files() == ["stack.yaml", "thing.yaml"]
    shown = capsys.readouterr()
    assert shown.out.count("Thing/a@here") == 1 and "Imported 1 object into 1 file" in shown.out


@pytest.mark.parametrize("options", [[], ["--output", "json"]])
def test_where_nobody_can_be_asked_nothing_is_even_looked_at(
    engine: Engine, world: MemoryWorld, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "--all", *options], engine=engine) == 1
    shown = capsys.readouterr()
    assert "--yes" in shown.out + shown.err
    assert world.calls() == []


def test_a_dry_run_prints_resources_and_nothing_else_on_standard_output(
    engine: Engine, world: MemoryWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "--all", "--dry-run"], engine=engine) == 0
    shown = capsys.readouterr()
    documents = list(yaml.safe_load_all(shown.out))
    assert [document["kind"] for document in documents] == ["Thing", "Vault"]
    assert "# thing.yaml\n" in shown.out
    assert "skipped Secretive db on here" in shown.err and "canary-3c" not in shown.out + shown.err
    assert files() == ["stack.yaml"] and world.count_writes() == 0


def test_as_json_it_fits_its_schema(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "--all", "-o", "json", "--dry-run"], engine=engine) == 0
    dry = json.loads(capsys.readouterr().out)
    check(dry, "import-v1")
    assert not dry["isDone"] and sorted(dry["files"]) == ["thing.yaml", "vault.yaml"] and dry["leftOut"] == 1
    assert run(["import", "--all", "-o", "json", "--yes"], engine=engine) == 0
    done = json.loads(capsys.readouterr().out)
    check(done, "import-v1")
    assert done["isDone"] and done["counts"] == {"imported": 2, "managed": 0, "skipped": 1, "failed": 0}
    assert "canary-3c" not in json.dumps(done)


def test_what_was_named_and_cannot_be_imported_has_exit_code_1(
    engine: Engine, world: MemoryWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "here", "Secretive", "db", "--yes"], engine=engine) == 1
    assert "it holds a secret, in /spec/token" in capsys.readouterr().out
    assert run(["import", "here", "Thing", "a", "none", "--yes"], engine=engine) == 1
    assert "there is no Thing 'none'" in capsys.readouterr().out
    world.inject(Fault("discover", "Denied"))
    assert run(["import", "here", "Vault", "--yes"], engine=engine) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "TARGET and KIND are missing"),
        (["here"], "KIND is missing"),
        (["here", "Thing", "--all"], "--all is for every kind"),
        (["here", "Thing", "--file", "/etc/a.yaml"], "--file cannot be"),
        (["here", "Thing", "--file", "../a.yaml"], "--file cannot be"),
        (["here", "Thing", "--file", "a.json"], "--file cannot be"),
        (["here", "Thing", "--file", ".hidden/a.yaml"], "--file cannot be"),
        (["nowhere", "Thing"], "no target 'nowhere'"),
        (["here", "Thingy"], "no kind 'Thingy'"),
        (["here", "Thing", "--into", "none"], "there is no directory"),
        (["here", "Thing", "--into", "https://git.example.com/a.git"], "no directory to write new files to"),
    ],
)
def test_what_makes_no_sense_is_an_error(
    engine: Engine, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", *words, "--yes"], engine=engine) == 1
    assert message in capsys.readouterr().err


def test_a_target_without_a_kind_is_told_how_to_import_all_of_it(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "eu west"], engine=engine) == 1
    assert "`trueup import 'eu west' --all` looks for everything there" in capsys.readouterr().err


def test_of_a_directory_what_is_unfit_is_skipped_as_with_a_pattern(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stack.parent / "live" / "conf"
    folder.mkdir()
    (folder / "a.conf").write_text("a\n")
    (folder / "key.conf").write_text("b\n")
    (folder / "key.conf").chmod(0o600)
    words = ["import", "here", "File", "--dry-run", "--into", str(stack), "--store", "s.db"]
    for what in (f"{folder}/*.conf", str(folder), f"{folder}/"):
        assert run([*words, what]) == 0
        # Nobody else may look into the folders of a test either.
        assert "Nothing to import, 2 skipped" in capsys.readouterr().err
    assert run([*words, f"{folder}/key.conf"]) == 1
    assert "1 failed" in capsys.readouterr().err


def test_an_empty_directory_needs_a_stack_file_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["import", "here", "File", "/etc/motd", "--dry-run"]) == 1
    assert "write a stack.yaml" in capsys.readouterr().err


def test_another_directory_and_one_file_can_be_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("..")
    words = ["import", "here", "Vault", "--into", "shop", "--file", "found/all.yaml", "--yes"]
    assert run(words, engine=engine) == 0
    assert files() == ["shop/found/all.yaml", "shop/stack.yaml"]
