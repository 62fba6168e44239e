"""Connecting: which account, whose credentials, and what is refused."""

from __future__ import annotations

import logging
import threading

import pytest
from tests.moto.fixtures import ACCOUNT, Moto

from trueup.sdk import Denied, Invalid, Target, Transient
from trueup_aws.client import Connection
from trueup_aws.provider import AwsProvider

pytestmark = pytest.mark.moto

ROLE = "arn:aws:iam::222222222222:role/deploy"


def connect(target: Target) -> Connection:
    session = AwsProvider().connect(target, "installation/shop")
    assert isinstance(session, Connection)
    return session


def test_the_fingerprint_names_partition_account_and_region_after_one_call(moto: Moto) -> None:
    moto.reset()
    session = connect(moto.target())
    assert session.fingerprint == f"aws/{ACCOUNT}/eu-west-1"
    assert [request.action for request in moto.requests()] == ["sts:GetCallerIdentity"]
    session.close()
    session.close()


def test_another_account_than_the_expected_one_is_refused(moto: Moto) -> None:
    connect(moto.target(accountId=ACCOUNT)).close()
    with pytest.raises(Invalid, match=ACCOUNT):
        connect(moto.target(accountId="111111111111"))


def test_an_assumed_role_leads_to_its_own_account(moto: Moto) -> None:
    session = connect(moto.target(assumeRole=ROLE, externalId="shared", accountId="222222222222"))
    assert session.fingerprint == "aws/222222222222/eu-west-1"
    session.close()


def test_a_role_that_may_not_be_assumed_is_denied(moto: Moto) -> None:
    moto.reset()
    moto.fail("sts:AssumeRole", "AccessDenied", status=403)
    with pytest.raises(Denied, match="AssumeRole"):
        connect(moto.target(assumeRole=ROLE))
    moto.reset()


def test_no_credentials_are_denied_with_a_hint(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Denied) as caught:
        connect(moto.target())
    assert "AWS_PROFILE" in caught.value.hint


def test_an_unknown_profile_is_invalid(moto: Moto) -> None:
    with pytest.raises(Invalid, match="nobody"):
        connect(moto.target(profile="nobody"))


def test_a_server_error_is_transient(moto: Moto) -> None:
    moto.reset()
    moto.fail("sts:GetCallerIdentity", "InternalError", status=500)
    with pytest.raises(Transient):
        connect(moto.target())
    moto.reset()


def test_a_page_that_announces_itself_again_is_an_error_and_no_endless_loop(moto: Moto) -> None:
    session = connect(moto.target())
    session.call = lambda *_args, **_more: {"Queues": [1], "NextToken": "same"}  # type: ignore[method-assign]
    with pytest.raises(Transient, match="twice"):
        list(session.pages("sqs", "list_queues", "Queues"))
    session.close()


def test_one_client_of_a_service_serves_all_threads(moto: Moto) -> None:
    session = connect(moto.target())
    clients: list[object] = []
    threads = [threading.Thread(target=lambda: clients.append(session._client("sns"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 16
    assert len({id(client) for client in clients}) == 1
    session.close()


def test_a_closed_connection_says_so(moto: Moto) -> None:
    session = connect(moto.target())
    session.close()
    with pytest.raises(Transient, match="closed"):
        list(session.run_all(str, ["a"]))


def test_request_bodies_stay_out_of_debug_logs(moto: Moto, caplog: pytest.LogCaptureFixture) -> None:
    moto.reset()
    with caplog.at_level(logging.DEBUG):
        session = connect(moto.target())
        session.call(
            "ssm", "put_parameter", is_secret=True, Name="a", Value="canary-4711", Type="SecureString"
        )
        session.call("ssm", "get_parameter", is_secret=True, Name="a", WithDecryption=True)
        session.close()
    assert "canary-4711" not in caplog.text
