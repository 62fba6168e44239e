from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trueup.cli import run
from trueup.cli.options import default_store
from trueup.cli.store_place import place_store
from trueup.errors import UsageError
from trueup.state.open import NO_STORE, file_of

READING = [
    ["plan", "SOURCE"],
    ["status", "SOURCE"],
    ["outputs", "SOURCE"],
    ["history", "SOURCE"],
    ["show", "1"],
    ["diff", "1", "2"],
    ["why", "File/index", "--source", "SOURCE"],
    ["blame", "File/index", "--source", "SOURCE"],
    ["eval", "1 + 1", "--source", "SOURCE"],
    ["import", "here", "File", "/none", "--dry-run", "--into", "SOURCE"],
]


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_a_command_that_only_reads_makes_no_store_and_says_that_there_is_none(
    command: list[str], stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(stack) if word == "SOURCE" else word for word in command]
    place = tmp_path / "srv" / "typo.db"
    run([*words, "--store", str(place)])
    assert not place.parent.exists()
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"there is no store yet at {place} (a run creates it)"


def test_the_default_place_is_not_spoken_of_and_not_made_by_a_question(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert run(["status", str(stack)]) == 0
    assert capsys.readouterr().err == ""
    assert run(["status", str(stack), "-v"]) == 0
    assert "there is no store yet" in capsys.readouterr().err
    assert not (tmp_path / "xdg").exists()


def test_what_writes_makes_the_default_place(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert run(["reconcile", str(stack), "--yes"]) == 0
    assert file_of(default_store()) == tmp_path / "xdg" / "trueup" / "state.db"
    assert (tmp_path / "xdg" / "trueup" / "state.db").is_file()


def test_a_saved_plan_is_carried_out_with_the_store_that_it_was_made_with(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_STORE", str(tmp_path / "new.db"))
    assert run(["plan", str(stack), "--save", "shop.plan"]) == 2
    assert run(["reconcile", "shop.plan", "--yes"]) == 0


def test_what_writes_makes_a_named_store_but_no_directories(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "typo" / "s.db"
    assert run(["reconcile", str(stack), "--yes", "--store", str(missing)]) == 1
    assert capsys.readouterr().err == (
        f"Error: there is no directory {missing.parent} for the store\n"
        "  make the directory, or name another place with --store or TRUEUP_STORE\n"
    )
    assert not missing.parent.exists()
    assert run(["reconcile", str(stack), "--yes", "--store", str(tmp_path / "s.db")]) == 0
    assert (tmp_path / "s.db").is_file()


def test_a_server_and_a_store_that_is_there_are_used_as_they_are(tmp_path: Path) -> None:
    there = tmp_path / "s.db"
    there.touch()
    for url in (str(there), f"sqlite:///{there}", "postgresql://db/trueup", "mysql://x", ""):
        assert place_store(url, is_named=True, may_create=False) == url
    assert (
        place_store(str(tmp_path / "none"), is_named=False, may_create=False) == f"{NO_STORE}{tmp_path}/none"
    )
    with pytest.raises(UsageError):
        place_store(f"sqlite:///{tmp_path}/no/s.db", is_named=True, may_create=True)


# -- what is left of a store, or is none


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:9000])


def overwrite(file: Path) -> None:
    file.write_bytes(b"not a database\n" * 500)


def dangle(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere/state.db")


def leave_log(file: Path) -> None:
    file.unlink()
    Path(f"{file}-wal").write_bytes(b"x" * 4000)


def make_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (empty, "is empty"),
    "cut off": (cut, "is damaged"),
    "no database": (overwrite, "is not an SQLite database"),
    "a link to nowhere": (dangle, "which is not there"),
    "its log alone": (leave_log, "is gone"),
    "a directory": (make_directory, "it is a directory"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_of_no_use(
    stack: Path, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.db"
    assert run(["reconcile", str(stack), "--store", str(file), "--yes"]) == 0
    shutil.rmtree(tmp_path / "live" / "www")
    spoil, words = FAULTS[fault]
    spoil(file)
    for command in (["reconcile", "--yes"], ["plan"], ["status"], ["history"]):
        capsys.readouterr()
        name, *options = command
        assert run([name, str(stack), "--store", str(file), *options]) == 1, command
        told = capsys.readouterr().err
        assert f"Error: the store {file} " in told
        assert words in told
        assert len(told.splitlines()) >= 2, "it does not say what to do"
        assert "Traceback" not in told
        assert not (tmp_path / "live" / "www").exists(), "it was made all the same"


def test_a_user_without_a_home_has_to_name_the_store(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "TRUEUP_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 123_456)
    assert run(["plan", str(stack)]) == 1
    told = capsys.readouterr().err
    assert "there is no home directory for the store" in told
    assert "--store" in told
    assert run(["reconcile", str(stack), "--store", str(tmp_path / "s.db"), "--yes"]) == 0
