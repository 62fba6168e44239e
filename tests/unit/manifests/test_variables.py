"""What the variables of a stack come to: default, values files in order, sets in order."""

from __future__ import annotations

import pytest

from trueup.errors import ManifestError, Place
from trueup.manifests.document import SourceDocument, SourceText
from trueup.manifests.given_values import NO_VALUES, ValuesRequest
from trueup.manifests.parse import parse_data
from trueup.manifests.variables import merge, read_variables, settle_variables
from trueup.model.values import UNKNOWN, Sensitive

HEAD = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: shop}\n"


@pytest.fixture
def variables_of(load):
    """The variables of a stack with these declarations, files and sets."""

    def _variables_of(declared, files=None, sets=(), names=None):
        given = {"stack.yaml": f"{HEAD}spec: {{allowEmpty: true, variables: {declared}}}\n", **(files or {})}
        request = ValuesRequest(tuple(names if names is not None else (files or {})), tuple(sets))
        return load(given, request).stack.variables

    return _variables_of


def test_the_default_is_the_value_where_nothing_is_given(variables_of):
    assert variables_of("{a: {default: 1}, b: {default: null}}") == {"a": 1, "b": None}


def test_a_later_file_comes_before_an_earlier_one_and_a_set_before_all(variables_of):
    declared = "{a: {default: 0}, b: {default: 0}, c: {default: 0}, d: {default: 0}}"
    files = {"one.yaml": "b: 1\nc: 1\nd: 1\n", "two.yaml": "c: 2\nd: 2\n"}
    assert variables_of(declared, files, ["d=3", "d=4"]) == {"a": 0, "b": 1, "c": 2, "d": 4}
    assert variables_of(declared, files, names=["two.yaml", "one.yaml"])["c"] == 1


def test_maps_merge_key_by_key_and_everything_else_is_replaced_as_a_whole(variables_of):
    declared = "{m: {default: {a: {x: 1, y: [1]}, b: 1}}, l: {default: [1, 2]}}"
    files = {"v.yaml": "m: {a: {y: [2], z: 3}, c: {d: 4}}\nl: [3]\n"}
    assert variables_of(declared, files, ["m.a.x=9", "m.c={e: 5}"]) == {
        "m": {"a": {"x": 9, "y": [2], "z": 3}, "b": 1, "c": {"d": 4, "e": 5}},
        "l": [3],
    }


def test_a_map_in_the_place_of_something_else_and_null_in_the_place_of_a_map_replace_it():
    assert merge([1], {"a": 1}) == {"a": 1}
    assert merge({"a": 1}, None) is None
    below = {"a": {"b": 1}}
    merge(below, {"a": {"c": 2}})
    assert below == {"a": {"b": 1}}


def test_the_three_languages_give_the_same_values(variables_of):
    declared = "{n: {type: integer}, m: {type: map(list(string))}, resource: {type: list}}"
    files = {
        "v.yaml": "n: 1\nm: {a: [x, 'yes']}\nresource: [{a: 1}]\n",
        "v.toml": 'n = 1\nm.a = ["x", "yes"]\n[[resource]]\na = 1\n',
        "v.json": '{"n": 1, "m": {"a": ["x", "yes"]}, "resource": [{"a": 1}]}',
    }
    found = [variables_of(declared, {name: text}) for name, text in files.items()]
    assert found == [{"n": 1, "m": {"a": ["x", "yes"]}, "resource": [{"a": 1}]}] * 3


def test_a_values_file_is_data_in_which_nothing_is_evaluated(load):
    stack = load(
        {
            "stack.yaml": f"{HEAD}spec: {{variables: {{a: {{type: string}}}}, targets: [{{name: p, "
            "provider: kubernetes}]}\n",
            "v.yaml": "a: \"${{ secret('env:A') }}\"\n",
            "c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '${{ vars.a }}'}\n",
        },
        ValuesRequest(("v.yaml",), ()),
    )
    assert stack.nodes[0].body["data"] == {"a": "${{ secret('env:A') }}"}


