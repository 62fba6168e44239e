"""The texts of `--set`, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.errors import SourceError
from trueup.manifests.given_values import ValuesRequest, parse_set_value, read_values_files, set_text
from trueup.manifests.value_types import read_type


def parse(text, kind=None):
    problems = []
    value = parse_set_value(text, read_type(kind) if kind else None, problems)
    assert not problems
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        (" 3 ", 3),
        ("-1.5e3", -1500.0),
        ("0x10", 16),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("a b", "a b"),
        (" a ", " a "),
        ("host: x # no comment", "host: x # no comment"),
        ("- a", "- a"),
        ("*", "*"),
        ("&a", "&a"),
        ("!x", "!x"),
        ("|", "|"),
        ("#1", "#1"),
        ("a\nb: c", "a\nb: c"),
        ("a=b", "a=b"),
        ("${{ vars.x }}", "${{ vars.x }}"),
        ('"3"', "3"),
        ("'it''s'", "it's"),
        ('"\\u00e4\\n"', "ä\n"),
        ("[a, 1, [true]]", ["a", 1, [True]]),
        ("{a: {b: 1}, c: [x]}", {"a": {"b": 1}, "c": ["x"]}),
        ('{"a": null}', {"a": None}),
        ("[]", []),
        ("{}", {}),
    ],
)
def test_a_text_means_what_yaml_takes_it_for_and_is_text_otherwise(text, value):
    assert parse(text) == value
    assert type(parse(text)) is type(value)


@pytest.mark.parametrize("text", ["3", "true", "", "0644", "1.10", "null", "~", "{x", " a "])
def test_a_variable_of_type_string_takes_the_text_as_it_stands(text):
    problems = []
    value = parse_set_value(text, read_type("string"), problems)
    assert (value == text and not problems) or text == "{x"
    assert parse('"3"', "string") == "3"


def test_the_type_of_an_item_counts_for_a_key_of_a_map():
    kind = read_type("map(map(string))")
    assert kind is not None
    assert kind.at(("a", "b")) == read_type("string")
    assert kind.at(("a",)) == read_type("map(string)")
    assert kind.at(("a", "b", "c")) is None
    assert read_type("map") is not None
    assert read_type("map").at(("a",)) is None


@pytest.mark.parametrize("text", ["list(map(string))", " list( string ) ", "map(number)", "boolean"])
def test_types_nest(text):
    assert read_type(text) is not None


@pytest.mark.parametrize(
    "text", ["", "list()", "list(", "string(list)", "List", "list(string) x", "list(" * 20 + "map" + ")" * 20]
)
def test_other_words_are_no_types(text):
    assert read_type(text) is None


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)))
    | st.sampled_from(["1", "true", "null", "0644", "~", "[a", "{", '"', "'x'", "${{ a }}", "1.0", " x", ""])
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@settings(max_examples=300, deadline=None)
@given(_VALUES)
def test_the_text_for_a_value_gives_that_value_again_whatever_the_type(value):
    name, _, text = set_text("a", value).partition("=")
    assert name == "a"
    for kind in (None, "string" if isinstance(value, str) else None):
        found = parse(text, kind)
        assert found == value
        assert type(found) is type(value)


def test_a_values_file_that_is_there_but_too_large_is_the_trees_error(memory_tree):
    class Oversized(memory_tree):
        def read(self, path):
            raise SourceError(f"{path} is too large")

    with pytest.raises(SourceError, match="too large"):
        read_values_files(ValuesRequest(("a.yaml",)), Oversized({"a.yaml": ""}), [])
