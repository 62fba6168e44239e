from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from trueup.cli import run
from trueup.cli.schema import make_schema
from trueup.errors import Problem
from trueup.manifests.editor_schema import kind_document, stack_document
from trueup.manifests.explain import example_of
from trueup.manifests.parse import parse_file
from trueup.manifests.stack_file import KNOWN
from trueup.plugins.load import InstalledProviders
from trueup.sdk.contracts import Kind

ROOT = Path(__file__).parents[3]
CATALOG = InstalledProviders()
KINDS = [
    kind for name in CATALOG.names() for kind in CATALOG.provider(name).kinds() if kind.schema is not None
]
EXAMPLES = [
    file for file in sorted((ROOT / "examples").rglob("*.yaml")) if not {"charts", ".values"} & {*file.parts}
]


def problems(schema: dict[str, Any], document: Any) -> list[str]:
    validator = jsonschema_rs.Draft202012Validator(schema, offline=True)
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error}" for error in validator.iter_errors(document)
    ]


def resource(**fields: Any) -> dict[str, Any]:
    about = {"apiVersion": "ssh.trueup.dev/v1", "kind": "File", "metadata": {"name": "a"}}
    return {**about, "spec": {"path": "/a", "content": "x"}, **fields}


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    return make_schema(CATALOG, "resources")


def test_what_is_right_passes_and_what_is_wrong_does_not(resources: dict[str, Any]) -> None:
    assert problems(resources, resource()) == []
    assert problems(resources, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {}}) == []
    assert problems(resources, resource(spec={"path": "/a", "content": 1}))
    assert problems(resources, resource(spec={"path": "/a", "contents": "x"}))
    assert problems(resources, resource(kind="Fiel"))
    assert problems(resources, resource(lifecycle={"protekt": True}))
    assert problems(resources, resource(targets={"names": ["a"], "matchLabels": {}}))


def test_an_expression_may_stand_for_any_value(resources: dict[str, Any]) -> None:
    text = "${{ vars.x }}"
    assert problems(resources, resource(when=text, forEach=text, lifecycle={"protect": text})) == []
    assert problems(resources, resource(spec={"path": text, "content": text, "sensitive": text})) == []
    queue = resource(apiVersion="aws.trueup.dev/v1", kind="AWS::SQS::Queue", spec={"DelaySeconds": text})
    assert problems(resources, queue) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_example_of_a_kind_is_right(kind: Kind, resources: dict[str, Any]) -> None:
    document = kind_document(kind)
    example = example_of(document, document)
    example["metadata"] = {"name": "example"}
    assert problems(resources, example) == []
    assert example["spec"], "an empty example explains nothing"
    assert document["description"]


def test_the_stack_schema_knows_every_key_that_the_engine_knows() -> None:
    known = set(stack_document(CATALOG)["properties"]["spec"]["properties"])
    assert known == set(KNOWN)


def test_a_wrong_config_of_a_target_is_seen_in_the_stack_file() -> None:
    schema = make_schema(CATALOG, "stack")
    target = {"name": "a", "provider": "ssh", "config": {"hots": "x"}}
    stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "a"}}
    assert problems(schema, {**stack, "spec": {"targets": [target]}})
    target["config"] = {"connection": "local"}
    assert problems(schema, {**stack, "spec": {"targets": [target]}}) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_example_of_the_project_passes(file: Path, resources: dict[str, Any]) -> None:
    name = {"stack.yaml": "stack", "module.yaml": "module"}.get(file.name)
    schema = make_schema(CATALOG, name) if name else resources
    found: list[Problem] = []
    documents = [document.value for document in parse_file(str(file), file.read_bytes(), found)]
    assert not found
    wrong = [problems(schema, document) for document in documents if "apiVersion" in document]
    assert wrong == [[] for _ in wrong]


def test_all_schemas_are_written_into_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--output-dir", str(tmp_path / "s"), "ssh/File"]) == 0
    names = sorted(file.name for file in (tmp_path / "s").iterdir())
    assert names == ["module.json", "resources.json", "ssh_File.json", "stack.json"]
    assert len(capsys.readouterr().out.splitlines()) == 4
    for file in (tmp_path / "s").iterdir():
        jsonschema_rs.meta.validate(json.loads(file.read_text()))


def test_one_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "stack"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")
    assert run(["schema"]) == 1
    assert "name one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("render", "is_right"),
    [
        ("plain", True),
        ({"kustomize": {"path": "overlays/${{ vars.env }}"}}, True),
        ([{"helm": {"chart": "charts/web", "set": {"size": "${{ vars.size }}"}, "hooks": "skip"}}], True),
        ("kustomize", False),
        ({"kustomize": {"path": "a", "options": []}}, False),
        ({"kustomize": {"path": "a"}, "helm": {"chart": "b"}}, False),
        ([], False),
    ],
)
def test_a_rendering_is_checked_in_the_stack_file(render: Any, is_right: bool) -> None:
    stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "a"}}
    found = problems(make_schema(CATALOG, "stack"), {**stack, "spec": {"render": render}})
    assert (found == []) == is_right


@pytest.mark.parametrize(
    ("spec", "is_right"),
    [
        ({"interval": "1d12h"}, True),
        ({"interval": "1.5h"}, False),
        ({"interval": "500ms"}, False),
        ({"interval": "30m1h"}, False),
        ({"interval": "0s"}, False),
        ({"guards": {"maxDeletes": "100%"}}, True),
        ({"guards": {"maxDeletes": "101%"}}, False),
        ({"variables": {"a": {"type": "map(list(string))"}}}, True),
        ({"variables": {"a": {"type": "object"}}}, False),
        ({"variables": None, "outputs": None, "guards": None}, True),
        ({"outputs": {"a": 1, "b": [1], "c": "${{ vars.c }}", "d": {"value": {"e": 1}}}}, True),
        ({"outputs": {"a": {"e": 1}}}, False),
        ({"outputs": {"a": None}}, False),
    ],
)
def test_the_stack_schema_says_what_the_engine_says(spec: dict[str, Any], is_right: bool) -> None:
    stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "a"}}
    assert (problems(make_schema(CATALOG, "stack"), {**stack, "spec": spec}) == []) == is_right


@pytest.mark.parametrize(
    ("fields", "is_right"),
    [
        ({"rollout": {"batch": "25%"}}, True),
        ({"rollout": {"batch": 0}}, False),
        ({"rollout": {"batch": "0%"}}, False),
        ({"lifecycle": None}, True),
        ({"lifecycle": {"ignore": ["/spec/mode"]}}, True),
        ({"lifecycle": {"ignore": ["spec.mode"]}}, False),
        ({"targets": {"names": []}}, False),
        ({"targets": {"matchLabels": {}}}, False),
    ],
)
def test_the_schema_of_resources_says_what_the_engine_says(
    fields: dict[str, Any], is_right: bool, resources: dict[str, Any]
) -> None:
    assert (problems(resources, resource(**fields)) == []) == is_right


def test_a_stack_and_a_module_are_found_by_the_names_of_their_kinds() -> None:
    assert make_schema(CATALOG, "Stack") == make_schema(CATALOG, "stack")
    call, file = (
        make_schema(CATALOG, name)["properties"]["spec"]["anyOf"][0] for name in ("Module", "module")
    )
    assert sorted(call["properties"]) == ["inputs", "source"]
    assert sorted(file["properties"]) == ["inputs", "outputs"]
