"""Properties: a document means the same in YAML, TOML and JSON; what is printed is read back as it was."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tests.unit.manifests.conftest import MemoryTree, SmallCatalog

from trueup.manifests.given_values import NO_VALUES, ValuesRequest
from trueup.manifests.load import LoadedStack, load_stack
from trueup.manifests.print_yaml import print_documents
from trueup.model.resource import Node

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {name: shop}
spec:
  variables:
    text: {type: string, default: "yes"}
    number: {type: integer, default: 3}
    map: {default: {b: [1, two], a: null}}
  targets: [{name: prod, provider: kubernetes}]
"""
CATALOG = SmallCatalog()

# What some reader takes for anything but text, and what some printer gets wrong.
ODD = [
    *("", " ", "~", "null", "Null", "true", "True", "no", "Yes", "on", "y", "0", "1", "-1", "+1", "0644"),
    *("0o17", "0x1F", "1_000", "1e3", "1.", ".5", "1.10", ".inf", "-.INF", ".nan", "NaN", "Infinity"),
    *("2026-01-01", "2026-01-01T10:00:00Z", "12:30:45", "1:2", "<<", "=", "-", "- a", "? a", ": a", "a: b"),
    *("a:", "#a", "a #b", "[a]", "{a: b}", "&a", "*a", "!a", "!!str a", "%a", "@a", "`a", "|", ">", "'a'"),
    *(
        '"a"',
        "\\",
        "a\\nb",
        "\\u0041",
        '"""',
        "'''",
        "---",
        "...",
        "a\nb",
        "a\nb\n",
        "\na",
        "a\n\n",
        "  a\n b",
    ),
    *("a\r\nb", "\r", "\t", "a\tb", "\x00", "\x1b[1m", "\x7f", "\x85", "\u2028", "\ufeff", "\U0001f600"),
    *("é", "e\u0301", "\u202eabc", "a ", " a", "$", "$$", "${", "$${", "{{", "}}", "${a}"),
]
ESCAPES = ["$${{ a }}", "x$${{", "$$${{ vars.text }}", "$${{ $${{ }} }}"]
EXPRESSIONS = [
    *("${{ vars.text }}", "${{ vars.number }}", "${{ vars.map }}", "a ${{ vars.number }} b", "${{ 'yes' }}"),
    *('${{ "}}" + vars.text }}', "${{ [1, 'no', true, null] }}", '${{ {"a": 1.5} }}', "${{ '$' }}{{"),
    *("${{ '${' + '{ vars.text }' + '}' }}", "${{ vars.number > 2 }}${{ vars.text }}"),
]
TEXT = (
    st.sampled_from(ODD)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=12).filter(lambda text: "${{" not in text)
    | st.lists(st.sampled_from(ODD), min_size=2, max_size=3).map("\n".join)
).filter(lambda text: "${{" not in text)
KEYS = TEXT
LEAVES = (
    TEXT
    | st.sampled_from(ESCAPES)
    | st.sampled_from(EXPRESSIONS)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)


def _trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    )


NAMES = st.sampled_from(
    ["a", "1", "true", "null", "0644", "1e3", "~", "é", "[a]", "a:b", "-", "yes", "2026-01-01"]
)


def _documents(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    metadata = st.fixed_dictionaries(
        {"name": NAMES}, optional={"labels": st.dictionaries(KEYS, TEXT, max_size=2), "namespace": NAMES}
    )
    return st.fixed_dictionaries(
        {"apiVersion": st.just("v1"), "kind": st.sampled_from(["A", "ConfigMap"]), "metadata": metadata},
        optional={
            "data": st.dictionaries(KEYS, _trees(leaves), max_size=4),
            "spec": st.dictionaries(KEYS, _trees(leaves), max_size=4),
            "forEach": st.lists(NAMES, min_size=1, max_size=3, unique=True),
            "lifecycle": st.fixed_dictionaries({}, optional={"protect": st.booleans()}),
        },
    )


def to_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1)


