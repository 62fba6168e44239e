from __future__ import annotations

import os
from pathlib import Path

import pytest

from trueup.cli import run

UGLY, NEAT = "a:   1\n", "a: 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(UGLY)
    (tmp_path / "neat.yaml").write_text(NEAT)
    return tmp_path


def test_a_file_is_laid_out_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").chmod(0o640)
    assert run(["fmt"]) == 0
    assert capsys.readouterr().out == "a.yaml\n"
    assert (folder / "a.yaml").read_text() == NEAT
    assert (folder / "a.yaml").stat().st_mode & 0o777 == 0o640


def test_check_writes_nothing_and_says_what_would_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fmt", "--check", "--diff", str(folder)]) == 2
    output = capsys.readouterr()
    assert "-a:   1\n+a: 1\n" in output.out
    assert output.err == "1 file would change\n"
    assert (folder / "a.yaml").read_text() == UGLY


def test_charts_and_hidden_files_are_left_alone(folder: Path) -> None:
    for name in ("chart/templates/a.yaml", ".hidden/a.yaml", "chart/Chart.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a:   {{ .Values.b }}\n")
    assert run(["fmt"]) == 0
    assert (folder / "chart/templates/a.yaml").read_text() == "a:   {{ .Values.b }}\n"
    assert (folder / ".hidden/a.yaml").read_text() == "a:   {{ .Values.b }}\n"


def test_a_broken_file_is_told_with_its_place_and_the_others_are_laid_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "0.yaml").write_text("a: 1\na: 2\n")
    assert run(["fmt"]) == 1
    assert "0.yaml:2:1" in capsys.readouterr().err
    assert (folder / "a.yaml").read_text() == NEAT


def test_what_is_no_resource_file_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "notes.md").write_text("x")
    assert run(["fmt", "notes.md"]) == 1
    assert run(["fmt", "nowhere"]) == 1
    assert "there is no file or directory nowhere" in capsys.readouterr().err


def test_a_link_stays_a_link_and_what_it_names_is_laid_out(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/link.yaml").symlink_to("../a.yaml")
    assert run(["fmt", "sub/link.yaml"]) == 0
    assert (folder / "sub/link.yaml").is_symlink()
    assert (folder / "a.yaml").read_text() == NEAT
    assert [file.name for file in (folder / "sub").iterdir()] == ["link.yaml"]


def test_a_directory_that_cannot_be_read_is_an_error_and_not_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    assert run(["fmt", "--check", str(folder)]) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_a_pipe_among_the_files_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "0.yaml")
    assert run(["fmt"]) == 0
    assert (folder / "a.yaml").read_text() == NEAT
