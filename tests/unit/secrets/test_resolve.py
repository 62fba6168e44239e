"""Secrets are read in bulk before a run; whatever goes wrong fails the stack and holds no value."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from trueup.errors import Denied, Invalid, ManifestError, Place, Transient
from trueup.model.resource import SecretReference, Target
from trueup.model.values import Sensitive
from trueup.redaction import MASK, redact
from trueup.sdk.contracts import Session
from trueup.sdk.secrets import SecretAnswer, SecretContext, SecretSource
from trueup.secrets import resolve
from trueup.secrets.check import CheckedSecret, CheckedSecrets
from trueup.secrets.resolve import Access, resolve_secrets

CANARY = "kanarienvogel"
Read = Callable[[Sequence[str], SecretContext], Mapping[str, SecretAnswer]]


class Source(SecretSource):
    """A source that answers as a test says, and notes what it was asked for."""

    def __init__(self, name: str, read: Read | None = None) -> None:
        self.name = name  # type: ignore[misc]
        self.asked: list[tuple[list[str], SecretContext]] = []
        self._read = read or (lambda keys, _context: {key: Sensitive(f"value of {key}") for key in keys})

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        self.asked.append((list(keys), context))
        return self._read(keys, context)


class Room(Session):
    """A session that is told from others by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def fingerprint(self) -> str:
        return self.name

    def close(self) -> None:
        """Nothing is open."""


def secret(source: SecretSource, key: str, target: str = "") -> CheckedSecret:
    text = f"{source.name}@{target}:{key}" if target else f"{source.name}:{key}"
    place = Place("a.yaml", len(text), 1)
    return CheckedSecret(SecretReference(text, place), source, Target(target, "acme") if target else None)


def run(*secrets: CheckedSecret, **access: Any) -> Mapping[str, Sensitive]:
    settled = Access(
        access.get("connect") or (lambda target: Room(target.name)),
        access.get("settle") or (lambda target, _secrets: target),
        {"acme": 1},
    )
    return resolve_secrets(CheckedSecrets("shop", secrets, {"f": b"x"}), settled)


