"""What was rendered is found again, by nobody else, and within bounds."""

from __future__ import annotations

import os
import stat

import pytest

from trueup.manifests.rendering import cache
from trueup.manifests.rendering.cache import cache_directory, make_key, read_entry, write_entry


def test_what_was_written_is_read():
    assert read_entry("a") is None
    write_entry("a", b"one\n")
    write_entry("b", b"")
    assert (read_entry("a"), read_entry("b")) == (b"one\n", b"")


def test_the_parts_of_a_key_do_not_run_into_each_other():
    keys = {make_key("a", "b"), make_key("ab"), make_key("a", "b", ""), make_key("b", "a")}
    assert len(keys) == 4


def test_nobody_else_can_read_it():
    cache_directory().parent.mkdir(parents=True)
    cache_directory().mkdir(mode=0o755)
    write_entry("a", b"secret")
    assert stat.S_IMODE(cache_directory().stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in cache_directory().iterdir()] == [0o600]


@pytest.mark.parametrize("damage", [b"", b"one", b"\xff\n", b"0" * 64 + b"\none\n"])
def test_a_damaged_entry_is_none_and_goes(damage):
    write_entry("a", b"one\n")
    (cache_directory() / "a").write_bytes(damage)
    assert read_entry("a") is None
    assert list(cache_directory().iterdir()) == []


def test_the_entries_that_were_not_used_for_longest_go_first(monkeypatch):
    monkeypatch.setattr(cache, "MAX_ENTRIES", 3)
    for age, name in enumerate("abcd"):
        write_entry(name, b"x")
        os.utime(cache_directory() / name, (1000 + age, 1000 + age))
    assert {file.name for file in cache_directory().iterdir()} == {"b", "c", "d"}
    assert read_entry("b") == b"x"  # used now
    write_entry("e", b"x")
    assert {file.name for file in cache_directory().iterdir()} == {"b", "d", "e"}


def test_the_cache_does_not_grow_beyond_its_size(monkeypatch):
    monkeypatch.setattr(cache, "MAX_BYTES", 1000)
    for index in range(10):
        write_entry(str(index), bytes(300))
    assert 0 < sum(file.stat().st_size for file in cache_directory().iterdir()) <= 1000


def test_a_cache_that_cannot_be_written_is_told_and_is_no_error(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_entry("a", b"x")
    assert "cannot be kept" in caplog.text
    assert read_entry("a") is None


def test_a_relative_cache_home_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "trueup" / "render"


def test_what_another_user_put_there_is_not_read(monkeypatch):
    write_entry(make_key("a"), b"text")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert read_entry(make_key("a")) is None


def test_a_link_in_the_cache_is_not_followed(tmp_path):
    write_entry(make_key("a"), b"text")
    entry = cache_directory() / make_key("a")
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert read_entry(make_key("a")) is None
