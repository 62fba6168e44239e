"""git within bounds: objects that explode, remotes that say too much, and what an ended git leaves behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.git.fixtures import GitServer, Repository

from trueup.errors import SourceError
from trueup.sources import git, limits
from trueup.sources.child import Bounds, OutOfBounds, run_git
from trueup.sources.location import parse_location
from trueup.sources.open import latest_commit, open_tree

MIB = 1024 * 1024
_READ_BOMB = """
import resource, sys
from pathlib import Path
from trueup.errors import SourceError
from trueup.sources.open import open_tree

tree = open_tree(sys.argv[1], "main", cache_dir=Path(sys.argv[2]))
tree.read("stack.yaml")
try:
    tree.read("bomb.yaml")
except SourceError as error:
    tree.close()
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, error)
"""


def make_tree(repository: Repository, *lines: str) -> str:
    """A tree of any entries, also of those that git itself would never make."""
    data = b""
    for line in lines:
        mode, found, name = line.split(" ", 2)
        data += f"{mode} {name}\0".encode() + bytes.fromhex(found)
    return repository.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=data)


def publish(repository: Repository, tree: str) -> None:
    repository.git("update-ref", "refs/heads/main", repository.git("commit-tree", tree, "-m", "Boom"))


def make_blob(repository: Repository, content: bytes) -> str:
    return repository.git("hash-object", "-w", "--stdin", stdin=content)


def open_files(repository: Repository, tmp_path: Path, path: str = ""):
    return open_tree(repository.url("file"), "main", path, cache_dir=tmp_path / "cache")


def make_bomb(repository: Repository, leaf: str, levels: int) -> str:
    """A few trees that come to 10 to the power of the levels."""
    tree = leaf
    for _ in range(levels):
        tree = make_tree(repository, *(f"40000 {tree} d{number}" for number in range(10)))
    return tree


def test_trees_that_come_to_billions_of_files_are_refused_in_bounded_memory(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_SOURCE_FILES", 20_000)
    repository = git_server.create()
    leaf = make_tree(repository, f"100644 {make_blob(repository, b'x')} f")
    publish(repository, make_bomb(repository, leaf, 10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceError, match="more than 20000 files"):
        open_files(repository, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_trees_that_come_to_billions_of_directories_without_a_file_end_in_bounded_time(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    publish(repository, make_bomb(repository, make_tree(repository), 10))
    monkeypatch.setattr(git, "LOCAL_TIMEOUT", 2.0)
    with pytest.raises(SourceError, match=r"git ls-tree was ended: it took longer than 2 s"):
        open_files(repository, tmp_path)
    assert_no_git_is_left(tmp_path)


def test_a_tree_of_ten_thousand_levels_is_refused_by_the_length_of_its_paths(
    git_server: GitServer, tmp_path: Path
):
    repository = git_server.create()
    leaf = make_blob(repository, b"apiVersion: x")
    stream = ["blob\nmark :1\ndata 0\n\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 0\n"]
    stream.append(f"M 100644 :1 {'d/' * 10_000}f\nM 100644 {leaf} stack.yaml\n")
    repository.git("fast-import", "--quiet", stdin="".join(stream).encode())
    with pytest.raises(SourceError, match=r"d/d/.*\.\.\..*/[df] is longer than 4096 bytes") as caught:
        open_files(repository, tmp_path)
    assert len(str(caught.value)) < 1000


def test_a_name_of_megabytes_is_refused_without_being_repeated(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    blob = make_blob(repository, b"x")
    publish(repository, make_tree(repository, f"100644 {blob} {'n' * 3 * MIB}"))
    with pytest.raises(SourceError, match="longer than 4096 bytes") as caught:
        open_files(repository, tmp_path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["..", ".", "../../outside", "a/../b", "/etc/motd"])
def test_names_that_no_file_can_have_are_refused(git_server: GitServer, tmp_path: Path, name: str):
    repository = git_server.create()
    blob = make_blob(repository, b"x")
    publish(repository, make_tree(repository, f"100644 {blob} stack.yaml", f"100644 {blob} {name}"))
    with pytest.raises(SourceError, match="no file can be called so"):
        open_files(repository, tmp_path)


def test_a_tree_that_names_a_file_twice_is_refused(git_server: GitServer, tmp_path: Path):
    repository = git_server.create()
    entries = (f"100644 {make_blob(repository, text)} stack.yaml" for text in (b"one", b"other"))
    publish(repository, make_tree(repository, *entries))
    with pytest.raises(SourceError, match=r"names stack\.yaml twice"):
        open_files(repository, tmp_path)


def test_a_blob_that_unpacks_to_much_more_takes_neither_memory_nor_the_stack(
    git_server: GitServer, tmp_path: Path
):
    repository = git_server.create()
    bomb = make_blob(repository, bytes(256 * MIB))
    blob = make_blob(repository, b"apiVersion: x")
    publish(repository, make_tree(repository, f"100644 {bomb} bomb.yaml", f"100644 {blob} stack.yaml"))
    # Over HTTP and in a process of its own, so that its children are those of the one who fetches alone. It
    # has to be small: until a child starts its program, it counts with the memory of its parent.
    done = subprocess.run(
        [sys.executable, "-c", _READ_BOMB, repository.url("http"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
    )
    answer = done.stdout
    peak, _space, message = answer.partition(" ")
    assert "bomb.yaml is larger than 4 MiB" in message, answer
    assert int(peak) < 160 * 1024


def test_a_repository_that_sends_without_end_is_cut_off_and_leaves_nothing(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    # More than a hundred objects arrive as a pack and not as files of their own.
    files = {f"f{number}": os.urandom(64 * 1024) for number in range(120)}
    repository.commit(files)
    monkeypatch.setattr(git, "MAX_PACK", 2 * MIB)
    with pytest.raises(SourceError, match="it sends more than 2 MiB"):
        open_files(repository, tmp_path)
    (mirror,) = (tmp_path / "cache").glob("*.git")
    assert not [file for file in mirror.rglob("*") if file.name.startswith("tmp_")]
    monkeypatch.undo()
    open_files(repository, tmp_path).close()


class _Flood(BaseHTTPRequestHandler):
    """Lists refs for ever."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        self.end_headers()
        self.wfile.write(b"001e# service=git-upload-pack\n0000")
        first = f"{'1' * 40} HEAD\0multi_ack".encode()
        self.wfile.write(b"%04x" % (len(first) + 5) + first + b"\n")
        number = 0
        try:
            while True:
                refs = (f"{'1' * 40} refs/heads/{number + each:09d}\n" for each in range(2000))
                self.wfile.write("".join(f"{len(ref) + 4:04x}{ref}" for ref in refs).encode())
                number += 2000
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:
        """The test's output is for the test."""


