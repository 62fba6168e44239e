"""What may be handed to git as a location, and what an error may show of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from trueup.errors import SourceError
from trueup.sources.location import Remote, mask_credentials, parse_location
from trueup.sources.open import open_tree


@pytest.mark.parametrize(
    ("location", "protocol"),
    [
        ("https://git.example.com/a/b.git", "https"),
        ("https://git.example.com:8443/a/b.git", "https"),
        ("ssh://git@git.example.com/a/b.git", "ssh"),
        ("ssh://git@[::1]:22/a.git", "ssh"),
        ("git@git.example.com:a/b.git", "ssh"),
        ("git.example.com:a/b.git", "ssh"),
        ("http://127.0.0.1:8000/a.git", "http"),
        ("http://localhost/a.git", "http"),
        ("file:///srv/a.git", "file"),
    ],
)
def test_ordinary_locations_are_taken(location: str, protocol: str):
    remote = parse_location(location)
    assert isinstance(remote, Remote)
    assert (remote.url, remote.protocol) == (location, protocol)


@pytest.mark.parametrize(
    "location",
    [
        "",
        " ",
        "-oProxyCommand=touch",
        "--upload-pack=touch",
        "ext::sh -c touch",
        "fd::17",
        "http+unix::x",
        "ssh://-oProxyCommand=touch/a",
        "ssh://-l@host/a",
        "ssh://git@-oProxyCommand=touch/a",
        "-oProxyCommand=touch:a",
        "git@-oProxyCommand=touch:a",
        "-x@host:a",
        "host:-a",
        "host:",
        "ssh://host/-a",
        "http://git.example.com/a.git",
        "git://git.example.com/a.git",
        "ftp://git.example.com/a.git",
        "https://",
        "https://host:port/a",
        "https://host/a?x=1",
        "https://host/a\n",
        "https://host/\x1b[2J",
        "file://other-host/a",
        "ssh://git:secret@host/a",
    ],
)
def test_dangerous_and_broken_locations_are_refused(location: str):
    with pytest.raises(SourceError) as caught:
        parse_location(location)
    assert "secret" not in str(caught.value)


def test_an_external_helper_runs_nothing(tmp_path: Path):
    sentinel = tmp_path / "ran"
    for location in (
        f"ext::touch {sentinel}",
        f"ext::sh -c touch% {sentinel}",
        f"--upload-pack=touch {sentinel}",
        f"ssh://-oProxyCommand=touch${{IFS}}{sentinel}/x",
    ):
        with pytest.raises(SourceError):
            open_tree(location, "main", cache_dir=tmp_path / "cache")
    assert not sentinel.exists()


def test_a_plain_path_is_local_even_with_a_colon_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_location("a:b") == tmp_path / "a:b"
    assert parse_location(".") == tmp_path
    assert parse_location("x/../y") == tmp_path / "y"


@pytest.mark.parametrize("location", ["/srv/stacks", "file:///srv/stacks", "."])
def test_local_sources_are_refused_where_they_are_not_allowed(location: str):
    with pytest.raises(SourceError, match="is local"):
        parse_location(location, allow_file_urls=False)


def test_the_git_protocol_needs_leave():
    remote = parse_location("git://git.example.com/a", allow_git_protocol=True)
    assert isinstance(remote, Remote)
    assert remote.protocol == "git"


def test_a_password_is_kept_out_of_the_url_that_shows_in_process_lists():
    remote = parse_location("https://ada:p%40ss@git.example.com/a.git")
    assert isinstance(remote, Remote)
    assert remote.url == "https://git.example.com/a.git"
    assert remote.name == "https://***@git.example.com/a.git"
    assert remote.authorization == ("ada", "p@ss")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://ada:tok@host/x", "https://***@host/x"),
        ("https://tok@host/x", "https://***@host/x"),
        ("https://:tok@host/x", "https://***@host/x"),
        ("a https://a:b@c@host/x and http://t@h/", "a https://***@host/x and http://***@h/"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("ssh://git:tok@host/x", "ssh://***@host/x"),
        ("git@host:x", "git@host:x"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_credentials_are_masked_wherever_a_url_stands(text: str, masked: str):
    assert mask_credentials(text) == masked


def test_masking_takes_no_time_for_text_without_a_url():
    start = time.perf_counter()
    assert mask_credentials("a" * 200_000) == "a" * 200_000
    assert time.perf_counter() - start < 20
