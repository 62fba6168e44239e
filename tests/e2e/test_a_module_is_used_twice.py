"""The example of modules on the command line: from its directory, and with the module pinned in Git."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.e2e.shop import run_trueup
from tests.git.fixtures import GitServer

EXAMPLE = Path(__file__).parents[2] / "examples/modules"
RESOURCES = (
    "Directory/root", "Directory/blog/folder", "Directory/docs/folder", "File/blog/page", "File/docs/page",
    "File/list",
)  # fmt: skip
Trueup = Callable[..., CompletedProcess[str]]


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """The example, in a folder of its own and about one."""
    shutil.copytree(EXAMPLE, tmp_path / "estate")
    change(tmp_path / "estate/stack/stack.yaml", "/tmp/trueup-modules", str(tmp_path / "live"))
    return tmp_path / "estate"


@pytest.fixture
def trueup(estate: Path, monkeypatch: pytest.MonkeyPatch) -> Trueup:
    """Runs a command on the stack of the example."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(estate.parent / "cache"))

    def run(command: str, *options: str, expect: int = 0) -> CompletedProcess[str]:
        place = (str(estate), "--path", "stack")
        store = ("--store", str(estate.parent / "store.db")) if command != "validate" else ()
        done = run_trueup(command, *place, *store, *options)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return run


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def actions(text: str) -> dict[str, str]:
    """What a plan or a run says of each address."""
    signs = {"+": "create", "~": "update", "-": "delete"}
    found = re.findall(r"^\s*(\S+) sites/(\S+)@here", text, re.MULTILINE)
    return {address: signs.get(word, word) for word, address in found}


def test_a_module_is_used_for_each_site_and_changed_in_one_place(trueup: Trueup, estate: Path) -> None:
    live = estate.parent / "live"
    plan = trueup("plan", expect=2).stdout
    assert actions(plan) == dict.fromkeys(RESOURCES, "create")
    trueup("reconcile", "--yes")
    assert files(live) == ["blog/index.html", "docs/index.html", "sites.txt"]
    assert "<title>The manual</title>" in (live / "docs/index.html").read_text()
    lines = (live / "sites.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [
        "http://localhost:8080/blog/",
        "http://localhost:8080/docs/",
    ]
    assert "nothing to do" in trueup("plan").stdout

    # Drift in one use, corrected by itself.
    (live / "blog/index.html").write_text("by hand\n")
    (live / "docs/index.html").write_text("by hand\n")
    assert actions(trueup("reconcile", "--yes", "--only", "Module/blog").stdout) == {
        "File/blog/page": "updated"
    }
    assert (live / "docs/index.html").read_text() == "by hand\n"
    assert actions(trueup("plan", "--only", "File/docs/page", expect=2).stdout) == {
        "File/docs/page": "update"
    }

    # A change of the module, which is outside of the stack's directory, reaches all its uses.
    change(estate / "modules/site/head.html", "<!doctype html>", "<!DOCTYPE html>")
    done = actions(trueup("reconcile", "--yes").stdout)
    assert done == {"File/blog/page": "updated", "File/docs/page": "updated", "File/list": "updated"}
    assert (live / "docs/index.html").read_text().startswith("<!DOCTYPE html>")


def test_a_use_that_leaves_takes_its_resources_along(trueup: Trueup, estate: Path) -> None:
    live = estate.parent / "live"
    trueup("reconcile", "--yes")
    change(estate / "stack/stack.yaml", "        docs: {title: The manual}\n", "")
    lines = (estate / "stack/sites.yaml").read_text().splitlines(keepends=True)
    (estate / "stack/sites.yaml").write_text("".join(line for line in lines if "Module/docs" not in line))
    plan = trueup("plan", "--only", "Module/docs", expect=2).stdout
    assert actions(plan) == {"File/docs/page": "delete", "Directory/docs/folder": "delete"}
    # What reads it has to let go of it first.
    trueup("reconcile", "--yes", "--only", "Module/docs", "--only", "File/list")
    assert files(live) == ["blog/index.html", "sites.txt"]
    trueup("reconcile", "--yes")
    trueup("destroy", "--yes", "--only", "Module/blog")
    assert not (live / "blog").exists()
    trueup("destroy", "--yes")
    assert not live.exists()


