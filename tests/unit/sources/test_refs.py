"""Which commit a ref stands for."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from tests.git.fixtures import GitServer, Repository

from trueup.errors import SourceError
from trueup.sources.open import latest_commit, open_pinned, open_tree


@pytest.fixture
def repository(git_server: GitServer) -> Repository:
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    return repository


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_branches_tags_and_commits_are_found(repository: Repository, cache: Path):
    url = repository.url("file")
    one = repository.find("main")
    repository.tag("v1")
    repository.tag("v2", annotated=True)
    repository.branch("release/1.x")
    two = repository.commit({"stack.yaml": "two"})
    expected = {
        "": (two, "main"),
        "HEAD": (two, "main"),
        "main": (two, "main"),
        "refs/heads/main": (two, "main"),
        "release/1.x": (one, "release/1.x"),
        "v1": (one, ""),
        "v2": (one, ""),
        "refs/tags/v2": (one, ""),
        one: (one, ""),
        one[:7]: (one, ""),
        two[:12]: (two, ""),
    }
    for ref, (commit, branch) in expected.items():
        tree = open_tree(url, ref, cache_dir=cache)
        assert (tree.revision.commit, tree.revision.branch, tree.revision.ref) == (commit, branch, ref)
        assert tree.read("stack.yaml") == (b"one" if commit == one else b"two")
        tree.close()
        assert latest_commit(url, ref, cache_dir=cache) == commit


def test_a_branch_comes_before_a_tag_of_the_same_name(repository: Repository, cache: Path):
    repository.tag("main-copy")
    two = repository.commit({"stack.yaml": "two"})
    repository.branch("main-copy", two)
    tree = open_tree(repository.url("file"), "main-copy", cache_dir=cache)
    tree.close()
    assert (tree.revision.commit, tree.revision.branch) == (two, "main-copy")


def test_the_remote_decides_which_branch_is_the_default(repository: Repository, cache: Path):
    repository.commit({"stack.yaml": "trunk"}, branch="trunk")
    repository.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    tree = open_tree(repository.url("file"), cache_dir=cache)
    assert tree.revision.branch == "trunk"
    assert tree.read("stack.yaml") == b"trunk"
    tree.close()


def test_a_force_push_is_followed_and_the_old_commit_can_still_be_read(repository: Repository, cache: Path):
    url = repository.url("file")
    old = open_tree(url, "main", cache_dir=cache)
    new_commit = repository.force_push({"stack.yaml": "rewritten"})
    new = open_tree(url, "main", cache_dir=cache)
    assert new.revision.commit == new_commit != old.revision.commit
    assert new.read("stack.yaml") == b"rewritten"
    assert old.read("stack.yaml") == b"one"
    old.close()
    new.close()


def test_a_deleted_branch_is_an_error_that_names_it_and_what_is_near(repository: Repository, cache: Path):
    url = repository.url("file")
    repository.branch("production")
    repository.branch("production-2")
    open_tree(url, "production", cache_dir=cache).close()
    repository.delete_branch("production")
    for attempt in (open_tree, latest_commit):
        with pytest.raises(SourceError, match="no branch, tag or commit 'production'") as caught:
            attempt(url, "production", cache_dir=cache)
        assert "production-2" in caught.value.hint


def test_a_branch_may_become_a_directory_of_branches(repository: Repository, cache: Path):
    url = repository.url("file")
    repository.branch("team")
    open_tree(url, "team", cache_dir=cache).close()
    one = repository.find("team")
    repository.delete_branch("team")
    repository.branch("team/blue")
    tree = open_tree(url, "team/blue", cache_dir=cache)
    tree.close()
    assert tree.revision.commit == one
    short = open_tree(url, one[:8], cache_dir=cache)
    short.close()
    assert short.revision.commit == one


def test_a_commit_that_no_branch_reaches_any_more_is_found_if_it_was_fetched(
    repository: Repository, cache: Path
):
    url = repository.url("file")
    one = repository.find("main")
    open_tree(url, one, cache_dir=cache).close()
    repository.force_push({"stack.yaml": "rewritten"})
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    tree = open_tree(url, one, cache_dir=cache)
    assert tree.read("stack.yaml") == b"one"
    tree.close()


@pytest.mark.parametrize("ref", ["0" * 40, "deadbeef", "0123456789abcdef" * 4])
def test_an_unknown_commit_is_an_error(repository: Repository, cache: Path, ref: str):
    with pytest.raises(SourceError, match="no branch, tag or commit"):
        open_tree(repository.url("file"), ref, cache_dir=cache)


def test_an_ambiguous_short_commit_is_an_error(repository: Repository, cache: Path):
    seen: dict[str, str] = {}
    for number in range(2000):
        commit = repository.git("commit-tree", "main^{tree}", "-m", str(number))
        if commit[:4] in seen:
            break
        seen[commit[:4]] = commit
    else:
        pytest.fail("no two commits with equal first digits")
    for name, same in (("a", commit), ("b", seen[commit[:4]])):
        repository.git("update-ref", f"refs/heads/{name}", same)
    with pytest.raises(SourceError, match="fits 2 objects"):
        open_tree(repository.url("file"), commit[:4], cache_dir=cache)


@pytest.mark.parametrize(
    "ref",
    [
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "main^",
        "main~1",
        "main:x",
        "a*",
        "@{1}",
        "a\nb",
        "/a",
        "a.lock",
    ],
)
def test_what_is_no_name_of_a_ref_is_refused(repository: Repository, cache: Path, ref: str):
    with pytest.raises(SourceError):
        open_tree(repository.url("file"), ref, cache_dir=cache)


def test_a_tag_of_a_file_is_not_a_commit(repository: Repository, cache: Path):
    repository.git("update-ref", "refs/tags/file", repository.find("main:stack.yaml"))
    with pytest.raises(SourceError, match="is not a commit"):
        open_tree(repository.url("file"), "file", cache_dir=cache)


def test_an_empty_repository_is_an_error(git_server: GitServer, cache: Path):
    empty = git_server.create("empty")
    for ref in ("", "main"):
        with pytest.raises(SourceError, match="holds no commit"):
            open_tree(empty.url("file"), ref, cache_dir=cache)


def test_the_last_commit_stands_in_for_a_remote_that_does_not_answer(
    repository: Repository, cache: Path, tmp_path: Path
):
    url = repository.url("file")
    one = repository.find("main")
    repository.tag("v1")
    for ref in ("", "main", "v1", one, one[:8]):
        open_tree(url, ref, cache_dir=cache).close()
    repository.path.rename(tmp_path / "away.git")
    for ref in ("", "main", "v1", one, one[:8]):
        with pytest.raises(SourceError, match="cannot be read"):
            open_tree(url, ref, cache_dir=cache)
        tree = open_tree(url, ref, cache_dir=cache, offline_ok=True)
        assert (tree.revision.commit, tree.read("stack.yaml")) == (one, b"one")
        assert tree.revision.branch == ("main" if ref in ("", "main") else "")
        assert "cannot be read" in tree.offline
        tree.close()
    with pytest.raises(SourceError, match="cannot be read"):
        open_tree(url, "never-fetched", cache_dir=cache, offline_ok=True)


def test_a_deleted_branch_is_an_error_even_where_the_last_commit_would_do(
    repository: Repository, cache: Path
):
    url = repository.url("file")
    repository.branch("old")
    open_tree(url, "old", cache_dir=cache).close()
    repository.delete_branch("old")
    with pytest.raises(SourceError, match="no branch, tag or commit 'old'"):
        open_tree(url, "old", cache_dir=cache, offline_ok=True)


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("ref", ["v1", "refs/tags/v1"])
def test_a_tag_pins_a_commit(git_server: GitServer, tmp_path: Path, ref: str, annotated: bool):
    repository = git_server.create()
    commit = repository.commit({"site/module.yaml": "1", "other/x": "2"})
    repository.tag("v1", annotated=annotated)
    repository.commit({"site/module.yaml": "later"})
    with closing(open_pinned(repository.url("http"), ref, "site", cache_dir=tmp_path)) as tree:
        assert (tree.revision.commit, tree.revision.branch) == (commit, "")
        assert (list(tree.paths()), tree.read("../other/x")) == (["module.yaml"], b"2")


def test_a_commit_that_was_fetched_is_read_without_the_remote(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    commit = repository.commit({"module.yaml": "1"})
    repository.commit({"module.yaml": "2"})
    url = repository.url("http")
    open_pinned(url, commit, cache_dir=tmp_path).close()
    shutil.rmtree(repository.path)
    with closing(open_pinned(url, commit, cache_dir=tmp_path)) as tree:
        assert tree.read("module.yaml") == b"1"


def test_a_tag_of_the_name_of_a_branch_is_the_tag(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    repository.commit({"module.yaml": "1"})
    repository.tag("same")
    repository.commit({"module.yaml": "2"})
    repository.branch("same")
    with closing(open_pinned(repository.url("http"), "same", cache_dir=tmp_path)) as tree:
        assert tree.read("module.yaml") == b"1"


@pytest.mark.parametrize(
    ("ref", "message", "hint"),
    [
        ("main", "'main' is a branch of .*: it pins nothing", "name a tag"),
        ("v2", "has no tag 'v2'", r"there are: v1"),
        ("HEAD", "has no tag 'HEAD'", r"there are: v1"),
        ("refs/heads/main", "is not the name of a tag", "name a tag"),
        ("v1..v2", "is not the name of a tag", "name a tag"),
        ("--upload-pack=x", "begins with '-'", ""),
        ("", "is not the name of a tag", "name a tag"),
        ("{short}", "too short for a commit", "all of its digits"),
        ("0" * 40, "has no branch, tag or commit", ""),
    ],
)
def test_what_pins_nothing_is_refused(
    git_server: GitServer, tmp_path: Path, ref: str, message: str, hint: str
):
    repository = git_server.create()
    commit = repository.commit({"module.yaml": "1"})
    repository.tag("v1")
    with pytest.raises(SourceError, match=message) as caught:
        open_pinned(repository.url("http"), ref.format(short=commit[:8]), cache_dir=tmp_path)
    assert re.search(hint, caught.value.hint)


def test_an_offline_run_reads_the_tag_that_was_fetched_last(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    repository.commit({"module.yaml": "1"})
    repository.tag("v1")
    url = repository.url("http")
    open_pinned(url, "v1", cache_dir=tmp_path).close()
    shutil.rmtree(repository.path)
    with pytest.raises(SourceError, match="cannot be read"):
        open_pinned(url, "v1", cache_dir=tmp_path)
    with closing(open_pinned(url, "v1", cache_dir=tmp_path, offline_ok=True)) as tree:
        assert tree.read("module.yaml") == b"1"


@pytest.mark.parametrize(
    "location", ["/srv/modules.git", "git://host/x.git", "ext::sh", "file:///x", "http://h/x"]
)
def test_a_pinned_repository_has_a_safe_url(tmp_path: Path, location: str):
    with pytest.raises(SourceError):
        open_pinned(location, "v1", cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_password_of_a_pinned_repository_is_in_no_message(git_server: GitServer, tmp_path: Path):
    repository = git_server.create(password="hush")
    repository.commit({"module.yaml": "1"})
    url = repository.url("http").replace("http://", "http://reader:wrong-canary@")
    with pytest.raises(SourceError) as caught:
        open_pinned(url, "v1", cache_dir=tmp_path)
    assert "canary" not in caught.value.message + caught.value.hint


def test_a_commit_that_is_told_but_not_given_leaves_the_last_one_in_force(
    git_server: GitServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    repository = git_server.create()
    first = repository.commit({"stack.yaml": "one"})
    url, cache = repository.url("http"), tmp_path / "cache"
    open_tree(url, "main", cache_dir=cache).close()
    repository.commit({"stack.yaml": "two"})
    blob = repository.git("rev-parse", "main:stack.yaml")
    lost = repository.path / "objects" / blob[:2] / blob[2:]
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(SourceError):
        open_tree(url, "main", cache_dir=cache)
    tree = open_tree(url, "main", cache_dir=cache, offline_ok=True)
    assert (tree.revision.commit, tree.read("stack.yaml")) == (first, b"one")
    tree.close()
    assert f"going on with commit {first[:12]}" in caplog.text
    lost.write_bytes(content)
    tree = open_tree(url, "main", cache_dir=cache, offline_ok=True)
    assert tree.read("stack.yaml") == b"two"
    tree.close()
