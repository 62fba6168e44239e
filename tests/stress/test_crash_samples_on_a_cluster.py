"""kill -9 of runs against a real cluster: at sampled points, while they mend, and at any moment.

The phases follow each other in a circle. The first round tells which points each phase passes; in the others
each phase is killed at one of them, chosen by a fixed seed, and again while the next run mends it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.fixtures import Cluster
from tests.stress.forking import Runs
from tests.stress.samples import Phase, Rounds, kill_at_some_moment
from tests.stress.systems import ClusterPart

pytestmark = [pytest.mark.cluster]

LABELS = {"app": "web"}


def deployment(namespace: str, replicas: int) -> dict[str, Any]:
    container = {"name": "web", "image": "registry.example.com/web:1"}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
    }
    metadata = {"name": "web", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def secret(namespace: str, kind: str, value: str) -> dict[str, Any]:
    metadata = {"name": "keys", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": kind,
        "stringData": {"a": value},
    }


def config_map(namespace: str, name: str, value: str, **lifecycle: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}
    return {**whole, "lifecycle": lifecycle} if lifecycle else whole


def phases(namespace: str) -> list[Phase]:
    """Create, update, replace (the type of a secret is immutable), adopt, release, delete."""
    own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{namespace}-own"}}
    first = [
        own,
        config_map(namespace, "web", "1"),
        deployment(namespace, 0),
        secret(namespace, "Opaque", "1"),
    ]
    second = [
        own,
        config_map(namespace, "web", "2"),
        deployment(namespace, 1),
        secret(namespace, "Opaque", "2"),
    ]
    third = [*second[:3], secret(namespace, "example.com/other", "2")]
    adopted = [*third, config_map(namespace, "found", "mine", adopt=True, onDelete="orphan")]
    return [
        Phase("create", first),
        Phase("update", second),
        Phase("replace", third, doomed=(f"shop/Secret/{namespace}/keys@prod",)),
        Phase("adopt", adopted),
        Phase("release", third),
        Phase(
            "delete",
            [],
            doomed=(
                f"shop/Secret/{namespace}/keys@prod",
                f"shop/ConfigMap/{namespace}/web@prod",
                f"shop/Deployment/{namespace}/web@prod",
                f"shop/Namespace/{namespace}-own@prod",
            ),
        ),
    ]


@pytest.fixture
def cluster_runs() -> Iterator[Runs]:
    with Runs() as runs:
        yield runs


@pytest.fixture
def rounds(cluster: Cluster, namespace: str, fakenode: object, cluster_runs: Runs, tmp_path: Path) -> Rounds:
    for name in ("foreign", "found"):
        body = {"metadata": {"name": name}, "data": {"a": "theirs"}}
        cluster.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    systems = [ClusterPart(cluster, namespace, f"{namespace}-own")]
    return Rounds(tmp_path, cluster_runs, systems, cluster.target("prod"))


def test_a_run_against_a_cluster_killed_at_sampled_points_is_finished_by_the_next_one(
    rounds: Rounds, namespace: str
) -> None:
    assert rounds.go_around(phases(namespace), random.Random(5), count=2) == []


def test_a_run_against_a_cluster_killed_at_any_moment_is_finished_by_the_next_one(
    rounds: Rounds, namespace: str
) -> None:
    every = phases(namespace)
    for phase in (every[0], every[2], every[5]):
        kill_at_some_moment(rounds, phase, random.Random(phase.name))
