"""Twenty live objects, and a source that has lost its files in one of many ways: nothing is deleted."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.account import PATH, Account, Look, document, stack_file
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import Content, GitServer
from tests.moto.fixtures import Moto

from trueup.app import App
from trueup.errors import ManifestError, SourceError
from trueup.model.outcome import RunStatus

pytestmark = [pytest.mark.moto]

NAMES = {
    **{f"p{number}": "parameter" for number in range(8)},
    **{f"q{number}": "queue" for number in range(6)},
    **{f"t{number}": "topic" for number in range(4)},
    **{f"b{number}": "bucket" for number in range(2)},
}
ELSEWHERE: dict[str, Content] = {"README.md": "Other things are kept here as well.\n"}
Lose = Callable[[Account], None]


def _only_stack_file(account: Account, **spec: object) -> None:
    account.commit({f"{PATH}/stack.yaml": stack_file(account.target, **spec)})


def _delete_branch(account: Account) -> None:
    account.repository.branch("other")
    account.repository.delete_branch("main")


def _switch_off(account: Account) -> None:
    off = {path: text for path, text in account.files.items() if path.endswith("stack.yaml")}
    off |= {f"{PATH}/{name}.yaml": document(short, name, when=False) for name, short in NAMES.items()}
    account.commit(off)


def _hide(account: Account) -> None:
    """All files go into a directory that does not count."""
    stack = f"{PATH}/stack.yaml"
    hidden = {path.replace(f"{PATH}/", f"{PATH}/.old/"): text for path, text in account.files.items()}
    account.commit({**hidden, stack: account.files[stack]})


# What becomes of the source; the words that the error has.
LOST: dict[str, tuple[Lose, str]] = {
    "an empty repository": (lambda account: account.repository.delete_branch("main"), "holds no commit"),
    "a deleted branch": (_delete_branch, "has no branch, tag or commit 'main'"),
    "a path that is missing": (lambda account: account.commit(ELSEWHERE) and None, "path 'shop'"),
    "a path that is a file": (
        lambda account: account.commit({PATH: "shop\n"}) and None,
        "is not a directory",
    ),
    "an empty path": (lambda account: account.commit({f"{PATH}/.gitkeep": ""}) and None, "no stack file"),
    "a stack file and nothing else": (_only_stack_file, "the stack has no resource"),
    "files that are all excluded": (
        lambda account: (account.configure(exclude=["**"]), account.commit(), None)[-1],
        "the stack has no resource",
    ),
    "files that are all hidden": (_hide, "the stack has no resource"),
    "files that are all empty": (
        lambda account: (
            account.commit({path: text if "stack" in path else "" for path, text in account.files.items()})
            and None
        ),
        "",
    ),
    "files with comments alone": (
        lambda account: (
            account.commit(
                {path: text if "stack" in path else "# later\n" for path, text in account.files.items()}
            )
            and None
        ),
        "",
    ),
}
# By a daemon, one of each sort: each takes a look at the source, which is a second.
SAMPLE = ("a deleted branch", "a path that is missing", "an empty path", "a stack file and nothing else")
# What is no mistake that anybody could tell, and is held.
HELD: dict[str, Lose] = {
    "emptiness that is meant": lambda account: _only_stack_file(account, allowEmpty=True),
    "resources that are all switched off": _switch_off,
}


@pytest.fixture(scope="module")
def estate(moto: Moto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[GitServer], Account]]:
    """Twenty objects that live, made once; each variant leaves them as they are."""
    made: list[tuple[Account, Look]] = []

    def make(git_server: GitServer) -> Account:
        if not made:
            moto.reset()
            repository = git_server.create(f"estate-{os.urandom(4).hex()}")
            account = Account(moto, repository, tmp_path_factory.mktemp("estate"))
            account.declare(**{name: document(short, name) for name, short in NAMES.items()})
            account.commit()
            account.converge()
            made.append((account, account.look()))
            assert len(made[0][1].rows()) == len(NAMES) == 20
        account = made[0][0]
        account.configure()
        account.commit()
        moto.mark()
        return account

    yield make
    for account, look in made:
        moto.mark()
        look.check_untouched()
        account.check_at_rest()
    moto.reset()


@pytest.fixture
def account(estate: Callable[[GitServer], Account], git_server: GitServer) -> Iterator[Account]:
    account = estate(git_server)
    yield account
    # The files come back: the same objects, and nothing to do.
    account.configure()
    account.commit()
    assert not account.converge().plan.has_changes
    assert account.moto.writes() == []


@pytest.mark.parametrize("how", LOST)
def test_a_source_that_lost_its_files_is_an_error(account: Account, how: str) -> None:
    lose, words = LOST[how]
    lose(account)
    with App(str(account.store)) as app:
        for ask in (app.plan, app.reconcile):
            with pytest.raises((SourceError, ManifestError)) as failed:
                ask(account.source)
            assert words in str(failed.value) or any(words in str(each) for each in failed.value.problems)
    assert account.moto.requests() == [], "AWS was asked for a source that is not there"


@pytest.mark.parametrize("how", HELD)
def test_a_source_that_is_empty_on_purpose_is_held(account: Account, how: str) -> None:
    HELD[how](account)
    report = account.reconcile(RunStatus.HELD)
    assert {hold.guard for hold in report.plan.holds} == {"whole-stack", "deletion-budget", "stateful"}
    assert account.moto.writes() == []


def test_a_directory_that_lost_its_files_is_an_error_over_the_command_line(
    estate: Callable[[GitServer], Account], git_server: GitServer, tmp_path: Path
) -> None:
    """The same stack from a directory: emptied, gone, and without what it was mounted over."""
    account = estate(git_server)
    folder = tmp_path / "shop"
    folder.mkdir()
    store = tmp_path / "store.db"

    def write() -> None:
        (folder / "stack.yaml").write_text(stack_file(account.target))
        for number in range(6):
            (folder / f"own{number}.yaml").write_text(document("parameter", f"own{number}"))

    def run(code: int) -> str:
        command = [*TRUEUP, "reconcile", str(folder), "--yes", "--store", str(store)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr + done.stdout

    def own() -> list[str]:
        pages = account.moto.client("ssm").get_paginator("describe_parameters").paginate()
        names = [each["Name"] for page in pages for each in page["Parameters"]]
        return sorted(name for name in names if name.startswith("shop-own"))

    write()
    run(0)
    there = [f"shop-own{number}" for number in range(6)]
    assert own() == there
    account.moto.mark()
    for file in folder.iterdir():
        if file.name != "stack.yaml":
            file.unlink()
    assert "the stack has no resource" in run(1)
    (folder / "stack.yaml").unlink()
    assert re.search("empty|no file", run(1))
    folder.rmdir()
    run(1)
    assert account.moto.writes() == []
    assert own() == there
    folder.mkdir()
    write()
    assert "nothing to do" in run(0)
    # Asked for by name, they go.
    command = [*TRUEUP, "destroy", str(folder), "--yes", "--store", str(store)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert own() == []


def test_a_daemon_deletes_nothing_and_goes_on_when_the_files_are_back(
    estate: Callable[[GitServer], Account], git_server: GitServer, tmp_path: Path
) -> None:
    account = estate(git_server)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "trueup.toml").write_text(
        f'store = "{account.store}"\n[daemon]\nlisten = "127.0.0.1:{port}"\n[[stacks]]\nname = "shop"\n'
        f'location = "{account.repository.url("http")}"\nref = "main"\npath = "{PATH}"\n'
        'poll = "1s"\ninterval = "2s"\n'
    )
    log = tmp_path / "daemon.log"

    def events(start: int = 0) -> list[dict[str, object]]:
        return [json.loads(line) for line in log.read_text().splitlines()[start:] if line.endswith("}")]

    with log.open("wb") as file:
        daemon = subprocess.Popen([*TRUEUP, "daemon"], cwd=tmp_path, stdout=file, stderr=file)
    try:
        wait_until(lambda: any(e["event"] == "run ended" for e in events()), "the daemon looks at the stack")
        look = account.look()
        for how in SAMPLE:
            start = len(log.read_text().splitlines())
            LOST[how][0](account)
            wait_until(
                lambda start=start: any(e.get("level") in ("warning", "error") for e in events(start)),
                "the daemon says that the source cannot be read",
            )
            account.configure()
            account.commit()
        start = len(log.read_text().splitlines())
        _switch_off(account)
        wait_until(lambda: any(e["event"] == "run held" for e in events(start)), "the plan is held")
        look.check_untouched()
        # It is alive all the while, and takes up the first good commit.
        account.configure()
        account.declare(late=document("parameter", "late"))
        account.commit()
        ssm = account.moto.client("ssm")
        wait_until(lambda: ssm.get_parameters(Names=["shop-late"])["Parameters"], "the daemon goes on")
    finally:
        daemon.terminate()
        assert daemon.wait(40) == 0
    look.check_spared()
    account.declare(late=None)
    account.commit()
    account.converge()
    look.check_spared()
