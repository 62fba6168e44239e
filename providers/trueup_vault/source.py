"""The source `vault`: `secret("vault:secret/data/shop#/password")` is a field of a secret of Vault.

The key is the path as Vault's API has it, so `data/` stands in it for the second version of the KV engine.
The server and how to sign in come from the environment, as for Vault's own command line. Loaded through the
entry point `vault` of `trueup.secrets`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from trueup.sdk import (
    Invalid,
    ProviderError,
    SecretAnswer,
    SecretContext,
    SecretSource,
    Value,
    answer_each_key,
    hookimpl,
    select_secret,
    split_secret_key,
)

# No `..`, no `//`, no `?` and no `%`: the path that is granted has to be the path that is asked for.
_PATH = re.compile(r"[A-Za-z0-9_:@+=~-][A-Za-z0-9_.:@+=~ -]*(/[A-Za-z0-9_:@+=~-][A-Za-z0-9_.:@+=~ -]*)+")


class VaultSource(SecretSource):
    """Secrets of a KV engine, of either version."""

    name: ClassVar[str] = "vault"
    requirement: ClassVar[str] = "trueup[vault]"

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        path, _ = split_secret_key(key)
        if not _PATH.fullmatch(path):
            hint = 'write secret("vault:secret/data/shop#/password")'
            raise Invalid(f'"{path}" is no path of a secret in Vault', hint=hint)

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        from trueup_vault.client import sign_in

        client = sign_in()
        secrets: dict[str, Mapping[str, Value] | ProviderError] = {}
        try:
            # Vault has no call that reads several.
            for path in dict.fromkeys(split_secret_key(key)[0] for key in keys):
                try:
                    secrets[path] = fields_of(client.read(path), path)
                except ProviderError as error:
                    secrets[path] = error
        finally:
            client.close()

        def answer(key: str) -> SecretAnswer:
            path, pointer = split_secret_key(key)
            found = secrets[path]
            return found if isinstance(found, ProviderError) else select_secret(found, pointer, path)

        return answer_each_key(keys, answer)


def fields_of(data: Mapping[str, Value] | None, path: str) -> Mapping[str, Value]:
    """The fields of a secret in either form of the KV engine. Raises Invalid where there is none."""
    if data is None:
        hint = "for version 2 of the KV engine the path is MOUNT/data/NAME, for version 1 MOUNT/NAME"
        raise Invalid(f"Vault has no secret {path}", hint=hint)
    metadata = data.get("metadata")
    if data.keys() == {"data", "metadata"} and isinstance(metadata, Mapping) and "version" in metadata:
        fields = data["data"]
        if not isinstance(fields, Mapping):
            raise Invalid(f"the current version of {path} is deleted", hint="write a new one, or undelete it")
        return fields
    return data


@hookimpl
def trueup_secret_source() -> SecretSource:
    return VaultSource()