def test_a_named_values_file_is_no_resource_and_another_one_is_an_error(load):
    files = {
        "stack.yaml": f"{HEAD}spec: {{allowEmpty: true, variables: {{a: {{type: integer}}}}}}\n",
        "envs/dev.yaml": "a: 1\n",
        "envs/prod.yaml": "a: 2\n",
    }
    with pytest.raises(ManifestError, match=r"envs/prod.yaml:1:1: not a resource"):
        load(files, ValuesRequest(("envs/dev.yaml",)))
    files["stack.yaml"] = files["stack.yaml"].replace("allowEmpty", "exclude: [envs], allowEmpty")
    assert load(files, ValuesRequest(("envs/dev.yaml",))).stack.variables == {"a": 1}
    assert load(files, ValuesRequest(("./envs//prod.yaml",))).stack.variables == {"a": 2}


def test_a_values_file_may_lie_outside_of_the_directory(variables_of):
    assert variables_of("{a: {type: integer}}", {"../../common.yaml": "a: 1\n"}) == {"a": 1}


def test_the_name_of_a_stack_may_depend_on_its_variables(load):
    text = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: 'shop-${{ vars.env }}'}\n"
    text += "spec: {allowEmpty: true, variables: {env: {type: string}}}\n"
    assert load({"stack.yaml": text}, ValuesRequest(sets=("env=prod",))).stack.name == "shop-prod"


def test_the_revision_tells_values_from_others_without_showing_them(load):
    stack_file = f"{HEAD}spec: {{allowEmpty: true, variables: {{a: {{default: x}}, b: {{default: 1}}}}}}\n"

    def told(*sets, files=()):
        given = {"stack.yaml": stack_file, **({"v.yaml": "a: y\n"} if files else {})}
        return load(given, ValuesRequest(files, sets)).revision.values

    assert told() == ""
    assert told(files=("v.yaml",)) == told(files=("./v.yaml",)) == "values v.yaml"
    assert told("a=hunter2") != told("a=other")
    assert "hunter2" not in told("a=hunter2")
    assert told("a=z", "b=2") == told("b=2", 'a="z"')
    assert told("b=2", files=("v.yaml",)).startswith("values v.yaml; set b (")


def _document(text):
    problems = []
    document = parse_data("a.yaml", text.encode(), problems, "file")
    assert not problems
    return document


def _settle(declared, given, how=lambda name: f"give {name}", **options):
    problems = []
    document = _document(f"spec: {{inputs: {declared}}}\n")
    path = ("spec", "inputs")
    variables = read_variables(document, document.value["spec"]["inputs"], path, problems, "input")
    values = settle_variables(variables, given, problems, how, **options)
    return values, [str(problem) for problem in problems]


def test_inputs_of_a_module_are_declared_and_checked_in_the_same_way():
    values, problems = _settle(
        "{a: {type: string}, b: {type: integer, default: 1}, c: {}}", [_document("a: 1\nd: 2\n")]
    )
    assert values == {"a": UNKNOWN, "b": 1, "c": UNKNOWN}
    assert problems == [
        'a.yaml:2:1: there is no input "d"\n  inputs: a, b, c',
        'a.yaml:1:4: input "a" must be a string, not an integer\n  put it into quotes',
        'a.yaml:1:68: input "c" has no value\n  give c',
    ]


def test_what_is_known_later_is_of_every_type_and_is_not_checked():
    later = Sensitive("k")
    document = _document("a: x\n")
    given = SourceDocument({"a": later, "b": {"x": later}}, document.source, document.locator)
    declared = "{a: {type: integer, check: self > 1}, b: {type: map(string), check: self.x == 'a'}}"
    values, problems = _settle(declared, [given])
    assert values == {"a": later, "b": {"x": later}}
    assert problems == []


def test_a_value_is_not_missed_where_something_that_may_hold_it_could_not_be_read():
    assert _settle("{a: {}}", [], is_complete=False) == ({"a": UNKNOWN}, [])


def test_the_place_of_a_variable_is_where_it_is_declared():
    document = _document("spec:\n  variables:\n    a: {default: 1}\n")
    declared = read_variables(document, document.value["spec"]["variables"], ("spec", "variables"), [])
    assert declared["a"].place == Place("a.yaml", 3, 5)
    assert isinstance(document.source, SourceText)


def test_without_values_nothing_is_asked_for():
    assert ValuesRequest() == NO_VALUES
