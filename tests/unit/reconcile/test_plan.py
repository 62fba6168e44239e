"""The order of a plan's deletes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from trueup.model.address import Address
from trueup.reconcile.plan import _dependents_first


def address(name: str) -> Address:
    return Address("shop", "Thing", name, "here")


@pytest.mark.parametrize("order", ["abcd", "dcba", "cadb"])
def test_deletes_stand_dependents_first_and_in_the_same_order_in_each_process(order: str) -> None:
    # b, c and d depend on a.
    situation = SimpleNamespace(
        undeclared={address(name): name for name in order},
        records={
            address(name): SimpleNamespace(depends_on=() if name == "a" else (address("a"),))
            for name in order
        },
    )
    assert "".join(cast(Any, _dependents_first(cast(Any, situation)))) == "bcda"
