"""A kustomize overlay and a chart, from Git to a real cluster: applied, left alone, corrected, pruned."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fakenode import FakeNode
from tests.cluster.fixtures import Cluster
from tests.git.fixtures import GitServer

from trueup.app import App, SourceSpec
from trueup.errors import ManifestError
from trueup.model.outcome import RunStatus

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${{ vars.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: example.com/web, envFrom: [{configMapRef: {name: web}}]}]
"""
BASE = {
    "base/kustomization.yaml": "resources: [web.yaml]\n"
    "configMapGenerator: [{name: web, files: [web.conf]}, {name: extra, literals: [a=b]}]\n",
    "base/web.yaml": DEPLOYMENT,
    "base/web.conf": "level=info\n",
}
OVERLAY = """\
resources: [../../../../base]
images: [{name: example.com/web, newTag: "2"}]
generatorOptions: {labels: {from: overlay}}
"""
CHART = {
    "charts/cache/Chart.yaml": "apiVersion: v2\nname: cache\nversion: 0.3.0\n",
    "charts/cache/values.yaml": "memory: 64Mi\nextra: true\n",
    "charts/cache/crds/pools.yaml": """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Pool, plural: pools, singular: pool}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
""",
    "charts/cache/templates/pool.yaml": """\
apiVersion: GROUP/v1
kind: Pool
metadata: {name: {{ .Release.Name }}}
spec: {size: {{ .Values.size }}}
""",
    "charts/cache/templates/cache.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-cache
  labels: {app.kubernetes.io/managed-by: {{ .Release.Service }}}
data: {memory: {{ .Values.memory | quote }}, literal: "${{ "{{" }} vars.replicas }}"}
{{- if .Values.extra }}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-cache}
spec: {selector: {app: cache}, ports: [{port: 6379}]}
{{- end }}
""",
}


@pytest.fixture
def count_runs(
    kustomize_binary: Path, helm_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], int]:
    """Has the stack rendered by the real tools, and tells how often they ran since it was asked."""
    log = tmp_path / "runs"
    for variable, program in (("TRUEUP_KUSTOMIZE", kustomize_binary), ("TRUEUP_HELM", helm_binary)):
        script = tmp_path / program.name
        script.write_text(f'#!/bin/sh\necho run >> {log}\nexec {program} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv(variable, str(script))

    def count() -> int:
        runs = len(log.read_text().split()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return runs

    return count


def stack_file(cluster: Cluster, namespace: str) -> str:
    target = cluster.target("prod", namespace=namespace)
    render: list[Any] = [
        {"kustomize": {"path": "overlays/prod"}},
        {"helm": {"chart": "../../charts/cache", "namespace": namespace, "values": ["cache.yaml"]}},
    ]
    render[1]["helm"]["set"] = {"size": "${{ vars.replicas + 1 }}"}
    stack = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": "rendered"},
        "spec": {
            "variables": {"replicas": {"type": "integer", "default": 2}},
            "targets": [{"name": "prod", "provider": "kubernetes", "config": dict(target.config)}],
            "render": render,
        },
    }
    return yaml.safe_dump(stack)


def test_what_is_rendered_is_applied_left_alone_corrected_and_pruned(
    cluster: Cluster,
    fakenode: FakeNode,
    namespace: str,
    git_server: GitServer,
    tmp_path: Path,
    count_runs: Callable[[], int],
) -> None:
    group = f"g{uuid.uuid4().hex[:8]}.example.com"
    repository = git_server.create(f"rendered-{os.urandom(4).hex()}")
    files = {
        "stacks/rendered/stack.yaml": stack_file(cluster, namespace),
        "stacks/rendered/overlays/prod/kustomization.yaml": OVERLAY,
        "stacks/rendered/cache.yaml": "memory: 128Mi\n",
        **BASE,
        **{name: text.replace("GROUP", group) for name, text in CHART.items()},
    }
    repository.commit(files, "A stack that is rendered")
    source = SourceSpec(str(repository.path), "main", "stacks/rendered")
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"

    def config_maps() -> dict[str, Any]:
        found = cluster.request("GET", f"{core}/configmaps")["items"]
        return {item["metadata"]["name"].partition("-")[0]: item for item in found}

    with App(str(tmp_path / "store.db")) as app:
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert count_runs() == 2
        deployment = cluster.request("GET", f"{apps}/deployments/web")["spec"]
        (container,) = deployment["template"]["spec"]["containers"]
        assert (deployment["replicas"], container["image"]) == (2, "example.com/web:2")
        found = config_maps()
        assert container["envFrom"] == [{"configMapRef": {"name": found["web"]["metadata"]["name"]}}]
        assert found["rendered"]["data"] == {"memory": "128Mi", "literal": "${{ vars.replicas }}"}
        pool = cluster.request("GET", f"/apis/{group}/v1/namespaces/{namespace}/pools/rendered")
        assert pool["spec"] == {"size": 3}

        # Neither a second run nor a commit to other files renders or writes anything.
        cluster.mark()
        assert app.reconcile(source).status is RunStatus.CONVERGED
        repository.commit({"other/a.yaml": "one"}, "Something else")
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert (cluster.writes(), count_runs()) == ([], 0)

        # Drift in what either tool gave is corrected.
        cluster.patch(f"{core}/configmaps/rendered-cache", {"data": {"memory": "1Mi"}})
        cluster.patch(f"{apps}/deployments/web", {"spec": {"replicas": 5}})
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert config_maps()["rendered"]["data"]["memory"] == "128Mi"
        assert cluster.request("GET", f"{apps}/deployments/web")["spec"]["replicas"] == 2

        # A rendering that fails or gives nothing deletes nothing.
        cluster.mark()
        broken = {
            "charts/cache/templates/cache.yaml": "{{ fail }}",
            "base/kustomization.yaml": "resources: [missing.yaml]\n",
            "stacks/rendered/overlays/prod/kustomization.yaml": "namePrefix: x-\n",
        }
        for name, text in broken.items():
            repository.commit({name: text}, "A mistake")
            with pytest.raises(ManifestError):
                app.reconcile(source)
            repository.commit({name: files[name]}, "Mended")
        assert cluster.writes() == []

        # What is no longer rendered is pruned, and no more than that.
        count_runs()
        repository.commit(
            {
                "base/kustomization.yaml": BASE["base/kustomization.yaml"].replace(
                    ", {name: extra, literals: [a=b]}", ""
                ),
                "stacks/rendered/cache.yaml": "memory: 128Mi\nextra: false\n",
            },
            "Less",
        )
        report = app.reconcile(source, confirm=lambda _plan: True)
        assert report.status is RunStatus.CONVERGED
        assert count_runs() == 2
        deleted = {outcome.address.kind for outcome in report.outcomes if outcome.result.value == "deleted"}
        assert deleted == {"ConfigMap", "Service"}
        assert set(config_maps()) >= {"web", "rendered"}
        assert "extra" not in config_maps()

        assert app.destroy(source, confirm=lambda _plan: True).status is RunStatus.CONVERGED
        assert cluster.ask("GET", f"{apps}/deployments/web")[0] == 404
        # helm leaves CRDs alone, and so it is here.
        crd = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pools.{group}"
        assert cluster.ask("DELETE", crd)[0] == 200
