"""A problem is about the field with which its words begin."""

from __future__ import annotations

import pytest

from trueup.errors import Place, Problem
from trueup.manifests.named_fields import join_problems, named_field

BODY = {"spec": {"path": "x", "ports": [{"name": "a"}], "FifoQueue": True}}
HERE, THERE = Place("a.yaml", 5, 9), Place("a.yaml", 6, 9)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("spec.path: 'x' is not absolute", ("spec", "path")),
        ("spec.ports[0].name is empty", ("spec", "ports", 0, "name")),
        ("metadata.name: too long", ("metadata", "name")),
        ("FifoQueue is for other queues", ("spec", "FifoQueue")),
        ("Delay is for other queues", ()),
        ("path", ()),
        ("specific.path: is not known", ()),
        ("'x' is no name", ()),
    ],
)
def test_the_words_name_the_field(message: str, path: tuple[str | int, ...]) -> None:
    assert named_field(message, BODY) == path


def test_of_one_field_the_kind_has_the_word() -> None:
    by_schema = [
        Problem("spec.path does not match the pattern ^/", HERE),
        Problem("spec.mode must be a string, not an integer", THERE),
        Problem('File needs "content"', HERE),
    ]
    by_kind = [Problem("spec.path: 'x' is not absolute", HERE)]
    assert join_problems(by_schema, by_kind, BODY) == [*by_schema[1:], *by_kind]