@pytest.fixture
def flood() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Flood)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/endless.git"
    server.shutdown()
    server.server_close()


def test_a_remote_that_lists_refs_without_end_is_given_up(
    flood: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(git, "LIST_TIMEOUT", 3.0)
    start = time.monotonic()
    with pytest.raises(SourceError, match="git ls-remote was ended: it took longer than 3 s"):
        latest_commit(flood, "main", cache_dir=tmp_path / "cache")
    assert time.monotonic() - start < 30
    assert_no_git_is_left(tmp_path)


def test_a_million_refs_are_more_than_is_taken_in(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = git_server.create()
    commit = repository.commit({"stack.yaml": "x"})
    lines = "".join(f"create refs/heads/branch-{number} {commit}\n" for number in range(2000))
    repository.git("update-ref", "--stdin", stdin=lines.encode())
    monkeypatch.setattr(git, "MAX_LISTING", 64 * 1024)
    # A name that is there is asked for alone; what is near to a missing one needs them all.
    assert latest_commit(repository.url("file"), "branch-1999", cache_dir=tmp_path / "cache") == commit
    with pytest.raises(SourceError, match="has no branch, tag or commit 'branch-2000'"):
        latest_commit(repository.url("file"), "branch-2000", cache_dir=tmp_path / "cache")
    mirror = git.Mirror(parse_location(repository.url("file")), tmp_path / "cache")
    with pytest.raises(SourceError, match="git ls-remote was ended: it gave more than 65536 bytes"):
        mirror.list_remote("refs/heads/*")


def test_what_git_says_of_a_failure_is_short_and_printable(tmp_path: Path, git_server: GitServer):
    repository = git_server.create()
    repository.commit({"stack.yaml": "x"})
    noise = tmp_path / "noise"
    noise.write_text(
        "#!/bin/sh\nyes 'a long word' | head -c 3000000 >&2\nprintf '\\033[2Jgone' >&2\nexit 1\n"
    )
    noise.chmod(0o755)
    handle = git.open_git(tmp_path)
    status, _out, errors = run_git(
        handle, ["ls-remote", f"--upload-pack={noise}", str(repository.path)], {}, Bounds(30, MIB)
    )
    assert status != 0
    assert len(errors) <= 64 * 1024
    assert "\x1b" not in git._telling_line("fatal: \x1b[2Jgone")


def test_what_reads_the_output_ends_git_by_raising(tmp_path: Path):
    def refuse(_data: bytes) -> None:
        raise SourceError("enough")

    with pytest.raises(SourceError, match="enough"):
        run_git(git.open_git(tmp_path), ["help", "-a"], {}, Bounds(30, MIB), refuse)
    with pytest.raises(OutOfBounds, match="it gave more than 10 bytes"):
        run_git(git.open_git(tmp_path), ["help", "-a"], {}, Bounds(30, 10))


def assert_no_git_is_left(tmp_path: Path) -> None:
    """No process works in the cache of the test any more."""
    word = str(tmp_path).encode()
    deadline = time.monotonic() + 10
    while left := [each for each in map(_environment_of, Path("/proc").iterdir()) if word in each]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _environment_of(process: Path) -> bytes:
    try:
        return b"" if int(process.name) in (os.getpid(), os.getppid()) else (process / "environ").read_bytes()
    except (OSError, ValueError):
        return b""
