"""Files and directories of this machine as import finds and describes them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueup.sdk import (
    Action,
    Address,
    Change,
    Discovered,
    Document,
    Intent,
    Invalid,
    Kind,
    Lifecycle,
    Missing,
    Node,
    Observed,
    Owner,
    Session,
    Target,
)
from trueup_ssh.provider import SshProvider

PROVIDER = SshProvider()
FILE, DIRECTORY = (kind for kind in PROVIDER.kinds() if kind.name in ("File", "Directory"))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target("here", "ssh", config={"connection": "local", "stateDir": str(tmp_path / "state")})


@pytest.fixture
def session(target: Target) -> Session:
    return PROVIDER.connect(target, "tests/shop")


@pytest.fixture
def etc() -> Iterator[Path]:
    """A few files, a link and a directory, with names that shells like to take apart; open to all users."""
    with tempfile.TemporaryDirectory(prefix="trueup-etc-") as folder:
        Path(folder).chmod(0o755)
        yield fill(Path(folder) / "etc")


def fill(etc: Path) -> Path:
    etc.mkdir(mode=0o755)
    for name in ("a.conf", "b c.conf", "$(touch x).conf", "-n.conf", "readme"):
        (etc / name).write_text(f"this is {name}\n")
        (etc / name).chmod(0o644)
    (etc / "sub.conf").mkdir(mode=0o750)
    (etc / "sub.conf" / "inner.conf").write_text("inner\n")
    (etc / "link.conf").symlink_to("a.conf")
    return etc


def discover(session: Session, kind: Kind, *ids: str | Path) -> list[Discovered | Missing]:
    return list(kind.discover(session, [str(each) for each in ids]))


def names(answers: list[Discovered | Missing], etc: Path) -> list[str]:
    return sorted(
        ("" if isinstance(each, Discovered) else "!") + each.id.removeprefix(f"{etc}/") for each in answers
    )


def export(session: Session, kind: Kind, path: Path) -> Document:
    (found,) = discover(session, kind, path)
    assert isinstance(found, Discovered)
    return kind.export(found.body)


def test_a_pattern_names_plain_files_and_no_links_or_directories(session: Session, etc: Path) -> None:
    found = discover(session, FILE, etc / "*.conf")
    assert names(found, etc) == ["$(touch x).conf", "-n.conf", "a.conf", "b c.conf"]
    assert not (etc / "x").exists()


def test_a_directory_stands_for_the_files_in_it(session: Session, etc: Path) -> None:
    found = discover(session, FILE, f"{etc}/")
    assert names(found, etc) == ["$(touch x).conf", "-n.conf", "a.conf", "b c.conf", "readme"]


def test_several_ids_give_each_file_once(session: Session, etc: Path) -> None:
    found = discover(session, FILE, etc / "a.conf", etc / "a*", etc)
    assert len(names(found, etc)) == 5


def test_what_is_not_there_is_missing_with_the_reason(session: Session, etc: Path) -> None:
    found = discover(
        session, FILE, etc / "none", etc / "none*", etc / "link.conf", "relative", "/etc/../etc/motd"
    )
    reasons = {
        each.id.removeprefix(f"{etc}/"): each.error.message for each in found if isinstance(each, Missing)
    }
    assert len(found) == len(reasons) == 5
    assert reasons["none"] == f"there is no file '{etc}/none'"
    assert reasons["link.conf"] == f"{etc}/link.conf is a symbolic link"
    assert "is not absolute" in reasons["relative"]
    assert "not in its normal form" in reasons["/etc/../etc/motd"]


def test_files_and_directories_cannot_all_be_listed(session: Session) -> None:
    for kind in (FILE, DIRECTORY):
        with pytest.raises(Invalid, match="imported by paths"):
            discover(session, kind)
    assert [kind.name for kind in PROVIDER.discoverable(session)] == ["Package", "Service"]


def test_a_file_is_described_without_what_a_new_one_gets_anyway(session: Session, etc: Path) -> None:
    document = export(session, FILE, etc / "b c.conf")
    assert document["metadata"] == {"name": f"{etc}/b c.conf".strip("/").replace("/", "-").replace(" ", "-")}
    spec = dict(document["spec"])
    if os.geteuid() == 0:
        assert spec == {"path": f"{etc}/b c.conf", "content": "this is b c.conf\n"}
    (etc / "b c.conf").chmod(0o755)
    assert export(session, FILE, etc / "b c.conf")["spec"]["mode"] == "0755"


def test_a_directory_is_described_with_its_mode(session: Session, etc: Path) -> None:
    assert export(session, DIRECTORY, etc / "sub.conf")["spec"]["mode"] == "0750"
    assert "mode" not in export(session, DIRECTORY, etc)["spec"]
    assert names(discover(session, DIRECTORY, etc / "*"), etc) == ["sub.conf"]


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"secret", 0o600, "its mode 0600 keeps it from other users"),
        (b"secret", 0o640, "its mode 0640 keeps it from other users"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", 0o644, "it holds a private key"),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n", 0o644, "it holds a private key"),
        (b"x\nPuTTY-User-Key-File-3: ssh-ed25519\n", 0o644, "it holds a private key"),
        (b"# public key: age1x\nAGE-SECRET-KEY-1XXX\n", 0o644, "it holds a private key"),
        (b"\xff\xfe", 0o644, "it is not UTF-8 text"),
        (b"a\0b", 0o644, "NUL"),
        (b"x" * (256 * 1024 + 513), 0o644, "larger than 256 KiB"),
        (b"x" * (5 * 1024 * 1024), 0o644, "larger than 256 KiB"),
    ],
    # pytest puts the id into the environment, which has no room for these contents.
    ids=["closed", "group", "ssh-key", "pgp-key", "putty-key", "age-key", "bytes", "nul", "large", "huge"],
)
def test_what_must_not_or_cannot_stand_in_git_is_refused(
    session: Session, etc: Path, content: bytes, mode: int, words: str
) -> None:
    (etc / "odd").write_bytes(content)
    (etc / "odd").chmod(mode)
    with pytest.raises(Invalid, match=words):
        export(session, FILE, etc / "odd")


def test_a_file_that_others_cannot_reach_is_refused(session: Session, etc: Path) -> None:
    inner = etc / "sub.conf" / "inner.conf"
    inner.chmod(0o644)
    with pytest.raises(Invalid, match=r"the directory .*/sub\.conf keeps it from other users"):
        export(session, FILE, inner)
    (etc / "sub.conf").chmod(0o751)
    assert export(session, FILE, inner)["spec"]["content"] == "inner\n"
    (etc / "way").symlink_to("sub.conf")
    etc.parent.chmod(0o700)
    with pytest.raises(Invalid, match=f"the directory {etc.parent} keeps it"):
        export(session, FILE, etc / "way" / "inner.conf")


def test_taking_a_file_over_writes_its_marker_and_not_the_file(
    session: Session, target: Target, etc: Path
) -> None:
    document = export(session, FILE, etc / "a.conf")
    address = Address("shop", "File", "a", "here")
    node = Node(address, FILE.api_version, target, document, Lifecycle(adopt=True))
    (seen,) = PROVIDER.observe(session, [node])
    assert isinstance(seen, Observed)
    before = (etc / "a.conf").stat()
    intent = Intent("t", Owner("tests", "shop", address.text))
    FILE.update(session, node, Change(address, Action.ADOPT, observed=seen), intent)
    after = (etc / "a.conf").stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    (found,) = discover(session, FILE, etc / "a.conf")
    assert isinstance(found, Discovered) and found.owner == intent.owner


def test_a_file_that_changes_meanwhile_is_not_taken_over(session: Session, target: Target, etc: Path) -> None:
    document = export(session, FILE, etc / "a.conf")
    address = Address("shop", "File", "a", "here")
    node = Node(address, FILE.api_version, target, document, Lifecycle(adopt=True))
    (seen,) = PROVIDER.observe(session, [node])
    assert isinstance(seen, Observed)
    (etc / "a.conf").write_text("somebody else was here\n")
    intent = Intent("t", Owner("tests", "shop", address.text))
    with pytest.raises(Exception, match="changed since it was observed"):
        FILE.update(session, node, Change(address, Action.ADOPT, observed=seen), intent)
    key = hashlib.sha256(f"file:{etc}/a.conf".encode()).hexdigest()
    assert not (Path(str(target.config["stateDir"])) / "owners" / f"{key}.json").exists()
