"""The pure half of a File: what is desired, what is hidden, what is not known yet."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from trueup.sdk import UNKNOWN, Absent, Action, Address, Node, Observed, Sensitive, Target, Value, reveal
from trueup_ssh.kinds.file import MAX_BYTES, File

KIND = File()
TARGET = Target("here", "ssh", config={"connection": "local"})


def node_of(**spec: Value) -> Node:
    body = {"apiVersion": KIND.api_version, "kind": "File", "metadata": {"name": "f"}, "spec": spec}
    return Node(Address("s", "File", "f", "here"), KIND.api_version, TARGET, body)


def live(compared: str = "text", **spec: Value) -> Observed:
    spec = {"path": "/etc/f", "mode": "0644", "owner": "root", "group": "root", **spec}
    status = {"compared": compared, "uid": "0", "gid": "0"}
    return Observed(Address("s", "File", "f", "here"), {"spec": spec, "status": status}, "file:/etc/f")


def test_a_directory_of_the_stack_comes_before_its_files() -> None:
    node = node_of(path="/srv/shop/f", content="", owner="shop", group="33")
    assert list(KIND.needs(node)) == ["path:/srv/shop", "path:/srv", "user:shop"]
    assert list(KIND.provides(node)) == ["path:/srv/shop/f"]
    assert KIND.identity(node) == "file:/srv/shop/f"


def test_a_path_that_is_not_known_is_no_identity() -> None:
    node = node_of(path=UNKNOWN, content="")
    assert KIND.identity(node) == ""
    assert list(KIND.needs(node)) == []


def test_a_number_counts_as_the_name_of_the_live_owner() -> None:
    node = node_of(path="/etc/f", content="x", owner="0", group="7")
    fields = KIND.diff(node, live(content="x"), None).fields
    assert [(field.path, field.before, field.after) for field in fields] == [("/spec/group", "root", "7")]


def test_an_unmanaged_content_is_compared_by_its_hash() -> None:
    digest = "sha256:" + hashlib.sha256(b"x").hexdigest()
    same = KIND.diff(node_of(path="/etc/f", content="x"), live("hash", content=digest), None)
    other = KIND.diff(node_of(path="/etc/f", content="y"), live("hash", content=digest), None)
    assert same.action is Action.NONE
    assert other.fields[0].before == digest
    assert str(other.fields[0].after).startswith("sha256:")


@pytest.mark.parametrize(
    "spec",
    [
        {"content": UNKNOWN},
        {"template": UNKNOWN},
        {"template": "{{ a }}", "data": UNKNOWN},
        {"template": "{{ a }}", "data": {"a": UNKNOWN}},
        {"template": "{{ a }}", "data": {"a": [1, {"b": UNKNOWN}]}},
    ],
)
def test_a_content_that_rests_on_the_unknown_is_unknown(spec: dict[str, Value]) -> None:
    change = KIND.diff(node_of(path="/etc/f", **spec), live(content="old"), None)
    after = {field.path: field.after for field in change.fields}
    assert after == {"/spec/content": UNKNOWN, "/spec/mode": UNKNOWN}


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ({"content": "x"}, "0644"),
        ({"content": "x", "sensitive": False}, "0644"),
        ({"template": "{{ a }}", "data": {"a": "x"}}, "0644"),
        ({"content": Sensitive("canary")}, "0600"),
        ({"content": "canary", "sensitive": True}, "0600"),
        ({"template": "{{ a }}", "data": {"a": "x", "b": [Sensitive("canary")]}}, "0600"),
        ({"content": {"$sensitive": "sha256:00"}}, "0600"),
        ({"content": UNKNOWN, "sensitive": True}, "0600"),
        ({"content": "x", "sensitive": UNKNOWN}, UNKNOWN),
        ({"content": UNKNOWN}, UNKNOWN),
        ({"content": Sensitive("canary"), "mode": "0644"}, "0644"),
        ({"content": UNKNOWN, "mode": "644"}, "0644"),
    ],
)
def test_a_secret_can_be_read_by_its_owner_alone_unless_a_mode_says_otherwise(
    spec: dict[str, Value], mode: Value
) -> None:
    assert KIND.normalize(node_of(path="/etc/f", **spec), None)["spec"]["mode"] == mode


@pytest.mark.parametrize(
    "spec",
    [
        {"content": Sensitive("canary")},
        {"content": "canary", "sensitive": True},
        {"content": "canary", "sensitive": UNKNOWN},
        {"template": "{{ a }}", "data": {"a": Sensitive("canary")}},
        {"template": "canary", "sensitive": True},
        {"template": "{{ a }}", "data": {"a": "canary"}, "sensitive": True},
    ],
)
def test_a_secret_content_shows_nowhere(spec: dict[str, Value]) -> None:
    node = node_of(path="/etc/f", **spec)
    node = replace(node, body=KIND.seal(node.body))
    assert reveal(KIND.normalize(node, None)["spec"]["content"]) == "canary"
    assert list(KIND.validate(node)) == []
    for observed in (Absent(node.address), live(content="old"), live("hash", content="sha256:00")):
        assert "canary" not in repr((KIND.diff(node, observed, None), node))


def test_a_text_that_was_secret_stays_hidden_when_it_no_longer_is() -> None:
    recorded = {"spec": {"path": "/etc/f", "content": {"$sensitive": "sha256:00"}}}
    change = KIND.diff(node_of(path="/etc/f", content="plain"), live(content="canary"), recorded)
    assert "canary" not in repr([(field.before, field.after) for field in change.fields])
    assert change.action is Action.UPDATE


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"path": "etc/f", "content": ""}, "not absolute"),
        ({"path": "/etc/../f", "content": ""}, "normal form"),
        ({"path": "/etc/f", "content": "x" * (MAX_BYTES + 1)}, "bytes"),
        ({"path": "/etc/f", "template": "{{ a }}"}, "'a' is undefined"),
        ({"path": "/etc/f", "template": UNKNOWN}, "secret() cannot be used in the text of a template"),
        ({"path": "/etc/f", "template": "{% if %}"}, "line 1"),
        ({"path": "/etc/f", "content": "x", "data": {}}, "no use"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(spec: dict[str, Value], words: str) -> None:
    problems = list(KIND.validate(node_of(**spec)))
    assert [words in problem.message for problem in problems] == [True]


def test_the_owner_and_the_time_of_the_last_writing_tell_of_the_content_alone() -> None:
    seen = live(content="x")
    assert KIND.writers(seen) == {}
    seen = replace(seen, body={**seen.body, "status": {"modified": "1764090000"}})
    assert KIND.writers(seen) == {
        "/spec/content": "root (owner of the file), written at 2025-11-25T17:00:00Z"
    }


@pytest.mark.parametrize("modified", ["", "soon", "9" * 40, None])
def test_a_time_that_is_none_names_nobody(modified: Value) -> None:
    seen = live(content="x")
    assert KIND.writers(replace(seen, body={**seen.body, "status": {"modified": modified}})) == {}
