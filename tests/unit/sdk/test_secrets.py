"""What sources of secrets share: keys with a pointer, selection, and messages without a value."""

from __future__ import annotations

import pytest

from trueup.errors import Denied, Invalid
from trueup.model.values import Sensitive
from trueup.sdk.secrets import (
    answer_each_key,
    decode_secret,
    select_secret,
    select_secret_text,
    split_secret_key,
)

CANARY = "kanarienvogel"


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("a", ("a", None)),
        ("a/b#/c", ("a/b", "/c")),
        ("a#/b#c", ("a", "/b#c")),
        ("a#/", ("a", "/")),
        (" a", (" a", None)),
    ],
)
def test_a_key_is_a_name_and_perhaps_a_pointer(key: str, parts: tuple[str, str | None]) -> None:
    assert split_secret_key(key) == parts


@pytest.mark.parametrize("key", ["", "#", "#/a", "a#", "a#b"])
def test_a_key_without_a_name_or_with_another_pointer_is_refused(key: str) -> None:
    with pytest.raises(Invalid):
        split_secret_key(key)


DOCUMENT = {"a": {"b/c": [1, {"d": "x"}], "": "empty"}, "n": None, "f": False}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        (None, DOCUMENT),
        ("/a/b~1c/0", 1),
        ("/a/b~1c/1/d", "x"),
        ("/a/", "empty"),
        ("/f", False),
    ],
)
def test_what_a_pointer_names_is_selected_with_its_type(pointer: str | None, value: object) -> None:
    assert select_secret(DOCUMENT, pointer, "here") == Sensitive(value)


@pytest.mark.parametrize("pointer", ["/b", "/a/b", "/a/b~1c/2", "/a/b~1c/-1", "/a/b~1c/x", "/f/x", "/n", "/"])
def test_what_is_not_there_is_an_error(pointer: str) -> None:
    with pytest.raises(Invalid, match="here has n"):
        select_secret(DOCUMENT, pointer, "here")


@pytest.mark.parametrize(
    ("text", "pointer"), [(CANARY, "/a"), (f'"{CANARY}"', "/a"), (f'{{"{CANARY}"', "/a"), ("", "/a")]
)
def test_a_text_that_is_no_document_is_not_quoted(text: str, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        select_secret_text(text, pointer, "here")
    seen: BaseException | None = caught.value
    while seen is not None:
        assert CANARY not in f"{seen} {seen!r}"
        seen = seen.__cause__ or seen.__context__


def test_a_text_without_a_pointer_stays_as_it_is() -> None:
    assert select_secret_text('{"a": 1} ', None, "here") == Sensitive('{"a": 1} ')
    assert decode_secret("ü\n".encode(), "here") == "ü\n"
    with pytest.raises(Invalid, match="here is not UTF-8 text"):
        decode_secret(b"\xff", "here")


def test_an_error_of_one_key_is_that_keys_own() -> None:
    def read(key: str) -> Sensitive:
        if key == "b":
            raise Denied("no")
        return Sensitive(key)

    answers = answer_each_key(["a", "b", "c"], read)
    assert [str(answer) for answer in answers.values()] == ["(sensitive)", "no", "(sensitive)"]
