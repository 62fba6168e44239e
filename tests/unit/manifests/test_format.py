from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.errors import ManifestError
from trueup.manifests.format import format_file

ROOT = Path(__file__).parents[3]
FILES = [
    file
    for folder in ("examples", "tests/unit/manifests")
    for suffix in ("yaml", "toml", "json")
    for file in sorted((ROOT / folder).rglob(f"*.{suffix}"))
    if "/bad/" not in str(file)
]


def lay_out(file: str, text: str) -> str:
    return format_file(file, text.encode())


def test_indentation_and_white_space_become_one_style_and_comments_stay() -> None:
    before = """\
# the site


apiVersion: v1
kind:   ConfigMap
metadata:
    # quoted
    name: "x"
data:
    list:
    - a
    - b:  1
      c: 2
    text: |
        one
          two
# between
---
b: 'x'


"""
    after = """\
# the site

apiVersion: v1
kind: ConfigMap
metadata:
  # quoted
  name: "x"
data:
  list:
    - a
    - b: 1
      c: 2
  text: |
    one
      two
# between
---
b: 'x'
"""
    assert lay_out("a.yaml", before) == after


def test_white_space_inside_of_a_text_is_kept() -> None:
    text = "a:   |\n    x   \n    y\n"
    assert lay_out("a.yaml", text) == "a: |\n  x   \n  y\n"
    toml = 'a = """\nx   \n"""\n'
    assert lay_out("a.toml", toml) == toml


def test_a_value_over_several_lines_is_not_joined_into_one() -> None:
    text = "a: {b: 1,\n    c: 2}\nd:   3   \n"
    assert lay_out("a.yaml", text) == "a: {b: 1,\n    c: 2}\nd:   3\n"


def test_json_keeps_its_words() -> None:
    before = '{"a": [1,2.0,1e3,{}, []], "b": {"c": "x\\"y,{", "d":null}}'
    after = """\
{
  "a": [
    1,
    2.0,
    1e3,
    {},
    []
  ],
  "b": {
    "c": "x\\"y,{",
    "d": null
  }
}
"""
    assert lay_out("a.json", before) == after


def test_toml_loses_white_space_at_the_ends_of_lines() -> None:
    assert lay_out("a.toml", "# c\na = 1   \n\n\n\n[t]\nb = 2\n\n") == "# c\na = 1\n\n[t]\nb = 2\n"


def test_a_file_that_does_not_parse_is_refused_with_its_place() -> None:
    with pytest.raises(ManifestError, match=r"a\.yaml:2"):
        lay_out("a.yaml", "a: 1\na: 2\n")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_laying_out_twice_changes_nothing_more(file: Path) -> None:
    once = format_file(file.name, file.read_bytes())
    assert lay_out(file.name, once) == once


@settings(max_examples=60)
@given(st.text(alphabet="ab:-# \n|>'\"[]{},&*?!%@0.~", max_size=60))
def test_whatever_a_file_holds_it_says_the_same_afterwards(text: str) -> None:
    try:
        once = lay_out("a.yaml", text)
    except ManifestError:
        return
    assert lay_out("a.yaml", once) == once
