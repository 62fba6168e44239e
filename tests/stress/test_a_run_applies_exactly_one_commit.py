"""Commits keep coming while runs go on: what a run applies is all of one commit and nothing of another.

Everything that a stack is made of carries the number of its commit: resource files, a values file, a file
that is taken in, a module beside the stack, and resources that come and go.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer, Repository
from tests.stress.invariants import check_at_rest, look

from trueup.model.resource import Target
from trueup.state.open import open_store
from trueup_ssh.kinds.file import File
from trueup_ssh.provider import SshProvider

RUNS = 6
SETTINGS = {
    "variables": {"number": {"type": "string"}},
    "guards": {"maxDeletes": "100%"},
    "exclude": ["given.yaml", "text.txt"],
}
MODULE = """\
apiVersion: trueup.dev/v1
kind: Module
metadata: {name: page}
spec:
  inputs: {number: {type: string}, folder: {type: string}}
"""


class Estate:
    """A repository whose every commit has a number, and the machine's own files that it is about."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self.out = folder / "out"
        self.out.mkdir()
        self.folder = folder
        self.repository = repository
        self.config = {"connection": "local", "stateDir": str(folder / "host")}
        self.push(0)

    def push(self, number: int) -> None:
        """One commit in which everything says `number`."""
        stack = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "numbered"},
            "spec": {**SETTINGS, "targets": [{"name": "here", "provider": "ssh", "config": self.config}]},
        }
        plain = [self.file(f"plain-{index}", str(number)) for index in range(3)]
        come_and_go = [self.file(f"only-{number}-{index}", str(number)) for index in range(2)]
        use = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Module",
            "metadata": {"name": "use"},
            "spec": {"source": "../module", "inputs": {"number": str(number), "folder": str(self.out)}},
        }
        inside = self.file("inside", f"{number} ${{{{ vars.number }}}}", "${{ vars.folder }}")
        self.repository.commit(
            {
                "stack/stack.yaml": yaml.safe_dump(stack),
                "stack/plain.yaml": yaml.safe_dump_all(plain),
                "stack/only.yaml": yaml.safe_dump_all(come_and_go),
                "stack/given.yaml": f'number: "{number}"\n',
                "stack/text.txt": str(number),
                "stack/mixed.yaml": yaml.safe_dump_all(
                    [
                        self.file("by-values", "${{ vars.number }}"),
                        self.file("by-file", '${{ file("text.txt") }}'),
                        use,
                    ]
                ),
                "module/module.yaml": MODULE,
                "module/inside.yaml": yaml.safe_dump(inside),
            },
            f"Number {number}",
        )

    def file(self, name: str, content: str, folder: str = "") -> dict[str, object]:
        return {
            "apiVersion": "ssh.trueup.dev/v1",
            "kind": "File",
            "metadata": {"name": name},
            "spec": {"path": f"{folder or self.out}/{name}", "content": content},
        }

    def reconcile(self) -> str:
        """One run; the commit that it says it applied."""
        line = [*TRUEUP, "reconcile", self.repository.url("http"), "--path", "stack"]
        line += ["--values", "given.yaml", "--store", str(self.folder / "store.db"), "--yes", "-o", "json"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        commit: str = json.loads(done.stdout)["plan"]["commit"]
        return commit

    def check(self, commit: str) -> str:
        """All that lives is of this commit; gives its number."""
        number = self.repository.git("show", f"{commit}:stack/text.txt")
        once = [
            "plain-0",
            "plain-1",
            "plain-2",
            f"only-{number}-0",
            f"only-{number}-1",
            "by-values",
            "by-file",
        ]
        expected = {**dict.fromkeys(once, number), "inside": f"{number} {number}"}
        assert {file.name: file.read_text() for file in self.out.iterdir()} == expected
        return number

    def check_invariants(self) -> None:
        store = open_store(f"sqlite:///{self.folder / 'store.db'}")
        session = SshProvider().connect(Target("here", "ssh", config=self.config), "")
        try:
            check_at_rest(look([File()], session, store, "numbered"))
        finally:
            session.close()
            store.close()


@pytest.fixture
def estate(tmp_path: Path, git_server: GitServer) -> Estate:
    return Estate(tmp_path, git_server.create(f"numbered-{os.urandom(4).hex()}"))


@pytest.fixture
def pushing(estate: Estate) -> Iterator[None]:
    """Commits without a pause, as fast as the server takes them."""
    end = threading.Event()

    def push() -> None:
        number = 0
        while not end.is_set():
            number += 1
            estate.push(number)

    pusher = threading.Thread(target=push)
    pusher.start()
    yield
    end.set()
    pusher.join()


@pytest.mark.usefixtures("pushing")
def test_what_a_run_applies_is_of_one_commit_while_others_are_pushed(estate: Estate) -> None:
    numbers = [estate.check(estate.reconcile()) for _ in range(RUNS)]
    assert len(set(numbers)) == RUNS, "nothing was pushed between the runs"
    assert numbers == sorted(numbers, key=int)
    estate.check_invariants()
