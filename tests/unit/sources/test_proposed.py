from __future__ import annotations

from pathlib import Path

import pytest

from trueup.errors import SourceError
from trueup.sources.open import open_tree
from trueup.sources.proposed import ProposedTree


def test_a_proposed_tree_has_the_new_files_beside_the_old_ones(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("b\n")
    tree = open_tree(str(tmp_path))
    proposed = ProposedTree(tree, {"a.yaml": "ä\n", "c/d.yaml": "d\n"})
    assert list(proposed.paths()) == ["a.yaml", "b.yaml", "c/d.yaml"]
    assert list(proposed.source_paths()) == ["a.yaml", "b.yaml", "c/d.yaml"]
    assert [proposed.read(path).decode() for path in proposed.paths()] == ["ä\n", "b\n", "d\n"]
    assert proposed.revision == tree.revision
    assert list(proposed.paths_below(".")) == ["b.yaml"]
    with pytest.raises(SourceError):
        proposed.read("e.yaml")
    proposed.close()
    assert not (tmp_path / "a.yaml").exists()
