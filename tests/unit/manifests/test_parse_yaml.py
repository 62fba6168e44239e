"""YAML 1.2 core rules, duplicate keys, tags, aliases, merge keys, places."""

from __future__ import annotations

import pytest

from trueup.manifests.document import SourceText
from trueup.manifests.parse_yaml import MAX_ALIASED_NODES, parse_yaml


def parse(text):
    problems = []
    return parse_yaml(SourceText("a.yaml", text), problems), problems


def value_of(text):
    documents, problems = parse(f"v: {text}\n")
    assert problems == []
    return documents[0].value["v"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("", None), ("Null", None), ("nUll", "nUll"),
        ("0", 0), ("-1", -1), ("+12", 12), ("0x1F", 31), ("0o17", 15), ("0b11", "0b11"), ("1_000", "1_000"),
        ("1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0), ("1.", 1.0), ("1.2.3", "1.2.3"), ("10:30", "10:30"),
        ("2020-01-01", "2020-01-01"), ("'0644'", "0644"), ('"true"', "true"), ("<<", "<<"), ("=", "="),
        (".", "."), ("+", "+"), ("0x", "0x"), ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text, value):
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["0644", "-012", "00", "08"])
def test_a_leading_zero_has_to_be_quoted(text):
    _, problems = parse(f"v: {text}\n")
    assert problems[0].message.startswith(f"{text} is ambiguous")
    assert f'"{text}"' in problems[0].hint


@pytest.mark.parametrize(
    "tag", ["!!str 1", "!!int 1", "!foo bar", "!!python/object/apply:os.system [id]", "!!set {a}"]
)
def test_every_tag_is_refused(tag):
    documents, problems = parse(f"v: {tag}\n")
    assert documents == []
    assert len(problems) == 1
    assert "is not supported" in problems[0].message


def test_aliases_and_merge_keys_give_copies_in_the_order_of_precedence():
    documents, problems = parse(
        "base: &base {a: 1, b: 1}\nother: &other {b: 2, c: 2}\n"
        "x: {<<: [*base, *other], c: 3}\ny: {<<: *base, a: 0}\n"
    )
    assert problems == []
    assert documents[0].value["x"] == {"a": 1, "b": 1, "c": 3}
    assert documents[0].value["y"] == {"a": 0, "b": 1}
    assert documents[0].value["x"] is not documents[0].value["base"]
    assert str(documents[0].place_of(("x", "b"))) == "a.yaml:1:23"


def test_aliases_within_the_budget_are_fine_and_beyond_it_refused():
    items = ", ".join(["x"] * 999)
    fine = MAX_ALIASED_NODES // 1000
    documents, problems = parse(f"a: &a [{items}]\nb: [{', '.join(['*a'] * (fine - 1))}]\n")
    assert problems == []
    assert len(documents[0].value["b"]) == fine - 1
    _, problems = parse(f"a: &a [{items}]\nb: [{', '.join(['*a'] * (fine + 1))}]\n")
    assert "expand to more than" in problems[0].message


def test_an_anchor_belongs_to_its_own_document():
    _, problems = parse("a: &x 1\n---\nb: *x\n")
    assert "undefined alias" in problems[0].message


def test_a_quoted_merge_key_is_a_key():
    documents, problems = parse('"<<": {a: 1}\n')
    assert problems == []
    assert documents[0].value == {"<<": {"a": 1}}


def test_places_count_from_one_and_survive_several_documents_and_wide_characters():
    documents, problems = parse("---\na: é\n---\n# c\n  b: {x: [1, 'ü', {y: 2}]}\n  c: 1\n--- {d: 1}\n")
    assert problems == []
    assert str(documents[0].place) == "a.yaml:2:1"
    assert str(documents[1].place_of(("b", "x", 2, "y"))) == "a.yaml:5:23"
    assert str(documents[1].place_of_key(("b", "x", 2, "y"))) == "a.yaml:5:20"
    assert str(documents[1].place_of_key(("c",))) == "a.yaml:6:3"
    assert str(documents[2].place_of(("d",))) == "a.yaml:7:9"


def test_the_place_of_something_missing_is_that_of_what_would_hold_it():
    documents, _ = parse("a:\n  b: {c: 1}\n")
    assert str(documents[0].place_of(("a", "b", "x", "y"))) == "a.yaml:2:6"
    assert str(documents[0].place_of(("nothing",))) == "a.yaml:1:1"


def test_block_and_folded_strings_are_strings():
    assert value_of("|\n  1\n  true\n") == "1\ntrue\n"
    assert value_of(">-\n  a\n  b\n") == "a b"
