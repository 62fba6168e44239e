"""Variables of the environment, as far as stacks may read them."""

from __future__ import annotations

import pytest

from trueup.errors import Denied, Invalid
from trueup.model.values import Sensitive
from trueup.sdk.secrets import SecretContext
from trueup.secrets.environment import EnvironmentSource

SOURCE = EnvironmentSource()


def read(name: str) -> object:
    return SOURCE.read([name], SecretContext())[name]


def test_the_value_is_exactly_that_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", " p\nw ")
    assert read("DB_PASSWORD") == Sensitive(" p\nw ")


@pytest.mark.parametrize(("value", "why"), [(None, "is not set"), ("", "is empty"), ("\udcff", "not UTF-8")])
def test_what_is_no_secret_is_an_error_that_names_the_variable(
    value: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("DB_PASSWORD", value)
    answer = read("DB_PASSWORD")
    assert isinstance(answer, Invalid)
    assert "DB_PASSWORD" in answer.message
    assert why in answer.message


@pytest.mark.parametrize("name", ["", "A B", "A=B", "1A", "A#/b", "A\n"])
def test_a_name_that_no_variable_has_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="no name"):
        SOURCE.check(name, {})


@pytest.mark.parametrize(
    ("granted", "name", "is_granted"),
    [
        (None, "DB_PASSWORD", True),
        (None, "AWS_SECRET_ACCESS_KEY", False),
        (None, "AWS_CONTAINER_AUTHORIZATION_TOKEN", False),
        (None, "AZURE_CLIENT_SECRET", False),
        (None, "GIT_CONFIG_VALUE_0", False),
        (None, "GOOGLE_CREDENTIALS", False),
        (None, "SOPS_AGE_KEY", False),
        (None, "SOPS_AGE_KEY_CMD", False),
        (None, "TRUEUP_STORE", False),
        (["DB_*"], "DB_PASSWORD", True),
        (["DB_*"], "HOME", False),
        (["db_*"], "DB_PASSWORD", False),
        (["SOPS_AGE_KEY"], "SOPS_AGE_KEY", True),
        ([], "DB_PASSWORD", False),
    ],
)
def test_a_variable_is_read_only_where_it_is_granted(
    granted: list[str] | None, name: str, is_granted: bool
) -> None:
    settings = {} if granted is None else {"env": granted}
    if is_granted:
        SOURCE.check(name, settings)
        return
    with pytest.raises(Denied, match=name):
        SOURCE.check(name, settings)
