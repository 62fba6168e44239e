from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trueup.errors import ManifestError, Problem
from trueup.manifests.format import format_file
from trueup.manifests.parse import parse_file
from trueup.manifests.yaml_layout import lay_out_yaml

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


@pytest.mark.parametrize(
    "text",
    [
        "a: null\nb: ~\nc: +1\nd: TRUE\ne: 'x'\nf: \"\\u2028\"\ng: 0x1F\n",
        "--- # first\na: &x {b: 1}\n--- {c: 2}\n",
        "a: &x # why\n  b: 1\nc: *x\nd:\n  <<: *x\n",
        "a: |2\n    x\n  y\nb: |+\n  x\n\n\n",
        "? a\n: - 1\n  - 2\n",
        "a: x\u00a0\n",
    ],
)
def test_what_is_neat_stays_as_it_is_to_the_last_word(text: str) -> None:
    assert lay_out("a.yaml", text) == text


def test_a_text_with_empty_lines_keeps_them_and_the_rest_has_one_at_most() -> None:
    before = "a: |\n    x\n\n\n    y  \n\n\n\nb:   1   \n\n\nc:\n-   d:  2\n    # e\n    e: 3\n-\n    - 4\n"
    after = "a: |\n  x\n\n\n  y  \n\nb: 1\n\nc:\n  - d: 2\n    # e\n    e: 3\n  -\n    - 4\n"
    assert lay_out("a.yaml", before) == after
    toml = 'a = """\nx   \n\n\ny"""   \n\n\n\n# c "   \nb = 1\n'
    assert lay_out("a.toml", toml) == 'a = """\nx   \n\n\ny"""\n\n# c "\nb = 1\n'


def test_a_comment_moves_along_with_what_it_is_level_with() -> None:
    before = """\
a:
    # one
    b: 1 # two
    # three
# four
c:
# five
- 1
# six
d: |
      x
      # text
    # seven
"""
    after = """\
a:
  # one
  b: 1 # two
  # three
# four
c:
  # five
  - 1
# six
d: |
  x
  # text
# seven
"""
    assert lay_out("a.yaml", before) == after


def test_white_space_inside_of_a_text_is_kept() -> None:
    text = "a:   |\n    x   \n    y\n"
    assert lay_out("a.yaml", text) == "a: |\n  x   \n  y\n"
    toml = 'a = """\nx   \n"""\n'
    assert lay_out("a.toml", toml) == toml


def test_a_value_over_several_lines_is_not_joined_into_one() -> None:
    text = "a: {b: 1,\n    c: 2}\nd:   3   \n"
    assert lay_out("a.yaml", text) == "a: {b: 1,\n    c: 2}\nd: 3\n"


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


TEXTS = (
    "x",
    "null",
    "+1",
    '"a b"',
    "[a,  b]",
    "{a: 1}",
    "|\n{}x\n\n{}  y\n",
    ">-\n{}x",
    '"a\n{}b"',
    "a\n{}b",
    "",
)


def write(random: Random, indent: int, depth: int, is_map: bool) -> Iterator[str]:
    """Lines of a map or a list that nobody has laid out, with comments between them."""
    for number in range(random.randint(1, 3)):
        if random.random() < 0.3:
            yield " " * max(0, indent + random.choice((-1, 0, 0, 3))) + "# comment"
            yield from [""] * random.randint(0, 2)
        head = " " * indent + (f"k{number}:" if is_map else "-")
        if depth and random.random() < 0.6:
            yield head + random.choice(("", "  # comment"))
            is_inner_map = random.random() < 0.5
            step = random.choice((1, 2, 4)) if is_inner_map or not is_map else random.choice((0, 2, 4))
            yield from write(random, indent + step, depth - 1, is_inner_map)
        else:
            text = random.choice(TEXTS).replace("{}", " " * (indent + random.choice((1, 2, 4))))
            yield from (head + " " * random.randint(1, 3) + text).split("\n")


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_nothing_but_white_space_changes_and_the_result_is_one_style(random: Random) -> None:
    text = "\n".join(write(random, 0, 4, is_map=True)) + "\n"
    problems: list[Problem] = []
    parsed = [document.value for document in parse_file("a.yaml", text.encode(), problems)]
    assume(not problems)
    laid_out = lay_out_yaml(text)
    assert laid_out.split() == text.split()
    assert [document.value for document in parse_file("a.yaml", laid_out.encode(), [])] == parsed
    assert lay_out("a.yaml", text) == laid_out == lay_out_yaml(laid_out)
