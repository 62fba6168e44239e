"""A directory as a source: a snapshot, and nothing from outside it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueup.errors import SourceError
from trueup.sources import limits
from trueup.sources.directory import DirectoryTree
from trueup.sources.open import latest_commit, open_tree


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    root = tmp_path / "stack"
    (root / "apps").mkdir(parents=True)
    (root / "stack.yaml").write_text("kind: Stack\n")
    (root / "apps/web.yaml").write_text("kind: File\n")
    return root


def test_all_regular_files_are_listed_in_order(stack: Path):
    tree = open_tree(str(stack))
    assert list(tree.paths()) == ["apps/web.yaml", "stack.yaml"]
    assert tree.read("apps/web.yaml") == b"kind: File\n"
    assert tree.revision.url == str(stack)
    assert tree.revision.commit.startswith("sha256:")


def test_hidden_directories_and_special_files_are_left_out(stack: Path):
    for hidden in (".git", ".venv/lib", "apps/.cache"):
        (stack / hidden).mkdir(parents=True)
        (stack / hidden / "file.yaml").write_text("x")
    os.mkfifo(stack / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(stack / "socket.yaml"))
        (stack / ".sops.yaml").write_text("x")
        assert list(open_tree(str(stack)).paths()) == [".sops.yaml", "apps/web.yaml", "stack.yaml"]


def test_the_commit_changes_with_names_and_contents_and_with_nothing_else(stack: Path):
    first = latest_commit(str(stack))
    os.utime(stack / "stack.yaml", (0, 0))
    assert latest_commit(str(stack)) == first
    (stack / "stack.yaml").write_text("kind: Stack2\n")
    second = latest_commit(str(stack))
    (stack / "stack.yaml").rename(stack / "other.yaml")
    third = latest_commit(str(stack))
    assert len({first, second, third}) == 3
    (stack / "other.yaml").rename(stack / "stack.yaml")
    assert latest_commit(str(stack)) == second


def test_the_latest_commit_is_that_of_a_tree_opened_at_the_same_path(stack: Path):
    whole, part = open_tree(str(stack)), open_tree(str(stack), path="apps")
    assert latest_commit(str(stack)) == whole.revision.commit
    assert latest_commit(str(stack), path="apps") == part.revision.commit != whole.revision.commit
    (stack / "stack.yaml").write_text("changed")
    assert latest_commit(str(stack), path="apps") == part.revision.commit


def test_reading_gives_the_snapshot_although_the_files_change(stack: Path):
    tree = open_tree(str(stack))
    (stack / "stack.yaml").write_text("changed")
    (stack / "apps/web.yaml").unlink()
    assert tree.read("stack.yaml") == b"kind: Stack\n"
    assert tree.read("apps/web.yaml") == b"kind: File\n"


def test_the_files_of_a_snapshot_are_of_one_moment(tmp_path: Path):
    names = [f"file-{number}.yaml" for number in range(20)]
    end = threading.Event()
    # Whoever stops in the middle of his writing leaves a directory at rest. On a busy machine that happens to
    # the writer here, and nobody can tell: such a moment proves nothing.
    writing, paused = threading.Lock(), set[bytes]()

    def write_all(number: int) -> None:
        with writing:
            for index, name in enumerate(names):
                began = time.monotonic()
                write_one(number, index, name)
                if time.monotonic() - began > 0.005:
                    paused.add(f"{number:04}".encode())

    def write_one(number: int, index: int, name: str) -> None:
        if (number + index) % 2:
            (tmp_path / name).write_text(f"{number:04}" * 100)
        else:
            (tmp_path / ".new").write_text(f"{number:04}" * 100)
            (tmp_path / ".new").rename(tmp_path / name)

    def write() -> None:
        number = 0
        while not end.wait(0.15):
            number += 1
            write_all(number)

    write_all(0)
    writer = threading.Thread(target=write)
    writer.start()
    seen, refused = set(), 0
    try:
        while len(seen) < 10:
            try:
                tree = DirectoryTree(tmp_path, "")
            except SourceError as error:
                assert "changes while it is read" in str(error)
                refused += 1
                assert refused < 50
                continue
            contents = {tree.read(name) for name in names}
            with writing:
                found = sorted(content[:4] for content in contents)
                assert len(contents) == 1 or not paused.isdisjoint(found), found
            seen |= contents
    finally:
        end.set()
        writer.join()


def test_a_directory_that_never_rests_is_an_error(tmp_path: Path):
    file = tmp_path / "stack.yaml"
    file.write_text("a")
    end = threading.Event()

    def write() -> None:
        while not end.is_set():
            file.write_text("b")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(SourceError, match="changes while it is read") as caught:
            DirectoryTree(tmp_path, "")
        assert "ref" in caught.value.hint
    finally:
        end.set()
        writer.join()


def test_a_file_from_the_future_can_be_read(stack: Path):
    # ctime cannot be set, so that the clock is behind instead.
    ahead = time.time_ns() - 3600 * 10**9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trueup.sources.directory.time.time_ns", lambda: ahead)
        assert DirectoryTree(stack, "").paths()


def test_a_link_inside_the_tree_is_followed(stack: Path):
    (stack / "copy.yaml").symlink_to("apps/web.yaml")
    tree = open_tree(str(stack))
    assert tree.read("copy.yaml") == b"kind: File\n"


@pytest.mark.parametrize("target", ["{outside}", "../outside.yaml", "apps/../../outside.yaml", "/etc/passwd"])
def test_a_link_that_leaves_the_tree_is_refused_by_name_without_its_content(stack: Path, target: str):
    outside = stack.parent / "outside.yaml"
    outside.write_text("canary-secret")
    (stack / "apps/link.yaml").symlink_to(target.format(outside=outside) if "{" in target else target)
    if target.startswith("../"):
        (stack / "apps/link.yaml").unlink()
        (stack / "link.yaml").symlink_to(target)
    with pytest.raises(SourceError, match=r"link\.yaml") as caught:
        open_tree(str(stack))
    assert "canary-secret" not in str(caught.value) + caught.value.hint
    assert "leaves" in str(caught.value) or "does not lead" in str(caught.value)


def test_a_link_through_another_link_that_leaves_the_tree_is_refused(stack: Path):
    (stack.parent / "secret").mkdir()
    (stack.parent / "secret/key.yaml").write_text("canary-secret")
    (stack / ".hidden").mkdir()
    (stack / ".hidden/way").symlink_to(stack.parent / "secret")
    (stack / "link.yaml").symlink_to(".hidden/way/key.yaml")
    with pytest.raises(SourceError, match="leaves"):
        open_tree(str(stack))


@pytest.mark.parametrize("target", ["apps", "nowhere.yaml", "link.yaml", "pipe"])
def test_a_link_that_leads_to_no_file_is_refused(stack: Path, target: str):
    os.mkfifo(stack / "pipe")
    (stack / "link.yaml").symlink_to(target)
    with pytest.raises(SourceError, match=r"link\.yaml does not lead to a file"):
        open_tree(str(stack))


def test_the_lock_of_an_open_editor_does_no_harm(stack: Path):
    (stack / ".#stack.yaml").symlink_to("ada@laptop.123:456")
    assert list(open_tree(str(stack)).paths()) == ["apps/web.yaml", "stack.yaml"]


def test_a_directory_deeper_than_the_stack_of_python_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        Path("a").mkdir()
        os.chdir("a")
    Path("deep.yaml").write_text("a: b")
    monkeypatch.undo()
    tree = open_tree(str(tmp_path))
    # What removes the directories of tests calls itself as well.
    subprocess.run(["rm", "-rf", str(tmp_path / "a")], check=True)
    assert tree.paths() == ["a/" * 1200 + "deep.yaml"]


def test_a_missing_an_empty_and_a_file_path_are_errors(stack: Path):
    (stack / "empty/.git").mkdir(parents=True)
    (stack / "empty/.git/HEAD").write_text("x")
    with pytest.raises(SourceError, match="there is no directory"):
        open_tree(str(stack / "nowhere"))
    with pytest.raises(SourceError, match="holds no files"):
        open_tree(str(stack / "empty"))
    with pytest.raises(SourceError, match="is a file, not a directory"):
        open_tree(str(stack / "stack.yaml"))
    with pytest.raises(SourceError, match="there is no directory"):
        open_tree(str(stack), path="nowhere")


@pytest.mark.parametrize("path", ["../other", "/etc", "apps/../../x", "-x", "a\nb"])
def test_a_path_that_leaves_the_source_is_refused(stack: Path, path: str):
    with pytest.raises(SourceError):
        open_tree(str(stack), path=path)


def test_a_path_through_a_link_that_leaves_the_source_is_refused(stack: Path):
    (stack / "way").symlink_to("..")
    with pytest.raises(SourceError, match="leaves"):
        open_tree(str(stack), path="way")


def test_an_unknown_file_and_an_oversized_file_are_errors_when_they_are_read(
    stack: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 100)
    (stack / "big.bin").write_bytes(b"x" * 101)
    tree = open_tree(str(stack))
    with pytest.raises(SourceError, match=r"big\.bin is larger"):
        tree.read("big.bin")
    for path in ("nowhere.yaml", "apps", "apps/", "."):
        with pytest.raises(SourceError, match="has no file"):
            tree.read(path)


def test_an_oversized_file_counts_in_the_commit(stack: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 100)
    (stack / "big.bin").write_bytes(b"x" * 200)
    first = latest_commit(str(stack))
    (stack / "big.bin").write_bytes(b"x" * 199 + b"y")
    assert latest_commit(str(stack)) != first


def test_too_many_and_too_large_files_are_refused(stack: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_TOTAL_BYTES", 10)
    with pytest.raises(SourceError, match="come to more than"):
        open_tree(str(stack))
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_FILES", 1)
    with pytest.raises(SourceError, match="more than 1 files"):
        open_tree(str(stack))


def test_a_name_that_is_not_utf_8_is_refused_in_words_that_can_be_printed(stack: Path):
    (stack / os.fsdecode(b"caf\xe9.yaml")).write_text("x")
    with pytest.raises(SourceError, match=r"caf\\xe9\.yaml") as caught:
        open_tree(str(stack))
    str(caught.value).encode()


def test_a_pointer_of_git_lfs_is_refused_when_it_is_read(stack: Path):
    (stack / "data.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    tree = open_tree(str(stack))
    with pytest.raises(SourceError, match=r"data\.bin is a Git LFS pointer"):
        tree.read("data.bin")


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    """A work tree with a stack in apps/shop, beside other things."""
    root = tmp_path / "infra"
    for path, text in {
        ".git/HEAD": "ref: refs/heads/main",
        "apps/shop/stack.yaml": "kind: Stack",
        "apps/shop/conf/a.yaml": "a",
        "apps/blog/stack.yaml": "blog",
        "modules/site/module.yaml": "module",
        "modules/site/.cache/x": "hidden",
        "modules/site/.conf": "conf",
        "motd": "welcome",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (tmp_path / "outside.yaml").write_text("canary-secret")
    return root


@pytest.mark.parametrize(("location", "path"), [("infra", "apps/shop"), ("infra/apps/shop", "")])
def test_a_stack_sees_the_work_tree_that_it_is_in(work_tree: Path, location: str, path: str):
    tree = open_tree(str(work_tree.parent / location), path=path)
    assert list(tree.paths()) == ["conf/a.yaml", "stack.yaml"]
    assert tree.read("../../motd") == tree.read("conf/../../.././motd") == b"welcome"
    assert tree.read("../shop/stack.yaml") == b"kind: Stack"
    assert list(tree.paths_below("../../modules/site")) == [
        "../../modules/site/.conf", "../../modules/site/module.yaml",
    ]  # fmt: skip
    assert list(tree.paths_below("conf")) == list(tree.paths_below("../shop/conf")) == ["conf/a.yaml"]
    assert list(tree.paths_below("..")) == ["../blog/stack.yaml", "conf/a.yaml", "stack.yaml"]
    assert list(tree.source_paths()) == [
        "../../modules/site/.conf", "../../modules/site/module.yaml", "../../motd", "../blog/stack.yaml",
        "conf/a.yaml", "stack.yaml",
    ]  # fmt: skip


def test_what_is_outside_of_the_stack_is_read_once_and_has_no_part_in_the_commit(work_tree: Path):
    tree = open_tree(str(work_tree), path="apps/shop")
    assert tree.read("../../motd") == b"welcome"
    (work_tree / "motd").write_text("changed")
    assert tree.read("../../motd") == b"welcome"
    assert latest_commit(str(work_tree), path="apps/shop") == tree.revision.commit


def test_without_a_work_tree_a_stack_sees_the_location_and_nothing_else(work_tree: Path):
    shutil.rmtree(work_tree / ".git")
    assert open_tree(str(work_tree), path="apps/shop").read("../../motd") == b"welcome"
    tree = open_tree(str(work_tree / "apps/shop"))
    assert list(tree.source_paths()) == list(tree.paths())
    with pytest.raises(SourceError, match="leads out of the source"):
        tree.read("../../motd")


@pytest.mark.parametrize(
    "path",
    [
        "../../../outside.yaml", "../../../../etc/passwd", "/etc/passwd", "../../modules/../../outside.yaml",
        "../../.git/HEAD", "../../modules/site/.cache/x", "../../modules", "../../nowhere", "..", "../..", "",
        "../../modules/site\0", "../../way/module.yaml", "../../out.yaml", "../../stray.yaml",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_source_or_into_what_is_hidden(work_tree: Path, path: str):
    (work_tree / "way").symlink_to("modules/site")
    (work_tree / "out.yaml").symlink_to("../outside.yaml")
    (work_tree / "stray.yaml").symlink_to("nowhere.yaml")
    tree = open_tree(str(work_tree), path="apps/shop")
    with pytest.raises(SourceError) as caught:
        tree.read(path)
    assert "canary-secret" not in str(caught.value) + caught.value.hint
    with pytest.raises(SourceError):
        tree.paths_below(path) if path not in ("..", "../..", "", "../../modules") else tree.read(path)


def test_links_outside_of_the_stack_are_followed_inside_the_source_and_else_refused(work_tree: Path):
    (work_tree / "modules/site/copy").symlink_to("../../motd")
    tree = open_tree(str(work_tree), path="apps/shop")
    assert tree.read("../../modules/site/copy") == b"welcome"
    assert "../../modules/site/copy" in tree.paths_below("../../modules/site")
    (work_tree / "modules/site/bad").symlink_to("../../../outside.yaml")
    assert "../../modules/site/bad" not in tree.source_paths()
    with pytest.raises(SourceError, match="bad leaves the source"):
        tree.paths_below("../../modules")
    with pytest.raises(SourceError, match="bad leaves the source"):
        tree.read("../../modules/site/bad")


def test_a_link_of_the_stack_may_not_leave_the_directory_of_the_stack(work_tree: Path):
    (work_tree / "apps/shop/motd").symlink_to("../../motd")
    with pytest.raises(SourceError, match="motd leaves the directory of the stack"):
        open_tree(str(work_tree), path="apps/shop")


def test_repositories_inside_the_work_tree_are_no_part_of_the_source(work_tree: Path):
    (work_tree / "vendor/.git").mkdir(parents=True)
    (work_tree / "vendor/stack.yaml").write_text("x")
    tree = open_tree(str(work_tree), path="apps/shop")
    assert "../../vendor/stack.yaml" not in tree.source_paths()


def test_what_is_read_outside_counts_for_the_limits(work_tree: Path, monkeypatch: pytest.MonkeyPatch):
    tree = open_tree(str(work_tree), path="apps/shop")
    monkeypatch.setattr(limits, "MAX_TOTAL_BYTES", 15)
    with pytest.raises(SourceError, match="come to more than"):
        tree.read("../../motd")
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 5)
    with pytest.raises(SourceError, match="motd is larger"):
        tree.read("../../motd")
    monkeypatch.setattr(limits, "MAX_FILES", 1)
    with pytest.raises(SourceError, match="more than 1 files"):
        tree.paths_below("../../modules")
    monkeypatch.setattr(limits, "MAX_SOURCE_FILES", 3)
    with pytest.raises(SourceError, match="more than 3 files"):
        tree.source_paths()


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A directory for everyone, and for the time of the test a user whom permissions bind."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    for path in folder.iterdir():
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["stack.yaml", "apps"])
def test_what_may_not_be_read_is_an_error_and_not_missing(ordinary_user: Path, name: str):
    (ordinary_user / "apps").mkdir()
    (ordinary_user / "stack.yaml").write_text("kind: Stack")
    (ordinary_user / name).chmod(0)
    with pytest.raises(SourceError, match=rf"{name} cannot be read: Permission denied"):
        open_tree(str(ordinary_user))
