from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.samples import PlayedEngine

from trueup.app import SourceSpec
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


CONFIGURED = """\
[[stacks]]
name = "shop-prod"
location = "https://h/estate.git"
ref = "main"
path = "shop"
values = ["envs/prod.yaml"]
set = {replicas = 3}

[[stacks]]
name = "edge"
location = "./edge"
"""


def test_values_and_sets_reach_the_engine_in_their_order(engine: PlayedEngine) -> None:
    options = ["--values", "a.yaml", "--set", "x=1", "--values", "b.toml", "--set", "y.z=[a, b]"]
    assert run(["plan", "shop", *options], engine=engine) == 0
    ((_, source, _),) = engine.asked
    assert source == SourceSpec("shop", values=("a.yaml", "b.toml"), sets=("x=1", "y.z=[a, b]"))


def test_a_source_may_be_a_stack_of_the_settings_by_its_name(engine: PlayedEngine) -> None:
    Path("trueup.toml").write_text(CONFIGURED)
    run(["plan", "shop-prod"], engine=engine)
    run(
        ["plan", "shop-prod", "--ref", "v2", "--path", "b", "--values", "c.yaml", "--set", "a=1"],
        engine=engine,
    )
    run(["plan", "shop"], engine=engine)
    assert [source for _, source, _ in engine.asked] == [
        SourceSpec("https://h/estate.git", "main", "shop", values=("envs/prod.yaml",), sets=("replicas=3",)),
        SourceSpec(
            "https://h/estate.git",
            "v2",
            "b",
            values=("envs/prod.yaml", "c.yaml"),
            sets=("replicas=3", "a=1"),
            is_ref_meant=True,
        ),
        SourceSpec("shop"),
    ]


def test_a_name_that_is_a_stack_and_another_directory_is_refused(
    engine: PlayedEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("trueup.toml").write_text(CONFIGURED)
    (tmp_path / "edge").mkdir()
    (tmp_path / "shop-prod").mkdir()
    assert run(["plan", "edge"], engine=engine) == 0
    assert run(["plan", "./shop-prod"], engine=engine) == 0
    assert [source.location for _, source, _ in engine.asked] == [str(tmp_path / "edge"), "./shop-prod"]
    assert run(["plan", "shop-prod"], engine=engine) == 1
    assert '"shop-prod" is a stack of the settings and a directory here' in capsys.readouterr().err


def test_a_command_that_it_shows_has_the_values_as_they_were_typed() -> None:
    call = Call(None, "shop", values=("envs/prod.yaml",), sets=("a=it's", "b=[1, 2]"))
    assert call.command_line("plan") == (
        """trueup plan shop --values envs/prod.yaml --set 'a=it'"'"'s' --set 'b=[1, 2]'"""
    )
