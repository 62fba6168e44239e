"""What holds a plan: the deletion budget, and history that was rewritten."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.git.fixtures import GitServer, Repository

from trueup.app import SourceSpec
from trueup.cli.plan_text import render_plan
from trueup.model.outcome import RunStatus
from trueup.model.plan import Hold, Plan, Verdict
from trueup.reconcile.guard import deletion_budget
from trueup.reconcile.report import RunReport
from trueup.sdk.testing.memory_world import Fault

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop


@pytest.mark.parametrize(
    ("max_deletes", "size", "budget"),
    [
        ("", 0, 5),
        ("", 25, 5),
        ("", 29, 5),
        ("", 30, 6),
        ("", 1000, 200),
        ("0", 1000, 0),
        ("7", 3, 7),
        ("20%", 10, 2),
        ("20%", 9, 1),
        ("12.5%", 80, 10),
        ("0%", 100, 0),
        ("100%", 100, 100),
    ],
)
def test_the_budget_is_a_count_or_a_share_rounded_down(max_deletes: str, size: int, budget: int) -> None:
    assert deletion_budget(max_deletes, size) == budget


def guards(plan: Plan) -> list[str]:
    return [hold.guard for hold in plan.holds]


@pytest.mark.parametrize("why", ["orphan", "protected", "gone", "denied"])
def test_what_stays_of_a_stack_that_left_git_does_not_let_the_rest_go(loop: Loop, why: str) -> None:
    lifecycle = {"orphan": {"onDelete": "orphan"}, "protected": {"protect": True}}.get(why, {})
    loop.declare("stays", kind="Shared", lifecycle=lifecycle)
    for name in ("a", "b"):
        loop.declare(name)
    loop.run()
    loop.undeclare("stays", "Shared")
    for name in ("a", "b"):
        loop.undeclare(name)
    if why == "gone":
        loop.world.put(next(key for key in loop.world.list_keys() if key.startswith("Shared")), None)
    if why == "denied":
        loop.world.inject(Fault("observe", "Denied", key="Shared/stays", times=9))
    report = loop.run()
    assert report.status is RunStatus.HELD
    message = "none of the 3 objects of the stack is in Git, and 2 would be deleted"
    assert report.plan.holds == (Hold("whole-stack", message),)
    assert {"Thing/a", "Thing/b"} <= set(loop.world.list_keys())
    assert loop.run(approved=report.plan.digest).status is not RunStatus.HELD
    assert not {"Thing/a", "Thing/b"} & set(loop.world.list_keys())


def test_a_stack_that_goes_on_under_other_names_has_not_left(loop: Loop) -> None:
    for name in ("a", "b"):
        loop.declare(name)
    loop.run()
    loop.declare("c", lifecycle={"movedFrom": ["Thing/a"]})
    for name in ("a", "b"):
        loop.undeclare(name)
    assert guards(loop.plan()) == []


def test_what_cannot_be_looked_at_counts_as_the_delete_that_it_will_be(loop: Loop) -> None:
    """Else one host that is down would let a budget be spent twice."""
    loop.write_stack(guards={"maxDeletes": "2"})
    loop.declare("far", kind="Shared")
    for name in ("a", "b", "stays"):
        loop.declare(name)
    loop.run()
    for name, kind in (("a", "Thing"), ("b", "Thing"), ("far", "Shared")):
        loop.undeclare(name, kind)
    loop.world.inject(Fault("observe", "Denied", key="Shared/far", times=9))
    report = loop.run()
    assert report.plan.holds == (
        Hold(
            "deletion-budget",
            "3 deletes and replaces, 1 of them of objects that cannot be looked at now, where the stack may"
            " have 2 in one run (spec.guards.maxDeletes)",
        ),
    )
    assert len(loop.world.list_keys()) == 4


class Repo:
    """The loop's stack in a Git repository."""

    def __init__(self, loop: Loop, repository: Repository) -> None:
        self.loop = loop
        self.repository = repository
        self.commit(self.thing("a"), self.thing("b"), self.thing("c"))

    def thing(self, name: str) -> tuple[str, str]:
        document = {"apiVersion": "memory.trueup.dev/v1", "kind": "Thing", "metadata": {"name": name}}
        return f"{name}.yaml", yaml.safe_dump(document)

    def commit(self, *files: tuple[str, str | None], force: bool = False) -> str:
        stack = (self.loop.folder / "stack" / "stack.yaml").read_text()
        push = self.repository.force_push if force else self.repository.commit
        return push({"stack.yaml": stack, **dict(files)})

    def run(self, ref: str = "main") -> RunReport:
        return self.loop.app.reconcile(SourceSpec(self.repository.url("file"), ref))


@pytest.fixture
def repo(loop: Loop, git_server: GitServer) -> Repo:
    repo = Repo(loop, git_server.create())
    assert repo.run().status is RunStatus.CONVERGED
    return repo


def test_a_delete_after_history_was_rewritten_is_held(repo: Repo) -> None:
    before = repo.repository.find("main")
    after = repo.commit(repo.thing("a"), repo.thing("b"), force=True)
    report = repo.run()
    assert report.status is RunStatus.HELD
    assert report.plan.holds == (
        Hold(
            "history-rewritten",
            f"the commit of the last run, {before[:12]}, is no ancestor of {after[:12]}:"
            " history was rewritten, or this is another branch",
        ),
    )
    assert repo.run().status is RunStatus.HELD
    repo.loop.app.decide(
        SourceSpec(repo.repository.url("file")), report.plan.digest, Verdict.APPROVED, "bo@web"
    )
    assert repo.run().status is RunStatus.CONVERGED
    assert repo.loop.world.list_keys() == ["Thing/a", "Thing/b"]


def test_rewritten_history_that_deletes_nothing_is_carried_out_and_flagged(repo: Repo) -> None:
    before = repo.repository.find("main")
    repo.commit(*map(repo.thing, "abcd"), force=True)
    report = repo.run()
    assert (report.status, report.plan.rewritten_from) == (RunStatus.CONVERGED, before)
    assert "History was rewritten: the commit of the last run" in "\n".join(
        line.plain for line in render_plan(report.plan)
    )
    assert repo.run().plan.rewritten_from == ""


def test_a_delete_in_a_further_commit_is_not_held(repo: Repo) -> None:
    repo.commit(("c.yaml", None))
    assert repo.run().status is RunStatus.CONVERGED
    assert repo.loop.world.list_keys() == ["Thing/a", "Thing/b"]


def test_going_back_by_force_is_held_and_naming_the_commit_is_not(repo: Repo) -> None:
    old = repo.repository.find("main")
    new = repo.commit(repo.thing("d"))
    assert repo.run().status is RunStatus.CONVERGED
    repo.repository.git("update-ref", "refs/heads/main", old)
    assert [hold.guard for hold in repo.run().plan.holds] == ["history-rewritten"]
    repo.repository.git("update-ref", "refs/heads/main", new)
    assert repo.run(ref=old).status is RunStatus.CONVERGED
    # And forward again.
    assert repo.run().plan.rewritten_from == ""


def test_a_plan_can_be_approved_while_the_repository_is_down(repo: Repo) -> None:
    repo.commit(repo.thing("a"), repo.thing("b"), force=True)
    digest = repo.run().plan.digest
    source = SourceSpec(repo.repository.url("file"), "main")
    shutil.rmtree(repo.repository.path)
    assert repo.loop.app.decide(source, digest, Verdict.APPROVED, "bo@web")[0] == "shop"
    assert repo.loop.app.reconcile(replace(source, is_offline_allowed=True)).status is RunStatus.CONVERGED
