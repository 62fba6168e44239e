"""Errors of JSON Schema in the words and at the places of the manifest."""

from __future__ import annotations

import pytest

from trueup.errors import PluginError
from trueup.manifests.document import SourceText
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.schema import LATER, CompiledSchema

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "mode": {"enum": ["fast", "slow", 3]},
        "port": {"type": ["integer", "string"]},
        "flag": {"type": "boolean"},
        "ratio": {"type": "number", "exclusiveMaximum": 1, "multipleOf": 0.25},
        "tags": {"type": "array", "uniqueItems": True, "minItems": 1, "items": {"type": "string"}},
        "rule": {"$ref": "#/$defs/Rule"},
        "from": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/Rule"}]},
        "either": {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "only": {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "fixed": {"const": 1},
    },
    "$defs": {
        "Rule": {
            "type": "object",
            "properties": {"action": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
            "required": ["action"],
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}


def check(text, schema=SCHEMA):
    problems = []
    document = parse_yaml(SourceText("a.yaml", text), problems)[0]
    assert problems == []
    return list(CompiledSchema(schema, "Thing").check(document.value, document, ()))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name: 1", "name must be a string, not an integer", 'quote it: "1"'),
        ("name: true", "name must be a string, not a boolean", 'quote it: "true"'),
        ("name: ''", "name is empty", ""),
        ("name: abcdef", "name must have at most 5 characters", ""),
        ("mode: fats", 'mode cannot be "fats"', 'did you mean "fast"? allowed: fast, slow, 3'),
        ("mode: [1]", "mode cannot be a list", "allowed: fast, slow, 3"),
        ("port: 1.5", "port must be an integer or a string, not a number", ""),
        ("flag: 'yes'", "flag must be a boolean, not a string", "remove the quotes"),
        ("ratio: 2", "ratio must be less than 1", ""),
        ("ratio: 0.3", "ratio must be a multiple of 0.25", ""),
        ("tags: []", "tags is empty", ""),
        ("tags: [a, a]", "tags has an item twice", ""),
        ("tags: [a, 1]", "tags[1] must be a string, not an integer", 'quote it: "1"'),
        ("rule: {}", 'rule needs "action"', "add action: ..."),
        ("rule: {action: a, limt: 1}", 'unknown field "limt" of rule', 'did you mean "limit"?'),
        ("rule: {action: a, limit: 0}", "rule.limit must be at least 1", ""),
        ("from: 1", "from must be a map or a string, not an integer", ""),
        ("from: {action: a, limt: 1}", 'unknown field "limt" of from', 'did you mean "limit"?'),
        ("either: {}", "either needs one of: a, b", ""),
        ("only: {a: 1, b: 2, c: 3}", "only may have only one of: a, b", "remove the others"),
        ("fixed: 2", "fixed has a value that is not allowed", ""),
        ("nmae: a", 'unknown field "nmae" of Thing', 'did you mean "name"?'),
    ],
)
def test_each_error_says_what_and_what_to_do(text, message, hint):
    assert [(problem.message, problem.hint) for problem in check(text)] == [(message, hint)]


def test_the_place_is_the_key_of_an_unknown_field_and_the_value_of_a_wrong_one():
    problems = check("rule:\n  action: 7\n  limt: 1\n")
    assert sorted(str(problem.place) for problem in problems) == ["a.yaml:2:11", "a.yaml:3:3"]


@pytest.mark.parametrize(
    "key", ["name", "mode", "port", "flag", "ratio", "tags", "rule", "from", "either", "fixed"]
)
def test_what_is_not_known_yet_satisfies_every_rule(key):
    problems = []
    document = parse_yaml(SourceText("a.yaml", f"{key}: x\n"), problems)[0]
    assert list(CompiledSchema(SCHEMA, "Thing").check({key: LATER}, document, ())) == []


def test_what_stands_beside_something_unknown_is_still_checked():
    problems = []
    document = parse_yaml(SourceText("a.yaml", "rule: {action: x, limit: 0}\ntags: [x, 1]\n"), problems)[0]
    value = {"rule": {"action": LATER, "limit": 0}, "tags": [LATER, 1, LATER]}
    messages = [problem.message for problem in CompiledSchema(SCHEMA, "Thing").check(value, document, ())]
    assert messages == ["rule.limit must be at least 1", "tags[1] must be a string, not an integer"]


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, {"$ref": "http://127.0.0.1:1/x"}, {"$ref": "#/nowhere"}]
)
def test_a_broken_schema_is_the_fault_of_the_provider(schema):
    with pytest.raises(PluginError, match="the schema of Thing is broken"):
        CompiledSchema(schema, "Thing")


SECRETS = {
    "type": "object",
    "properties": {
        "plain": {"type": "string", "x-sensitive": True},
        "choice": {"enum": ["a"], "x-sensitive": True},
        "inner": {"$ref": "#/$defs/Login"},
        "list": {"type": "array", "items": {"$ref": "#/$defs/Login"}},
        "one": {"oneOf": [{"$ref": "#/$defs/Login"}, {"type": "boolean"}]},
    },
    "$defs": {
        "Login": {"type": "object", "x-sensitive": True, "properties": {"pin": {"type": "string"}}},
    },
}


@pytest.mark.parametrize(
    "text",
    ["plain: 4711", "choice: c4711", "inner: {pin: 4711}", "list: [{pin: 4711}]", "one: {pin: 4711}"],
)
def test_a_sensitive_value_is_in_no_message(text):
    problems = check(text, SECRETS)
    assert len(problems) == 1
    assert "4711" not in str(problems[0])


def test_extension_keywords_are_no_concern_of_the_check():
    assert check("name: a", {"properties": {"name": {"x-sensitive": True, "x-immutable": True}}}) == []
