"""Offsets to lines and columns."""

from __future__ import annotations

import pytest

from trueup.manifests.document import SourceText, kind_of_value


def test_offsets_become_lines_and_columns():
    source = SourceText("a", "ab\n\ncé\n")
    places = [(source.place(offset).line, source.place(offset).column) for offset in range(8)]
    assert places == [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2), (3, 3), (4, 1)]


def test_a_line_is_found_by_its_number():
    source = SourceText("a", "ab\n\ncd")
    assert [source.line(number) for number in range(5)] == ["", "ab", "", "cd", ""]


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.5, "a number"),
        ("", "a string"),
        ([], "a list"),
        ({}, "a map"),
    ],
)
def test_types_have_words(value, word):
    assert kind_of_value(value) == word
