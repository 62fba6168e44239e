"""TOML, whose places we find ourselves."""

from __future__ import annotations

import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.manifests.document import SourceText
from trueup.manifests.parse_toml import parse_toml


def parse(text):
    problems = []
    return parse_toml(SourceText("a.toml", text), problems), problems


SAMPLE = '''\
# comment with "quotes" and [brackets]
a = 1   # one
b.c = { d = [1, "x", {y = 2}], "e.f" = """x
\\"""q"""" }
'lit' = 'C:\\path'
multi = [
  1, # first
  2,
]
[s."t u"]
v = \'\'\'raw
]\'\'\'
[[r.x]]
k = 1
[[r.x]]
k = 2
[r.x.y]
z = true
[[r.x.w]]
q = "\\u00e9"
'''


def test_every_key_and_value_has_its_place():
    documents, problems = parse(SAMPLE)
    assert problems == []
    document = documents[0]
    expected = {
        ("a",): ("2:1", "2:5"),
        ("b", "c", "d", 1): ("3:17", "3:17"),
        ("b", "c", "d", 2, "y"): ("3:23", "3:27"),
        ("b", "c", "e.f"): ("3:32", "3:40"),
        ("lit",): ("5:1", "5:9"),
        ("multi", 1): ("8:3", "8:3"),
        ("s", "t u", "v"): ("11:1", "11:5"),
        ("r", "x", 0, "k"): ("14:1", "14:5"),
        ("r", "x", 1, "k"): ("16:1", "16:5"),
        ("r", "x", 1, "y", "z"): ("18:1", "18:5"),
        ("r", "x", 1, "w", 0, "q"): ("20:1", "20:5"),
    }
    for path, (key, value) in expected.items():
        assert str(document.place_of_key(path)) == f"a.toml:{key}", path
        assert str(document.place_of(path)) == f"a.toml:{value}", path


def test_resource_tables_are_documents():
    documents, problems = parse(
        '[[resource]]\nkind = "A"\n[resource.spec]\nx = 1\n[[resource]]\nkind = "B"\n'
    )
    assert problems == []
    assert [document.value for document in documents] == [{"kind": "A", "spec": {"x": 1}}, {"kind": "B"}]
    assert str(documents[0].place_of(("spec", "x"))) == "a.toml:4:5"
    assert str(documents[1].place) == "a.toml:5:1"


def test_a_document_may_have_a_field_named_resource():
    documents, _ = parse('kind = "A"\nresource = ["x"]\n')
    assert documents[0].value == {"kind": "A", "resource": ["x"]}


def paths_of(value, path=()):
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key), item
            yield from paths_of(item, (*path, key))


KEY = st.sampled_from(["a", "b-c", "'d e'", '"f\\"g"', '"\\u00e9"', "1"])
VALUE = st.recursive(
    st.sampled_from(["1", "-2.5", "true", '"x # ]}"', "'y\\'", '"""m\n"]\\"x"""', "'''n\n'q'''"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", # c\n".join(items) + "\n]")
        | st.lists(st.tuples(KEY, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(KEY, VALUE), min_size=1, max_size=5, unique_by=lambda pair: pair[0]))
def test_the_text_at_the_place_of_each_leaf_is_that_leaf(pairs):
    text = "\n".join(f"{key} = {value}" for key, value in pairs) + "\n"
    documents, problems = parse(text)
    assert problems == []
    document = documents[0]
    for path, item in paths_of(document.value):
        offset = document.offset_of(path)
        if isinstance(item, dict | list):
            assert text[offset] == ("{" if isinstance(item, dict) else "[")
        else:
            rest = text[offset:]
            assert any(_reads_as(rest[:end], item) for end in range(1, len(rest) + 1))


def _reads_as(text, item):
    try:
        return tomli.loads(f"v = {text}")["v"] == item
    except tomli.TOMLDecodeError:
        return False
