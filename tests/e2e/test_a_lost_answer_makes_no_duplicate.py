"""A create is carried out and its answer is lost, or reads do not show it yet: nothing is made twice.

In each system: AWS and a cluster behind a proxy that resets the connection once the server has answered, and
a real sshd whose connection dies after the command has run. The same proxies refuse deletes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.fixtures import Cluster
from tests.e2e.account import SHORT, Account, address, document
from tests.e2e.test_another_place_is_refused import lead_through, server_of, write_stack
from tests.faults.proxy import Asked, Fault, Mode, Proxy, name_of_aws, name_of_kubernetes
from tests.faults.sshd import Sshd
from tests.git.fixtures import GitServer
from tests.moto.fixtures import Moto
from tests.stress.forking import Job, Runs
from tests.stress.invariants import check_always, check_at_rest, check_quiet, look_at
from tests.stress.systems import ClusterPart

from trueup.app import App
from trueup.model.outcome import Result, RunStatus
from trueup.sdk import Target

SHORTS = ("parameter", "queue", "topic", "bucket")
CREATES = frozenset({"ssm:PutParameter", "sqs:CreateQueue", "sns:CreateTopic", "s3:PutBucket"})
DELETES = frozenset({"ssm:DeleteParameter", "sqs:DeleteQueue", "sns:DeleteTopic", "s3:DeleteBucket"})


def first(names: frozenset[str], times: int = 1) -> Callable[[Asked], bool]:
    """Whether a request is one of the first `times` of its name."""
    seen: Counter[str] = Counter()

    def is_meant(asked: Asked) -> bool:
        seen[asked.name] += 1
        return asked.name in names and seen[asked.name] <= times

    return is_meant


@pytest.fixture
def proxy(moto: Moto) -> Iterator[Proxy]:
    with Proxy(moto.endpoint, name_of_aws) as proxy:
        yield proxy


@pytest.fixture
def account(moto: Moto, proxy: Proxy, git_server: GitServer, tmp_path: Path) -> Account:
    moto.reset()
    account = Account(moto, git_server.create(f"lost-{os.urandom(4).hex()}"), tmp_path, proxy.url)
    account.configure(allowEmpty=True)
    account.declare(**{short: document(short, short) for short in SHORTS})
    account.commit()
    return account


@pytest.mark.moto
@pytest.mark.parametrize("times", [1, 9])
def test_a_create_of_aws_whose_answer_is_lost_is_adopted(account: Account, proxy: Proxy, times: int) -> None:
    proxy.spoil(first(CREATES, times), Fault(Mode.LOST))
    account.reconcile()
    assert {*proxy.writes()} >= CREATES, "no answer was lost"
    check_always(look_at(account.systems, account.store, "shop"))
    proxy.heal()
    account.converge()
    assert {thing.name for thing in account.systems[0].objects().values()} == {f"shop-{s}" for s in SHORTS}
    account.check_at_rest()


@pytest.mark.moto
def test_a_delete_of_aws_that_is_refused_or_not_answered_keeps_the_row(
    account: Account, proxy: Proxy
) -> None:
    account.converge()
    look = account.look()
    account.declare(**dict.fromkeys(SHORTS))
    account.commit()
    proxy.spoil(lambda asked: asked.name in DELETES, Fault(Mode.STATUS, 403))
    report = account.reconcile(RunStatus.FAILED, approved=account.plan().digest)
    assert {outcome.result for outcome in report.outcomes} == {Result.FAILED}
    assert look.rows().keys() == {address(short, short) for short in SHORTS}
    proxy.heal()
    proxy.spoil(lambda asked: asked.name in DELETES, Fault(Mode.LOST))
    # What is gone is seen to be gone, by this run or by the next one.
    account.reconcile(approved=account.plan().digest)
    proxy.heal()
    account.converge_approved()
    assert look.rows() == {}
    look.check_spared(*(address(short, short) for short in SHORT))
    account.check_at_rest()


def config_map(namespace: str, name: str, value: str = "1") -> str:
    metadata = {"name": name, "namespace": namespace}
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}
    )


class Behind:
    """A cluster behind a proxy, and a stack there."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, proxy: Proxy) -> None:
        self.proxy = proxy
        self.folder = folder
        self.place = f"/api/v1/namespaces/{namespace}/configmaps"
        file = lead_through(proxy, cluster, folder / "kubeconfig")
        self.target: Target = cluster.target("prod", kubeconfig=str(file), timeout=5)
        self.systems = [ClusterPart(cluster, namespace)]
        self.store = folder / "store.db"

    def run(self, *documents: str) -> tuple[RunStatus, list[Result]]:
        source = write_stack(self.folder / "shop", self.target, *documents)
        with App(str(self.store)) as app:
            report = app.reconcile(source, approved=app.plan(source).digest)
        return report.status, [outcome.result for outcome in report.outcomes]

    def check_at_rest(self, *documents: str) -> None:
        check_at_rest(look_at(self.systems, self.store, "shop"))
        check_quiet(self.systems, lambda: self.run(*documents))

    def rows(self) -> set[str]:
        return set(look_at(self.systems, self.store, "shop").records)


