"""The real cluster that tests use: one for the whole session, brought up when the first test asks for it.

Loaded by tests/conftest.py. TRUEUP_TEST_KUBECONFIG names a cluster to be used instead, which may be filled
and emptied. The KUBECONFIG of the person who runs the tests is never read. Tests keep out of each other's
way by namespaces; what belongs to none gets a unique name.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.binaries import NoCluster, find_binaries
from tests.cluster.fakenode import FakeNode
from tests.cluster.processes import Processes

from trueup.sdk import Target
from trueup_kubernetes.client import USER_AGENT, Client, open_client

Body = Mapping[str, Any]
ADMIN_CONTEXT, LIMITED_CONTEXT = "local", "limited"


class Cluster:
    """A cluster, as tests see it. `kubeconfig` is its file; our own has the context `limited`, too."""

    def __init__(self, kubeconfig: Path, audit_log: Path | None = None) -> None:
        self.kubeconfig = str(kubeconfig)
        self._audit_log = audit_log
        self._mark = 0
        self._client: Client = open_client(self.kubeconfig, "", 30.0, 8, user_agent="the tests")[0]

    def target(self, name: str = "cluster", **config: Any) -> Target:
        """A target that leads to this cluster."""
        return Target(name, "kubernetes", config={"kubeconfig": self.kubeconfig, **config})

    def limited_target(self, name: str = "cluster", **config: Any) -> Target:
        """The same cluster as a user who may do nothing that was not granted to `limited`."""
        if self._audit_log is None:
            pytest.skip("the given cluster has no user without rights")
        return self.target(name, context=LIMITED_CONTEXT, **config)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
    ) -> Body:
        """The server's answer, past everything that is tested. Fails where it refuses; see `ask`."""
        status, answer = self.ask(method, path, body, query=query, content_type=content_type)
        assert 200 <= status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
    ) -> tuple[int, Body]:
        """The status and body of the server's answer, whatever it is."""
        answer = self._client.request(method, path, query=query, body=body, content_type=content_type)
        return answer.status, answer.body or {}

    def patch(self, path: str, body: Any, manager: str = "kubectl-edit") -> Body:
        """A merge patch, as by a person with kubectl."""
        content_type = "application/merge-patch+json"
        return self.request("PATCH", path, body, query=[("fieldManager", manager)], content_type=content_type)

    def mark(self) -> None:
        """From here on `audit` counts."""
        self._mark = self._log().stat().st_size

    def audit(self, *verbs: str) -> list[Body]:
        """The requests of the provider since the mark: audit events, of those verbs or all."""
        with self._log().open("rb") as log:
            log.seek(self._mark)
            events = [json.loads(line) for line in log.read().splitlines() if line.endswith(b"}")]
        return [
            event
            for event in events
            if event["userAgent"] == USER_AGENT and (not verbs or event["verb"] in verbs)
        ]

    def writes(self) -> list[Body]:
        """The requests since the mark that may change something."""
        return self.audit("create", "update", "patch", "delete", "deletecollection")

    def close(self) -> None:
        self._client.close()

    def _log(self) -> Path:
        if self._audit_log is None:
            pytest.skip("the given cluster has no audit log here")
        return self._audit_log


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The test cluster. Skips where there is none to be had, and fails with CI=true."""
    given = os.environ.get("TRUEUP_TEST_KUBECONFIG")
    if given:
        found = Cluster(Path(given))
        yield found
        found.close()
        return
    try:
        processes = Processes(find_binaries(), tmp_path_factory.mktemp("cluster"))
        processes.start()
    except NoCluster as why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no test cluster: {why}")
        pytest.skip(f"NO TEST CLUSTER, so nothing that needs one is tested: {why}")
    try:
        found = Cluster(processes.kubeconfig, processes.audit_log)
        yield found
        found.close()
    finally:
        processes.stop()


@pytest.fixture
def make_namespace(cluster: Cluster) -> Iterator[Callable[[], str]]:
    """Makes namespaces that no other test uses, and has them deleted in the end."""
    made: list[str] = []

    def make() -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        cluster.request("POST", "/api/v1/namespaces", body)
        made.append(name)
        return name

    yield make
    for name in made:
        cluster.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(make_namespace: Callable[[], str]) -> str:
    """A namespace of this test's own."""
    return make_namespace()


@pytest.fixture
def fakenode(cluster: Cluster) -> Iterator[FakeNode]:
    """Something that runs pods, since there is no node: they become Running and Ready by themselves."""
    node = FakeNode(cluster.request)
    node.start()
    yield node
    node.stop()
