"""Git remotes of every scheme, hostile ones included, and the mirror that keeps what was fetched."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.git.fixtures import ENVIRONMENT, GitServer

from trueup.errors import SourceError
from trueup.sources.open import default_cache_dir, latest_commit, open_tree


@pytest.mark.parametrize("scheme", ["file", "git", "http", "ssh", "scp"])
def test_every_scheme_is_read(git_server: GitServer, tmp_path: Path, scheme: str):
    repository = git_server.create()
    repository.commit({"stack.yaml": "one", "prod/web.yaml": "web"})
    url = repository.url(scheme)
    options = {"cache_dir": tmp_path / "cache", "allow_git_protocol": scheme == "git"}
    for number in range(2):
        commit = repository.commit({"stack.yaml": f"change {number}"})
        assert latest_commit(url, "main", **options) == commit
        tree = open_tree(url, "main", "prod", **options)
        assert (tree.revision.commit, list(tree.paths())) == (commit, ["web.yaml"])
        assert tree.read("web.yaml") == b"web"
        tree.close()
        tree.close()


def test_the_mirror_is_readable_by_its_owner_alone_and_lies_in_the_users_cache(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    open_tree(repository.url("file")).close()
    cache = default_cache_dir()
    assert cache == tmp_path / "xdg/trueup/git"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert len(list(cache.glob("*.git"))) == 1


@pytest.mark.parametrize("is_mirror", [False, True])
@pytest.mark.parametrize("fault", ["its owner", "its mode"])
def test_a_cache_that_another_user_can_write_is_not_used(
    fault: str, is_mirror: bool, git_server: GitServer, tmp_path: Path
):
    if fault == "its owner" and os.geteuid() != 0:
        pytest.skip("only root gives a directory away")
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    cache, url = tmp_path / "cache", repository.url("file")
    open_tree(url, cache_dir=cache).close()
    mirror = next(cache.glob("*.git"))
    # What git would run at the next fetch, as the user who runs trueup.
    (mirror / "config").write_text(f"[core]\n\tbare = true\n\tfsmonitor = touch {tmp_path}/trace\n")
    place = mirror if is_mirror else cache
    if fault == "its owner":
        os.chown(place, 12345, 12345)
    else:
        place.chmod(0o770)
    with pytest.raises(SourceError, match="can be written by another user"):
        open_tree(url, cache_dir=cache)
    assert not (tmp_path / "trace").exists()


def test_each_read_is_of_exactly_one_commit_while_pushes_go_on(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    repository.commit({f"file-{number}.yaml": "0" for number in range(5)})
    url = repository.url("git")
    stop = threading.Event()

    def push() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            files = {f"file-{index}.yaml": str(number) for index in range(5)}
            if number % 10:
                repository.commit(files)
            else:
                repository.force_push(files)

    pusher = threading.Thread(target=push)
    pusher.start()
    try:
        seen = set()
        for _ in range(15):
            try:
                tree = open_tree(url, "main", cache_dir=tmp_path / "cache", allow_git_protocol=True)
            except SourceError as error:
                # A force push deletes the branch for a moment: that is an error, never an empty tree.
                assert "no branch" in str(error) or "no commit" in str(error)
                continue
            contents = {tree.read(path) for path in tree.paths()}
            assert (len(contents), len(tree.paths())) == (1, 5)
            assert repository.git("show", f"{tree.revision.commit}:file-0.yaml").encode() == contents.pop()
            seen.add(tree.revision.commit)
            tree.close()
    finally:
        stop.set()
        pusher.join()
    assert len(seen) > 1


def test_the_locks_of_a_killed_git_are_removed(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    open_tree(repository.url("file"), "", cache_dir=tmp_path / "cache").close()
    (mirror,) = (tmp_path / "cache").glob("*.git")
    ref = next(path for path in (mirror / "refs").rglob("*") if path.is_file())
    locks = [ref.with_name(ref.name + ".lock"), mirror / "HEAD.lock"]
    for lock in locks:
        lock.touch()
    commit = repository.commit({"stack.yaml": "two"})
    with pytest.raises(SourceError):
        open_tree(repository.url("file"), "", cache_dir=tmp_path / "cache")
    for lock in locks:
        os.utime(lock, (0, 0))
    tree = open_tree(repository.url("file"), "", cache_dir=tmp_path / "cache")
    tree.close()
    assert tree.revision.commit == commit


def test_many_threads_share_one_mirror(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    commits = [repository.commit({"stack.yaml": str(number)}) for number in range(8)]

    def read(number: int) -> tuple[str, bytes]:
        tree = open_tree(repository.url("file"), commits[number], cache_dir=tmp_path / "cache")
        content = tree.read("stack.yaml")
        tree.close()
        return tree.revision.commit, content

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read, range(8)))
    assert results == [(commit, str(number).encode()) for number, commit in enumerate(commits)]


def test_no_hook_of_the_server_or_the_user_runs(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    sentinel = tmp_path / "ran"
    hooks = [repository.path / "hooks", tmp_path / "hooks"]
    for folder in hooks:
        folder.mkdir(exist_ok=True)
        for name in (
            "post-checkout",
            "reference-transaction",
            "post-merge",
            "pre-auto-gc",
            "fsmonitor-watchman",
        ):
            hook = folder / name
            hook.write_text(f"#!/bin/sh\ntouch {sentinel}\n")
            hook.chmod(0o755)
    repository.git("config", "uploadpack.packObjectsHook", str(hooks[1] / "post-merge"))
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks[1]}\n\tfsmonitor = {hooks[1]}/fsmonitor-watchman\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    open_tree(repository.url("file"), "main", cache_dir=tmp_path / "cache").close()
    # The same configuration does run a hook without our precautions, so the sentinel can appear.
    assert not sentinel.exists()
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", repository.path, copy], check=True, capture_output=True)
    assert sentinel.exists()


def test_the_variables_of_a_surrounding_hook_do_not_lead_git_elsewhere(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    commit = repository.commit({"stack.yaml": "one"})
    other = git_server.create("other")
    other.commit({"other.yaml": "x"})
    for name, value in {
        "GIT_DIR": str(other.path),
        "GIT_WORK_TREE": str(tmp_path),
        "GIT_INDEX_FILE": str(other.path / "index"),
        "GIT_OBJECT_DIRECTORY": str(other.path / "objects"),
        "GIT_NAMESPACE": "space",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.abbrev",
        "GIT_CONFIG_VALUE_0": "10",
    }.items():
        monkeypatch.setenv(name, value)
    tree = open_tree(f"file://{repository.path}", "main", cache_dir=tmp_path / "cache")
    tree.close()
    monkeypatch.undo()
    assert tree.revision.commit == commit
    assert commit not in other.git("cat-file", "--batch-check", "--batch-all-objects")


def test_an_unreachable_remote_is_told_with_gits_own_words(
    tmp_path: Path, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "cache"
    with pytest.raises(SourceError, match="Failed to connect"):
        open_tree("http://127.0.0.1:1/a.git", "main", cache_dir=cache)
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -F /dev/null")
    with pytest.raises(SourceError, match="Connection refused"):
        open_tree("ssh://git@127.0.0.1:1/a.git", "main", cache_dir=cache)
    with pytest.raises(SourceError, match="does not appear to be a git repository"):
        open_tree(f"file://{tmp_path}/nowhere", "main", cache_dir=cache)
    with pytest.raises(SourceError, match="not found"):
        open_tree(git_server.create().url("http").replace("stacks", "nowhere"), "main", cache_dir=cache)


def test_an_unknown_host_key_is_refused_without_a_question(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    command = git_server.ssh_command.replace("known_hosts", "nobody_known")
    monkeypatch.setenv("GIT_SSH_COMMAND", command)
    with pytest.raises(SourceError, match="Host key verification failed") as caught:
        open_tree(repository.url("ssh"), "main", cache_dir=tmp_path / "cache")
    assert "known_hosts" in caught.value.hint


def test_the_users_own_ssh_command_and_url_rewriting_count(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    commit = repository.commit({"stack.yaml": "one"})
    url = repository.url("ssh")
    monkeypatch.delenv("GIT_SSH_COMMAND")
    with pytest.raises(SourceError):
        open_tree(url, "main", cache_dir=tmp_path / "cache")
    base, _slash, rest = url.partition(str(repository.path))
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[core]\n\tsshCommand = {git_server.ssh_command}\n[url "{base}"]\n\tinsteadOf = https://git.example.com\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    for same in (url, f"https://git.example.com{repository.path}{rest}"):
        tree = open_tree(same, "main", cache_dir=tmp_path / "cache")
        tree.close()
        assert tree.revision.commit == commit


def test_a_url_that_the_configuration_turns_into_a_helper_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sentinel = tmp_path / "ran"
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "ext::touch {sentinel} "]\n\tinsteadOf = https://git.example.com/\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(SourceError, match="transport 'ext' not allowed"):
        open_tree("https://git.example.com/x", "main", cache_dir=tmp_path / "cache")
    assert not sentinel.exists()


def test_a_password_in_the_url_works_and_appears_nowhere(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create(password="canary-pass")
    commit = repository.commit({"stack.yaml": "one"})
    plain = repository.url("http")
    url = plain.replace("http://", "http://reader:canary-pass@")
    tree = open_tree(url, "main", cache_dir=tmp_path / "cache")
    tree.close()
    assert tree.revision.commit == commit
    assert tree.revision.url == plain.replace("http://", "http://***@")
    kept = subprocess.run(["grep", "-r", "canary-pass", str(tmp_path)], capture_output=True, check=False)
    assert kept.returncode == 1
    monkeypatch.setenv("GIT_ASKPASS", "/bin/false")
    for wrong in (
        url.replace("canary-pass", "canary-wrong"),
        plain.replace("http://", "http://canary-token@"),
        plain,
    ):
        with pytest.raises(SourceError) as caught:
            open_tree(wrong, "main", cache_dir=tmp_path / "cache")
        error: BaseException | None = caught.value
        while error is not None:
            assert "canary" not in str(error)
            assert "canary" not in str(getattr(error, "hint", ""))
            error = error.__cause__ or error.__context__


def test_a_local_work_tree_is_a_directory_without_a_ref_and_git_with_one(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    commit = repository.commit({"prod/stack.yaml": "one"})
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", repository.path, work], check=True, capture_output=True)
    (work / "prod/stack.yaml").write_text("edited")
    cache = tmp_path / "cache"
    edited = open_tree(str(work / "prod"), cache_dir=cache)
    assert edited.read("stack.yaml") == b"edited"
    monkeypatch.chdir(work / "prod")
    for location, path in ((".", ""), (str(work), "prod"), (str(work / "prod"), ".")):
        tree = open_tree(location, "main", path, cache_dir=cache)
        assert tree.read("stack.yaml") == b"one"
        assert (tree.revision.commit, tree.revision.path, tree.revision.url) == (commit, "prod", str(work))
        tree.close()
    assert latest_commit(str(work), "origin/main", cache_dir=cache) == commit
    bare = open_tree(str(repository.path), "", "prod", cache_dir=cache)
    assert (bare.revision.commit, bare.read("stack.yaml")) == (commit, b"one")
    bare.close()
    with pytest.raises(SourceError, match="not in a Git repository"):
        open_tree(str(tmp_path), "main", cache_dir=cache)


def test_a_missing_git_is_said_in_words(tmp_path: Path):
    script = (
        "from trueup.sources.open import open_tree\nfrom trueup.errors import SourceError\n"
        "try:\n    open_tree('https://127.0.0.1:1/x')\nexcept SourceError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "the program git is missing\n", done.stderr


def test_no_child_process_is_left_when_trees_are_closed(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    repository.commit({"stack.yaml": "one"})
    before = _children()
    for _ in range(3):
        tree = open_tree(repository.url("file"), "main", cache_dir=tmp_path / "cache")
        tree.read("stack.yaml")
        assert len(_children() - before) == 1
        tree.close()
        deadline = time.monotonic() + 10
        while _children() - before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _children() - before


def _children() -> set[str]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found.update((task / "children").read_text().split())
    return found


def test_the_environment_of_the_fixtures_has_no_config_of_the_user():
    assert ENVIRONMENT["GIT_CONFIG_GLOBAL"] == os.devnull
