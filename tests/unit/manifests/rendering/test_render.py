"""Rendering with the real tools: what resources come out, and the exact text where none do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trueup.errors import ManifestError
from trueup.manifests.load import load_stack

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name for path in BAD.iterdir())
EXPECTED = "expected.txt"


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("name", CASES)
def test_a_rendering_that_fails_says_so_with_this_text(name, catalog, memory_tree):
    case = BAD / name
    files = {
        str(path.relative_to(case)): path.read_bytes()
        for path in case.rglob("*")
        if path.is_file() and path.name != EXPECTED
    }
    with pytest.raises(ManifestError) as error:
        load_stack(memory_tree(files), catalog)
    text = f"{error.value}\n"
    if os.environ.get("TRUEUP_UPDATE_SNAPSHOTS") == "1":
        (case / EXPECTED).write_text(text)
    assert text == (case / EXPECTED).read_text()
