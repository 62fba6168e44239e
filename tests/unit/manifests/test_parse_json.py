"""JSON as RFC 8259 has it, with places."""

from __future__ import annotations

import pytest

from trueup.manifests.document import SourceText
from trueup.manifests.parse_json import parse_json


def parse(text):
    problems = []
    return parse_json(SourceText("a.json", text), problems), problems


def test_values_and_places_are_found():
    documents, problems = parse(
        '{\n "a": [1, {"b\\u00e9": "\\ud83d\\ude00"}],\n\t"c" : -1.5e3, "d": {}, "e": [], "f": null}\n'
    )
    assert problems == []
    document = documents[0]
    assert document.value == {"a": [1, {"bé": "😀"}], "c": -1500.0, "d": {}, "e": [], "f": None}
    assert str(document.place_of(("a", 1, "bé"))) == "a.json:2:23"
    assert str(document.place_of_key(("a", 1, "bé"))) == "a.json:2:12"
    assert str(document.place_of(("c",))) == "a.json:3:8"
    assert str(document.place_of(("f",))) == "a.json:3:39"


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ('{"a": 1,}', "not JSON", 9),
        ("{'a': 1}", "not JSON", 2),
        ('{"a": 01}', "not JSON", 8),
        ('{"a": 1} x', "not JSON", 10),
        ('{"a": NaN}', "NaN is not JSON", 7),
        ('{"a": -Infinity}', "-Infinity is not JSON", 7),
        ('{"a": {"b": 1, "b": 2}}', 'duplicate key "b", first at a.json:1:8', 16),
        ('{"a": [1, 99999999999999999999]}', "99999999999999999999 does not fit into 64 bits", 11),
        ('{"a": 1e400}', "1e400 is not a finite number", 7),
        ('"a"', "a document must be a map", 1),
        ('{"a": "\t"}', "not JSON", 8),
        (r'{"a": "x\ud800"}', r"half of a character: a \ud... escape stands alone", 7),
        (r'{"\udc00": 1}', r"half of a character: a \ud... escape stands alone", 2),
    ],
)
def test_what_is_not_strictly_json_is_refused_at_its_place(text, message, column):
    documents, problems = parse(text)
    assert documents == []
    assert problems[0].message.startswith(message)
    assert (problems[0].place.line, problems[0].place.column) == (1, column)


def test_a_hundred_levels_are_allowed_and_one_more_is_not():
    assert parse('{"a":' + "[" * 99 + "]" * 99 + "}")[1] == []
    assert "nested deeper" in parse('{"a":' + "[" * 100 + "]" * 100 + "}")[1][0].message


def test_a_character_that_takes_two_escapes_is_one():
    documents, problems = parse(r'{"a": "\ud83d\ude00"}')
    assert problems == []
    assert documents[0].value == {"a": "\U0001f600"}
