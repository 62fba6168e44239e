"""The bytes of a file to documents: the same in each language, and bounded."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trueup.manifests.parse import MAX_FILE_BYTES, parse_file


def parse(file, data):
    problems = []
    documents = parse_file(file, data.encode() if isinstance(data, str) else data, problems)
    return documents, problems


TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\u2028\u2029\x85"), max_size=12
)
LEAF = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=12
)


class Quoting(yaml.SafeDumper):
    """Quotes every string: PyYAML knows only the rules of YAML 1.1 about when that is needed."""


Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def to_toml(value):
    """An independent writer: a value as TOML's inline syntax."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {to_toml(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(to_toml(item) for item in value) + "]"
    if isinstance(value, float):
        return (
            repr(value) if "e" not in repr(value) or "." in repr(value) else repr(value).replace("e", ".0e")
        )
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=st.dictionaries(TEXT, VALUE, max_size=4))
def test_the_same_document_in_each_language_is_the_same_resource(spec):
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "spec": spec}
    written = {
        "a.yaml": yaml.dump(document, Dumper=Quoting, allow_unicode=True),
        "b.yaml": json.dumps(document),
        "a.json": json.dumps(document, ensure_ascii=True),
        "a.toml": "\n".join(f"{key} = {to_toml(value)}" for key, value in document.items()),
    }
    for file, text in written.items():
        if file == "b.yaml" and "\\ud" in text:
            continue  # JSON's surrogate pairs are no YAML
        documents, problems = parse(file, text)
        assert problems == []
        assert [found.value for found in documents] == [document], file


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), suffix=st.sampled_from(["yaml", "toml", "json"]))
def test_no_bytes_raise_anything(data, suffix):
    documents, problems = parse(f"a.{suffix}", data)
    assert documents or problems


@settings(max_examples=300, deadline=None)
@given(
    text=st.text("{}[]:,&*a-\n \"'!<|>?%@`#=.0", max_size=60),
    suffix=st.sampled_from(["yaml", "toml", "json"]),
)
def test_no_text_raises_anything_and_every_place_can_be_found(text, suffix):
    documents, problems = parse(f"a.{suffix}", text)
    assert documents or problems
    for document in documents:
        for path in paths_of(document.value):
            place = document.place_of(path)
            assert 1 <= place.line <= text.count("\n") + 1


def paths_of(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_of(item, (*path, key))


def test_a_byte_order_mark_is_no_part_of_the_text():
    documents, problems = parse("a.yaml", b"\xef\xbb\xbfa: 1\n")
    assert problems == []
    assert documents[0].value == {"a": 1}
    assert documents[0].place_of(("a",)).column == 4


def test_a_file_over_the_limit_is_refused_unread():
    _, problems = parse("a.yaml", b"#" * (MAX_FILE_BYTES + 1))
    assert [problem.message for problem in problems] == ["the file is larger than 4 MiB"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.yaml", "a: [" + "1," * 300_000 + "1]"),
        ("a.yaml", "---\na: 1\n" * 150_000),
        ("a.json", '{"a": [' + "1," * 300_000 + "1]}"),
        ("a.toml", "[[a]]\n" * 300_000),
    ],
)
def test_a_file_with_too_many_values_is_refused_before_it_is_parsed(file, text):
    documents, problems = parse(file, text)
    assert documents == []
    assert [problem.message for problem in problems] == ["the file has more than 200000 lines and commas"]


def test_of_very_many_problems_in_one_file_the_first_hundred_are_shown():
    _, problems = parse("a.yaml", "a: 1\n" * 1000)
    assert len(problems) == 101
    assert problems[-1].message == "899 more problems in this file"


def test_a_list_gives_its_items_with_their_places():
    documents, problems = parse(
        "a.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- {kind: A, x: 1}\n"
        "- apiVersion: v1\n  kind: List\n  items: [{kind: B}]\n",
    )
    assert problems == []
    assert [document.value["kind"] for document in documents] == ["A", "B"]
    assert str(documents[0].place_of(("x",))) == "a.yaml:4:16"
    assert str(documents[1].place_of_key(("kind",))) == "a.yaml:7:12"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.yaml", "a: " + "[" * 900 + "]" * 900),
        ("a.yaml", "".join(" " * level + "a:\n" for level in range(900))),
        ("a.yaml", "? " * 5000 + "a"),
        ("a.yaml", "- " * 5000 + "a"),
        ("a.json", "[" * 500_000),
        ("a.json", '{"a":' * 200_000),
        ("a.toml", "a = " + "[" * 200_000),
        ("a.toml", "[" + "a." * 5000 + "a]\n"),
        ("a.yaml", "a: &a [*a, *a, *a]"),
        (
            "a.yaml",
            "a0: &a0 {k: v}\n"
            + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)),
        ),
        (
            "a.yaml",
            "a0: &a0 [x]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)),
        ),
    ],
)
def test_hostile_nesting_and_aliases_end_at_once_with_a_problem(file, text):
    start = time.monotonic()
    documents, problems = parse(file, text)
    assert problems
    assert documents == []
    assert time.monotonic() - start < 10


def test_one_file_with_problems_in_several_documents_reports_them_all():
    _, problems = parse("a.yaml", "a: 01\n---\nb: .inf\n---\nc: 1\nc: 2\n")
    assert [problem.place.line for problem in problems] == [1, 3, 6]
