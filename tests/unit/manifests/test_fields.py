"""The typed readers behind trueup's own keys."""

from __future__ import annotations

import pytest

from trueup.manifests.document import SourceText
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.parse_yaml import parse_yaml


def fields_of(text, *known):
    problems = []
    document = parse_yaml(SourceText("a.yaml", text), problems)[0]
    assert problems == []
    return Fields(document, document.value, (), problems, known=known, where="it"), problems


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("1h1m1s", 3661), ("8760h", 31536000)],
)
def test_durations_are_read_in_seconds(text, seconds):
    fields, problems = fields_of(f"d: {text}", "d")
    assert fields.duration("d") == seconds
    assert problems == []


@pytest.mark.parametrize(
    "text", ['""', "5", "5 m", "m", "1.5h", "5m1h", "-5m", "0s", "8761h", "5ms", "\u0665m", "9" * 400 + "s"]
)
def test_what_is_no_duration_is_refused(text):
    fields, problems = fields_of(f"d: {text}", "d")
    assert fields.duration("d") is None
    assert len(problems) == 1


def test_an_unknown_key_is_told_with_the_one_that_is_meant():
    _, problems = fields_of("nmae: a\n", "name")
    assert [problem.message for problem in problems] == ['unknown field "nmae" of it']
    assert problems[0].hint == 'did you mean "name"?'


def test_a_boolean_is_no_number_and_no_text():
    fields, problems = fields_of("a: true\nb: 1\n", "a", "b")
    assert fields.text("a") == ""
    assert fields.boolean("b", True) is True
    assert len(problems) == 2


def test_a_missing_key_gives_the_default_without_a_problem():
    fields, problems = fields_of("x: 1\n", "x")
    assert fields.text("a") == ""
    assert fields.boolean("a", False) is False
    assert fields.choice("a", ["b"]) == ""
    assert fields.strings("a") == ()
    assert fields.string_map("a") == {}
    assert fields.mapping("a") == {}
    assert fields.items("a") == []
    assert fields.duration("a") is None
    assert problems == []


@pytest.mark.parametrize(
    "name", ["web", "web-1", "system:node", "Ä", "a.b", "AWS::SQS::Queue", "x" * 253, "${x}"]
)
def test_names_that_are_fine(name):
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    "name", ["", "a/b", "a@b", "a b", "a\tb", "a\x00b", "a\u200bb", "a\u00a0b", "x" * 254]
)
def test_names_that_would_break_an_address_are_faulty(name):
    assert name_fault(name)