@pytest.fixture
def behind(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Behind]:
    with Proxy(server_of(cluster), name_of_kubernetes) as proxy:
        yield Behind(cluster, namespace, tmp_path, proxy)


@pytest.mark.cluster
@pytest.mark.parametrize("times", [1, 9])
def test_a_create_of_a_cluster_whose_answer_is_lost_is_adopted(
    behind: Behind, namespace: str, cluster: Cluster, times: int
) -> None:
    one = config_map(namespace, "one")
    behind.proxy.spoil(first(frozenset({f"POST {behind.place}"}), times), Fault(Mode.LOST))
    behind.run(one)
    check_always(look_at(behind.systems, behind.store, "shop"))
    (made,) = [each for each in cluster.request("GET", behind.place)["items"] if each["data"] == {"a": "1"}]
    behind.proxy.heal()
    assert behind.run(one)[0] is RunStatus.CONVERGED
    (kept,) = look_at(behind.systems, behind.store, "shop").owned
    assert kept.external_id == made["metadata"]["uid"]
    behind.check_at_rest(one)


@pytest.mark.cluster
def test_a_new_object_that_reads_do_not_show_yet_is_waited_for(behind: Behind, namespace: str) -> None:
    one, name = config_map(namespace, "one"), f"GET {behind.place}/one"
    missing = (
        b'{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}'
    )

    def is_hidden(asked: Asked) -> bool:
        # Two reads after the create still do not show it.
        names = [each.name for each in behind.proxy._asked]
        after = names[names.index(f"POST {behind.place}") :] if f"POST {behind.place}" in names else []
        return asked.name == name and 0 < after.count(name) <= 2

    behind.proxy.spoil(is_hidden, Fault(Mode.BODY, status=404, body=lambda _content: missing))
    assert behind.run(one) == (RunStatus.CONVERGED, [Result.CREATED])
    names = [each.name for each in behind.proxy.asked()]
    assert names.count(f"POST {behind.place}") == 1
    assert names[names.index(f"POST {behind.place}") :].count(name) > 2
    behind.proxy.heal()
    behind.check_at_rest(one)


@pytest.mark.cluster
def test_a_delete_of_a_cluster_is_done_when_it_is_seen(
    behind: Behind, namespace: str, cluster: Cluster
) -> None:
    two = config_map(namespace, "two")
    assert behind.run(config_map(namespace, "one"), two)[0] is RunStatus.CONVERGED
    rows = behind.rows()
    place = f"{behind.place}/one"
    refused = Fault(Mode.STATUS, 403)
    behind.proxy.spoil(lambda asked: asked.name == f"DELETE {place}", refused)
    assert behind.run(two)[0] is RunStatus.FAILED
    assert behind.rows() == rows
    behind.proxy.heal()
    cluster.patch(place, {"metadata": {"finalizers": ["example.com/hold"]}})
    with Runs() as runs:
        # Accepted, and on its way: the run dies while the finalizer holds the object.
        job = Job(str(behind.folder), "after-call:1", stack="shop", is_memory=False, is_approved=True)
        assert runs.run(job).is_killed
    assert cluster.request("GET", place)["metadata"]["deletionTimestamp"]
    assert behind.rows() == rows
    check_always(look_at(behind.systems, behind.store, "shop"))
    cluster.patch(place, {"metadata": {"finalizers": None}})
    assert behind.run(two)[0] is RunStatus.CONVERGED
    assert len(behind.rows()) == 1
    behind.check_at_rest(two)


def test_a_create_of_a_host_whose_answer_is_lost_is_adopted(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    spec = {"path": str(live / "one"), "content": "1"}
    body = {"apiVersion": "ssh.trueup.dev/v1", "kind": "File", "metadata": {"name": "one"}, "spec": spec}
    with Sshd(tmp_path / "sshd") as sshd:
        target = sshd.target("web", stateDir=str(tmp_path / "state"))
        source = write_stack(tmp_path / "shop", target, yaml.safe_dump(body))
        with App(str(tmp_path / "store.db")) as app:
            sshd.lose(live / "one")
            app.reconcile(source)
            assert not (tmp_path / "sshd" / "watched").exists(), "no answer was lost"
            made = (live / "one").stat()
            sshd.behave("good")
            assert app.reconcile(source).status is RunStatus.CONVERGED
            assert not app.reconcile(source).plan.has_changes
            now = (live / "one").stat()
            assert (now.st_ino, now.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
            (record,) = app.store.inventory("shop").values()
            assert record.created
            assert not app.store.open_intents("shop")
    assert [path.name for path in live.iterdir()] == ["one"]
