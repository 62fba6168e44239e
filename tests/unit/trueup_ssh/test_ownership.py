"""Markers: written in the one form that the shell functions compare as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.sdk import Invalid, Owner
from trueup_ssh.ownership import Marker, key_of, marker_rest, owner_text, parse_marker

OWNERS = st.builds(Owner, st.text(), st.text(), st.text())


@given(owner=OWNERS, kind=st.text(), identity=st.text(), created=st.booleans())
def test_a_marker_is_read_as_it_was_written(owner: Owner, kind: str, identity: str, created: bool) -> None:
    text = f'{{"created":{str(created).lower()},{marker_rest(owner, kind, identity)}'
    assert text.isascii()
    assert "\n" not in text
    assert parse_marker(text) == Marker(owner, kind, identity, created)


@given(owner=OWNERS, other=OWNERS, kind=st.text(), identity=st.text())
def test_no_other_owner_is_found_in_a_marker(owner: Owner, other: Owner, kind: str, identity: str) -> None:
    text = marker_rest(owner, kind, identity)
    assert owner_text(owner) in text
    assert (owner_text(other) in text) == (owner == other)


def test_an_owner_inside_a_string_is_not_an_owner() -> None:
    owner = Owner("a", "b", "c")
    assert owner_text(owner) not in marker_rest(Owner("x", "y", "z"), "File", owner_text(owner))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"created":true}', '{"owner":{"address":"a"},"kind":"K"}'])
def test_a_damaged_marker_is_an_error_and_not_no_marker(text: str) -> None:
    with pytest.raises(Invalid, match="damaged"):
        parse_marker(text)


def test_each_identity_has_a_key_of_its_own() -> None:
    assert key_of("file:/a") != key_of("package:a")
    assert len(key_of("file:/" + "x" * 4000)) == 64
