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


def test_the_schema_of_schemas_is_one_and_a_kind_that_is_not_served_is_an_error(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schema", "CustomResourceDefinition", "--source", source]) == 0
    jsonschema_rs.meta.validate(json.loads(capsys.readouterr().out))
    path = "CustomResourceDefinition.spec.versions.schema.openAPIV3Schema.properties.not"
    assert run(["explain", path, "--source", source]) == 0
    assert "nullable" in capsys.readouterr().out
    assert run(["explain", "CustomResourceDefinition", "--source", source]) == 0
    assert '      plural: "..."' in capsys.readouterr().out
    for command in ("explain", "schema"):
        assert run([command, "nope.example.com/v1/Widget", "--source", source]) == 1
        assert "does not describe nope.example.com/v1/Widget" in capsys.readouterr().err
