"""A commit by all of its digits: what a pinned stack is read at."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.git.fixtures import GitServer, Repository

from trueup.errors import SourceError
from trueup.sources.open import name_place, open_commit, open_tree


@pytest.fixture
def repository(git_server: GitServer) -> Repository:
    repository = git_server.create()
    repository.commit({"shop/stack.yaml": "one"})
    return repository


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _read(repository: Repository, commit: str, cache: Path, **options: bool) -> bytes:
    with closing(open_commit(repository.url("file"), commit, "shop", cache_dir=cache, **options)) as tree:
        assert tree.revision.commit == commit
        return tree.read("stack.yaml")


def test_an_older_commit_is_read_whatever_the_branch_has_now(repository: Repository, cache: Path):
    one = repository.find("main")
    repository.commit({"shop/stack.yaml": "two"})
    assert _read(repository, one, cache) == b"one"


def test_a_branch_with_the_name_of_a_commit_is_not_read_for_it(repository: Repository, cache: Path):
    one = repository.find("main")
    two = repository.commit({"shop/stack.yaml": "two"})
    repository.git("update-ref", f"refs/heads/{one}", two)
    assert _read(repository, one, cache) == b"one"


def test_a_commit_that_a_force_push_took_away_is_read_from_the_mirror(repository: Repository, cache: Path):
    one = repository.find("main")
    with closing(open_tree(repository.url("file"), "main", "shop", cache_dir=cache)):
        pass
    repository.force_push({"shop/stack.yaml": "two"})
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    assert _read(repository, one, cache) == b"one"
    # From now on without the remote too.
    repository.path.rename(repository.path.with_suffix(".away"))
    assert _read(repository, one, cache) == b"one"


def test_a_commit_that_is_gone_is_an_error_and_never_the_head(repository: Repository, cache: Path):
    one = repository.find("main")
    repository.force_push({"shop/stack.yaml": "two"})
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    with pytest.raises(SourceError, match="no branch, tag or commit"):
        _read(repository, one, cache)


def test_what_was_fetched_before_will_do_while_the_remote_is_away(repository: Repository, cache: Path):
    one = repository.find("main")
    repository.commit({"shop/stack.yaml": "two"})
    with closing(open_tree(repository.url("file"), "main", "shop", cache_dir=cache)):
        pass
    repository.path.rename(repository.path.with_suffix(".away"))
    assert _read(repository, one, cache, offline_ok=True) == b"one"


@pytest.mark.parametrize("name", ["main", "HEAD", "", "abcdef0", "-f"])
def test_what_is_no_whole_commit_is_refused(repository: Repository, cache: Path, name: str):
    with pytest.raises(SourceError):
        _read(repository, name, cache)


def test_a_directory_without_git_has_no_commit(tmp_path: Path):
    with pytest.raises(SourceError, match="not in a Git repository"):
        open_commit(str(tmp_path), "a" * 40)


def test_the_place_of_a_source_is_that_of_its_revision(repository: Repository, cache: Path, tmp_path: Path):
    with closing(open_tree(repository.url("file"), "main", "shop", cache_dir=cache)) as tree:
        assert name_place(repository.url("file"), "main", "shop") == (tree.revision.url, tree.revision.path)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "stack.yaml").write_text("one")
    with closing(open_tree(str(tmp_path), "", "plain")) as tree:
        assert name_place(str(tmp_path), "", "plain") == (tree.revision.url, tree.revision.path)
    repository.git("clone", "--quiet", str(repository.path), str(tmp_path / "clone"))
    with closing(open_tree(str(tmp_path / "clone" / "shop"), "main", cache_dir=cache)) as tree:
        assert name_place(str(tmp_path / "clone" / "shop"), "main") == (
            tree.revision.url,
            tree.revision.path,
        )
