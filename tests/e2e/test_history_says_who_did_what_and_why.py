"""Who changed what in which commit, who approved it, why it failed: asked on the command line afterwards.

A repository with commits of several authors, files of this machine, and a secret that must turn up nowhere.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import GitServer, Repository

CANARY = "canary-7f3d91"


@dataclass
class Site:
    """A stack of files in Git; `pages` are their contents, each of which waits for the one before."""

    folder: Path
    repository: Repository

    def push(self, author: str, pages: dict[str, str], message: str = "Change") -> str:
        target = {
            "name": "here",
            "provider": "ssh",
            "config": {"connection": "local", "stateDir": str(self.folder / "host")},
        }
        head = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "site"},
            "spec": {"targets": [target]},
        }
        documents: list[dict[str, Any]] = []
        for name, content in pages.items():
            before = documents[-1]["metadata"]["name"] if documents else ""
            documents.append(
                {
                    "apiVersion": "ssh.trueup.dev/v1",
                    "kind": "File",
                    "metadata": {"name": name},
                    **({"dependsOn": [f"File/{before}"]} if before else {}),
                    "spec": {"path": str(self.folder / "www" / name), "content": content},
                }
            )
        return self.repository.commit(
            {"stack.yaml": yaml.safe_dump(head), "pages.yaml": yaml.safe_dump_all(documents)},
            message,
            author=author,
        )

    @property
    def url(self) -> str:
        return self.repository.url("http")

    def trueup(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*TRUEUP, *words],
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", "SITE_TOKEN": CANARY, "XDG_STATE_HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr
        return done.stdout

    def ask(self, *words: str) -> Any:
        return json.loads(self.trueup(*words, "--output", "json"))

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("history", self.url)["runs"]
        return found


@pytest.fixture
def site(tmp_path: Path, git_server: GitServer) -> Site:
    (tmp_path / "www").mkdir()
    (tmp_path / "trueup.toml").write_text('store = "store.db"\n[secrets]\nallow = ["env:SITE_*"]\n')
    return Site(tmp_path, git_server.create(f"site-{os.urandom(4).hex()}"))


PAGES = {name: f"{name}\n" for name in ("a", "b", "c", "d", "e", "f", "g", "h")}


def test_history_says_who_did_what_and_why(site: Site) -> None:
    # Ada makes the site; Bo changes a page; Cy's commit fails, and blocks what waits for the page.
    token = {"token": '${{ secret("env:SITE_TOKEN") }}'}
    first = site.push("Ada", {**PAGES, **token})
    site.trueup("reconcile", site.url, "--yes")
    second = site.push("Bo", {**PAGES, **token, "b": "bee\n"})
    site.trueup("reconcile", site.url, "--yes")
    third = site.push("Cy", {**PAGES, **token, "b": "bee\n", "f": "eff\n", "g": "gee\n"})
    page = site.folder / "www" / "f"
    page.unlink()
    page.mkdir()
    (page / "in-the-way").touch()
    site.trueup("reconcile", site.url, "--yes", code=1)

    runs = site.runs()
    assert [(run["commit"], run["author"], run["trigger"], run["status"]) for run in runs] == [
        (third, "Cy <cy@example.com>", "once", "failed"),
        (second, "Bo <bo@example.com>", "once", "converged"),
        (first, "Ada <ada@example.com>", "once", "converged"),
    ]
    table = site.trueup("history", "site", "--limit", "1")
    assert "Cy <cy@example.com>" in table
    assert "Bo <bo@example.com>" not in table

    # The field that Bo changed is Bo's, the others are Ada's.
    assert blamed(site, "File/b.spec.content") == ("Bo <bo@example.com>", second)
    assert blamed(site, "File/a.spec.content") == ("Ada <ada@example.com>", first)
    assert blamed(site, "site/File/b@here.spec.path") == ("Ada <ada@example.com>", first)

    # What is in the way of g is f, and why.
    (reasons,) = site.ask("why", "File/h", "--source", site.url)["nodes"]
    assert [node["address"] for node in reasons["paths"][0]][-1] == "site/File/f@here"
    error = reasons["paths"][0][-1]["lastError"]
    assert (error["result"], error["run"]["run"]) == ("failed", runs[0]["run"])
    text = site.trueup("why", "File/h", "--source", site.url)
    assert "waits for site/File/f@here" in text

    # Two runs, side by side.
    difference = site.ask("diff", str(runs[1]["run"]), str(runs[0]["run"]))
    results = {node["address"]: node["results"] for node in difference["nodes"]}
    assert results["site/File/b@here"] == ["updated", None]
    assert results["site/File/f@here"] == [None, "failed"]

    # Dee removes pages; the guard holds it until Eve approves it.
    (page / "in-the-way").unlink()
    page.rmdir()
    site.trueup("reconcile", site.url, "--yes")
    site.push("Dee", {"a": "a\n", "b": "bee\n"})
    held = json.loads(site.trueup("reconcile", site.url, "--yes", "-o", "json", code=3))
    site.trueup("approve", site.url, held["plan"]["digest"], "--as", "eve@desk")
    site.trueup("reconcile", site.url, "--yes")
    run = site.runs()[0]
    assert (run["author"], run["approvedBy"]) == ("Dee <dee@example.com>", "eve@desk")
    shown = site.ask("show", str(run["run"]))
    assert [hold["guard"] for hold in shown["plan"]["holds"]] == ["deletion-budget"]
    assert [step["result"] for step in shown["steps"]].count("deleted") == 7
    assert "approved by: eve@desk" in site.trueup("show", str(run["run"]))
    assert blamed(site, "File/h@here") == ("Dee <dee@example.com>", run["commit"])

    # The secret is nowhere: not in any run, not in the store.
    for each in site.runs():
        site.trueup("show", str(each["run"]), "--output", "json")
    files = [file for file in site.folder.iterdir() if file.name.startswith("store.db")]
    assert files
    assert not [file.name for file in files if CANARY.encode() in file.read_bytes()]


def blamed(site: Site, text: str) -> tuple[str, str]:
    (node,) = site.ask("blame", text, "--source", site.url)["nodes"]
    return node["run"]["author"], node["commit"]
