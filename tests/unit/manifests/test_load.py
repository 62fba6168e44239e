"""Whole stacks: the good ones, and the table of broken ones with the exact text that a user sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trueup.errors import ManifestError
from trueup.manifests.load import load_stack

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name for path in BAD.iterdir() if path.is_dir())
EXPECTED, WITHOUT_STACK = "expected.txt", ".without-stack"


def _files_of(case: Path) -> dict[str, bytes]:
    files = {
        str(path.relative_to(case)): path.read_bytes()
        for path in sorted(case.rglob("*"))
        if path.is_file() and path.name not in (EXPECTED, WITHOUT_STACK)
    }
    if not any(name.startswith("stack.") for name in files) and not (case / WITHOUT_STACK).exists():
        files["stack.yaml"] = (BAD / "stack.yaml").read_bytes()
    return files


@pytest.mark.parametrize("name", CASES)
def test_a_broken_input_is_refused_with_this_text(name, catalog, memory_tree):
    case = BAD / name
    with pytest.raises(ManifestError) as error:
        load_stack(memory_tree(_files_of(case)), catalog)
    text = f"{error.value}\n"
    if os.environ.get("TRUEUP_UPDATE_SNAPSHOTS") == "1":
        (case / EXPECTED).write_text(text)
    assert text == (case / EXPECTED).read_text()
