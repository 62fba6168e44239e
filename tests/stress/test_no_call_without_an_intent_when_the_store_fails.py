"""A store in a file that fails before, in the middle of and after every step of a run, on a real file system.

Nothing is called without an intent that lasts; the error says which store it is and what to do; once the
fault is over, the next run, of this process or of another, puts everything right.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.stress.faulty_stores import POINTS, Bench, check_words

from trueup.errors import StoreError

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
"""


def small_disk(folder: Path) -> Path:
    """A file system of one megabyte, mounted below the folder."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mount = folder / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr.decode().strip()}")
    return mount


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    mount = small_disk(tmp_path)
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.fixture
def bench(tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("trueup.state.database.BUSY_TIMEOUT", 0.2)
    file = disk / "store.db"
    bench = Bench(tmp_path, str(file))

    def read_intents() -> set[str]:
        # The file by its name, as the next process finds it.
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return {address for (address,) in connection.execute("SELECT address FROM intents")}

    bench.world.read_intents = read_intents
    bench.prepare()
    return bench


def end_process(bench: Bench) -> None:
    """Makes the process whose run failed one that has ended, as far as the store can tell."""
    with closing(sqlite3.connect(bench.store)) as connection:
        connection.execute("UPDATE leases SET pid_started = 1")
        connection.commit()


class Fault:
    """Something that happens to a store in a file, until it is over. `pattern`: what the error says of it."""

    pattern = ""

    def __init__(self, file: Path) -> None:
        self.file = file

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class Full(Fault):
    pattern = "disk of the store .* is full"

    def begin(self) -> None:
        with pytest.raises(OSError, match="No space"), self.filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)

    def end(self) -> None:
        self.filler.unlink()

    @property
    def filler(self) -> Path:
        return self.file.parent / "filler"


class Locked(Fault):
    """By another process, for longer than anyone waits."""

    pattern = r"is locked by process \d+"

    def begin(self) -> None:
        command = [sys.executable, "-c", HOLD, str(self.file)]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"held\n"

    def end(self) -> None:
        self.holder.kill()
        self.holder.communicate()


class ReadOnly(Fault):
    """The kernel makes a file system read-only when its disk fails; files that are open stay so."""

    pattern = "cannot be opened"

    def begin(self) -> None:
        # A mount over the directory, because the kernel refuses while a file is open for writing.
        parent = self.file.parent
        subprocess.run(["mount", "--bind", str(parent), str(parent)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(parent)], check=True)

    def end(self) -> None:
        subprocess.run(["umount", str(self.file.parent)], check=True)


class Deleted(Fault):
    pattern = "was deleted or moved away while it was open"

    def begin(self) -> None:
        self.file.rename(self.file.with_name("away"))

    def end(self) -> None:
        self.file.with_name("away").rename(self.file)


class Replaced(Deleted):
    pattern = "was replaced by another file"

    def begin(self) -> None:
        shutil.copy(self.file, self.file.with_name("copy"))
        super().begin()
        self.file.with_name("copy").rename(self.file)


class LogDeleted(Fault):
    """Another process would not see what was written last, and a kill would lose it."""

    pattern = "store.db-wal was deleted or replaced"

    def begin(self) -> None:
        side = Path(f"{self.file}-wal")
        side.rename(side.with_name("away"))

    def end(self) -> None:
        side = Path(f"{self.file}-wal")
        side.with_name("away").rename(side)


class LocksDeleted(LogDeleted):
    pattern = "store.db-shm was deleted or replaced"

    def begin(self) -> None:
        side = Path(f"{self.file}-shm")
        side.rename(side.with_name("away"))

    def end(self) -> None:
        side = Path(f"{self.file}-shm")
        side.with_name("away").rename(side)


FAULTS = (Full, Locked, Deleted, Replaced, LogDeleted, LocksDeleted)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_store_that_fails_in_the_middle_of_a_run(kind: type[Fault], bench: Bench) -> None:
    fault = kind(Path(bench.store))
    # A run of the process whose run failed, as in a daemon, and one of a new process.
    for point in POINTS:
        for is_new in (False, True):
            with bench.open() as app:
                error = bench.fail(app, point, fault.begin)
                fault.end()
                check_words(error, bench.store)
                bench.check(app)
                if not is_new:
                    bench.recover(app)
            if is_new:
                end_process(bench)
                with bench.open() as app:
                    bench.recover(app)
            bench.prepare()


@pytest.mark.parametrize("kind", FAULTS)
def test_the_error_says_what_happened(kind: type[Fault], bench: Bench) -> None:
    fault = kind(Path(bench.store))
    bench.parallelism = 1
    with bench.open() as app:
        error = bench.fail(app, "before-intent", fault.begin)
        fault.end()
        with pytest.raises(StoreError, match=kind.pattern):
            raise error
        assert bench.world.count_writes() == 3  # those of the first run
        bench.recover(app)


@pytest.mark.parametrize("kind", [Full, Locked, ReadOnly])
def test_a_store_that_fails_before_a_run_calls_nothing(kind: type[Fault], bench: Bench) -> None:
    fault = kind(Path(bench.store))
    calls = bench.world.count_writes()
    fault.begin()
    try:
        with bench.open() as app, pytest.raises(StoreError, match=kind.pattern) as caught:
            app.reconcile(bench.source)
    finally:
        fault.end()
    check_words(caught.value, bench.store)
    assert bench.world.count_writes() == calls
    with bench.open() as app:
        bench.recover(app)


def test_a_file_that_is_gone_is_not_made_again_by_a_process_that_had_it_open(bench: Bench) -> None:
    file = Path(bench.store)
    with bench.open() as app:
        app.store.stacks()
        file.rename(file.with_name("away"))
        for _ in range(3):
            with pytest.raises(StoreError, match=r"store\.db (was deleted|is gone)"):
                app.reconcile(bench.source)
            assert not file.exists()
        file.with_name("away").rename(file)
        bench.recover(app)


@pytest.mark.parametrize("how", ["emptied", "dangling", "log alone", "directory"])
def test_what_is_no_store_any_more_is_not_taken_for_a_new_one(how: str, bench: Bench) -> None:
    file, kept = Path(bench.store), Path(bench.store).with_name("kept")
    calls = bench.world.count_writes()
    shutil.copy(file, kept)
    file.unlink()
    if how == "emptied":
        file.touch()
    elif how == "dangling":
        file.symlink_to(file.with_name("not mounted") / "store.db")
    elif how == "directory":
        file.mkdir()
    else:
        Path(f"{file}-wal").write_bytes(b"x" * 5000)
    with bench.open() as app, pytest.raises(StoreError) as caught:
        app.reconcile(bench.source)
    check_words(caught.value, bench.store)
    assert bench.world.count_writes() == calls
    if how == "directory":
        file.rmdir()
    else:
        file.unlink(missing_ok=True)
    Path(f"{file}-wal").unlink(missing_ok=True)
    kept.rename(file)
    with bench.open() as app:
        bench.recover(app)


def test_a_store_of_another_user_is_named_with_who_needs_it(bench: Bench, tmp_path: Path) -> None:
    file = Path(bench.store)
    file.chmod(0o600)
    tmp_path.chmod(0o711)
    script = (
        "import os, sys\nfrom trueup.state.open import open_store\nfrom trueup.errors import StoreError\n"
        "open_store(sys.argv[2]).close()\nos.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n"
        "try:\n    open_store(sys.argv[1])\nexcept StoreError as error:\n    print(error.message, error.hint)"
    )
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    command = [sys.executable, "-c", script, str(file), str(tmp_path / "mine.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be opened: Permission denied" in done.stdout
    assert f"user 65534 needs to read and write {file}" in done.stdout


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/types.h>
static int fails(int fd) {
    char link[64], name[4096];
    const char *flag = getenv("BAD_DISK_WHEN"), *below = getenv("BAD_DISK");
    if (!flag || !below || access(flag, F_OK)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    if (n < 0) return 0;
    name[n] = 0;
    return !strncmp(name, below, strlen(below));
}
#define WRITE(NAME, OFFSET) ssize_t NAME(int fd, const void *data, size_t count, OFFSET at) { \
    ssize_t (*real)(int, const void *, size_t, OFFSET) = dlsym(RTLD_NEXT, #NAME); \
    if (fails(fd)) { errno = EIO; return -1; } return real(fd, data, count, at); }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)
#define SYNC(NAME) int NAME(int fd) { int (*real)(int) = dlsym(RTLD_NEXT, #NAME); \
    if (fails(fd)) { errno = EIO; return -1; } return real(fd); }
SYNC(fsync)
SYNC(fdatasync)
"""
BAD_DISK = """
import sys
from pathlib import Path
from tests.stress.faulty_stores import POINTS, Bench, check_words
folder, point = Path(sys.argv[1]), sys.argv[2]
bench = Bench(folder, str(folder / "store.db"))
bench.prepare()
flag = folder / "bad"
with bench.open() as app:
    error = bench.fail(app, point, flag.touch)
    check_words(error, bench.store)
    print(error.message, flush=True)
    flag.unlink()
    bench.check(app)
    bench.recover(app)
"""


def test_a_disk_that_fails_is_an_error_that_calls_nothing_more(tmp_path: Path) -> None:
    """The lowest level at which a disk can fail here: the calls of the C library."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    shim = tmp_path / "bad_disk.so"
    command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(shim), "-ldl"]
    subprocess.run(command, input=SHIM, text=True, check=True)
    for point in ("before-run", "after-intent", "before-outcome"):
        folder = tmp_path / point
        folder.mkdir()
        environment = {
            **os.environ,
            "LD_PRELOAD": str(shim),
            "BAD_DISK": str(folder / "store.db"),
            "BAD_DISK_WHEN": str(folder / "bad"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        done = subprocess.run(
            [sys.executable, "-c", BAD_DISK, str(folder), point],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "disk of the store" in done.stdout
        assert "fails: " in done.stdout
