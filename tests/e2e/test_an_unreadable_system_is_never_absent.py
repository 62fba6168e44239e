"""Every read of a system is spoiled, in each way in which reads go wrong: nothing is written for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.account import PATH, SHORT, Account, address, document
from tests.faults.proxy import Asked, Fault, Mode, Proxy, name_of_aws
from tests.git.fixtures import GitServer
from tests.moto.fixtures import Moto
from tests.stress.invariants import check_always, check_at_rest, look_at

from trueup.errors import StalePlan
from trueup.model.address import Address
from trueup.model.change import Action
from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Plan

pytestmark = [pytest.mark.moto]

FAULTS = {
    "401": Fault(Mode.STATUS, 401),
    "403": Fault(Mode.STATUS, 403),
    "404 of a gateway": Fault(Mode.STATUS, 404),
    "500": Fault(Mode.STATUS, 500),
    "a page of a gateway": Fault(Mode.PAGE),
    "a body that ends early": Fault(Mode.CUT),
    "half a body": Fault(Mode.SHORT),
    "no body": Fault(Mode.BODY, body=lambda _content: b""),
    "a reset": Fault(Mode.RESET),
}
# The others come to the same in the client: of them the first two reads of each service will do.
FOR_EACH_READ = ("403", "a page of a gateway", "half a body")
SHORTS = ("parameter", "queue", "topic", "bucket")
SERVICES = {"ssm": "parameter", "sqs": "queue", "sns": "topic", "s3": "bucket"}


@pytest.fixture
def proxy(moto: Moto) -> Iterator[Proxy]:
    with Proxy(moto.endpoint, name_of_aws) as proxy:
        yield proxy


@pytest.fixture
def account(moto: Moto, proxy: Proxy, git_server: GitServer, tmp_path: Path) -> Account:
    """Five objects of each kind, of which Git wants one less, one more, and one of them otherwise."""
    moto.reset()
    account = Account(moto, git_server.create(f"estate-{os.urandom(4).hex()}"), tmp_path, proxy.url)
    account.configure(guards={"maxDeletes": 4})
    for short in SHORTS:
        account.declare(**{f"{short}{number}": document(short, f"{short}{number}") for number in range(5)})
    account.commit()
    account.converge()
    change(account)
    return account


def change(account: Account) -> None:
    for short in SHORTS:
        account.declare(
            **{
                f"{short}0": None,
                f"{short}1": document(short, f"{short}1", 2),
                f"{short}9": document(short, f"{short}9"),
            }
        )
    # What depends on an object of each kind: a read that is missing holds it back as well.
    needed = [f"{SHORT[short]}/{short}4" for short in SHORTS]
    account.declare(last=document("parameter", "last", dependsOn=needed))
    account.commit()


def actions(plan: Plan) -> dict[str, Action]:
    return {str(change.address): change.action for change in plan.changes}


def by_service(reads: Sequence[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for read in reads:
        found.setdefault(read.partition(":")[0], []).append(read)
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_of_aws_that_goes_wrong_makes_nothing_absent(
    account: Account, proxy: Proxy, fault: str
) -> None:
    proxy.mark()
    healthy = actions(account.plan())
    assert set(healthy.values()) == {Action.NONE, Action.CREATE, Action.UPDATE, Action.DELETE}
    reads = by_service(proxy.reads())
    assert {"sts", *SERVICES} == set(reads)
    assert sum(map(len, reads.values())) > 15, reads
    look, proxy_writes = account.look(), []
    # Services do not care for each other, so that one read of each can be spoiled at once.
    for number in range(max(map(len, reads.values())) if fault in FOR_EACH_READ else 2):
        spoiled = {names[number] for service, names in reads.items() if number < len(names)}
        if number == 0:
            spoiled -= {"sts:GetCallerIdentity"}
        check_plan(account, proxy, spoiled, FAULTS[fault], healthy)
        proxy_writes += proxy.writes()
    check_plan(account, proxy, {"sts:GetCallerIdentity"}, FAULTS[fault], healthy)
    assert [*proxy_writes, *proxy.writes()] == []
    look.check_untouched()
    if fault in FOR_EACH_READ:
        check_run(account, proxy, {names[0] for service, names in reads.items() if service != "sts"}, fault)
        look.check_spared(*[address(short, f"{short}0") for short in SHORTS])
        account.check_at_rest()


def check_run(account: Account, proxy: Proxy, spoiled: set[str], fault: str) -> None:
    """A run in the middle of it writes to nothing that it could not look at, and mends itself afterwards."""
    proxy.spoil(lambda asked: asked.name in spoiled, FAULTS[fault])
    proxy.mark()
    report = account.reconcile(RunStatus.FAILED, approved=account.plan().digest)
    unknown = {change.address for change in report.plan.changes if change.action is Action.UNKNOWN}
    assert len(unknown) > len(SHORTS)
    touched = [asked for asked in proxy.asked() if asked.is_write and is_about(asked, unknown)]
    assert touched == []
    results = {str(outcome.address): outcome.result for outcome in report.outcomes}
    assert results[address("parameter", "last")] in (Result.BLOCKED, Result.FAILED)
    assert {results[str(each)] for each in unknown} <= {Result.FAILED, Result.BLOCKED}
    check_always(look_at(account.systems, account.store, "shop"))
    proxy.heal()
    account.converge_approved()


def check_plan(
    account: Account, proxy: Proxy, spoiled: set[str], fault: Fault, healthy: Mapping[str, Action]
) -> None:
    proxy.spoil(lambda asked: asked.name in spoiled, fault)
    seen = actions(account.plan())
    proxy.heal()
    assert seen.keys() == healthy.keys()
    wrong = {
        node: (action, healthy[node])
        for node, action in seen.items()
        if action not in (healthy[node], Action.UNKNOWN)
    }
    assert wrong == {}, f"{spoiled}: {wrong}"
    kinds = {SHORT[SERVICES[read.partition(":")[0]]] for read in spoiled if not read.startswith("sts")}
    unknown = {node.split("/")[1] for node, action in seen.items() if action is Action.UNKNOWN}
    assert unknown == (kinds or set(SHORT.values())), f"{spoiled}: it was spoiled and nobody noticed"


def is_about(asked: Asked, unknown: set[Address]) -> bool:
    """Whether the request names an object of one of these addresses."""
    return any(f"shop-{node.name}" in asked.text for node in unknown)


def test_reads_that_stop_working_in_the_middle_of_a_run_leave_nothing_behind(
    account: Account, proxy: Proxy
) -> None:
    """From the nth read on all of them fail, in a plan, before a step, or when it is looked at."""
    first = {path: text for path, text in account.files.items() if not path.endswith("last.yaml")}
    for short in SHORTS:
        first |= {f"{PATH}/{short}{number}.yaml": document(short, f"{short}{number}") for number in (0, 1)}
        first.pop(f"{PATH}/{short}9.yaml")
    # What cannot be looked at any more is not waited for.
    commits = [
        {
            path: text if path.endswith("stack.yaml") else f"{text}lifecycle: {{timeout: 1s}}\n"
            for path, text in each.items()
        }
        for each in (first, account.files)
    ]
    proxy.mark()
    account.plan()
    count = len(proxy.asked())
    # Before and after the last read of the plan.
    for number, fault in ((count - 5, "403"), (count + 15, "a reset")):
        account.files = commits[1]
        account.commit()
        digest = account.plan().digest
        proxy.spoil(lambda asked: not asked.is_write, FAULTS[fault], passes=number)
        with suppress(
            StalePlan
        ):  # where a read of the plan failed already, it is not the one that was approved
            account.reconcile(approved=digest)
        check_always(look_at(account.systems, account.store, "shop"))
        proxy.heal()
        account.converge_approved()
        check_at_rest(look_at(account.systems, account.store, "shop"))
        # And back: what went is made again, and what came goes.
        commits.reverse()
    account.check_at_rest()


def test_a_page_that_is_missing_makes_nothing_absent(
    moto: Moto, proxy: Proxy, git_server: GitServer, tmp_path: Path
) -> None:
    """The second page of a list fails, is empty, or is the first one again."""
    moto.reset()
    account = Account(moto, git_server.create(f"estate-{os.urandom(4).hex()}"), tmp_path, proxy.url)
    names = [f"p{number:02}" for number in range(14)]
    account.declare(**{name: document("parameter", name) for name in names})
    account.commit()
    account.converge()
    account.declare(p00=None, p01=document("parameter", "p01", 2))
    account.commit()
    healthy = actions(account.plan())
    look = account.look()
    tokens = [asked for asked in proxy.asked() if "NextToken" in asked.text]
    assert tokens == [] or all(asked.name == "ssm:DescribeParameters" for asked in tokens)
    for fault in (FAULTS["500"], FAULTS["a reset"], FAULTS["half a body"]):
        for page in (0, 1):
            proxy.spoil(lambda asked: asked.name == "ssm:DescribeParameters", fault, passes=page)
            seen = actions(account.plan())
            proxy.heal()
            assert all(action in (healthy[node], Action.UNKNOWN) for node, action in seen.items())
            assert Action.UNKNOWN in seen.values()
    look.check_untouched()
    account.converge()
    account.check_at_rest()
