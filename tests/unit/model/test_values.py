"""Digests: secrets count by a hash that nobody can try out without the key of the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from trueup.model.values import Sensitive, digest_of, keyed_digest_of, to_record, use_digest_key


@pytest.fixture
def key() -> Iterator[bytes]:
    use_digest_key(b"the key of this store")
    yield b"the key of this store"
    use_digest_key(b"")


def plain_hash(value: object) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(value).encode()).hexdigest()


def test_with_a_key_no_record_holds_the_plain_hash_of_a_secret(key: bytes) -> None:
    record = to_record({"a": Sensitive("1234"), "b": [Sensitive({"c": 1})]})
    assert plain_hash("1234") not in json.dumps(record)
    assert record == to_record({"a": Sensitive("1234"), "b": [Sensitive({"c": 1})]})
    assert record["a"] != to_record({"a": Sensitive("1235")})["a"]
    use_digest_key(b"another")
    assert record != to_record({"a": Sensitive("1234"), "b": [Sensitive({"c": 1})]})


def test_a_digest_that_is_shown_needs_the_key_too(key: bytes) -> None:
    value = {"version": plain_hash("1234")}
    assert keyed_digest_of(value) != digest_of(value)
    assert keyed_digest_of(value).startswith("sha256:")


def test_what_holds_no_secret_has_the_same_digest_everywhere(key: bytes) -> None:
    digest = digest_of({"a": 1})
    use_digest_key(b"another")
    assert digest_of({"a": 1}) == digest
    assert digest_of("1234") == plain_hash("1234")
