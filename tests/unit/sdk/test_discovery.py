from __future__ import annotations

import pytest

from trueup.sdk.discovery import choose, has_pattern, is_pattern

KNOWN = {"web-1": 1, "web-2": 2, "db": 3, "a[1]": 4}


@pytest.mark.parametrize(
    ("ids", "chosen", "missing"),
    [
        ([], KNOWN, []),
        (["db"], {"db": 3}, []),
        (["web-*", "db", "web-1"], {"web-1": 1, "web-2": 2, "db": 3}, []),
        (["none", "x*"], {}, ["none", "x*"]),
        # What is there under that very name is no pattern.
        (["a[1]"], {"a[1]": 4}, []),
        (["WEB-1"], {}, ["WEB-1"]),
    ],
)
def test_ids_name_objects_or_are_patterns_of_their_names(
    ids: list[str], chosen: dict[str, int], missing: list[str]
) -> None:
    found, wrong = choose(ids, KNOWN, "thing")
    assert found == chosen
    assert [each.id for each in wrong] == missing
    assert all(each.error.message == f"there is no thing {each.id!r}" for each in wrong)


def test_only_a_text_with_a_sign_is_a_pattern() -> None:
    assert [has_pattern(text) for text in ("a", "a*", "a?", "[ab]")] == [False, True, True, True]
    assert is_pattern("a*", "ab") and not is_pattern("ab", "ab")
