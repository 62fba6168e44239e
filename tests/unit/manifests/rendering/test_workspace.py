"""The files that a tool gets: where they stand, and that nothing else is there."""

from __future__ import annotations

import os
import stat
import tempfile
import time

import pytest

from trueup.errors import SourceError
from trueup.manifests.rendering.workspace import Workspace
from trueup.sources.directory import DirectoryTree


@pytest.fixture
def tree(tmp_path):
    """A stack in `apps/shop` of a repository that has more."""
    for name in ("apps/shop/stack.yaml", "apps/shop/over/k.yaml", "apps/base/k.yaml", "lib/a.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / ".git").mkdir()
    (tmp_path / "apps/shop/over/link.yaml").symlink_to("k.yaml")
    return DirectoryTree(tmp_path / "apps/shop", "")


def _written(folder):
    return {str(path.relative_to(folder.work)) for path in folder.work.rglob("*") if path.is_file()}


def test_the_stacks_own_files_stand_at_the_top(tree):
    workspace = Workspace(tree, hidden=frozenset({"stack.yaml"}))
    workspace.take(".")
    name = workspace.add_input("set.json", b"{}")
    with workspace.open_folder() as folder:
        assert _written(folder) == {"source/over/k.yaml", "source/over/link.yaml", "input/set.json"}
        assert (folder.work / name).read_bytes() == b"{}"
        assert (folder.work / workspace.path_for_tool("over") / "link.yaml").read_text() == (
            "apps/shop/over/k.yaml"
        )
        assert not any(path.is_symlink() for path in folder.work.rglob("*"))
    assert not folder.top.exists()


def test_what_a_killed_rendering_left_is_removed_and_nothing_else(tree, tmp_path, monkeypatch):
    top = tmp_path / "tmp"
    long_ago = time.time() - 2 * 3600
    for name in ("trueup-render-old/work/source", "trueup-render-new", "other", "precious"):
        (top / name).mkdir(parents=True)
    (top / "trueup-render-old/work/source/secret.yaml").write_text("a")
    (top / "precious/file").write_text("a")
    (top / "trueup-render-link").symlink_to(top / "precious")
    (top / "trueup-render-file").write_text("a")
    for name in ("trueup-render-old", "trueup-render-file", "other", "precious"):
        os.utime(top / name, (long_ago, long_ago))
    monkeypatch.setattr(tempfile, "tempdir", str(top))
    with Workspace(tree).open_folder():
        pass
    left = ["other", "precious", "trueup-render-file", "trueup-render-link", "trueup-render-new"]
    assert sorted(path.name for path in top.iterdir()) == left
    assert (top / "precious/file").exists()


def test_files_above_keep_their_place_beside_the_stack(tree):
    workspace = Workspace(tree)
    for directory in ("over", "../base", "../../lib"):
        workspace.take(directory)
    assert workspace.path_for_tool("over") == "source/apps/shop/over"
    assert workspace.path_for_tool(".") == "source/apps/shop"
    with workspace.open_folder() as folder:
        assert _written(folder) == {
            "source/apps/shop/over/k.yaml",
            "source/apps/shop/over/link.yaml",
            "source/apps/base/k.yaml",
            "source/lib/a.txt",
        }
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.top.rglob("*") if path.is_file()}
        assert (modes, stat.S_IMODE(folder.top.stat().st_mode)) == ({0o600}, 0o700)
        text = f"{folder.work}/source/apps/base/k.yaml: 'source/apps/shop/over', source/lib/a.txt: resource/x"
        expected = "../base/k.yaml: 'over', ../../lib/a.txt: resource/x"
        assert workspace.explain(text, folder) == expected


def test_a_path_that_comes_back_to_the_stack_is_its_own(tree):
    workspace = Workspace(tree)
    assert workspace.resolve("../base", "../shop/over") == "over"
    assert workspace.resolve("over", "../../../apps/shop") == "."
    assert workspace.resolve("over", "../../other") == "../other"
    assert workspace.resolve(".", "./over//k.yaml") == "over/k.yaml"


def test_what_leaves_the_source_is_not_listed(tree):
    workspace = Workspace(tree)
    assert workspace.list_files("../../../etc") == ()
    assert "leads out of the source" in str(workspace.fault_of("../../../etc"))
    assert workspace.list_files("nowhere") == ()
    with pytest.raises(SourceError):
        workspace.read("../../../etc/passwd")


def test_a_link_out_of_the_source_is_an_error_and_not_read(tree, tmp_path):
    (tmp_path / "apps/base/link").symlink_to("/etc/passwd")
    workspace = Workspace(tree)
    assert workspace.list_files("../base") == ()
    assert "leaves the source" in str(workspace.fault_of("../base"))


def test_the_digest_is_that_of_names_and_contents(tree):
    digests = set()
    for directories in (["over"], ["../base"], ["over", "../base"], []):
        workspace = Workspace(tree)
        for directory in directories:
            workspace.take(directory)
        digests.add(workspace.digest())
        assert workspace.digest() in digests
    workspace.add_input("a", b"")
    digests.add(workspace.digest())
    workspace.add_input("a", b"b")
    digests.add(workspace.digest())
    assert len(digests) == 6


def test_files_can_be_put_below_another_directory(tree):
    workspace = Workspace(tree)
    workspace.copy("../base", "over/charts/base")
    with workspace.open_folder() as folder:
        assert _written(folder) == {"source/over/charts/base/k.yaml"}
