"""The files of one commit: links, submodules, LFS, names, sizes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.git.fixtures import Content, GitServer, Link, Submodule

from trueup.errors import SourceError
from trueup.model.tree import Tree
from trueup.sources import limits
from trueup.sources.open import open_tree


@pytest.fixture
def read_commit(git_server: GitServer, tmp_path: Path, request: pytest.FixtureRequest):
    """Commits files and opens them."""

    def read(files: dict[str, Content], path: str = "") -> Tree:
        repository = git_server.create()
        repository.commit(files)
        tree = open_tree(repository.url("file"), "main", path, cache_dir=tmp_path / "cache")
        request.addfinalizer(tree.close)
        return tree

    return read


def test_only_the_files_below_the_path_are_listed(read_commit):
    files = {"a/stack.yaml": "1", "a/b/c.yaml": "2", "ab/x.yaml": "3", "z.yaml": "4"}
    tree = read_commit(files, "./a//")
    assert (list(tree.paths()), tree.revision.path) == (["b/c.yaml", "stack.yaml"], "a")
    assert tree.read("b/c.yaml") == b"2"
    with pytest.raises(SourceError, match="there is no file"):
        tree.read("b")


def test_hidden_directories_are_left_out(read_commit):
    tree = read_commit({".github/x.yaml": "1", "a/.cache/y.yaml": "2", ".sops.yaml": "3", "b.yaml": "4"})
    assert list(tree.paths()) == [".sops.yaml", "b.yaml"]


def test_a_missing_path_a_file_and_an_empty_path_are_errors(read_commit):
    files = {"a/stack.yaml": "1", "hidden/.x/y.yaml": "2"}
    with pytest.raises(SourceError, match="there is no path 'b'"):
        read_commit(files, "b")
    with pytest.raises(SourceError, match="is not a directory"):
        read_commit(files, "a/stack.yaml")
    with pytest.raises(SourceError, match="there are no files"):
        read_commit(files, "hidden")


@pytest.mark.parametrize("path", ["../a", "/a", "-a", "a/../../b", "a\0b", "a\nb"])
def test_a_path_that_leaves_the_source_is_refused(read_commit, path: str):
    with pytest.raises(SourceError):
        read_commit({"a/stack.yaml": "1"}, path)


def test_links_inside_the_tree_are_followed(read_commit):
    tree = read_commit(
        {
            "real/file.yaml": "content",
            "dir": Link("real"),
            ".hidden/file.yaml": Link("../real/file.yaml"),
            "near.yaml": Link("real/file.yaml"),
            "through.yaml": Link("./.hidden/../dir/file.yaml"),
            "twice.yaml": Link("near.yaml"),
            "deep/link.yaml": Link("../near.yaml"),
        }
        | {"dir": None}
        | {
            ".ways/dir": Link("../real"),
            "by-way.yaml": Link(".ways/dir/file.yaml"),
            "through.yaml": Link("real/../real/file.yaml"),
        }
    )
    links = ["near.yaml", "through.yaml", "twice.yaml", "deep/link.yaml", "by-way.yaml"]
    assert {tree.read(link) for link in links} == {b"content"}


@pytest.mark.parametrize("target", ["../z.yaml", "/etc/passwd", "real/../../z.yaml", "other/../../z.yaml"])
def test_a_link_that_leaves_the_tree_is_refused(read_commit, target: str):
    files = {"a/link.yaml": Link(target), "a/real/f.yaml": "1", "z.yaml": "canary-secret"}
    with pytest.raises(SourceError, match=r"link\.yaml") as caught:
        read_commit(files, "a")
    assert "leaves" in str(caught.value)
    assert "canary" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("target", ["nowhere.yaml", "link.yaml", "other.yaml", "real", "real/f.yaml/x"])
def test_a_link_that_leads_to_no_file_is_refused(read_commit, target: str):
    files = {"link.yaml": Link(target), "other.yaml": Link("link.yaml"), "real/f.yaml": "1"}
    with pytest.raises(SourceError, match="does not lead to a file"):
        read_commit(files)


def test_a_submodule_is_refused_where_it_is_read_and_nowhere_else(read_commit):
    files = {
        "a/stack.yaml": "1",
        "b/stack.yaml": "1",
        "b/module": Submodule("1" * 40),
        ".gitmodules": '[submodule "x"]\n\tpath = b/module\n\turl = ext::touch /tmp/never\n',
    }
    assert list(read_commit(files, "a").paths()) == ["stack.yaml"]
    with pytest.raises(SourceError, match=r"module in b of .* is a submodule"):
        read_commit(files, "b")


def test_a_pointer_of_git_lfs_is_refused_when_it_is_read(read_commit):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    tree = read_commit({"data.bin": pointer, ".gitattributes": "*.bin filter=lfs\n", "a.yaml": "1"})
    assert tree.read("a.yaml") == b"1"
    with pytest.raises(SourceError, match=r"data\.bin is a Git LFS pointer"):
        tree.read("data.bin")


def test_attributes_of_the_repository_change_no_content(read_commit):
    tree = read_commit({".gitattributes": "* text eol=crlf ident\n", "a.yaml": "x: $Id$\n"})
    assert tree.read("a.yaml") == b"x: $Id$\n"


def test_a_name_that_is_not_utf_8_is_refused_in_words_that_can_be_printed(read_commit):
    with pytest.raises(SourceError, match=r"caf\\xe9\.yaml") as caught:
        read_commit({os.fsdecode(b"caf\xe9.yaml"): "1", "a.yaml": "2"})
    str(caught.value).encode()
    with pytest.raises(SourceError, match=r"a\\nb"):
        read_commit({"a\nb.yaml": "1"})


def test_names_of_all_languages_and_with_spaces_and_quotes_are_read(read_commit):
    names = [
        "grüße.yaml",
        "日本.yaml",
        "a b.yaml",
        'q"uote.yaml',
        "back\\slash.yaml",
        "-dash.yaml",
        ":colon.yaml",
    ]
    tree = read_commit({name: name for name in names})
    assert {path: tree.read(path).decode() for path in tree.paths()} == {name: name for name in names}


def test_an_oversized_file_is_an_error_when_it_is_read(read_commit):
    tree = read_commit(
        {"big.bin": b"x" * (limits.MAX_FILE_BYTES + 1), "fits.bin": b"x" * limits.MAX_FILE_BYTES}
    )
    assert len(tree.read("fits.bin")) == limits.MAX_FILE_BYTES
    with pytest.raises(SourceError, match=r"big\.bin is larger than 4 MiB"):
        tree.read("big.bin")


def test_too_many_and_too_large_files_are_refused(read_commit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_TOTAL_BYTES", 10)
    tree = read_commit({"a.yaml": "x" * 6, "b.yaml": "y" * 6})
    assert tree.read("a.yaml") == tree.read("a.yaml") == b"x" * 6
    with pytest.raises(SourceError, match="come to more than"):
        tree.read("b.yaml")
    monkeypatch.setattr(limits, "MAX_FILES", 1)
    with pytest.raises(SourceError, match="more than 1 files"):
        read_commit({"a.yaml": "1", "b.yaml": "2"})


def test_a_damaged_mirror_is_an_error_that_says_what_to_do(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    open_tree(repository.url("file"), "main", cache_dir=tmp_path / "cache").close()
    blob = repository.find("main:stack.yaml")
    for found in (tmp_path / "cache").rglob("*"):
        if found.name == blob[2:]:
            found.chmod(0o600)
            found.unlink()
    with pytest.raises(SourceError, match="is missing") as caught:
        open_tree(repository.url("file"), "main", cache_dir=tmp_path / "cache")
    assert str(tmp_path / "cache") in caught.value.hint


REPOSITORY: dict[str, Content] = {
    "apps/shop/stack.yaml": "kind: Stack",
    "apps/shop/conf/a.yaml": "a",
    "apps/shop/.hidden/x": "x",
    "apps/blog/stack.yaml": "blog",
    "modules/site/module.yaml": "module",
    "modules/site/.cache/x": "hidden",
    "modules/site/.conf": "conf",
    "motd": "welcome",
}


def test_a_stack_sees_the_rest_of_its_commit(read_commit):
    tree = read_commit(REPOSITORY, "apps/shop")
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


def test_the_rest_is_of_the_same_commit_although_the_branch_goes_on(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    repository.commit(REPOSITORY)
    tree = open_tree(repository.url("file"), "main", "apps/shop", cache_dir=tmp_path / "cache")
    repository.commit({"motd": "changed"})
    later = open_tree(repository.url("file"), "main", "apps/shop", cache_dir=tmp_path / "cache")
    assert (tree.read("../../motd"), later.read("../../motd")) == (b"welcome", b"changed")
    tree.close()
    later.close()


def test_the_source_of_a_stack_at_the_root_is_the_stack_itself(read_commit):
    tree = read_commit({"stack.yaml": "1", "a/b.yaml": "2"})
    assert list(tree.source_paths()) == list(tree.paths()) == ["a/b.yaml", "stack.yaml"]
    with pytest.raises(SourceError, match="leads out of the source"):
        tree.read("../x")


@pytest.mark.parametrize(
    "path",
    [
        "../../../x", "/motd", "../../modules/../../x", "../../modules/site/.cache/x", ".hidden/x",
        "../shop/.hidden/x", "../../modules", "../..", "", "../../way/module.yaml", "../../out.yaml",
        "../../stray.yaml", "../../sub", "../../round.yaml",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_source_or_into_what_is_hidden(read_commit, path: str):
    links: dict[str, Content] = {
        "way": Link("modules/site"),
        "out.yaml": Link("../outside.yaml"),
        "stray.yaml": Link("nowhere.yaml"),
        "round.yaml": Link("round.yaml"),
        "sub": Submodule("a" * 40),
    }
    tree = read_commit({**REPOSITORY, **links}, "apps/shop")
    with pytest.raises(SourceError):
        tree.read(path)
    assert path not in tree.source_paths()
    with pytest.raises(SourceError, match=r"leaves the source|does not lead to a file|is a submodule"):
        tree.paths_below("../..")
    with pytest.raises(SourceError, match=r"there is no directory .* with files in it"):
        tree.paths_below("../../nowhere")


def test_links_outside_of_the_stack_are_followed_inside_the_source(read_commit):
    tree = read_commit({**REPOSITORY, "modules/site/copy": Link("../../motd")}, "apps/shop")
    assert tree.read("../../modules/site/copy") == b"welcome"
    assert "../../modules/site/copy" in tree.source_paths()
    with pytest.raises(SourceError, match="motd leaves the directory of the stack"):
        read_commit({**REPOSITORY, "apps/shop/motd": Link("../../motd")}, "apps/shop")


def test_what_is_read_outside_counts_for_the_limits(read_commit, monkeypatch: pytest.MonkeyPatch):
    tree = read_commit(REPOSITORY, "apps/shop")
    monkeypatch.setattr(limits, "MAX_TOTAL_BYTES", 5)
    with pytest.raises(SourceError, match="come to more than"):
        tree.read("../../motd")
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 5)
    with pytest.raises(SourceError, match="motd is larger"):
        tree.read("../../motd")
    monkeypatch.setattr(limits, "MAX_FILES", 1)
    with pytest.raises(SourceError, match="more than 1 files"):
        tree.paths_below("..")
    monkeypatch.undo()
    tree = read_commit(REPOSITORY, "apps/shop")
    monkeypatch.setattr(limits, "MAX_SOURCE_FILES", 3)
    with pytest.raises(SourceError, match="more than 3 files"):
        tree.source_paths()


def test_the_author_of_the_commit_is_told(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    tree_of = "\n".join(["tree {tree}", "author {author} 1700000000 +0100", "committer C <c@x> 1 +0000", ""])
    repository.commit({"a.yaml": "1"})
    plain = open_tree(repository.url("file"), "main", cache_dir=tmp_path / "cache")
    assert plain.revision.author == "Ada <ada@example.com>"
    plain.close()
    tree = repository.git("rev-parse", "main^{tree}")
    authors = {"Bö > O'Neil <b@x>": "Bö > O'Neil <b@x>", f"{'N' * 400} <n@x>": "N" * 300, "": ""}
    for given, said in authors.items():
        # A message of any length comes behind it.
        raw = tree_of.format(tree=tree, author=given) + "\nmessage\n" + "m" * 200_000
        options = ("-w", "-t", "commit", "--literally", "--stdin")
        commit = repository.git("hash-object", *options, stdin=raw.encode())
        repository.git("update-ref", "refs/heads/odd", commit)
        found = open_tree(repository.url("file"), "odd", cache_dir=tmp_path / "cache")
        assert found.revision.author == said
        assert found.read("a.yaml") == b"1"
        found.close()


def test_a_directory_has_no_author(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("1")
    assert open_tree(str(tmp_path)).revision.author == ""


def test_a_tree_knows_which_commits_it_descends_from(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    first = repository.commit({"a.yaml": "1"})
    second = repository.commit({"a.yaml": "2"})
    url, cache = repository.url("file"), tmp_path / "cache"
    tree = open_tree(url, "main", cache_dir=cache)
    tree.close()
    assert tree.descends_from(first) is True
    assert tree.descends_from(second) is True
    assert tree.descends_from("0" * 40) is False
    assert tree.descends_from(f"sha256:{'0' * 64}") is None
    assert tree.descends_from("--all") is None

    repository.force_push({"a.yaml": "3"})
    rewritten = open_tree(url, "main", cache_dir=cache)
    rewritten.close()
    assert rewritten.descends_from(second) is False
    # Where the old commits were never fetched, they are no ancestors either.
    fresh = open_tree(url, "main", cache_dir=tmp_path / "fresh")
    fresh.close()
    assert fresh.descends_from(second) is False


def test_a_plain_directory_knows_no_history(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("1")
    tree = open_tree(str(tmp_path))
    assert tree.descends_from(tree.revision.commit) is True
    assert tree.descends_from("0" * 40) is None
