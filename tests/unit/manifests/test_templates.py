"""Strings with expressions are found once and filled in each scope, and their places are exact."""

from __future__ import annotations

import pytest

from trueup.manifests.document import SourceText
from trueup.manifests.parse import parse_file
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.program import ExpressionError
from trueup.manifests.templates import Scope, Template
from trueup.model.values import UNKNOWN


def read_file(name):
    if name != "x":
        raise ExpressionError(f"no {name}")
    return "text of x ${{ 1 }}"


SCOPE = Scope({"vars": {"a": 1, "b": [1], "c": "${{ vars.a }}"}}, read_file)


def fill(text, scope=SCOPE):
    problems = []
    document = parse_yaml(SourceText("a.yaml", text), problems)[0]
    template = Template(document, document.value, (), problems)
    return template.fill(scope, problems), problems


def test_a_whole_expression_keeps_its_type_and_a_part_becomes_text():
    filled, problems = fill("a: ${{ vars.b }}\nb: x${{ vars.a }}\nc: ['${{ vars.a }}', {d: '${{ true }}'}]\n")
    assert problems == []
    assert filled.value == {"a": [1], "b": "x1", "c": [1, {"d": True}]}
    assert filled.deferred == []


def test_nothing_is_evaluated_twice():
    filled, problems = fill("a: ${{ vars.c }}\nb: ${{ file('x') }}\nc: \"${{ '${' + '{ vars.a }}' }}\"\n")
    assert problems == []
    assert filled.value == {"a": "${{ vars.a }}", "b": "text of x ${{ 1 }}", "c": "${{ vars.a }}"}


def test_the_escape_is_taken_out_everywhere():
    filled, _ = fill("a: $${{ x }}\nb: ['c $${{ y }}']\n")
    assert filled.value == {"a": "${{ x }}", "b": ["c ${{ y }}"]}


def test_an_expression_hidden_by_an_escape_of_the_language_is_found():
    filled, problems = fill('a: "\\u0024{{ vars.a }}"\n')
    assert problems == []
    assert filled.value == {"a": 1}


def test_a_document_without_expressions_is_passed_on_as_it_is():
    problems = []
    document = parse_yaml(SourceText("a.yaml", "a: {b: [1]}\n"), problems)[0]
    template = Template(document, document.value, (), problems)
    assert template.is_static
    assert template.fill(SCOPE, problems).value is document.value


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("a.yaml", "a: x ${{ nope }}\n", "1:10"),
        ("a.yaml", "a: 'x' # ${{\nb: \"it's ${{ 1 + nope }}\"\n", "2:18"),
        ("a.yaml", "a: |\n  one\n  two ${{ vars.a }} ${{ nope }}\n", "3:25"),
        ("a.yaml", "a: |\n  ${{ vars.a\n    + nope }}\n", "3:7"),
        ("a.yaml", "a: >\n  ${{ nope }}\n", "2:7"),
        ("a.json", '{"a": "\\"q\\" ${{ nope }}"}', "1:18"),
        ("a.toml", 'a = """\n${{ nope }}"""\n', "2:5"),
        ("a.yaml", "a: ['${{ vars.a }}', '${{ nope }}']\n", "1:27"),
        ("a.yaml", "a: |\n" + "  a line of text\n" * 1000 + "  ${{ nope }}\n", "1002:7"),
        ("a.yaml", "x: '😀'\na: '😀 ${{ nope }}'\n", "2:11"),
        ("a.yaml", "a: b\r\nc: ${{ nope }}\r\n", "2:8"),
    ],
)
def test_a_compile_error_stands_at_its_line_and_column(file, text, place):
    problems = []
    document = parse_file(file, text.encode(), problems)[0]
    Template(document, document.value, (), problems)
    assert [str(problem.place) for problem in problems] == [f"{file}:{place}"]


def test_what_fails_is_unknown_and_reported_once():
    filled, problems = fill("a: ${{ vars.nope }}\nb: ${{ each.key }}\nc: x ${{ vars.b }}\n")
    assert filled.value == {"a": UNKNOWN, "b": UNKNOWN, "c": UNKNOWN}
    assert [problem.place.line for problem in problems] == [1, 2, 3]
