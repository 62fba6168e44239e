"""How many objects of a stack may go in one run, on AWS, among objects that belong to nobody or to others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.account import Account, address, document
from tests.git.fixtures import GitServer
from tests.moto.fixtures import REGION, Moto

from trueup.app import App
from trueup.errors import StalePlan
from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Plan, Verdict

pytestmark = [pytest.mark.moto]

Make = Callable[[], Account]


@pytest.fixture
def make(moto: Moto, git_server: GitServer, tmp_path: Path) -> Make:
    def make() -> Account:
        moto.reset()
        return Account(moto, git_server.create(f"estate-{os.urandom(4).hex()}"), tmp_path)

    return make


def declare(account: Account, count: int) -> list[str]:
    names = [f"p{number:02}" for number in range(count)]
    account.declare(**{name: document("parameter", name) for name in names})
    account.commit()
    account.converge()
    return names


def plant(moto: Moto, count: int) -> None:
    """Objects that nobody declares, some of them with somebody else's marker."""
    for number in range(count):
        tags = [{"Key": "trueup:owner", "Value": "somebody/shop"}] if number % 2 else []
        moto.client("ssm").put_parameter(Name=f"foreign-{number}", Type="String", Value="0", Tags=tags)


def guards(plan: Plan) -> set[str]:
    return {hold.guard for hold in plan.holds}


@pytest.mark.parametrize(("size", "budget"), [(8, 5), (30, 6)])
def test_a_budget_is_kept_to_the_last_delete(make: Make, moto: Moto, size: int, budget: int) -> None:
    account = make()
    # They are no part of the stack, and do not make it larger.
    plant(moto, 40)
    names = declare(account, size)
    look = account.look()

    gone = names[: budget + 1]
    account.declare(**dict.fromkeys(gone))
    account.commit()
    held = account.reconcile(RunStatus.HELD)
    assert guards(held.plan) == {"deletion-budget"}
    assert (
        f"{budget + 1} deletes and replaces, where the stack may have {budget}" in held.plan.holds[0].message
    )
    look.check_untouched()

    # One of them comes back: as many as are allowed go by themselves.
    account.declare(**{gone[-1]: document("parameter", gone[-1])})
    account.commit()
    report = account.converge()
    assert report.counts[Result.DELETED] == budget
    look.check_spared(*[address("parameter", name) for name in gone[:-1]])
    account.check_at_rest()


def test_replacements_count_and_an_approval_is_for_one_plan_of_one_world(make: Make, moto: Moto) -> None:
    account = make()
    plant(moto, 2)
    names = declare(account, 10)
    look = account.look()
    # Three go, three get another name.
    account.declare(**dict.fromkeys(names[:3]))
    for name in names[3:6]:
        text = document("parameter", name).replace(f"shop-{name}", f"shop-other-{name}")
        account.declare(**{name: text})
    account.commit()
    digest = account.reconcile(RunStatus.HELD).plan.digest
    with pytest.raises(StalePlan):
        account.reconcile(approved="sha256:" + "0" * 64)
    look.check_untouched()

    # The world moves: one that is to be deleted is written to by somebody. It may have become useful.
    moto.client("ssm").put_parameter(Name=f"shop-{names[0]}", Value="in use", Overwrite=True)
    with pytest.raises(StalePlan):
        account.reconcile(approved=digest)
    moved = account.reconcile(RunStatus.HELD).plan.digest
    assert moved != digest
    with App(str(account.store)) as app:
        _, decision = app.decide(account.source, digest, Verdict.APPROVED, "bo")
        assert decision.digest == digest
    assert account.reconcile(RunStatus.HELD).plan.stale_approval == decision
    # Git moves: a seventh is to go.
    account.declare(**{names[6]: None})
    account.commit()
    with pytest.raises(StalePlan):
        account.reconcile(approved=moved)
    assert moto.client("ssm").get_parameter(Name=f"shop-{names[0]}")["Parameter"]["Value"] == "in use"

    account.declare(**{names[6]: document("parameter", names[6])})
    account.commit()
    approved = account.plan().digest
    report = account.reconcile(RunStatus.CONVERGED, approved=approved)
    assert report.counts[Result.DELETED] == report.counts[Result.REPLACED] == 3
    look.check_spared(*[address("parameter", name) for name in names[:6]])
    account.check_at_rest()


def test_what_holds_data_and_what_is_all_of_a_stack_waits_however_little_it_is(
    make: Make, moto: Moto
) -> None:
    account = make()
    plant(moto, 6)
    place = {"LocationConstraint": REGION}
    moto.client("s3").create_bucket(Bucket="foreign", CreateBucketConfiguration=place)
    account.declare(b=document("bucket", "b"), q=document("queue", "q"), t=document("topic", "t"))
    account.commit()
    account.converge()
    look = account.look()

    account.declare(b=None)
    account.commit()
    held = account.reconcile(RunStatus.HELD)
    assert guards(held.plan) == {"stateful"}
    look.check_untouched()

    # All of it; what others have on the same target does not count as a part that stays.
    account.configure(allowEmpty=True)
    account.declare(q=None, t=None)
    account.commit()
    held = account.reconcile(RunStatus.HELD)
    assert guards(held.plan) == {"stateful", "whole-stack"}
    look.check_untouched()

    # Neither does what stays because it is to stay.
    account.declare(
        b=document("bucket", "b"),
        q=document("queue", "q", lifecycle={"onDelete": "orphan"}),
        t=document("topic", "t"),
    )
    account.commit()
    account.converge()
    look = account.look()
    account.declare(b=None, q=None, t=None)
    account.commit()
    held = account.reconcile(RunStatus.HELD)
    assert guards(held.plan) == {"stateful", "whole-stack"}
    look.check_untouched()
    account.converge_approved()
    look.check_spared(address("bucket", "b"), address("topic", "t"))
    account.check_at_rest()


def test_a_delete_that_fails_is_not_forgotten(make: Make, moto: Moto) -> None:
    """The inventory keeps what could not be deleted, and the next runs, in other processes, try again."""
    account = make()
    names = declare(account, 4)
    look = account.look()
    account.declare(**{names[0]: None})
    account.commit()
    # As often as the two runs ask.
    moto.fail("ssm:DeleteParameter", "AccessDeniedException", status=403, times=2)
    for _ in range(2):
        report = account.reconcile(RunStatus.FAILED)
        assert [outcome.result for outcome in report.outcomes if outcome.address.name == names[0]] == [
            Result.FAILED
        ]
        assert address("parameter", names[0]) in look.rows()
    assert account.converge().counts[Result.DELETED] == 1
    look.check_spared(address("parameter", names[0]))
    account.check_at_rest()
