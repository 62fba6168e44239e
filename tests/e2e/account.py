"""A stack of AWS objects in a Git repository, and what the tests of its losses look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.git.fixtures import Content, Repository
from tests.moto.fixtures import Moto
from tests.stress.invariants import check_at_rest, check_quiet, check_spared, look_at, survey
from tests.stress.systems import Aws, System

from trueup.app import App, SourceSpec
from trueup.collector import collect_garbage
from trueup.model.outcome import RunStatus
from trueup.model.plan import Plan
from trueup.reconcile.report import RunReport
from trueup.sdk import Target

PATH = "shop"
# Kind, the property that names it, and one that can be changed.
KINDS: Mapping[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "AWS::SSM::Parameter": ("Name", lambda version: {"Type": "String", "Value": f"v{version}"}),
    "AWS::SQS::Queue": ("QueueName", lambda version: {"VisibilityTimeout": version}),
    "AWS::SNS::Topic": ("TopicName", lambda version: {"DisplayName": f"v{version}"}),
    "AWS::S3::Bucket": ("BucketName", lambda version: {"Tags": [{"Key": "v", "Value": str(version)}]}),
}
SHORT = {"parameter": "AWS::SSM::Parameter", "queue": "AWS::SQS::Queue", "topic": "AWS::SNS::Topic"}
SHORT["bucket"] = "AWS::S3::Bucket"


def document(short: str, name: str, version: int = 1, **more: Any) -> str:
    """A resource file: `short` is parameter, queue, topic or bucket. `more` are keys beside `spec`."""
    kind = SHORT[short]
    key, spec = KINDS[kind]
    body = {
        "apiVersion": "aws.trueup.dev/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {key: f"shop-{name}", **spec(version)},
        **more,
    }
    return yaml.safe_dump(body, sort_keys=False)


def stack_file(target: Target, **spec: Any) -> str:
    targets = [{"name": target.name, "provider": target.provider, "config": dict(target.config)}]
    body = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}}
    return yaml.safe_dump({**body, "spec": {"targets": targets, **spec}}, sort_keys=False)


class Account:
    """The stack at `shop/` of a repository, on moto, with a store of its own.

    `endpoint` is where trueup thinks that AWS is. The runs are made in the process of the test, as the daemon
    makes them; `store` is closed in between.
    """

    def __init__(self, moto: Moto, repository: Repository, folder: Path, endpoint: str = "") -> None:
        self.moto = moto
        self.repository = repository
        self.store = folder / "store.db"
        config = {"endpointUrl": endpoint} if endpoint else {}
        self.target = moto.target("eu", maxAttempts=1, timeout=10, **config)
        self.systems: list[System] = [Aws(moto)]
        self.files: dict[str, Content] = {f"{PATH}/stack.yaml": stack_file(self.target)}

    @property
    def source(self) -> SourceSpec:
        return SourceSpec(self.repository.url("http"), "main", PATH)

    def declare(self, **documents: str | None) -> None:
        """Files of the stack by their names; None removes one. `commit` sends them."""
        for name, text in documents.items():
            path = f"{PATH}/{name}.yaml"
            if text is None:
                self.files.pop(path, None)
            else:
                self.files[path] = text

    def configure(self, **spec: Any) -> None:
        """What the stack file says, beside the target."""
        self.files[f"{PATH}/stack.yaml"] = stack_file(self.target, **spec)

    def commit(self, files: Mapping[str, Content] | None = None) -> str:
        """A commit with exactly these files, by default those that were declared."""
        wanted = self.files if files is None else files
        there = self.repository.git("ls-tree", "-r", "--name-only", "main").splitlines() if self._head else []
        return self.repository.commit({**dict.fromkeys(there), **wanted})

    @property
    def _head(self) -> str:
        return self.repository.find("refs/heads/main")

    @contextmanager
    def open(self) -> Iterator[App]:
        with App(str(self.store)) as app:
            yield app
        # As the daemon does between its runs: each has libraries of AWS of its own.
        collect_garbage()

    def reconcile(self, expect: RunStatus | None = None, approved: str = "") -> RunReport:
        with self.open() as app:
            report = app.reconcile(self.source, approved=approved)
        assert expect in (None, report.status), [
            (str(outcome.address), outcome.result, outcome.message) for outcome in report.outcomes
        ] or report.plan.holds
        return report

    def converge(self) -> RunReport:
        return self.reconcile(RunStatus.CONVERGED)

    def converge_approved(self) -> RunReport:
        """A run whose plan somebody has approved, whatever holds it."""
        return self.reconcile(RunStatus.CONVERGED, approved=self.plan().digest)

    def plan(self) -> Plan:
        with self.open() as app:
            return app.plan(self.source)

    def check_at_rest(self) -> None:
        """I1, I2 and I4."""
        check_at_rest(look_at(self.systems, self.store, "shop"))
        check_quiet(self.systems, self.converge)

    def look(self) -> Look:
        return Look(self)


class Look:
    """Everything that lived at one moment; says what became of it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._survey = survey(account.systems)
        self._rows = self.rows()

    def rows(self) -> dict[str, str]:
        """The inventory: each address with the id of its object."""
        sight = look_at(self._account.systems, self._account.store, "shop")
        return {address: record.external_id for address, record in sight.records.items()}

    def check_untouched(self) -> None:
        """Nothing was written, nothing is gone or different, and the inventory is what it was."""
        assert self._account.moto.writes() == []
        for system, things in self._survey.things:
            assert system.objects() == things
        self.check_spared()
        assert self.rows() == self._rows

    def check_spared(self, *doomed: str) -> None:
        """I3: of what lived, only objects of ours at those addresses are gone."""
        check_spared(self._survey, self._account.store, "shop", doomed)


def address(short: str, name: str) -> str:
    return f"shop/{SHORT[short]}/{name}@eu"
