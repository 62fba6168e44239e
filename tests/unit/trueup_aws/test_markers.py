from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from trueup.sdk import Owner
from trueup_aws.markers import ADDRESS, OWNER, VALUE_LIMIT, is_marker, owner_of, tags_of

WORD = st.text(st.characters(exclude_characters="/@", exclude_categories=("Cs",)), min_size=1, max_size=300)


@given(WORD, WORD, WORD, WORD)
def test_every_owner_is_read_back_from_its_tags(
    installation: str, stack: str, name: str, target: str
) -> None:
    owner = Owner(installation, stack, f"{stack}/AWS::SQS::Queue/{name}@{target}")
    tags = tags_of(owner)
    assert owner_of(tags) == owner
    assert all(is_marker(key) for key in tags)
    for value in tags.values():
        assert re.fullmatch(r"[A-Za-z0-9+\-=._:/@]{1,256}", value)


def test_an_ordinary_owner_is_written_as_it_is() -> None:
    owner = Owner("a1b2", "shop", "shop/AWS::SQS::Queue/orders@eu")
    assert tags_of(owner) == {OWNER: "a1b2/shop", ADDRESS: "shop/AWS::SQS::Queue/orders@eu"}


def test_a_long_address_goes_on_in_further_tags() -> None:
    owner = Owner("a1b2", "shop", "shop/AWS::SQS::Queue/" + "x" * 2 * VALUE_LIMIT + "@eu")
    assert [key for key in tags_of(owner) if key.startswith(ADDRESS)] == [
        ADDRESS,
        f"{ADDRESS}.2",
        f"{ADDRESS}.3",
    ]


def test_tags_without_a_whole_marker_name_no_owner() -> None:
    whole = tags_of(Owner("a1b2", "shop", "shop/AWS::SQS::Queue/orders@eu"))
    assert owner_of({}) is None
    assert owner_of({"team": "shop"}) is None
    assert owner_of({OWNER: whole[OWNER]}) is None
    assert owner_of({ADDRESS: whole[ADDRESS]}) is None
    assert owner_of({OWNER: "noslash", ADDRESS: whole[ADDRESS]}) is None
