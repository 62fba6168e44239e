"""The markers that a change leaves on the host when it fails, or when something appears in between."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.model.values import to_record
from trueup.sdk import (
    Absent,
    Address,
    Blocked,
    Conflict,
    Failed,
    Intent,
    Invalid,
    Lifecycle,
    Node,
    Observation,
    Observed,
    Owner,
    Sensitive,
    Session,
    Target,
)
from trueup_ssh.provider import SshProvider

API = "ssh.trueup.dev/v1"
KEY = "tests/shop"
PROVIDER = SshProvider()


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target("here", "ssh", config={"connection": "local", "stateDir": str(tmp_path / "state")})


@pytest.fixture
def session(target: Target) -> Session:
    return PROVIDER.connect(target, KEY)


def make(target: Target, kind: str, **spec: object) -> Node:
    address = Address("shop", kind, "a", target.name)
    body = {"apiVersion": API, "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    return Node(address, API, target, body, Lifecycle())


def intent_of(node: Node) -> Intent:
    return Intent("t", Owner("tests", node.address.stack, node.address.text))


def see(session: Session, node: Node) -> Observation:
    return next(iter(PROVIDER.observe(session, [node])))


def create(session: Session, node: Node) -> None:
    PROVIDER.kind(API, node.kind).create(session, node, intent_of(node))


def test_a_failed_create_leaves_no_marker(target: Target, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "f"
    node = make(target, "File", path=str(path), content="x", owner="nosuchuser")
    with pytest.raises(Blocked):
        create(session, node)
    assert not list((tmp_path / "state" / "owners").glob("*.json"))
    path.write_text("the admin's own")
    with pytest.raises(Conflict):
        create(session, make(target, "File", path=str(path), content="x"))
    with pytest.raises(Conflict):
        PROVIDER.kind(API, "File").delete(session, node, intent_of(node))
    assert path.read_text() == "the admin's own"


def test_a_failed_create_keeps_the_marker_of_what_it_made(
    target: Target, session: Session, tmp_path: Path
) -> None:
    node = make(target, "Directory", path=str(tmp_path / "d"), owner="nosuchuser")
    with pytest.raises(Blocked):
        create(session, node)
    assert (tmp_path / "d").is_dir()
    assert len(list((tmp_path / "state" / "owners").glob("*.json"))) == 1


def test_a_file_that_appears_during_a_create_is_kept(
    target: Target, session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "raced"
    node = make(target, "File", path=str(path), content="x" * 3_000_000)
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if list(tmp_path.glob(".trueup-*")):
                path.write_text("foreign")
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(Conflict, match="appeared"):
            create(session, node)
    finally:
        done.set()
        watcher.join()
    assert path.read_text() == "foreign"
    assert not list(tmp_path.glob(".trueup-*"))
    assert not list((tmp_path / "state" / "owners").glob("*.json"))


def test_a_text_made_with_a_secret_stays_hidden_when_the_secret_is_none_any_more(
    target: Target, session: Session, tmp_path: Path
) -> None:
    path = str(tmp_path / "f")
    kind = PROVIDER.kind(API, "File")
    secret = make(target, "File", path=path, template="pw={{ pw }}\n", data={"pw": Sensitive("hunter2")})
    create(session, secret)
    recorded = to_record(kind.seal(secret.body))
    plain = make(target, "File", path=path, template="pw={{ pw }}\n", data={"pw": "public"})
    observed = see(session, plain)
    assert isinstance(observed, Observed)
    change = kind.diff(plain, observed, recorded)
    assert change.fields
    assert "hunter2" not in repr(change)


def test_a_node_made_from_the_record_of_a_secret_reads_nothing_of_it(
    target: Target, session: Session, tmp_path: Path
) -> None:
    path = str(tmp_path / "f")
    kind = PROVIDER.kind(API, "File")
    secret = make(target, "File", path=path, template="pw={{ pw }}\n", data={"pw": Sensitive("hunter2")})
    create(session, secret)
    observed = see(session, replace(secret, body=to_record(kind.seal(secret.body))))
    assert isinstance(observed, Observed)
    assert isinstance(observed.body["spec"]["content"], Sensitive)
    assert "hunter2" not in repr(observed)
    digest = hashlib.sha256(b"pw=hunter2\n").hexdigest()
    assert digest not in repr(observed.body)


def update(session: Session, node: Node, observed: Observation) -> None:
    assert isinstance(observed, Observed)
    kind = PROVIDER.kind(API, node.kind)
    kind.update(session, node, kind.diff(node, observed, None), intent_of(node))


def test_a_lost_marker_is_put_back_for_the_recorded_file_only(
    target: Target, session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    node = make(target, "File", path=str(path), content="mine")
    create(session, node)
    for marker in (tmp_path / "state" / "owners").glob("*.json"):
        marker.unlink()
    with pytest.raises(Conflict, match="not managed"):
        update(session, node, see(session, node))
    recorded = replace(node, external_id=f"file:{path}")
    observed = see(session, recorded)
    path.write_text("the admin's own")
    with pytest.raises(Conflict, match="changed since"):
        update(session, recorded, observed)
    path.write_text("mine")
    update(session, recorded, observed)
    seen = see(session, node)
    assert isinstance(seen, Observed)
    assert seen.owner == intent_of(node).owner


def test_a_damaged_marker_concerns_its_own_node_only(
    target: Target, session: Session, tmp_path: Path
) -> None:
    node = make(target, "File", path=str(tmp_path / "f"), content="x")
    create(session, node)
    for marker in (tmp_path / "state" / "owners").glob("*.json"):
        marker.write_text("")
    address = Address("shop", "File", "b", target.name)
    other = replace(make(target, "File", path=str(tmp_path / "g"), content="x"), address=address)
    seen = {found.address: found for found in PROVIDER.observe(session, [node, other])}
    assert isinstance(seen[node.address], Failed)
    assert isinstance(seen[address], Absent)


def test_a_stale_marker_of_the_same_stack_is_taken_over_but_no_other(
    target: Target, session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "h"
    node = make(target, "File", path=str(path), content="x")
    create(session, node)
    path.unlink()
    foreign = replace(node, address=Address("other", "File", "b", target.name))
    with pytest.raises(Conflict, match="another owner"):
        create(session, foreign)
    renamed = replace(node, address=Address("shop", "File", "b", target.name))
    create(session, renamed)
    with pytest.raises(Conflict, match="another owner"):
        create(session, node)
    seen = see(session, renamed)
    assert isinstance(seen, Observed)
    assert seen.owner == intent_of(renamed).owner


def test_all_paths_of_one_address_are_found(target: Target, session: Session, tmp_path: Path) -> None:
    for name in ("1", "2"):
        create(session, make(target, "File", path=str(tmp_path / name), content="x"))
    found = list(PROVIDER.kind(API, "File").find_owned(session, KEY))
    assert {owned.external_id for owned in found} == {f"file:{tmp_path}/1", f"file:{tmp_path}/2"}


@pytest.mark.parametrize("text", ["", "{", '{"created":true}\n', "\x00\x00"])
def test_a_search_for_markers_does_not_pass_over_a_damaged_one(
    target: Target, session: Session, tmp_path: Path, text: str
) -> None:
    for name in ("1", "2"):
        create(session, make(target, "File", path=str(tmp_path / name), content="x"))
    marker = min((tmp_path / "state" / "owners").glob("*.json"))
    marker.write_text(text)
    with pytest.raises(Invalid, match=r"an ownership marker (on the host is damaged|in .* is empty)"):
        list(PROVIDER.kind(API, "File").find_owned(session, f"*/{KEY.partition('/')[2]}"))


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_marker_without_end_is_not_read(
    target: Target, session: Session, tmp_path: Path, is_ours: bool
) -> None:
    path = tmp_path / "f"
    node = make(target, "File", path=str(path), content="x")
    create(session, node)
    (marker,) = (tmp_path / "state" / "owners").glob("*.json")
    huge = marker if is_ours else marker.with_name("other.json")
    with huge.open("ab") as stream:
        stream.truncate(200 * 1024 * 1024)
    with pytest.raises(Invalid, match="larger than 64 KiB") as caught:
        see(session, node)
    assert str(huge) in caught.value.message
    with pytest.raises(Invalid, match="larger than 64 KiB"):
        PROVIDER.kind(API, "File").delete(session, node, intent_of(node))
    assert path.read_text() == "x"
