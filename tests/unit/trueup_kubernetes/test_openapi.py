from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest

from trueup_kubernetes.openapi import read_schema

VERSION = {"group": "example.com", "version": "v1", "kind": "Widget"}


class Api:
    """Answers what a cluster answers for its OpenAPI documents."""

    def __init__(self, **schemas: Any) -> None:
        self._answers = {
            "/openapi/v3": {"paths": {"apis/example.com/v1": {"serverRelativeURL": "/openapi/v3/x?hash=1"}}},
            "/openapi/v3/x": {"components": {"schemas": schemas}},
        }

    def get(self, path: str, _what: str, query: object = ()) -> Any:
        return SimpleNamespace(body=self._answers[path])


def schema_of(spec: Any, **more: Any) -> dict[str, Any]:
    widget = {"type": "object", "properties": {"spec": spec}, "x-kubernetes-group-version-kind": [VERSION]}
    found: Any = read_schema(Api(Widget=widget, **more), "example.com/v1", "Widget")  # type: ignore[arg-type]
    jsonschema_rs.meta.validate(found)
    return dict(found)


def is_valid(schema: dict[str, Any], spec: Any) -> bool:
    return jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid({"spec": spec})


def test_properties_that_are_called_like_keywords_stay_what_they_are() -> None:
    names = ("nullable", "default", "required", "properties", "items", "$ref", "x-kubernetes-int-or-string")
    schema = schema_of({"type": "object", "properties": {name: {"type": "boolean"} for name in names}})
    for name in names:
        assert is_valid(schema, {name: True})
        assert not is_valid(schema, {name: "x"})


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"type": "string", "enum": ["a"], "nullable": True}, ["a", None], ["b"]),
        (
            {"allOf": [{"$ref": "#/components/schemas/Part"}], "nullable": True},
            [{"a": 1}, None],
            [{"a": "x"}],
        ),
        ({"x-kubernetes-int-or-string": True}, [1, "1"], [1.5, None]),
        ({"allOf": [{"$ref": "#/components/schemas/Part"}], "default": {}}, [{}, {"part": {"a": 1}}], [None]),
    ],
)
def test_the_dialect_of_openapi_means_the_same_as_json_schema(
    field: Any, good: list[Any], bad: list[Any]
) -> None:
    part = {"type": "object", "properties": {"a": {"type": "integer"}}}
    part["properties"]["part"] = {"$ref": "#/components/schemas/Part"}  # type: ignore[index]
    schema = schema_of(field, Part=part)
    assert [value for value in good if not is_valid(schema, value)] == []
    assert [value for value in bad if is_valid(schema, value)] == []


def test_what_has_to_be_given_has_no_default() -> None:
    field = {"type": "integer", "default": 0}
    schema = schema_of({"type": "object", "required": ["a"], "properties": {"a": field, "b": field}})
    assert schema["properties"]["spec"]["properties"] == {"a": {"type": "integer"}, "b": field}


def test_a_kind_that_is_not_described_has_no_schema() -> None:
    assert read_schema(Api(), "example.com/v1", "Widget") is None  # type: ignore[arg-type]
    assert read_schema(Api(), "example.com/v2", "Widget") is None  # type: ignore[arg-type]
