"""Paths, modes and accounts as the kinds File and Directory take them."""

from __future__ import annotations

import pytest

from trueup_ssh.kinds.paths import ancestors, check_path, chmod_word, full_mode, read_stats
from trueup_ssh.script import Answer


@pytest.mark.parametrize("path", ["/etc/x", "/a b/c'd", "/é/ü", "/...", "/-n", "/processes/x", "/etc/x\\y"])
def test_good_paths_are_taken(path: str) -> None:
    assert check_path(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "", "etc/x", "/", "//etc", "/etc//x", "/etc/", "/etc/../x", "/etc/./x", "/a\nb", "/a\0b", "/a\x1b",
        "/proc/sys/x", "/sys", "/dev/sda", "/" + "x" * 256,
    ],
)  # fmt: skip
def test_paths_that_are_no_identity_are_refused(path: str) -> None:
    assert check_path(path)


def test_ancestors_go_up_to_the_root() -> None:
    assert list(ancestors("/a/b/c")) == ["/a/b", "/a"]
    assert list(ancestors("/a")) == []


@pytest.mark.parametrize(
    ("mode", "full"),
    [("644", "0644"), ("0644", "0644"), ("2755", "2755"), ("02755", "2755"), ("000", "0000")],
)
def test_modes_have_four_digits(mode: str, full: str) -> None:
    assert full_mode(mode) == full


def test_chmod_gets_five_digits_so_that_setgid_bits_go_away() -> None:
    assert chmod_word("755") == "00755"
    assert chmod_word(None) == ""


def test_account_names_with_spaces_are_read_and_a_damaged_line_concerns_its_path_only() -> None:
    lines = [
        "81a4 1000 1001 3 1700000000 DOM\\jane doe:domain users:/srv/a: b",
        "zz 0 0 3 1700000000 root:root:/srv/damaged",
        "81a4 0 0",
        "81a4 0 0 3 1700000000 root:root:/srv/c",
    ]
    found = read_stats(Answer({"stat": lines}))
    assert set(found) == {"/srv/a: b", "/srv/c"}
    assert (found["/srv/a: b"].owner, found["/srv/a: b"].group) == ("DOM\\jane doe", "domain users")