def to_yaml(document: Mapping[str, Any]) -> str:
    """As another program prints it, by the rules of YAML 1.2."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(dict(document), out)
    # These may stand in quotes as they are by YAML 1.2; that they are refused is another test's.
    text = out.getvalue()
    return to_flow(document) if re.search("[\x85\u2028\u2029]", text) else text


def to_flow(document: Mapping[str, Any]) -> str:
    """YAML in its flow form, all strings in double quotes."""
    return re.sub(
        "[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]",
        lambda match: f"\\u{ord(match[0]):04x}",
        json.dumps(document, ensure_ascii=False),
    )


def to_toml(document: Mapping[str, Any]) -> str:
    """Tables with headers at the top, inline ones below."""
    lines = [f"{_toml(key)} = {_toml(value)}" for key, value in document.items() if not _is_table(value)]
    for key, value in document.items():
        if _is_table(value):
            lines.append(f"[{_toml(key)}]")
            lines += [f"{_toml(inner)} = {_toml(item)}" for inner, item in value.items()]
    return "\n".join(lines) + "\n"


def to_toml_tables(document: Mapping[str, Any]) -> str:
    """An array of tables with one resource in it, as deep as headers go."""
    return "\n".join(_toml_lines(document, ["resource"], is_array=True)) + "\n"


def _toml_lines(table: Mapping[str, Any], path: list[str], *, is_array: bool = False) -> Iterator[str]:
    header = ".".join(_toml(part) for part in path)
    yield f"[[{header}]]" if is_array else f"[{header}]"
    for key, value in table.items():
        if not _is_table(value) and not _is_tables(value):
            yield f"{_toml(key)} = {_toml(value)}  # {key!r}".replace("\x7f", "")
    for key, value in table.items():
        if _is_table(value):
            yield from _toml_lines(value, [*path, key])
        elif _is_tables(value):
            for item in value:
                yield from _toml_lines(item, [*path, key], is_array=True)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)


def load(name: str, text: str, request: ValuesRequest = NO_VALUES, **more: str) -> LoadedStack:
    files = {"stack.yaml": STACK, **({name: text} if name else {}), **more}
    return load_stack(MemoryTree(files), CATALOG, request)


def resources(nodes: tuple[Node, ...]) -> list[str]:
    """The nodes as texts that tell 1 from 1.0 and from true; the order of keys does not count."""
    return [
        json.dumps([node.address.text, node.api_version, node.body, repr(node.lifecycle)], sort_keys=True)
        for node in nodes
    ]


@settings(max_examples=120, deadline=None)
@given(_documents(LEAVES))
def test_a_document_gives_the_same_resources_in_yaml_toml_and_json(document: dict[str, Any]) -> None:
    expected = resources(load("a.json", to_json(document)).nodes)
    assert resources(load("a.yaml", to_yaml(document)).nodes) == expected
    assert resources(load("a.yml", to_flow(document)).nodes) == expected
    assert resources(load("a.toml", to_toml(document)).nodes) == expected
    assert resources(load("a.toml", to_toml_tables(document)).nodes) == expected


@settings(max_examples=100, deadline=None)
@given(_documents(LEAVES | st.none()))
def test_null_is_the_same_in_the_languages_that_have_it(document: dict[str, Any]) -> None:
    expected = resources(load("a.json", to_json(document)).nodes)
    assert resources(load("a.yaml", to_yaml(document)).nodes) == expected
    assert resources(load("a.yml", to_flow(document)).nodes) == expected


@settings(max_examples=120, deadline=None)
@given(st.lists(_documents(LEAVES | st.none()), min_size=1, max_size=3))
def test_what_is_expanded_and_printed_is_read_back_as_the_same(documents: list[dict[str, Any]]) -> None:
    for index, document in enumerate(documents):
        document["metadata"]["name"] = f"{index}-{document['metadata']['name']}"
    files = {f"{index}.json": to_json(document) for index, document in enumerate(documents)}
    nodes = load("", "", **files).nodes
    printed = print_documents(node.body for node in nodes)
    again = load("a.yaml", printed).nodes
    assert [node.body for node in again] == [node.body for node in nodes]
    assert [json.dumps(n.body, sort_keys=True) for n in again] == [
        json.dumps(n.body, sort_keys=True) for n in nodes
    ]
    assert [node.address for node in again] == [node.address for node in nodes]
    assert print_documents(node.body for node in again) == printed


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={"text": TEXT | st.sampled_from(EXPRESSIONS), "map": st.dictionaries(KEYS, _trees(LEAVES))},
    )
)
def test_values_are_the_same_in_every_language_and_stay_text(values: dict[str, Any]) -> None:
    head = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n"
    resource = f"{head}data: ['${{{{ vars.text }}}}', '${{{{ vars.map }}}}']\n"
    found = []
    for name, text in (
        ("v.json", to_json(values)),
        ("v.yaml", to_yaml(values)),
        ("v.yml", to_flow(values)),
        ("v.toml", to_toml(values)),
    ):
        if text.strip():
            stack = load("a.yaml", resource, ValuesRequest((name,)), **{name: text})
            found.append(json.dumps(stack.nodes[0].body["data"], sort_keys=True))
    assert len(set(found)) == 1
    text, merged = json.loads(found[0])
    assert text == values.get("text", "yes")
    assert merged == {"b": [1, "two"], "a": None, **values.get("map", {})}


@pytest.mark.parametrize("text", ODD)
def test_every_odd_text_is_itself_in_every_language(text: str) -> None:
    document = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "data": {text: text, "l": [text]}}
    for name, printed in (
        ("a.json", to_json(document)),
        ("a.yaml", to_yaml(document)),
        ("a.yml", to_flow(document)),
        ("a.toml", to_toml(document)),
        ("b.toml", to_toml_tables(document)),
        ("b.yaml", print_documents([document])),
    ):
        (node,) = load(name, printed).nodes
        assert node.body["data"] == {text: text, "l": [text]}
