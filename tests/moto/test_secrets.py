"""Secrets of Parameter Store and Secrets Manager, as moto's server keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from tests.moto.fixtures import ACCOUNT, REGION, Moto

from trueup.sdk import Denied, Invalid, ProviderError, SecretAnswer, SecretContext, SecretSource, Sensitive
from trueup_aws.client import Connection
from trueup_aws.provider import AwsProvider
from trueup_aws.secrets.parameter_store import ParameterStore
from trueup_aws.secrets.secrets_manager import SecretsManager

pytestmark = pytest.mark.moto

CANARY = "kanarienvogel"
STORE, MANAGER = ParameterStore(), SecretsManager()


@pytest.fixture
def session(moto: Moto) -> Iterator[Connection]:
    moto.reset()
    session = AwsProvider().connect(moto.target(), "installation/shop")
    assert isinstance(session, Connection)
    yield session
    session.close()


def read(source: SecretSource, session: Connection | None, *keys: str) -> list[SecretAnswer]:
    for key in keys:
        source.check(key, {})
    answers = source.read(keys, SecretContext(session=session))
    assert CANARY not in repr(answers)
    return [answers[key] for key in keys]


def put_parameters(moto: Moto, names: Sequence[str]) -> None:
    for name in names:
        moto.client("ssm").put_parameter(Name=name, Value=f"{CANARY} of {name}", Type="SecureString")


def test_parameters_are_decrypted_ten_in_a_call(moto: Moto, session: Connection) -> None:
    names = [f"/shop/{number}" for number in range(23)]
    put_parameters(moto, names)
    moto.mark()
    assert read(STORE, session, *names) == [Sensitive(f"{CANARY} of {name}") for name in names]
    assert [request.action for request in moto.requests()] == ["ssm:GetParameters"] * 3


def test_a_parameter_is_named_by_version_or_arn_too(moto: Moto, session: Connection) -> None:
    client = moto.client("ssm")
    client.put_parameter(Name="/shop/db", Value="old", Type="String")
    client.put_parameter(Name="/shop/db", Value="new", Type="String", Overwrite=True)
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/shop/db"
    values = read(STORE, session, "/shop/db:1", "/shop/db", arn)
    assert values == [Sensitive("old"), Sensitive("new"), Sensitive("new")]


def test_a_pointer_selects_from_a_parameter_that_holds_json(moto: Moto, session: Connection) -> None:
    moto.client("ssm").put_parameter(Name="db", Value=json.dumps({"a": {"b": CANARY}}), Type="SecureString")
    moto.mark()
    found, whole, missing = read(STORE, session, "db#/a/b", "db", "db#/a/c")
    assert found == Sensitive(CANARY)
    assert whole == Sensitive(json.dumps({"a": {"b": CANARY}}))
    assert isinstance(missing, Invalid)
    assert missing.message == "parameter db has nothing at #/a/c"
    assert len(moto.requests()) == 1


def test_a_missing_parameter_says_where_it_is_missing(moto: Moto, session: Connection) -> None:
    put_parameters(moto, ["/shop/a"])
    found, missing = read(STORE, session, "/shop/a", "/shop/b")
    assert isinstance(found, Sensitive)
    assert isinstance(missing, Invalid)
    assert missing.message == f"there is no parameter /shop/b in account {ACCOUNT}, region {REGION}"


def test_where_a_group_is_denied_each_is_asked_for_alone(moto: Moto, session: Connection) -> None:
    put_parameters(moto, ["/shop/a", "/shop/b"])
    moto.fail("ssm:GetParameters", "AccessDeniedException", message=CANARY, times=2)
    moto.mark()
    answers = read(STORE, session, "/shop/a", "/shop/b")
    assert sorted(type(answer).__name__ for answer in answers) == ["Denied", "Sensitive"]
    assert len(moto.requests()) == 3


def test_the_secrets_are_read_twenty_in_a_call(moto: Moto, session: Connection) -> None:
    client = moto.client("secretsmanager")
    names = [f"shop/{number}" for number in range(23)]
    for name in names:
        client.create_secret(Name=name, SecretString=json.dumps({"password": f"{CANARY} of {name}"}))
    moto.mark()
    answers = read(MANAGER, session, *(f"{name}#/password" for name in names))
    assert answers == [Sensitive(f"{CANARY} of {name}") for name in names]
    assert [request.action for request in moto.requests()] == ["secretsmanager:BatchGetSecretValue"] * 2


def test_a_secret_is_named_by_its_arn_too(moto: Moto, session: Connection) -> None:
    arn = moto.client("secretsmanager").create_secret(Name="db", SecretString=CANARY)["ARN"]
    assert read(MANAGER, session, arn, "db") == [Sensitive(CANARY), Sensitive(CANARY)]
    assert read(MANAGER, session, arn) == [Sensitive(CANARY)]


def test_a_secret_of_bytes_has_to_be_text(moto: Moto, session: Connection) -> None:
    client = moto.client("secretsmanager")
    client.create_secret(Name="text", SecretBinary=CANARY.encode())
    client.create_secret(Name="bytes", SecretBinary=b"\xff\xfe")
    text, data = read(MANAGER, session, "text", "bytes")
    assert text == Sensitive(CANARY)
    assert isinstance(data, Invalid)
    assert data.message == "secret bytes is not UTF-8 text"


def test_a_missing_secret_says_where_it_is_missing(moto: Moto, session: Connection) -> None:
    moto.client("secretsmanager").create_secret(Name="a", SecretString=CANARY)
    for keys in (["b"], ["a", "b"]):
        missing = read(MANAGER, session, *keys)[-1]
        assert isinstance(missing, Invalid)
        assert missing.message == f"there is no secret b in account {ACCOUNT}, region {REGION}"


@pytest.mark.parametrize(
    ("source", "action", "name"),
    [
        (STORE, "ssm:GetParameters", "/shop/a"),
        (MANAGER, "secretsmanager:GetSecretValue", "a"),
    ],
)
def test_what_is_denied_is_denied_and_quotes_nothing(
    source: SecretSource, action: str, name: str, moto: Moto, session: Connection
) -> None:
    moto.fail(action, "AccessDeniedException", message=CANARY)
    (answer,) = read(source, session, name)
    assert isinstance(answer, Denied)
    seen: BaseException | None = answer
    while seen is not None:
        assert CANARY not in f"{seen} {seen!r}"
        seen = seen.__cause__ or seen.__context__


def test_without_a_target_the_environment_says_where(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    moto.reset()
    put_parameters(moto, ["/shop/a"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint)
    with pytest.raises(Invalid, match="no AWS region is known"):
        STORE.read(["/shop/a"], SecretContext())
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    assert read(STORE, None, "/shop/a") == [Sensitive(f"{CANARY} of /shop/a")]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ProviderError, match="credentials"):
        STORE.read(["/shop/a"], SecretContext())


@pytest.mark.parametrize(
    ("source", "key"), [(STORE, "a b"), (STORE, ""), (STORE, "a#b"), (MANAGER, "a b"), (MANAGER, "a?b")]
)
def test_a_key_that_names_nothing_is_refused_without_a_call(source: SecretSource, key: str) -> None:
    with pytest.raises(Invalid):
        source.check(key, {})
