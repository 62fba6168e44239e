"""The source `aws-ssm`: `secret("aws-ssm:/shop/db")` is a parameter of Systems Manager.

Loaded through the entry point `aws-ssm` of `trueup.secrets`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from trueup.sdk import (
    Invalid,
    ProviderError,
    SecretAnswer,
    SecretContext,
    SecretSource,
    Value,
    answer_each_key,
    hookimpl,
    select_secret_text,
    split_secret_key,
)
from trueup_aws.errors import NotFound
from trueup_aws.secrets.reach import REQUIREMENT, Values, reach, read_in_groups

if TYPE_CHECKING:
    from trueup_aws.client import Connection

NAMES_PER_CALL = 10
# A name or an ARN, with a version or a label after a colon.
_NAME = re.compile(r"[A-Za-z0-9_./:-]{1,2048}")


class ParameterStore(SecretSource):
    """Parameters, decrypted where they are SecureStrings."""

    name: ClassVar[str] = "aws-ssm"
    provider: ClassVar[str] = "aws"
    requirement: ClassVar[str] = REQUIREMENT

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        name, _ = split_secret_key(key)
        if not _NAME.fullmatch(name):
            raise Invalid(f'"{name}" is no name of a parameter', hint='write secret("aws-ssm:/shop/db")')

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        names = list(dict.fromkeys(split_secret_key(key)[0] for key in keys))
        with reach(context) as connection:
            values = read_in_groups(names, NAMES_PER_CALL, lambda group: _read(connection, group))

        def answer(key: str) -> SecretAnswer:
            name, pointer = split_secret_key(key)
            value = values[name]
            if isinstance(value, ProviderError):
                return value
            return select_secret_text(value, pointer, f"parameter {name}")

        return answer_each_key(keys, answer)


def _read(connection: Connection, names: Sequence[str]) -> Values:
    plain = [name for name in names if ":" not in name]
    values: dict[str, str | ProviderError] = {
        name: _read_one(connection, name) for name in names if name not in plain
    }
    if plain:
        answer = connection.call("ssm", "get_parameters", Names=plain, WithDecryption=True, is_secret=True)
        found = {str(each["Name"]): str(each["Value"]) for each in answer.get("Parameters") or ()}
        values.update({name: found.get(name) or _missing(connection, name) for name in plain})
    return values


def _read_one(connection: Connection, name: str) -> str | ProviderError:
    """A parameter by ARN, version or label, whose name in the answer is another one."""
    try:
        answer = connection.call("ssm", "get_parameter", Name=name, WithDecryption=True, is_secret=True)
    except NotFound:
        return _missing(connection, name)
    except ProviderError as error:
        return error
    return str(answer["Parameter"]["Value"])


def _missing(connection: Connection, name: str) -> Invalid:
    return Invalid(
        f"there is no parameter {name} in account {connection.account}, region {connection.region}",
        hint="create it there, or correct the name",
    )


@hookimpl
def trueup_secret_source() -> SecretSource:
    return ParameterStore()
