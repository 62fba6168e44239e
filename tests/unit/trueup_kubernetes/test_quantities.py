from __future__ import annotations

from decimal import Decimal

import pytest

from trueup_kubernetes.quantities import is_same_quantity, parse_quantity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        (1, "1"),
        ("1024Mi", "1Gi"),
        ("1e3", "1k"),
        (0.5, "500m"),
        (".5", "0.5"),
    ],
)
def test_the_same_amount(one: object, other: object) -> None:
    assert is_same_quantity(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "2"), ("1M", "1Mi"), ("a", "a"), (True, 1), ("", "0"), ("1 G", "1G")]
)
def test_not_the_same_amount(one: object, other: object) -> None:
    assert not is_same_quantity(one, other)


def test_amounts_are_exact() -> None:
    assert parse_quantity("0.1") == Decimal("0.1")
    assert parse_quantity("1Ei") == Decimal(1024) ** 6
