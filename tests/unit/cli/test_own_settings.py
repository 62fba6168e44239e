"""A trueup.toml in the stack's own repository: when it is that, and what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueup.cli.own_settings import drop_own_grants
from trueup.config import Config, StackConfig
from trueup.model.resource import TargetGrant

GRANTING = Config(
    store="state.db",
    secrets={"allow": ("env:*",), "env": ("A",), "acme": {"server": "x"}},
    allow_targets=(TargetGrant("aws", {"endpointUrl": "*"}),),
    allow_fetching=True,
    stacks=(StackConfig("shop", "shop", allow_targets=(TargetGrant("ssh"),)),),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    (work / "stacks" / "shop").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize("location", [".", "stacks/..", "stacks", "stacks/shop"])
def test_what_lies_in_the_work_tree_of_the_stack_grants_nothing(
    here: Path, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".git").mkdir()
    left = drop_own_grants(GRANTING, location)
    assert left.store == "state.db"
    assert left.secrets == {"allow": ("env:*",)}
    assert not left.allow_fetching
    assert left.allow_targets == (TargetGrant("aws", {"endpointUrl": "*"}, is_own=True),)
    assert left.stack("shop").allow_targets == (TargetGrant("ssh", is_own=True),)
    said = capsys.readouterr().err
    assert "grants nothing: secrets.acme, secrets.env, rendering.allow_network\n" in said
    assert "--config trueup.toml" in said


def test_what_lies_in_a_subdirectory_of_the_work_tree_is_its_own_as_well(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / ".git").mkdir()
    monkeypatch.chdir(here / "stacks")
    assert not drop_own_grants(GRANTING, "../stacks/shop").allow_fetching


def test_a_link_to_the_file_is_where_it_leads(here: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "trueup.toml").write_text("")
    (here / "trueup.toml").symlink_to(tmp_path / "elsewhere" / "trueup.toml")
    assert drop_own_grants(GRANTING, ".") is GRANTING


@pytest.mark.parametrize(
    "location",
    ["stacks/shop", "../elsewhere", "https://git.example.com/a.git", "git@git.example.com:a.git", "", "-x"],
)
def test_what_lies_elsewhere_grants_what_it_says(location: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert drop_own_grants(GRANTING, location) is GRANTING
    assert capsys.readouterr().err == ""


def test_where_nothing_is_granted_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert drop_own_grants(Config(store="x"), ".") == Config(store="x")
    assert capsys.readouterr().err == ""
