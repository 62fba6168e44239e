"""Files of the machine: only those of directories that are meant for secrets, by whatever link."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from trueup.errors import Denied, Invalid, ProviderError
from trueup.model.values import Sensitive
from trueup.sdk.secrets import SecretContext
from trueup.secrets import files
from trueup.secrets.files import FileSource

SOURCE = FileSource()
CANARY = "kanarienvogel"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    made.mkdir()
    return made


def read(folder: Path, key: str) -> Sensitive | ProviderError:
    """As a stack would: the key is checked, then read."""
    settings = {"files": (str(folder),)}
    try:
        SOURCE.check(key, settings)
    except ProviderError as error:
        return error
    return SOURCE.read([key], SecretContext(settings=settings))[key]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("geheim\n", "geheim"),
        ("geheim\r\n", "geheim"),
        ("geheim\n\n", "geheim\n"),
        ("geheim\r", "geheim\r"),
        (" ge heim ", " ge heim "),
        ("", ""),
    ],
)
def test_the_value_is_the_text_without_the_line_break_at_its_end(
    content: str, value: str, folder: Path
) -> None:
    (folder / "db").write_bytes(content.encode())
    assert read(folder, f"{folder}/db") == Sensitive(value)


@pytest.mark.parametrize(
    ("content", "pointer", "value"),
    [
        ('{"db": {"password": "p", "port": 1}}', "/db/password", "p"),
        ('{"db": {"password": "p", "port": 1}}', "/db/port", 1),
        ("db:\n  - {a/b: 0123}\n", "/db/0/a~1b", "0123"),
        ("on: yes\n", "/on", "yes"),
    ],
)
def test_a_pointer_selects_from_json_and_from_yaml(
    content: str, pointer: str, value: object, folder: Path
) -> None:
    (folder / "db").write_text(content)
    assert read(folder, f"{folder}/db#{pointer}") == Sensitive(value)


@pytest.mark.parametrize(
    ("content", "key", "why"),
    [
        (CANARY, "db#/a", "neither a JSON nor a YAML document"),
        (f"{{{CANARY}", "db#/a", "no JSON object"),
        (f"a: {CANARY}", "db#/b", "has nothing at #/b"),
        (f"a: [{CANARY}]", "db#/a/1", "has nothing at #/a/1"),
        (f'{{"a": null, "b": "{CANARY}"}}', "db#/a", "has null at #/a"),
        (f"a: &a {CANARY}\nb: *c\n", "db#/a", "neither"),
        (f"{CANARY}\udcff", "db", "not UTF-8"),
        (CANARY * files.MAX_BYTES, "db", "is larger than"),
    ],
)
def test_a_message_about_a_file_holds_nothing_of_it(content: str, key: str, why: str, folder: Path) -> None:
    (folder / "db").write_bytes(content.encode(errors="surrogateescape"))
    answer = read(folder, f"{folder}/{key}")
    assert isinstance(answer, Invalid)
    assert why in answer.message
    seen: BaseException | None = answer
    while seen is not None:
        assert CANARY not in f"{seen!r} {seen} {getattr(seen, 'hint', '')}"
        seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize(
    "key",
    [
        "/etc/passwd",
        "/run/secrets",
        "/run/secretsx/a",
        "/run/secrets/../../etc/passwd",
        "/proc/self/environ",
        "/dev/stdin",
        "secrets.yaml",
        "",
        "#/a",
        "/run/secrets/a\0b",
        "/run/secrets/a#b",
    ],
)
def test_what_lies_elsewhere_is_refused_without_a_look(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", None)
    with pytest.raises((Denied, Invalid)):
        SOURCE.check(key, {"files": ("/opt/secrets",)})


def test_not_even_a_granted_directory_opens_the_files_of_the_kernel() -> None:
    with pytest.raises(Denied):
        SOURCE.check("/proc/self/environ", {"files": ("/",)})


def test_a_link_is_followed_inside_and_refused_when_it_leads_out(folder: Path, tmp_path: Path) -> None:
    (folder / "..2026").mkdir()
    (folder / "..2026" / "db").write_text("inside")
    (folder / "..data").symlink_to("..2026")
    (folder / "db").symlink_to("..data/db")  # as Kubernetes mounts a Secret
    assert read(folder, f"{folder}/db") == Sensitive("inside")
    (tmp_path / "other").write_text(CANARY)
    (folder / "out").symlink_to(tmp_path / "other")
    (folder / "environ").symlink_to("/proc/self/environ")
    for name in ("out", "environ"):
        answer = read(folder, f"{folder}/{name}")
        assert isinstance(answer, Denied)
        assert CANARY not in str(answer)


def test_what_is_no_regular_file_is_refused_and_does_not_block(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "sub").mkdir()
    for name in ("pipe", "sub"):
        answer = read(folder, f"{folder}/{name}")
        assert isinstance(answer, Invalid)
        assert "no regular file" in answer.message


def test_no_refused_file_stays_open(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "db").write_text(CANARY)
    before = os.listdir("/dev/fd")  # noqa: PTH208 - as many as the test itself has open
    for name in ("sub", "db", "none", "db/none"):
        read(folder, f"{folder}/{name}")
    assert len(os.listdir("/dev/fd")) == len(before)  # noqa: PTH208


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "db").write_text(CANARY)
    (folder / "app").mkdir()
    (folder / "app" / "db").write_text("mine")
    resolve = os.path.realpath

    def resolve_and_swap(path: str | os.PathLike[str], **options: bool) -> str:
        found = resolve(path, **options)
        if str(path) == f"{folder}/app/db":
            (folder / "app").rename(folder / "old")
            (folder / "app").symlink_to(outside)
        return found

    monkeypatch.setattr(os.path, "realpath", resolve_and_swap)
    answer = read(folder, f"{folder}/app/db")
    assert isinstance(answer, ProviderError)


def test_a_missing_file_says_so(folder: Path) -> None:
    answer = read(folder, f"{folder}/db")
    assert isinstance(answer, Invalid)
    assert answer.message == f"there is no file {folder}/db"


def test_the_credentials_of_a_systemd_service_are_granted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    (folder / "db").write_text("p")
    key = f"{folder}/db"
    SOURCE.check(key, {})
    assert SOURCE.read([key], SecretContext())[key] == Sensitive("p")


def test_a_yaml_file_with_aliases_is_refused_before_they_are_written_out(folder: Path) -> None:
    lines = ["a: &a [geheim, geheim]"]
    lines += [f"{other}: &{other} [*{one}, *{one}]" for one, other in pairwise("abcdefghijklmnopqrstuvwxyz")]
    (folder / "db").write_text("\n".join(lines))
    answer = read(folder, f"{folder}/db#/z")
    assert isinstance(answer, Invalid)
    assert "without aliases" in answer.hint and "geheim" not in f"{answer} {answer.hint}"
    # What only looks like one is text.
    (folder / "db").write_text('password: "*a"\n')
    assert read(folder, f"{folder}/db#/password") == Sensitive("*a")
