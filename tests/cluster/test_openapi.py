"""What a real cluster says of its kinds, through explain and schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest

from trueup.cli import run

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture
def source(cluster, tmp_path: Path) -> str:
    target = f"{{name: prod, provider: kubernetes, config: {{kubeconfig: {cluster.kubeconfig}}}}}"
    spec = f"spec: {{allowEmpty: true, targets: [{target}]}}"
    (tmp_path / "stack.yaml").write_text(
        f"apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {{name: a}}\n{spec}\n"
    )
    return str(tmp_path)


def test_a_cluster_explains_its_kinds(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "Deployment.spec.strategy", "--source", source]) == 0
    output = capsys.readouterr().out
    assert "FIELD: spec.strategy   map" in output
    assert "  rollingUpdate >  map" in output
    assert run(["explain", "Deployment.spec.stratgy", "--source", source, "--target", "prod"]) == 1
    assert 'did you mean "strategy"?' in capsys.readouterr().err


def test_the_schema_of_a_cluster_checks_a_manifest(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "apps/v1/Deployment", "--source", source]) == 0
    validator = jsonschema_rs.Draft202012Validator(json.loads(capsys.readouterr().out), offline=True)
    container = {"name": "a", "image": "a", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "lifecycle": {"protect": True},
        "spec": {"replicas": "${{ vars.n }}", "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    assert list(validator.iter_errors(document)) == []
    container["ports"][0]["containerPort"] = "web"
    assert list(validator.iter_errors(document))
