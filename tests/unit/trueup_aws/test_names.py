from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from trueup_aws.names import generated_name

ANY = st.text(min_size=1, max_size=200)


@given(ANY, ANY, ANY, st.integers(min_value=20, max_value=80))
def test_every_name_is_within_the_limits_of_every_service(
    owner: str, stack: str, name: str, limit: int
) -> None:
    made = generated_name(owner, stack, name, f"{stack}/K/{name}@t", limit=limit, suffix=".fifo")
    assert len(made) <= limit
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\.fifo", made)


def test_a_name_is_the_same_each_time_and_another_for_each_owner_and_address() -> None:
    names = {
        generated_name(owner, "shop", "orders", f"shop/AWS::SQS::Queue/orders@{target}", limit=80)
        for owner in ("one/shop", "two/shop")
        for target in ("eu", "us")
        for _ in range(2)
    }
    assert len(names) == 4
    assert all(re.fullmatch(r"shop-orders-[0-9a-f]{8}", name) for name in names)
