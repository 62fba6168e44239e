"""What holds a plan: the deletion budget and stateful kinds."""

from __future__ import annotations

import pytest

from trueup.reconcile.guard import deletion_budget


@pytest.mark.parametrize(
    ("max_deletes", "size", "budget"),
    [
        ("", 0, 5),
        ("", 25, 5),
        ("", 29, 5),
        ("", 30, 6),
        ("", 1000, 200),
        ("0", 1000, 0),
        ("7", 3, 7),
        ("20%", 10, 2),
        ("20%", 9, 1),
        ("12.5%", 80, 10),
        ("0%", 100, 0),
        ("100%", 100, 100),
    ],
)
def test_the_budget_is_a_count_or_a_share_rounded_down(max_deletes: str, size: int, budget: int) -> None:
    assert deletion_budget(max_deletes, size) == budget
