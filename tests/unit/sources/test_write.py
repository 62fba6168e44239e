"""New files are written as a whole or not at all, and nothing that exists is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueup.errors import SourceError
from trueup.sources.open import find_directory
from trueup.sources.write import NewFiles


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_are_written_with_the_folders_that_they_need(tmp_path: Path) -> None:
    NewFiles(tmp_path).write({"a.yaml": "a\n", "prod/shop/b.yaml": "ä\n"})
    assert tree(tmp_path) == {"a.yaml": "a\n", "prod/shop/b.yaml": "ä\n"}


def test_undoing_removes_what_was_made_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "prod").mkdir()
    files = NewFiles(tmp_path)
    files.write({"prod/a.yaml": "a\n", "new/deep/b.yaml": "b\n"})
    (tmp_path / "new" / "mine.txt").write_text("mine\n")
    files.undo()
    assert tree(tmp_path) == {"new/mine.txt": "mine\n"}
    assert (tmp_path / "prod").is_dir() and not (tmp_path / "new" / "deep").exists()
    files.undo()
    assert tree(tmp_path) == {"new/mine.txt": "mine\n"}


def test_a_file_that_exists_stays_and_none_of_the_others_is_written(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("mine\n")
    with pytest.raises(SourceError, match=r"b\.yaml is there already"):
        NewFiles(tmp_path).write({"a/a.yaml": "a\n", "b.yaml": "b\n"})
    assert tree(tmp_path) == {"b.yaml": "mine\n"}
    assert not (tmp_path / "a").exists()


def test_links_lead_nothing_out_of_the_directory(tmp_path: Path) -> None:
    outside, stack = tmp_path / "outside", tmp_path / "stack"
    outside.mkdir()
    stack.mkdir()
    (stack / "folder").symlink_to(outside)
    (stack / "file.yaml").symlink_to(outside / "file.yaml")
    for path in ("folder/a.yaml", "file.yaml"):
        with pytest.raises(SourceError):
            NewFiles(stack).write({path: "a\n"})
    assert tree(outside) == {}


def test_a_directory_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "prod").write_text("a file\n")
    with pytest.raises(SourceError, match="cannot write"):
        NewFiles(tmp_path).write({"prod/a.yaml": "a\n"})


def test_files_can_be_rewritten_and_removed(tmp_path: Path) -> None:
    files = NewFiles(tmp_path)
    files.write({"a.yaml": "a\n", "b.yaml": "b\n"})
    files.rewrite({"a.yaml": "c\n", "b.yaml": ""})
    assert tree(tmp_path) == {"a.yaml": "c\n"}


def test_rewriting_follows_no_link_and_leaves_no_part(tmp_path: Path) -> None:
    outside, stack = tmp_path / "outside", tmp_path / "stack"
    outside.write_text("mine\n")
    stack.mkdir()
    (stack / ".a.yaml.part").symlink_to(outside)
    files = NewFiles(stack)
    files.write({"a.yaml": "a\n"})
    files.rewrite({"a.yaml": "c\n"})
    assert outside.read_text() == "mine\n"
    assert (stack / "a.yaml").read_text() == "c\n"
    assert not (stack / "a.yaml").is_symlink()
    assert sorted(path.name for path in stack.iterdir()) == [".a.yaml.part", "a.yaml"]
    files.undo()
    assert not (stack / "a.yaml").exists()


def test_only_a_directory_of_this_machine_can_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    assert find_directory(str(tmp_path), path="shop") == tmp_path / "shop"
    bare = tmp_path / "bare.git"
    for name in ("objects", "refs"):
        (bare / name).mkdir(parents=True)
    (bare / "HEAD").write_text("ref: refs/heads/main\n")
    for location, ref in (
        ("https://me:pw@git.example.com/a.git", ""),
        (str(tmp_path), "main"),
        (str(bare), ""),
    ):
        with pytest.raises(SourceError, match="no directory to write new files to") as refused:
            find_directory(location, ref)
        assert "pw" not in refused.value.message
    with pytest.raises(SourceError, match="there is no directory"):
        find_directory(str(tmp_path / "none"))
