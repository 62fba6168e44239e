from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.cli.fields import MAX_NEW_LINES, describe_field
from trueup.model.change import MISSING, FieldChange
from trueup.model.values import UNKNOWN, Sensitive

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.just(UNKNOWN)
    | st.builds(Sensitive, st.text()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def describe(before: Any, after: Any, **more: bool) -> str:
    field = describe_field(FieldChange("/f", before, after, **more))
    return f"{field.sign} {field.text}" if not field.lines else "\n".join((field.sign, *field.lines))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (2, 3, "~ 2 -> 3"),
        ("2", 2, '~ "2" -> 2'),
        (None, "", '~ null -> ""'),
        (MISSING, True, "+ true"),
        ("x", MISSING, '- "x" -> (absent)'),
        ("x", UNKNOWN, '~ "x" -> (known after apply)'),
        (MISSING, UNKNOWN, "+ (known after apply)"),
        ({"a": 1}, {"a": UNKNOWN}, '~ {"a": 1} -> {"a": (known after apply)}'),
        (MISSING, [Sensitive("p")], "+ [(sensitive)]"),
        ("a", "a\n", '~ "a" -> "a\\n"'),
        ('say "hi"', "C:\\x", '~ "say \\"hi\\"" -> "C:\\\\x"'),
        ("a\r\n", "a\n", '~ "a\\r\\n" -> "a\\n"'),
        ("x" * 200, UNKNOWN, "~ -> (known after apply)"),
    ],
)
def test_short_values_stand_on_one_line(before: Any, after: Any, expected: str) -> None:
    assert describe(before, after) == expected


def test_sensitive_values_are_masked_even_if_they_came_unmasked() -> None:
    assert describe("old", "new", sensitive=True) == "~ (sensitive) -> (sensitive)"
    assert describe(MISSING, "new", sensitive=True) == "+ (sensitive)"
    assert describe("old", MISSING, sensitive=True) == "- (sensitive) -> (absent)"
    assert describe("old", UNKNOWN, sensitive=True) == "~ (sensitive) -> (known after apply)"


def test_long_texts_are_compared_line_by_line() -> None:
    before = "".join(f"{n}\n" for n in range(9))
    assert describe(before, before.replace("4", "four")) == (
        "~\n@@ -2,7 +2,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7"
    )


def test_a_missing_newline_at_the_end_is_seen() -> None:
    assert describe("a\nb", "a\nb\n") == "~\n a\n-b (no newline at the end)\n+b"
    assert describe("x" * 80, "x" * 80 + "\n") != "~"


def test_a_carriage_return_is_seen() -> None:
    assert describe("a\r\nb\r\n", "a\nb\n") == "~\n-a\\r\n-b\\r\n+a\n+b"


def test_long_lists_are_compared_as_indented_json() -> None:
    before = [{"Key": f"k{n}", "Value": "v"} for n in range(9)]
    lines = describe(before, before[:-1]).split("\n")
    assert '-    "Key": "k8",' in lines
    assert len(lines) < 15


def test_a_new_text_is_cut_after_some_lines_and_says_so() -> None:
    text = describe(MISSING, "".join(f"{n}\n" for n in range(MAX_NEW_LINES + 7)))
    assert text.endswith("\n@ 7 more lines: --output json has them")
    assert text.count("\n") == MAX_NEW_LINES + 1


@given(before=VALUES | st.just(MISSING), after=VALUES | st.just(MISSING))
def test_whatever_the_values_are_nothing_but_printable_text_comes_out(before: Any, after: Any) -> None:
    described = describe_field(FieldChange("/f\x1b[0m", before, after))
    for line in (described.path, described.text, *described.lines):
        assert line.replace("\t", "").isprintable()


@given(before=st.text(), after=st.text())
def test_texts_that_differ_never_look_alike(before: str, after: str) -> None:
    described = describe_field(FieldChange("/f", before, after))
    if before != after:
        assert described.lines or " -> " in described.text
        left, _, right = described.text.partition(" -> ")
        assert described.lines or left != right


@given(secret=st.text(min_size=6, alphabet="QXZ"))
def test_no_part_of_a_sensitive_value_comes_out(secret: str) -> None:
    field = FieldChange(
        "/f", {"a": Sensitive(secret), "b": 1}, {"a": Sensitive(secret), "b": [Sensitive(secret)]}
    )
    described = describe_field(field)
    assert secret not in "".join((described.text, *described.lines))
