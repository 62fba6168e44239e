"""lifecycle.ignore on a Deployment: others set the image and the replicas, trueup sets the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fakenode import FakeNode
from tests.cluster.fixtures import Cluster

from trueup.app import App, SourceSpec
from trueup.model.outcome import RunStatus

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def write(folder: Path, cluster: Cluster, namespace: str, level: str) -> None:
    target = cluster.target("c", namespace=namespace)
    stack = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": "ignoring"},
        "spec": {"targets": [{"name": "c", "provider": "kubernetes", "config": dict(target.config)}]},
    }
    container = {"name": "web", "image": "example.com/web:1", "env": [{"name": "LEVEL", "value": level}]}
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "lifecycle": {"ignore": ["/spec/replicas", "/spec/template/spec/containers/web/image"]},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
    }
    folder.mkdir(exist_ok=True)
    (folder / "stack.yaml").write_text(yaml.safe_dump(stack))
    (folder / "web.yaml").write_text(yaml.safe_dump(deployment))


def test_an_image_and_replicas_that_others_set_stay_through_an_update(
    cluster: Cluster, fakenode: FakeNode, namespace: str, tmp_path: Path
) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    source = SourceSpec(str(tmp_path / "stack"))
    with App(str(tmp_path / "store.db")) as app:
        write(tmp_path / "stack", cluster, namespace, "info")
        assert app.reconcile(source).status is RunStatus.CONVERGED

        image = {"name": "web", "image": "example.com/web:2"}
        strategic = "application/strategic-merge-patch+json"
        body = {"spec": {"replicas": 3, "template": {"spec": {"containers": [image]}}}}
        cluster.request("PATCH", path, body, content_type=strategic)
        cluster.mark()
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert cluster.writes() == []

        write(tmp_path / "stack", cluster, namespace, "debug")
        report = app.reconcile(source)
        assert [outcome.result.value for outcome in report.outcomes] == ["updated"]
        assert [field.path for field in report.plan.changes[0].fields] == [
            "/spec/template/spec/containers/web/env/LEVEL/value"
        ]
        spec = cluster.request("GET", path)["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        assert (spec["replicas"], container["image"]) == (3, "example.com/web:2")
        assert container["env"] == [{"name": "LEVEL", "value": "debug"}]
        assert app.destroy(source, confirm=lambda _plan: True).status is RunStatus.CONVERGED
