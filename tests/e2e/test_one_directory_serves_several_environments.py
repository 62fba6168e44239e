"""One directory in Git, an environment for each values file: on the command line and in trueup.toml."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer, Repository

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {{name: "shop-${{{{ vars.env }}}}"}}
spec:
  variables:
    env: {{type: string, check: 'self in ["dev", "prod"]', description: The environment.}}
    sites: {{type: map(map(string)), default: {{}}}}
    tag: {{type: string, default: latest}}
    replicas: {{type: integer, default: 1}}
  exclude: [envs]
  targets:
    - name: here
      provider: ssh
      config: {{connection: local, stateDir: "{root}/state-${{{{ vars.env }}}}"}}
"""
SITES = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {{name: "${{{{ each.key }}}}"}}
forEach: ${{{{ vars.sites }}}}
spec:
  path: {root}/${{{{ vars.env }}}}-${{{{ each.key }}}}
  content: "${{{{ each.value.title }}}} ${{{{ vars.tag }}}} ${{{{ vars.replicas }}}}\\n"
"""
COMMON = "sites:\n  blog: {title: Blog}\n"
DEV = "env: dev\n"
PROD = 'env = "prod"\nreplicas = 3\n\n[sites.docs]\ntitle = "Docs: ${{ vars.env }}"\n'


class Estate:
    """A Git repository whose stack lives in `shop`, a folder to work in and one where its files go."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self.work = folder / "work"
        self.live = folder / "live"
        self.work.mkdir()
        self.live.mkdir()
        self.repository = repository
        self.url = repository.url("http")
        self.push(
            **{
                "common.yaml": COMMON,
                "shop/stack.yaml": STACK.format(root=self.live),
                "shop/sites.yaml": SITES.format(root=self.live),
                "shop/envs/dev.yaml": DEV,
                "shop/envs/prod.toml": PROD,
            }
        )

    def push(self, **files: str | None) -> None:
        self.repository.commit(files)

    def trueup(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*TRUEUP, *words], cwd=self.work, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def files(self) -> dict[str, str]:
        found = {}
        for file in self.live.iterdir():
            # A daemon may be about to put another file in its place.
            with suppress(FileNotFoundError, IsADirectoryError):
                found[file.name] = file.read_text()
        return found


@pytest.fixture
def estate(tmp_path: Path, git_server: GitServer) -> Estate:
    return Estate(tmp_path, git_server.create(f"estate-{os.urandom(4).hex()}"))


COMMAND_LINE = ("--path", "shop", "--values", "../common.yaml", "--values")


def test_on_the_command_line(estate: Estate) -> None:
    missing = estate.trueup("plan", estate.url, "--path", "shop", code=1)
    assert 'stack.yaml:6:5: variable "env" has no value: The environment.\n' in missing
    assert "--set env=..." in missing

    estate.trueup("validate", estate.url, *COMMAND_LINE, "envs/dev.yaml")
    estate.trueup("reconcile", estate.url, *COMMAND_LINE, "envs/dev.yaml", "--yes")
    assert estate.files() == {"dev-blog": "Blog latest 1\n"}

    prod = (estate.url, *COMMAND_LINE, "envs/prod.toml", "--set", "tag=1.10", "--set", "sites.a={title: A}")
    plan = estate.trueup("plan", *prod, "--save", "prod.plan", code=2)
    assert "shop-prod/File/docs@here" in plan
    assert ", path shop, with values ../common.yaml, envs/prod.toml; set sites, tag (" in plan
    estate.trueup("reconcile", "prod.plan", "--yes")
    both = {
        "dev-blog": "Blog latest 1\n",
        "prod-blog": "Blog 1.10 3\n",
        # A value is text, whatever it looks like.
        "prod-docs": "Docs: ${{ vars.env }} 1.10 3\n",
        "prod-a": "A 1.10 3\n",
    }
    assert estate.files() == both
    estate.trueup("plan", *prod)
    estate.trueup("plan", estate.url, *COMMAND_LINE, "envs/dev.yaml")

    # Without one of the --set, what it made would go: that is held, until somebody approves of it.
    held = estate.trueup("reconcile", *prod[:-2], "--yes", code=3)
    assert "with values ../common.yaml, envs/prod.toml; set tag (" in held
    assert estate.files() == both
    (approval,) = [line for line in held.splitlines() if "--approve" in line]
    assert "--values ../common.yaml --values envs/prod.toml --set tag=1.10" in approval
    subprocess.run(
        approval.strip().replace("trueup", " ".join(TRUEUP), 1), shell=True, check=True, cwd=estate.work
    )
    del both["prod-a"]
    assert estate.files() == both

    estate.trueup("destroy", *prod[:-2], "--yes")
    assert list(estate.files()) == ["dev-blog"]


