"""Where an expression begins and ends in a string."""

from __future__ import annotations

import pytest

from trueup.manifests.interpolation import ExpressionText, split_expressions
from trueup.manifests.program import ExpressionError


def texts(string):
    return [part if isinstance(part, str) else (part.text,) for part in split_expressions(string)]


@pytest.mark.parametrize(
    ("string", "parts"),
    [
        ("plain", ["plain"]),
        ("", [""]),
        ("${{ a }}", [("a",)]),
        ("x ${{a}}y${{ b }}", ["x ", ("a",), "y", ("b",)]),
        ("$${{ a }}", ["${{ a }}"]),
        ("x$${{ a }} ${{ b }}", ["x${{ a }} ", ("b",)]),
        ('${{ "}}" }}', [('"}}"',)]),
        ("${{ '}}' + \"'\" }}", [("'}}' + \"'\"",)]),
        (r'${{ "\"}}" }}', [(r'"\"}}"',)]),
        (r'${{ r"\" }} "', [(r'r"\"',), ' "']),
        ("${{ '''a ' }} '''  }}", [("'''a ' }} '''",)]),
        ("${{ {'a': {'b': 1}}.a.b }}", [("{'a': {'b': 1}}.a.b",)]),
        ("${{ {'a': {'b': 1}}}}", [("{'a': {'b': 1}}",)]),
        ("${{ a // }} comment\n }}", [("a // }} comment",)]),
        ("${{ bar'}}' }}", [("bar'}}'",)]),
        ("{{ a }} $ { ${ x }", ["{{ a }} $ { ${ x }"]),
    ],
)
def test_strings_are_split(string, parts):
    assert texts(string) == parts


def test_the_offset_points_at_the_first_character_of_the_expression():
    string = "ab ${{   vars.x }}"
    assert split_expressions(string)[1] == ExpressionText("vars.x", string.index("vars"))


@pytest.mark.parametrize("string", ["${{ a", "${{ a }", '${{ "}} ', "x ${{ a }} ${{ b"])
def test_an_expression_without_its_end_is_an_error(string):
    with pytest.raises(ExpressionError) as error:
        split_expressions(string)
    assert string[error.value.offset :].startswith("${{")
