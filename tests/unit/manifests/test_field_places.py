from __future__ import annotations

from pathlib import Path

import pytest

from trueup.errors import Place
from trueup.manifests.field_places import find_field_place
from trueup.sources.open import open_tree

TWO = """\
kind: First
---
kind: Second
metadata:
  annotations: {example.com/a.b: "1"}
spec:
  ports:
    - name: a
    - name: b
"""
SECOND = Place("two.yaml", 3, 1)


@pytest.mark.parametrize(
    ("field", "line", "column"),
    [
        ("spec", 6, 1),
        ("spec.ports", 7, 3),
        ("spec.ports.1.name", 9, 7),
        ("spec.ports.7.name", 7, 3),
        ("spec.replicas", 6, 1),
        ("status", 3, 1),
        ("metadata.annotations.example.com/a.b", 5, 17),
    ],
)
def test_a_field_is_found_or_what_is_around_it(tmp_path: Path, field: str, line: int, column: int):
    (tmp_path / "two.yaml").write_text(TWO)
    tree = open_tree(str(tmp_path))
    assert find_field_place(tree, SECOND, field) == Place("two.yaml", line, column)


def test_what_the_files_do_not_say_is_the_place_itself(tmp_path: Path):
    (tmp_path / "two.yaml").write_text(TWO)
    (tmp_path / "broken.yaml").write_text("{")
    tree = open_tree(str(tmp_path))
    for place in (Place("two.yaml", 4, 1), Place("gone.yaml", 1, 1), Place("broken.yaml", 1, 1)):
        assert find_field_place(tree, place, "spec") == place