SETTINGS = """\
store = "state.db"

[daemon]
listen = "127.0.0.1:{port}"

[[stacks]]
name = "dev"
location = "{url}"
path = "shop"
poll = "1s"
values = ["../common.yaml", "envs/dev.yaml"]

[[stacks]]
name = "prod"
location = "{url}"
path = "shop"
poll = "1s"
values = ["../common.yaml", "envs/prod.toml"]
set = {{tag = "2.0", sites = {{docs = {{title = "Manual"}}}}}}
"""


def test_by_name_in_trueup_toml(estate: Estate) -> None:
    (estate.work / "trueup.toml").write_text(SETTINGS.format(url=estate.url, port=9090))
    for name in ("dev", "prod"):
        estate.trueup("validate", name)
        estate.trueup("reconcile", name, "--yes")
    assert estate.files() == {
        "dev-blog": "Blog latest 1\n",
        "prod-blog": "Blog 2.0 3\n",
        "prod-docs": "Manual 2.0 3\n",
    }
    estate.trueup("plan", "prod")
    assert "Blog 2.1 3" in estate.trueup("plan", "prod", "--set", "tag=2.1", code=2)

    # The values are those of the commit that is read.
    estate.push(**{"shop/envs/prod.toml": PROD.replace("replicas = 3", "replicas = 4")})
    estate.trueup("reconcile", "prod", "--yes")
    assert estate.files()["prod-blog"] == "Blog 2.0 4\n"

    estate.push(**{"shop/envs/prod.toml": PROD.replace("replicas = 3", "replicsa = 4")})
    wrong = estate.trueup("reconcile", "prod", "--yes", code=1)
    assert wrong == 'envs/prod.toml:2:1: there is no variable "replicsa"\n  did you mean "replicas"?\n'
    estate.push(**{"shop/envs/prod.toml": None})
    missing = estate.trueup("plan", "prod", code=1)
    assert missing.startswith('--values envs/prod.toml: there is no values file "envs/prod.toml"\n')
    assert estate.files()["prod-blog"] == "Blog 2.0 4\n"


def test_one_daemon_keeps_both_environments(estate: Estate) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (estate.work / "trueup.toml").write_text(SETTINGS.format(url=estate.url, port=port))
    with (estate.work / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen([*TRUEUP, "daemon"], cwd=estate.work, stdout=log, stderr=log)
    try:
        first = {"dev-blog": "Blog latest 1\n", "prod-blog": "Blog 2.0 3\n", "prod-docs": "Manual 2.0 3\n"}
        wait_until(lambda: estate.files() == first, "both environments are there")
        # The file of one environment is changed, and then the one that both share.
        estate.push(**{"shop/envs/dev.yaml": "env: dev\nreplicas: 2\n"})
        wait_until(lambda: estate.files() == {**first, "dev-blog": "Blog latest 2\n"}, "dev has its change")
        estate.push(**{"common.yaml": COMMON.replace("Blog", "Log")})
        both = {**first, "dev-blog": "Log latest 2\n", "prod-blog": "Log 2.0 3\n"}
        wait_until(lambda: estate.files() == both, "both have the change")
    finally:
        daemon.terminate()
        assert daemon.wait(40) == 0


def test_what_is_wrong_stands_with_its_place(estate: Estate) -> None:
    estate.push(**{"shop/envs/dev.yaml": "env: test\nreplicas: many\n"})
    text = estate.trueup(
        "plan", estate.url, *COMMAND_LINE, "envs/dev.yaml", "--set", "tag=x", "--set", "replica=2", code=1
    )
    assert text.splitlines() == [
        '--set replica=2: there is no variable "replica"',
        '  did you mean "replicas"?',
        'envs/dev.yaml:1:6: variable "env" fails its check: self in ["dev", "prod"]',
        "  declared at stack.yaml:6:5: The environment.",
        'envs/dev.yaml:2:11: variable "replicas" must be an integer, not a string',
    ]
    near = estate.trueup("plan", estate.url, "--path", "shop", "--values", "shop/envs/dev.yaml", code=1)
    assert 'did you mean "envs/dev.yaml"? values files are named relative to the stack\'s directory' in near
