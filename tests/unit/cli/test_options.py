from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.samples import PlayedEngine

from trueup.cli import run
from trueup.cli.options import Call, default_store


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlayedEngine:
    monkeypatch.chdir(tmp_path)
    return PlayedEngine(samples.converged_plan())


def test_the_store_comes_from_the_option_then_the_environment_then_the_file_then_the_home(
    engine: PlayedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["plan", "shop"], engine=engine)
    Path("trueup.toml").write_text('store = "file.db"\nparallelism = 5\n')
    run(["plan", "shop"], engine=engine)
    monkeypatch.setenv("TRUEUP_STORE", "env.db")
    run(["plan", "shop"], engine=engine)
    run(["plan", "shop", "--store", "option.db", "--parallelism", "2"], engine=engine)
    assert engine.opened == [
        (default_store(), 16),
        (str(tmp_path / "file.db"), 5),
        ("env.db", 5),
        ("option.db", 2),
    ]


def test_the_store_of_someone_who_configured_none_is_in_the_state_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_store() == "sqlite:////state/trueup/state.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_store() == "sqlite:////home/me/.local/state/trueup/state.db"


def test_another_file_is_read_where_it_is_asked_for(engine: PlayedEngine, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "t.toml").write_text('store = "sqlite:///s.db"\n')
    assert run(["plan", "shop", "--config", str(folder / "t.toml")], engine=engine) == 0
    assert engine.opened == [(f"sqlite:///{folder}/s.db", 16)]


def test_a_wrong_file_is_refused_with_the_place(
    engine: PlayedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("trueup.toml").write_text('stroe = "x"\n')
    assert run(["plan", "shop"], engine=engine) == 1
    assert capsys.readouterr().err == ('trueup.toml:1:1: unknown field "stroe"\n  did you mean "store"?\n')
    assert run(["plan", "shop", "--config", "none.toml"], engine=engine) == 1
    assert engine.opened == []


def test_a_command_that_it_shows_is_quoted_for_a_shell() -> None:
    call = Call(None, "a b", ref="it's", typed=frozenset({"ref"}))
    assert call.command_line("plan") == """trueup plan 'a b' --ref 'it'"'"'s'"""


def test_the_log_goes_to_standard_error(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(stack), "-vv", "-o", "json"]) == 2
    assert capsys.readouterr().out.startswith("{")
