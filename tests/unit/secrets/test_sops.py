"""Files that the real sops wrote, decrypted by it and by our own reader: both give the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from trueup.errors import Denied, Invalid, ProviderError
from trueup.model.values import Sensitive, reveal
from trueup.sdk.secrets import SecretAnswer, SecretContext
from trueup.secrets import sops_binary
from trueup.secrets.sops import SopsSource

SOURCE = SopsSource()
CANARY = "kanarienvogel"
YAML = r"""
# a comment
db:
  password: "geheim: ünïcode\n line"
  port: 5432
  ratio: 0.25
  big: 1e+22
  flag: true
  none: null
  empty: ""
  octal: 0644
  text: "0644"
  date: 2024-01-02
  list:
    - one  # why
    - {a/b: 1, c: [x, 2]}
plain_unencrypted: hello
n_unencrypted: 012
f_unencrypted: 1.50
e_unencrypted: 1e+22
d_unencrypted: 2024-01-02
s_unencrypted: 2024-01-02T03:04:05.120+02:00
x_unencrypted: 0x1F
u_unencrypted: 1_000
b_unencrypted: True
t_unencrypted: "012"
l_unencrypted: [a, 1, null, false]
"""
JSON = json.dumps(
    {
        "db": {"password": 'p"w', "port": 5432, "f": 1.5, "t": True, "n": None, "l": ["a", 1, {"k": "v"}]},
        "x_unencrypted": 12345678,
        "y_unencrypted": 1e21,
        "z_unencrypted": 0.000001,
    }
)
DOTENV = '# comment\nDB=val=ue\nMULTI=a\\nb\nQUOTED="x y"\n'
INI = "[db]\n; comment\npassword = geheim\nuser = u\n[other]\nk = v\n"
OPTIONS: list[list[str]] = [
    [],
    ["--mac-only-encrypted"],
    ["--encrypted-regex", "^(password|k|DB)$"],
    ["--unencrypted-regex", "^port$"],
    ["--encrypted-suffix", "word"],
]


def read(content: bytes, *keys: str) -> list[SecretAnswer]:
    """What the source answers for keys of one file."""
    context = SecretContext({key.partition("#")[0]: content for key in keys})
    answers = SOURCE.read(keys, context)
    return [answers[key] for key in keys]


def read_one(content: bytes, key: str) -> Any:
    (answer,) = read(content, key)
    assert isinstance(answer, Sensitive), answer
    return reveal(answer)


def refuse(content: bytes, key: str) -> ProviderError:
    (answer,) = read(content, key)
    assert isinstance(answer, ProviderError), answer
    return answer


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        (
            "secrets.yaml",
            YAML,
            {
                "/db/password": "geheim: ünïcode\n line",
                "/db/port": 5432,
                "/db/ratio": 0.25,
                "/db/big": 1e22,
                "/db/flag": True,
                "/db/empty": "",
                "/db/octal": 420,
                "/db/text": "0644",
                "/db/list/0": "one",
                "/db/list/1": {"a/b": 1, "c": ["x", 2]},
                "/db/list/1/a~1b": 1,
                "/plain_unencrypted": "hello",
                "/l_unencrypted": ["a", 1, None, False],
            },
        ),
        (
            "secrets.json",
            JSON,
            {"/db/password": 'p"w', "/db/port": 5432, "/db/f": 1.5, "/db/t": True, "/db/l/2/k": "v"},
        ),
        ("app.env", DOTENV, {"/DB": "val=ue", "/MULTI": "a\nb", "/QUOTED": '"x y"'}),
        ("app.ini", INI, {"/db/password": "geheim", "/db/user": "u", "/other/k": "v"}),
    ],
    ids=["yaml", "json", "dotenv", "ini"],
)
def test_each_value_has_the_type_and_text_that_was_encrypted(
    name: str, text: str, values: dict[str, Any], options: list[str], sops: Any, decrypter: str
) -> None:
    content = sops.encrypt(name, text, *options)
    answers = read(content, *(f"{name}#{pointer}" for pointer in values))
    found = {pointer: reveal(answer) for pointer, answer in zip(values, answers, strict=True)}
    assert json.dumps(found) == json.dumps(values)  # which tells 1 from True and from 1.0


@pytest.mark.parametrize(("name", "text"), [("secrets.yaml", YAML), ("secrets.json", JSON), ("a.ini", INI)])
def test_both_give_the_same_whole_document(
    name: str, text: str, sops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sops.encrypt(name, text)
    monkeypatch.setenv("PATH", str(sops.binary.parent))
    by_binary = read_one(content, name)
    monkeypatch.setenv("PATH", "/nowhere")
    assert read_one(content, name) == by_binary


def test_a_file_that_is_no_document_gives_its_whole_text(sops: Any, decrypter: str) -> None:
    text = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
    assert read_one(sops.encrypt("cert.pem", text), "cert.pem") == text


def test_a_file_of_bytes_is_refused(sops: Any, decrypter: str) -> None:
    assert isinstance(refuse(sops.encrypt("key.bin", b"\xff\x00"), "key.bin"), Invalid)


def test_one_file_is_decrypted_once_for_all_its_keys(sops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    run = sops_binary.run_sops

    def count(binary: str, path: str, *rest: Any) -> bytes:
        calls.append(path)
        return run(binary, path, *rest)

    monkeypatch.setattr(sops_binary, "run_sops", count)
    monkeypatch.setenv("PATH", str(sops.binary.parent))
    answers = read(sops.encrypt("s.yaml", YAML), "s.yaml#/db/port", "s.yaml#/db/nothing", "s.yaml#/db/flag")
    assert [type(answer) for answer in answers] == [Sensitive, Invalid, Sensitive]
    assert calls == ["s.yaml"]


TAMPERINGS: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "a value that is not encrypted": (
        lambda c: c.replace(b"open: hello", b"open: evil"),
        ["--encrypted-regex", "^a|b$"],
    ),
    "two values that changed places": (
        lambda c: re.sub(rb"a: (ENC\[\S+)\nb: (ENC\[\S+)", rb"a: \2\nb: \1", c),
        [],
    ),
    "a value that is gone": (lambda c: re.sub(rb"a: ENC\[\S+\n", b"", c), []),
    "a value in plain text instead": (lambda c: re.sub(rb"a: ENC\[\S+", f"a: {CANARY}".encode(), c), []),
    "the MAC of another file": (
        lambda c: re.sub(rb"mac: ENC\[AES256_GCM,data:..", b"mac: ENC[AES256_GCM,data:AA", c),
        [],
    ),
    "another time": (lambda c: re.sub(rb'lastmodified: "20..', b'lastmodified: "2031', c), []),
}


@pytest.mark.parametrize("what", TAMPERINGS)
@pytest.mark.parametrize("mac", [[], ["--mac-only-encrypted"]], ids=["whole", "encrypted"])
def test_a_file_that_was_changed_without_sops_is_an_error(
    what: str, mac: list[str], sops: Any, decrypter: str
) -> None:
    tamper, options = TAMPERINGS[what]
    content = sops.encrypt("s.yaml", f"a: {CANARY}1\nb: {CANARY}2\nopen: hello\n", *options, *mac)
    changed = tamper(content)
    assert changed != content
    if mac and what == "a value that is not encrypted":
        assert read_one(changed, "s.yaml#/b") == f"{CANARY}2"  # which is what this option of sops means
        return
    error = refuse(changed, "s.yaml#/b")
    assert isinstance(error, Invalid)
    seen: BaseException | None = error
    while seen is not None:
        assert CANARY not in f"{seen} {seen!r}"
        seen = seen.__cause__ or seen.__context__


def test_without_a_fitting_identity_it_says_what_to_set(
    sops: Any, decrypter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sops.encrypt("s.yaml", "a: 1\n")
    monkeypatch.setenv("SOPS_AGE_KEY", str(pyrage.x25519.Identity.generate()))
    for _ in range(2):
        refused = refuse(content, "s.yaml#/a")
        assert "s.yaml" in refused.message
        assert len(refused.message) < 100
        assert "SOPS_AGE_KEY" in refused.hint
        monkeypatch.delenv("SOPS_AGE_KEY", raising=False)


@pytest.mark.parametrize("place", ["SOPS_AGE_KEY_FILE", "keys.txt"])
def test_identities_are_found_where_sops_finds_them(
    place: str, sops: Any, decrypter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sops.encrypt("s.yaml", "a: x\n")
    monkeypatch.delenv("SOPS_AGE_KEY")
    folder = tmp_path / "config"
    file = folder / "sops" / "age" / "keys.txt"
    if place == "SOPS_AGE_KEY_FILE":
        file = tmp_path / "my.keys"
        monkeypatch.setenv(place, str(file))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# created: today\n{pyrage.x25519.Identity.generate()}\n{sops.identity}\n")
    assert read_one(content, "s.yaml#/a") == "x"


def test_an_ssh_key_serves_as_identity(
    sops: Any, decrypter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    content = sops.encrypt("s.yaml", "a: x\n", "--age", public)
    monkeypatch.delenv("SOPS_AGE_KEY")
    (tmp_path / ".ssh").mkdir()
    file = tmp_path / ".ssh" / "id_ed25519"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    assert read_one(content, "s.yaml#/a") == "x"


def test_several_recipients_need_one_identity(sops: Any, decrypter: str) -> None:
    others = ",".join(str(pyrage.x25519.Identity.generate().to_public()) for _ in range(2))
    assert (
        read_one(sops.encrypt("s.yaml", "a: x\n", "--age", f"{others},{sops.recipient}"), "s.yaml#/a") == "x"
    )


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("s.yaml", b"a: " + CANARY.encode(), "not encrypted with SOPS"),
        ("s.yaml", b"a: [" + CANARY.encode(), "cannot be read as yaml"),
        ("s.yaml", b"- " + CANARY.encode(), "cannot be read as yaml"),
        ("s.yaml", b"a: &a [x, x]\nb: [*a, *a]\nsops: {mac: x}", "cannot be read as yaml"),
        ("s.yaml", b"a: 1\na: 2\nsops: {mac: x}", "cannot be read as yaml"),
        ("s.json", b'{"a": "' + CANARY.encode(), "cannot be read as json"),
        ("s.env", CANARY.encode(), "cannot be read as dotenv"),
        ("s.ini", CANARY.encode(), "cannot be read as ini"),
        ("cert.pem", CANARY.encode(), "cannot be read as binary"),
        ("s.yaml", b"\xff", "cannot be read as yaml"),
        ("s.yaml", b"[" * 100_000, "cannot be read as yaml"),
        ("s.yaml", b"x" * 5_000_000, "is larger than 4 MiB"),
    ],
)
def test_a_file_that_sops_did_not_write_is_refused_without_quoting_it(
    name: str, content: bytes, why: str
) -> None:
    error = refuse(content, f"{name}#/a")
    assert isinstance(error, Invalid)
    assert why in error.message
    seen: BaseException | None = error
    while seen is not None:
        assert CANARY not in f"{seen} {seen!r}"
        seen = seen.__cause__ or seen.__context__


def test_a_file_of_several_documents_is_refused(sops: Any, decrypter: str) -> None:
    assert "several documents" in refuse(sops.encrypt("s.yaml", "a: 1\n---\nb: 2\n"), "s.yaml#/a").message


def test_what_our_own_reader_cannot_decrypt_names_the_binary(
    sops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    content = sops.encrypt("s.yaml", "a: 1\n").replace(b"age:", b"pgp:")
    error = refuse(content, "s.yaml#/a")
    assert "not encrypted for age" in error.message
    assert "`sops` binary" in error.hint


def test_a_server_of_the_authors_choice_gets_no_token_of_ours(
    sops: Any, decrypter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example.com")
    entry = b"sops:\n    hc_vault:\n        - vault_address: https://evil.example.com\n          enc: x\n"
    content = sops.encrypt("s.yaml", "a: 1\n").replace(b"sops:\n", entry)
    error = refuse(content, "s.yaml#/a")
    assert isinstance(error, Denied)
    assert "https://evil.example.com" in error.message


def test_a_binary_that_hangs_is_ended_with_what_it_started(
    tmp_path: Path, sops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sops").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n/bin/sleep 600 &\nwait\n")
    (tmp_path / "sops").chmod(0o755)
    monkeypatch.setattr(sops_binary, "DEADLINE", 0.5)
    content = sops.encrypt("s.yaml", "a: 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert "within" in refuse(content, "s.yaml#/a").message
    group = (tmp_path / "pid").read_text().strip()
    left = [p for p in Path("/proc").glob("[0-9]*/stat") if _group_of(p) == group]
    assert left == []


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_binary_that_prints_without_end_is_ended(
    stream: str, tmp_path: Path, sops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sops").write_text(f"#!/bin/sh\nexec cat /dev/zero >&{stream}\n")
    (tmp_path / "sops").chmod(0o755)
    monkeypatch.setattr(sops_binary, "DEADLINE", 2.0 if stream == "2" else 60.0)
    content = sops.encrypt("s.yaml", "a: 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    message = refuse(content, "s.yaml#/a").message
    assert ("gives more than 32 MiB for s.yaml" if stream == "1" else "did not decrypt s.yaml") in message


def _group_of(stat: Path) -> str:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[2]


def test_the_binary_gets_the_encrypted_file_and_nothing_else(
    tmp_path: Path, sops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "sops"
    shim.write_text(
        f'#!/bin/sh\nfor last; do :; done\n/bin/ls -lnd "$PWD" "$last" > {tmp_path}/seen\n'
        f'echo "$@" >> {tmp_path}/seen\nexec {sops.binary} "$@"\n'
    )
    shim.chmod(0o755)
    content = sops.encrypt("s.yaml", f"a: {CANARY}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert read_one(content, "s.yaml#/a") == CANARY
    folder, file, arguments = (tmp_path / "seen").read_text().splitlines()
    assert folder.startswith("drwx------")
    assert file.startswith("-rw-------")
    assert CANARY not in arguments
    assert not Path(arguments.split()[-1]).exists()


@pytest.mark.parametrize("key", ["/etc/s.yaml#/a", "-x#/a", "a\\b", "", "s.yaml#a"])
def test_a_key_that_is_no_file_of_the_stack_is_refused(key: str) -> None:
    with pytest.raises(Invalid):
        SOURCE.check(key, {})


def test_the_files_of_a_key_are_known_without_reading() -> None:
    assert SOURCE.files("../keys/s.yaml#/a") == ("../keys/s.yaml",)


def test_the_libraries_are_imported_only_to_decrypt() -> None:
    code = "import sys, trueup.secrets.sops, trueup.secrets.sops_age\n"
    code += "print([m for m in ('pyrage', 'cryptography') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_half_of_a_character_is_no_file_of_sops() -> None:
    content = json.dumps({"a": "\ud800", "sops": {"mac": "x", "age": [{"enc": "A"}]}}).encode()
    assert "cannot be read as json" in refuse(content, "s.json#/a").message


def test_a_file_of_identities_that_is_no_text_is_told(
    sops: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sops.encrypt("s.yaml", "a: b\n")
    (tmp_path / "keys").write_bytes(b"\xff\xfe")
    monkeypatch.delenv("SOPS_AGE_KEY")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("PATH", "")
    error = refuse(content, "s.yaml#/a")
    assert isinstance(error, Denied)
    assert "it is not UTF-8 text" in error.message