def problems_of(*secrets: CheckedSecret, **access: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(ManifestError) as caught:
        run(*secrets, **access)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert CANARY not in f"{seen} {seen!r}"
        seen = seen.__cause__ or seen.__context__
    return {str(problem.place): (problem.message, problem.hint) for problem in caught.value.problems}


def test_one_call_is_made_for_each_source_and_target() -> None:
    one, two = Source("one"), Source("two")
    values = run(
        secret(one, "a"),
        secret(one, "b"),
        secret(two, "a", "x"),
        secret(two, "b", "x"),
        secret(two, "a", "y"),
    )
    assert {text: str(value) for text, value in values.items()} == dict.fromkeys(values, "(sensitive)")
    assert values["one:b"] == Sensitive("value of b")
    assert set(values) == {"one:a", "one:b", "two@x:a", "two@x:b", "two@y:a"}
    ((keys, context),) = one.asked
    assert (keys, context.files, context.settings) == (["a", "b"], {"f": b"x"}, {"acme": 1})
    assert (context.target, context.session) == (None, None)
    asked = {each.session.fingerprint: keys for keys, each in two.asked if each.session}
    assert asked == {"x": ["a", "b"], "y": ["a"]}


def test_all_that_cannot_be_read_is_told_at_once_in_its_place() -> None:
    def read(keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        answers = {"a": Sensitive(CANARY), "bb": Invalid("there is none", hint="add it"), "ccc": Denied("no")}
        return {key: answer for key, answer in answers.items() if key in keys}

    def fail(_keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        raise Denied("the token is wrong")

    source = Source("s", read)
    found = problems_of(
        *(secret(source, key) for key in ("a", "bb", "ccc", "dddd")), secret(Source("t", fail), "12345")
    )
    assert found == {
        "a.yaml:4:1": ('secret("s:bb"): there is none', "add it"),
        "a.yaml:5:1": ('secret("s:ccc"): no', ""),
        "a.yaml:6:1": ('secret("s:dddd"): source s gave no answer for it', ""),
        "a.yaml:7:1": ('secret("t:12345"): the token is wrong', ""),
    }


def test_what_may_work_when_it_is_tried_again_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_PAUSE", 0.0)
    tries: list[list[str]] = []

    def read(keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        tries.append(list(keys))
        if len(tries) == 1:
            return {"a": Sensitive("1"), "b": Transient("later")}
        return {"b": Sensitive("2")}

    source = Source("s", read)
    assert run(secret(source, "a"), secret(source, "b")) == {"s:a": Sensitive("1"), "s:b": Sensitive("2")}
    assert tries == [["a", "b"], ["b"]]


def test_what_fails_again_and_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_PAUSE", 0.0)

    def read(_keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        raise Transient("the server is down")

    source = Source("s", read)
    assert list(problems_of(secret(source, "a")).values()) == [('secret("s:a"): the server is down', "")]
    assert len(source.asked) == 2


@pytest.mark.parametrize("junk", [{"a": CANARY}, {"a": None}, None, [CANARY], {}])
def test_an_answer_that_is_none_is_a_failure(junk: Any) -> None:
    ((message, _),) = problems_of(secret(Source("s", lambda _keys, _context: junk), "a")).values()
    assert "gave no answer" in message or "a bug in secret source 's'" in message


def test_a_bug_of_a_source_is_told_without_its_text() -> None:
    def read(_keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        raise ValueError(CANARY)

    ((message, hint),) = problems_of(secret(Source("s", read), "a")).values()
    assert "a bug in secret source 's': read raised ValueError at " in message
    assert hint == "please report it to its authors"


def test_a_missing_library_says_what_to_install() -> None:
    def read(_keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        raise ImportError("no", name="hvac.api")

    source = Source("s", read)
    source.requirement = "trueup[vault]"  # type: ignore[misc]
    assert list(problems_of(secret(source, "a")).values()) == [
        (
            "secret(\"s:a\"): source s needs the library 'hvac', which is not installed",
            "pip install 'trueup[vault]'",
        )
    ]


def test_a_source_that_never_answers_fails_its_own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "DEADLINE", 0.2)
    end = threading.Event()

    def read(_keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        end.wait(30)
        return {}

    try:
        found = problems_of(secret(Source("s", read), "a"), secret(Source("t"), "bb"))
    finally:
        end.set()
    assert list(found.values()) == [('secret("s:a"): no answer within 0 s', "")]


def test_the_process_ends_although_a_source_never_answers() -> None:
    program = """
import time
from trueup.errors import ManifestError
from trueup.model.resource import SecretReference
from trueup.secrets import resolve
from trueup.secrets.check import CheckedSecret, CheckedSecrets
from trueup.sdk.secrets import SecretSource

class Slow(SecretSource):
    name = "slow"
    def read(self, keys, context):
        time.sleep(600)

resolve.DEADLINE = 0.2
secret = CheckedSecret(SecretReference("slow:a"), Slow())
try:
    resolve.resolve_secrets(CheckedSecrets("shop", (secret,)), resolve.Access(None, None))
except ManifestError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)
    assert b"no answer within" in done.stdout


def test_one_secret_may_be_named_with_its_target_and_without() -> None:
    source = Source("s")
    named = secret(source, "a", "eu")
    values = run(named, replace(named, reference=SecretReference("s:a")))
    assert values == {"s@eu:a": Sensitive("value of a"), "s:a": Sensitive("value of a")}
    assert [keys for keys, _ in source.asked] == [["a"]]


def test_a_target_that_cannot_be_reached_fails_what_is_read_through_it() -> None:
    def connect(_target: Target) -> Session:
        raise Denied("the credentials are wrong", hint="sign in")

    assert list(problems_of(secret(Source("s"), "a", "eu"), connect=connect).values()) == [
        ('secret("s@eu:a"): target eu: the credentials are wrong', "sign in")
    ]


def test_the_config_of_a_target_may_need_a_secret_that_is_read_through_none() -> None:
    seen: dict[str, Mapping[str, Sensitive]] = {}

    def settle(target: Target, secrets: Mapping[str, Sensitive]) -> Target:
        seen[target.name] = dict(secrets)
        return Target(target.name, target.provider, config={"token": secrets["env:T"]})

    connected: list[Target] = []

    def connect(target: Target) -> Session:
        connected.append(target)
        return Room(target.name)

    run(secret(Source("s"), "a", "eu"), secret(Source("env"), "T"), settle=settle, connect=connect)
    assert seen == {"eu": {"env:T": Sensitive("value of T")}}
    assert connected[0].config == {"token": Sensitive("value of T")}


def test_no_secret_asks_for_no_connection() -> None:
    assert run(connect=None) == {}


def test_what_is_in_a_secret_document_is_masked_too() -> None:
    text = json.dumps({"user": "shop-user", "key": {"private": [CANARY]}, "port": 543210, "on": True})

    def read(keys: Sequence[str], _context: SecretContext) -> Mapping[str, SecretAnswer]:
        documents = {"text": text, "map": {"password": "geheimnisvoll"}, "deep": "[" * 5000, "broken": "{x"}
        return {key: Sensitive(documents[key]) for key in keys}

    run(*(secret(Source("s", read), key) for key in ("text", "map", "deep", "broken")))
    shown = redact(f"refused {CANARY} of shop-user at 543210 with geheimnisvoll and {'[' * 5000}: True")
    assert shown == f"refused {MASK} of {MASK} at {MASK} with {MASK} and {MASK}: True"
