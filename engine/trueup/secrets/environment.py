"""The source `env`: `secret("env:DB_PASSWORD")` is a variable of the environment that trueup runs in.

Loaded through the entry point `env` of `trueup.secrets`.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping, Sequence

from trueup.errors import Denied, Invalid
from trueup.model.values import Sensitive, Value
from trueup.sdk.hookspecs import hookimpl
from trueup.sdk.secrets import SecretAnswer, SecretContext, SecretSource, answer_each_key

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What trueup itself, or a program that it starts, signs in with. A stack's author is not the operator, so
# these must be granted by name.
_OWN_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_CLIENT_SECRET",
    "GIT_CONFIG_VALUE_*",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "PGPASSWORD",
    "SOPS_AGE_KEY*",
    "SSH_AUTH_SOCK",
    "TRUEUP_*",
    "VAULT_SECRET_ID",
    "VAULT_TOKEN",
)


class EnvironmentSource(SecretSource):
    """Variables of the environment; `[secrets] env` in trueup.toml says which ones stacks may read."""

    name = "env"

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        if not _NAME.fullmatch(key):
            raise Invalid(
                f'"{key}" is no name of an environment variable', hint='write secret("env:DB_PASSWORD")'
            )
        granted = settings.get("env")
        if granted is None:
            if _is_one_of(key, _OWN_CREDENTIALS):
                raise Denied(
                    f"{key} is a credential of trueup itself, which a stack may not read",
                    hint=f'if it is meant, grant it in trueup.toml: [secrets] env = ["{key}"]',
                )
        elif not _is_one_of(key, granted):
            raise Denied(
                f"stacks may not read the environment variable {key}",
                hint="trueup.toml lists those that they may read: [secrets] env",
            )

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        return answer_each_key(keys, _read)


def _read(name: str) -> Sensitive:
    value = os.environ.get(name)
    if value is None:
        raise Invalid(
            f"the environment variable {name} is not set", hint="set it where trueup runs, or mend the name"
        )
    if not value:
        raise Invalid(
            f"the environment variable {name} is empty",
            hint="that is what a secret looks like that was not handed to the job; set it where trueup runs",
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise Invalid(f"the environment variable {name} is not UTF-8 text", hint="keep binary data as base64")
    return Sensitive(value)


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@hookimpl
def trueup_secret_source() -> SecretSource:
    return EnvironmentSource()
