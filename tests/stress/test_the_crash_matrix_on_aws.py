"""kill -9 at every point of every operation on each kind of AWS: nothing is made twice, lost or deleted.

The operations follow each other in a circle, so that each starts from what the one before has left. In every
round each of them is killed at the next of the points that it passes. The points before the first intent and
after the last outcome are the same for every kind; topics alone are killed there, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.moto.fixtures import REGION, Moto
from tests.stress.forking import Answer, Job, Runs
from tests.stress.invariants import check_always, check_at_rest, look

from trueup.sdk import Kind, Session
from trueup.state.open import open_store
from trueup.state.store import Store
from trueup_aws.provider import AwsProvider

pytestmark = [pytest.mark.moto]

PROPERTIES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "AWS::SQS::Queue": ("QueueName", {"VisibilityTimeout": 10}, {"VisibilityTimeout": 20}),
    "AWS::SNS::Topic": ("TopicName", {"DisplayName": "one"}, {"DisplayName": "two"}),
    "AWS::SSM::Parameter": ("Name", {"Type": "String", "Value": "1"}, {"Type": "String", "Value": "2"}),
    "AWS::S3::Bucket": (
        "BucketName",
        {"Tags": [{"Key": "size", "Value": "1"}]},
        {"Tags": [{"Key": "size", "Value": "2"}]},
    ),
}
# Name, whether it has its second spec, name of its object, and its lifecycle; None where there is nothing.
CIRCLE: dict[str, tuple[str, bool, str, dict[str, Any]] | None] = {
    "create": ("it", False, "object-a", {}),
    "update": ("it", True, "object-a", {}),
    "replace": ("it", True, "object-b", {}),
    "createFirst": ("it", True, "object-c", {"replace": "createFirst"}),
    "move": ("that", True, "object-c", {"movedFrom": ["{kind}/it"]}),
    "move and replace": ("these", True, "object-d", {"movedFrom": ["{kind}/that"]}),
    "delete": None,
    "adopt": ("it", False, "foreign", {"adopt": True}),
    "release": None,
}


class Account:
    """One kind on one moto server, and the stack that declares one object of it."""

    def __init__(self, moto: Moto, folder: Path, kind: str, runs: Runs) -> None:
        self.moto = moto
        self.kind = kind
        self.folder = folder
        self.runs = runs
        self.approves = kind == "AWS::S3::Bucket"
        (folder / "stack").mkdir()
        self.write(
            "stack", {"targets": [{"name": "eu", "provider": "aws", "config": dict(moto.target().config)}]}
        )

    def write(self, file: str, spec: dict[str, Any]) -> None:
        whole = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}}
        spec = {**spec, "allowEmpty": True, "guards": {"maxDeletes": 9}}
        (self.folder / "stack" / f"{file}.yaml").write_text(yaml.safe_dump({**whole, "spec": spec}))

    def declare(self, operation: str) -> None:
        file = self.folder / "stack" / "resource.yaml"
        wanted = CIRCLE[operation]
        if wanted is None:
            if operation == "delete":
                file.unlink()
                return
            # What is to be released says so while it is still declared.
            wanted = CIRCLE["adopt"]
        assert wanted is not None
        name, is_second, object_name, lifecycle = wanted
        if operation == "release":
            lifecycle = {"adopt": True, "onDelete": "orphan"}
        if "movedFrom" in lifecycle:
            lifecycle = {"movedFrom": [text.format(kind=self.kind) for text in lifecycle["movedFrom"]]}
        key, first, second = PROPERTIES[self.kind]
        document = {
            "apiVersion": "aws.trueup.dev/v1",
            "kind": self.kind,
            "metadata": {"name": name},
            "lifecycle": lifecycle,
            "spec": {key: object_name, **(second if is_second else first)},
        }
        file.write_text(yaml.safe_dump(document))
        if operation == "release":
            assert self.run().status == "converged"
            file.unlink()

    def plant(self, name: str) -> None:
        """An object that is not ours."""
        client = self.moto.client
        if self.kind == "AWS::SQS::Queue":
            client("sqs").create_queue(QueueName=name)
        elif self.kind == "AWS::SNS::Topic":
            client("sns").create_topic(Name=name)
        elif self.kind == "AWS::SSM::Parameter":
            client("ssm").put_parameter(Name=name, Type="String", Value="0")
        else:
            place = {"LocationConstraint": REGION}
            client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)

    def names(self) -> list[str]:
        """The objects of the kind, whoever they belong to."""
        client = self.moto.client
        if self.kind == "AWS::SQS::Queue":
            urls = client("sqs").list_queues().get("QueueUrls", [])
            return sorted(url.rpartition("/")[2] for url in urls)
        if self.kind == "AWS::SNS::Topic":
            return sorted(
                each["TopicArn"].rpartition(":")[2] for each in client("sns").list_topics()["Topics"]
            )
        if self.kind == "AWS::SSM::Parameter":
            return sorted(each["Name"] for each in client("ssm").describe_parameters()["Parameters"])
        return sorted(each["Name"] for each in client("s3").list_buckets()["Buckets"])

    def job(self, where: str = "") -> Job:
        return Job(str(self.folder), where, is_memory=False, is_approved=self.approves)

    def run(self) -> Answer:
        return self.runs.run(replace(self.job(), is_inline=True))


@pytest.fixture(scope="module")
def aws_runs(moto: Moto) -> Iterator[Runs]:
    """Started with the credentials of the test server."""
    with Runs() as runs:
        yield runs


@pytest.mark.parametrize("kind", PROPERTIES)
def test_a_run_against_aws_killed_anywhere_is_finished_by_the_next_one(
    aws_runs: Runs, moto: Moto, tmp_path: Path, kind: str
) -> None:
    moto.reset()
    account = Account(moto, tmp_path, kind, aws_runs)
    account.plant("nobody")
    store = open_store(str(tmp_path / "store.db"))
    provider = AwsProvider()
    session = provider.connect(moto.target(), f"{store.installation}/shop")
    one = provider.kind("aws.trueup.dev/v1", kind)
    assert one is not None
    try:
        # What the first of the runs loads is there for those that are killed.
        aws_runs.run(Job(str(tmp_path), is_memory=False, is_inline=True))
        found = {operation: _begin(account, operation) for operation in CIRCLE}
        assert all("after-call:1" in passes for passes in found.values()), found
        wrong = []
        for number in range(max(map(len, found.values()))):
            for operation, passes in found.items():
                where = passes[number] if number < len(passes) else ""
                _arrange(account, operation)
                try:
                    _kill_and_finish(account, operation, where, one, session, store)
                except AssertionError as error:
                    wrong.append(f"{operation} at {where}: {error}")
            _expect_no_write(account)
        assert wrong == []
    finally:
        session.close()
        store.close()


def _arrange(account: Account, operation: str) -> None:
    if operation == "adopt" and "foreign" not in account.names():
        account.plant("foreign")
    account.declare(operation)


def _begin(account: Account, operation: str) -> list[str]:
    """The points that the operation passes when nothing goes wrong."""
    _arrange(account, operation)
    found = account.runs.passes(account.job())
    if account.kind == "AWS::SNS::Topic":
        return found
    names = [point.partition(":")[0] for point in found]
    last = len(names) - names[::-1].index("after-outcome")
    return found[names.index("before-intent") : last]


def _kill_and_finish(
    account: Account, operation: str, where: str, kind: Kind, session: Session, store: Store
) -> None:
    if where:
        answer = account.runs.run(account.job(where))
        assert answer.is_killed, f"the run was not killed: {answer}"
        check_always(look([kind], session, store, "shop"))
    answer = account.run()
    assert answer.status == "converged", f"I4: {answer}"
    if not where:
        return
    check_at_rest(look([kind], session, store, "shop"))
    wanted = CIRCLE[operation]
    # What was adopted once and released stays; so does what was never ours.
    names = {
        "nobody",
        *(["foreign"] if "foreign" in account.names() else []),
        *([wanted[2]] if wanted else []),
    }
    assert account.names() == sorted(names), "an object is lost, or left over"


def _expect_no_write(account: Account) -> None:
    account.moto.mark()
    answer = account.run()
    assert (answer.status, answer.has_changes) == ("converged", False), f"I4: {answer}"
    assert account.moto.writes() == [], "I4: it writes"
