from __future__ import annotations

from typing import Any

import pytest

from trueup.sdk import Blocked, Conflict, Denied, Invalid, ProviderError, Throttled, Transient
from trueup_kubernetes.errors import Answer, error_of


def status(code: int, message: str = "", reason: str = "", **details: Any) -> Answer:
    body = {"kind": "Status", "message": message, "reason": reason, "details": details, "code": code}
    return Answer(code, body, {})


UNREADABLE = Answer(404, None)
TERMINATING = [{"reason": "NamespaceTerminating", "field": "shop"}]
UID = [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(401), Denied),
        (status(403, 'User "x" cannot get resource "pods"'), Denied),
        (status(403, 'admission webhook "a.b" denied the request: no'), Invalid),
        (status(403, "pods violates PodSecurity baseline"), Invalid),
        (status(403, "exceeded quota: q"), Invalid),
        (status(403, "being terminated", causes=TERMINATING), Blocked),
        (status(404, kind="namespaces", name="shop"), Blocked),
        (status(404, kind="configmaps", name="a"), Conflict),
        (UNREADABLE, Transient),
        (Answer(302, None), Transient),
        (Answer(200, None), Transient),
        (status(400, "bad"), Invalid),
        (status(422, "bad"), Invalid),
        (status(422, "bad", causes=UID), Conflict),
        (status(409, "already exists", "AlreadyExists"), Conflict),
        (status(409, "please apply your changes to the latest version and try again"), Transient),
        (status(408), Transient),
        (status(410), Transient),
        (status(413), Invalid),
        (status(429), Throttled),
        (status(500, "boom"), Transient),
        (
            status(500, "failed to create typed patch object (x): .spec.a: field not declared in schema"),
            Invalid,
        ),
        (status(503), Transient),
        (Answer(502, None), Transient),
    ],
)
def test_each_answer_is_the_error_that_says_what_to_do(answer: Answer, expected: type[ProviderError]) -> None:
    error = error_of(answer, "ConfigMap a/b")
    assert type(error) is expected
    assert "ConfigMap a/b" in error.message


def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    error = error_of(Answer(429, {"kind": "Status"}, {"Retry-After": "7"}), "x")
    assert isinstance(error, Throttled) and error.retry_after == 7.0


def test_only_the_servers_own_not_found_counts_as_absent() -> None:
    found = status(404, reason="NotFound", kind="deployments", name="a", group="apps")
    assert found.says_not_found("apps", "deployments", "a")
    assert not found.says_not_found("", "deployments", "a")
    assert not found.says_not_found("apps", "deployments", "b")
    assert not status(404, reason="NotFound", kind="namespaces", name="a").says_not_found("", "pods", "a")
    assert not UNREADABLE.says_not_found("apps", "deployments", "a")
    assert not Answer(404, {"error": "nginx"}).says_not_found("apps", "deployments", "a")


@pytest.mark.parametrize("code", [400, 403, 409, 422, 500])
def test_a_secret_that_the_server_repeats_is_not_told(code: int) -> None:
    causes = [{"field": "data.a", "reason": "FieldValueInvalid", "message": 'Invalid value: "canary"'}]
    message = 'failed to create typed patch object: .data.a: expected string, got &value{"canary"}'
    error = error_of(status(code, message, "Invalid", causes=causes), "Secret a", is_sensitive=True)
    assert "canary" not in f"{error} {error.hint}"


def test_a_sensitive_refusal_still_names_the_fields() -> None:
    causes = [{"field": "data.a", "reason": "FieldValueInvalid", "message": "canary"}]
    error = error_of(status(422, "canary", "Invalid", causes=causes), "Secret a", is_sensitive=True)
    assert "data.a (FieldValueInvalid)" in error.message
