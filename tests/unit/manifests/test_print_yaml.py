"""What is printed is read back as the same, by our own reader and by the one of YAML 1.1."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trueup.errors import Problem
from trueup.manifests.document import SourceText
from trueup.manifests.format import format_file
from trueup.manifests.interpolation import split_expressions
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.print_yaml import print_documents

ODD = [
    *(
        "no",
        "Yes",
        "on",
        "OFF",
        "y",
        "null",
        "~",
        "",
        " ",
        "true",
        "0644",
        "0o14",
        "1e3",
        "1_000",
        "12:30:45",
    ),
    *(
        "2026-01-01",
        ".5",
        ".inf",
        "-",
        "- a",
        "? a",
        ": a",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "a,b",
        "[a]",
        "{a: b}",
    ),
    *("&a", "*a", "!a", "%a", "@a", "`a`", "'a'", '"a"', "<<", "=", "a\\b", "a\tb", " a", "a ", "0x1F", "+1"),
    *(
        "a\nb",
        "a\nb\n",
        "a\n\n\nb\n\n\n",
        "\na",
        "  a\nb",
        "a \nb",
        "a\n\tb\n",
        "a\r\nb",
        "\n",
        "---\na\n",
        "ä\nö",
    ),
    *(
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeffa",
        "a\u202eb",
        "😀",
        "😀\na",
        "...",
        "--- a",
        "key: |\n  a",
        "a\n #b",
    ),
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(ODD)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def read(text: str) -> list[Any]:
    problems: list[Problem] = []
    documents = parse_yaml(SourceText("printed.yaml", text), problems)
    assert problems == [], text
    return [document.value for document in documents]


def unescape(value: Any) -> Any:
    """The value as a stack gives it: with the escapes of expressions taken out."""
    if isinstance(value, str):
        parts = split_expressions(value)
        assert all(isinstance(part, str) for part in parts), value
        return "".join(part for part in parts if isinstance(part, str))
    if isinstance(value, dict):
        return {key: unescape(item) for key, item in value.items()}
    return [unescape(item) for item in value] if isinstance(value, list) else value


@given(
    st.lists(
        st.dictionaries(TEXTS.filter(lambda key: "${{" not in key), VALUES, min_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_printed_is_read_back_as_the_same(documents: list[dict[str, Any]]) -> None:
    text = print_documents(documents)
    found = [unescape(document) for document in read(text)]
    assert json.dumps(found, sort_keys=True) == json.dumps(documents, sort_keys=True)


@pytest.mark.parametrize("odd", ODD)
def test_readers_of_yaml_1_1_see_the_same_text(odd: str) -> None:
    document = {"spec": {"value": odd, "items": [odd], odd: 1}}
    assert yaml.safe_load(print_documents([document])) == document


@pytest.mark.parametrize("text", ["${{ vars.a }}", "$${{ a", "a ${{\nb }}\n", "$$${{", "${{${{"])
def test_an_expression_in_live_data_is_printed_as_plain_text(text: str) -> None:
    printed = read(print_documents([{"spec": {"value": text}}]))
    assert unescape(printed) == [{"spec": {"value": text}}]


def test_a_document_is_laid_out_for_a_reader_of_reviews() -> None:
    document = {
        "spec": {
            "path": "/etc/motd",
            "mode": "0644",
            "content": "Welcome\n  to the shop\n",
            "empty": {},
            "nothing": [],
            "list": [{"name": "a", "more": [1, "2"]}, ["nested", "list"], 1.5, True, None],
        },
        "metadata": {"annotations": {"a/b": "no"}, "name": "motd"},
        "kind": "File",
        "apiVersion": "ssh.trueup.dev/v1",
        "targets": {"names": ["web-1"]},
    }
    text = print_documents([document, {"apiVersion": "v1", "kind": "X"}])
    assert (
        text
        == """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata:
  name: motd
  annotations:
    a/b: "no"
targets:
  names:
    - web-1
spec:
  path: /etc/motd
  mode: "0644"
  content: |
    Welcome
      to the shop
  empty: {}
  nothing: []
  list:
    - name: a
      more:
        - 1
        - "2"
    -
      - nested
      - list
    - 1.5
    - true
    - null
---
apiVersion: v1
kind: X
"""
    )


def test_fmt_leaves_what_is_printed_as_it_is() -> None:
    text = print_documents(
        [
            {"a": "x\ny\n", "b": [{"c": "no", "d": {"e": []}}], "f": {}, "g": "1"},
            {"a": "ä", "list": [{"x": "a\nb\n", "y": 1}], "z": "end\n\n", "y": "no end\nhere"},
        ]
    )
    assert format_file("a.yaml", text.encode()) == text


@pytest.mark.parametrize("value", [object(), float("nan"), {"x" * 1001: 1}])
def test_what_is_no_value_of_a_resource_file_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        print_documents([{"spec": value}])
