"""The tables of docs/safety.md name tests that exist: a promise whose test is gone is not kept."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROW = re.compile(r"^\| (?P<promise>.+?) \| (?P<tests>.+) \|$")
_TEST = re.compile(r"`((?:tests|engine/trueup/sdk/testing)/[\w/]+\.py)(?:::(\w+))?`")


@pytest.fixture(scope="session")
def page(root: Path) -> str:
    return (root / "docs/safety.md").read_text()


def promises(page: str) -> Iterator[tuple[str, str]]:
    """Each promise of the tables with the cell that names its tests."""
    is_table = False
    for line in page.splitlines():
        if line == "| promise | shown by |":
            is_table = True
        elif not line.startswith("|"):
            is_table = False
        elif is_table and not line.startswith("| ---"):
            row = _ROW.match(line)
            assert row, line
            yield row["promise"], row["tests"]


def names_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_group_makes_promises(page: str) -> None:
    assert page.count("\n| promise | shown by |\n") >= 5
    assert len(list(promises(page))) > 20


def test_each_promise_names_its_tests_and_nothing_else(page: str) -> None:
    wrong = []
    for promise, cell in promises(page):
        names = cell.split("<br>")
        if not all(_TEST.fullmatch(name) for name in names) or len(set(names)) < len(names):
            wrong.append(promise)
    assert wrong == []


def test_no_promise_is_made_twice(page: str) -> None:
    made = [promise for promise, _ in promises(page)]
    assert sorted(set(made)) == sorted(made)


def test_each_test_that_is_named_exists(page: str, root: Path) -> None:
    missing = []
    for file, name in _TEST.findall(page):
        path = root / file
        if not path.is_file():
            missing.append(file)
        elif name and name not in names_in(path):
            missing.append(f"{file}::{name}")
    assert missing == []
