"""The source `aws-secretsmanager`: `secret("aws-secretsmanager:shop/db#/password")`.

Loaded through the entry point `aws-secretsmanager` of `trueup.secrets`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from trueup.sdk import (
    Invalid,
    ProviderError,
    SecretAnswer,
    SecretContext,
    SecretSource,
    Value,
    answer_each_key,
    decode_secret,
    hookimpl,
    select_secret_text,
    split_secret_key,
)
from trueup_aws.errors import NotFound, error_of
from trueup_aws.secrets.reach import REQUIREMENT, Values, reach, read_in_groups

if TYPE_CHECKING:
    from trueup_aws.client import Connection

NAMES_PER_CALL = 20
# A name or an ARN.
_NAME = re.compile(r"[A-Za-z0-9/_+=.@:!-]{1,2048}")


class SecretsManager(SecretSource):
    """Secrets of Secrets Manager, in their current version."""

    name: ClassVar[str] = "aws-secretsmanager"
    provider: ClassVar[str] = "aws"
    requirement: ClassVar[str] = REQUIREMENT

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        name, _ = split_secret_key(key)
        if not _NAME.fullmatch(name):
            hint = 'write secret("aws-secretsmanager:shop/db#/password")'
            raise Invalid(f'"{name}" is no name of a secret', hint=hint)

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        names = list(dict.fromkeys(split_secret_key(key)[0] for key in keys))
        with reach(context) as connection:
            values = read_in_groups(names, NAMES_PER_CALL, lambda group: _read(connection, group))

        def answer(key: str) -> SecretAnswer:
            name, pointer = split_secret_key(key)
            value = values[name]
            if isinstance(value, ProviderError):
                return value
            return select_secret_text(value, pointer, f"secret {name}")

        return answer_each_key(keys, answer)


def _read(connection: Connection, names: Sequence[str]) -> Values:
    if len(names) == 1:
        return {names[0]: _read_one(connection, names[0])}
    answer = connection.call(
        "secretsmanager", "batch_get_secret_value", SecretIdList=list(names), is_secret=True
    )
    found: dict[str, Mapping[str, Any]] = {}
    for secret in answer.get("SecretValues") or ():
        found.update({str(secret["Name"]): secret, str(secret["ARN"]): secret})
    failed = {str(error.get("SecretId")): str(error.get("ErrorCode")) for error in answer.get("Errors") or ()}
    values: dict[str, str | ProviderError] = {}
    for name in names:
        if name in found:
            values[name] = _text_of(found[name], name)
        elif name in failed:
            values[name] = _failure(connection, name, failed[name])
        else:
            # By an ARN without its last characters, or one of another region.
            values[name] = _read_one(connection, name)
    return values


def _read_one(connection: Connection, name: str) -> str | ProviderError:
    try:
        secret = connection.call("secretsmanager", "get_secret_value", SecretId=name, is_secret=True)
    except NotFound:
        return _missing(connection, name)
    except ProviderError as error:
        return error
    return _text_of(secret, name)


def _text_of(secret: Mapping[str, Any], name: str) -> str | ProviderError:
    if "SecretString" in secret:
        return str(secret["SecretString"])
    try:
        return decode_secret(bytes(secret.get("SecretBinary") or b""), f"secret {name}")
    except Invalid as error:
        return error


def _failure(connection: Connection, name: str, code: str) -> ProviderError:
    error = error_of(code, 400, "", "secretsmanager:BatchGetSecretValue")
    return _missing(connection, name) if isinstance(error, NotFound) else error


def _missing(connection: Connection, name: str) -> Invalid:
    return Invalid(
        f"there is no secret {name} in account {connection.account}, region {connection.region}",
        hint="create it there, or correct the name",
    )


@hookimpl
def trueup_secret_source() -> SecretSource:
    return SecretsManager()