def test_a_module_is_pinned_in_another_repository(
    trueup: Trueup, estate: Path, git_server: GitServer
) -> None:
    live = estate.parent / "live"
    module = {f"lib/{path.name}": path.read_text() for path in sorted((estate / "modules/site").iterdir())}
    shutil.rmtree(estate / "modules")
    repository = git_server.create("modules", password="hush-canary")
    first = repository.commit(module)
    repository.tag("v1.0.0")
    repository.commit({"lib/head.html": "<!doctype html>\n<!-- 2 -->\n"})
    url = repository.url("http").replace("http://", "http://reader:hush-canary@")
    sites = estate / "stack/sites.yaml"

    def pin(ref: str, before: str) -> None:
        change(sites, before, f"{url}//lib?ref={ref}")

    pin("v1.0.0", "../modules/site")
    plan = trueup("plan", expect=2)
    assert len(actions(plan.stdout)) == 6
    assert "hush-canary" not in plan.stdout + plan.stderr
    trueup("reconcile", "--yes")
    assert "<!-- 2 -->" not in (live / "blog/index.html").read_text()

    # The same content by its commit: nothing to do, and from now on without the server.
    pin(first, f"{url}//lib?ref=v1.0.0")
    assert "nothing to do" in trueup("plan").stdout
    repository.path.rename(repository.path.with_suffix(".away"))
    assert "nothing to do" in trueup("plan").stdout
    repository.path.with_suffix(".away").rename(repository.path)

    repository.tag("v1.1.0")
    pin("v1.1.0", f"{url}//lib?ref={first}")
    assert "File/blog/page" in actions(trueup("reconcile", "--yes").stdout)
    assert "<!-- 2 -->" in (live / "blog/index.html").read_text()

    # A branch pins nothing, a problem inside is told with its place there, and no password shows.
    pin("main", f"{url}//lib?ref=v1.1.0")
    refused = trueup("plan", expect=1)
    assert re.search(r"sites\.yaml:13:11: module .*'main' is a branch of http://\*\*\*@", refused.stderr)
    assert "pins nothing" in refused.stderr
    repository.commit({"lib/site.yaml": module["lib/site.yaml"].replace("path:", "paht:", 1)})
    repository.tag("v2.0.0")
    pin("v2.0.0", f"{url}//lib?ref=main")
    broken = trueup("validate", expect=1)
    assert re.search(
        r"http://\*\*\*@\S+@v2\.0\.0/lib/site\.yaml:5:3: in module blog \(sites\.yaml:7:1\): unknown field",
        broken.stderr + broken.stdout,
    )
    assert "hush-canary" not in refused.stderr + refused.stdout + broken.stderr + broken.stdout


def test_a_stack_from_the_network_reads_its_modules_at_its_commit_and_no_repository_of_this_machine(
    estate: Path, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(estate.parent / "cache"))
    repository = git_server.create("estate")
    content = {
        str(path.relative_to(estate)): path.read_text() for path in estate.rglob("*.*") if path.is_file()
    }
    first = repository.commit(content)
    place = ("--path", "stack", "--store", str(estate.parent / "store.db"))
    assert run_trueup("reconcile", repository.url("http"), *place, "--yes").returncode == 0
    repository.commit({"modules/site/head.html": "<!DOCTYPE html>\n"})
    now = run_trueup("plan", repository.url("http"), *place)
    assert set(actions(now.stdout)) >= {"File/blog/page", "File/docs/page"}
    at_first = run_trueup("plan", repository.url("http"), *place, "--ref", first)
    assert "nothing to do" in at_first.stdout, at_first.stdout + at_first.stderr

    modules = git_server.create("modules")
    modules.commit(
        {path.removeprefix("modules/"): text for path, text in content.items() if "modules/" in path}
    )
    modules.tag("v1")
    pinned = content["stack/sites.yaml"].replace("../modules/site", f"{modules.url('file')}//site?ref=v1")
    repository.commit({"stack/sites.yaml": pinned})
    refused = run_trueup("plan", repository.url("http"), *place)
    assert refused.returncode == 1
    assert "is local: that is not allowed here" in refused.stderr
    allowed = run_trueup("plan", repository.url("file"), *place)
    assert allowed.returncode == 0, allowed.stderr
    assert "nothing to do" in allowed.stdout
