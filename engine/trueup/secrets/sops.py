"""The source `sops`: `secret("sops:secrets.yaml#/db/password")` is a value of an encrypted file of the stack.

The file lies in Git beside the manifests, its path counts from the stack's directory. Decrypted once for all
keys, by the `sops` binary where it is installed, else by `sops_age`. Loaded through the entry point `sops` of
`trueup.secrets`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence

from trueup.errors import Denied, Invalid, ProviderError
from trueup.model.values import Value
from trueup.sdk.hookspecs import hookimpl
from trueup.sdk.secrets import (
    SecretAnswer,
    SecretContext,
    SecretSource,
    decode_secret,
    select_secret,
    split_secret_key,
)
from trueup.secrets.sops_file import SopsFile, list_of, parse_sops_file

BINARY = "sops"


class SopsSource(SecretSource):
    """Files that are encrypted with SOPS."""

    name = "sops"
    requirement = "trueup[secrets]"

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        name, _ = split_secret_key(key)
        if name.startswith(("/", "-")) or "\0" in name or "\\" in name:
            raise Invalid(
                f'"{name}" is no path of a file of the stack',
                hint='write secret("sops:secrets.yaml#/db/password"): a path in the stack\'s directory',
            )

    def files(self, key: str) -> Sequence[str]:
        return (split_secret_key(key)[0],)

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        documents: dict[str, Value | ProviderError] = {}
        answers: dict[str, SecretAnswer] = {}
        for key in keys:
            name, pointer = split_secret_key(key)
            try:
                if name not in documents:
                    documents[name] = _decrypt(name, context.files[name])
                found = documents[name]
                answers[key] = (
                    found if isinstance(found, ProviderError) else select_secret(found, pointer, name)
                )
            except ProviderError as error:
                documents.setdefault(name, error)
                answers[key] = error
        return answers


def _decrypt(path: str, content: bytes) -> Value:
    """The one document of the file in plain: a map, or the text of a file that is no document at all."""
    file = parse_sops_file(path, content)
    if len(file.documents) > 1:
        raise Invalid(f"{path} holds several documents", hint="make it several files")
    _check_keyholders(path, file)
    binary = shutil.which(BINARY)
    if binary is None:
        from trueup.secrets.sops_age import decrypt_file

        document: Value = decrypt_file(path, file)[0]
        return document["data"] if file.format == "binary" else document
    from trueup.secrets.sops_binary import run_sops

    text = decode_secret(run_sops(binary, path, content, file.format), path)
    if file.format == "binary":
        return text
    decrypted = json.loads(text)
    # sops adds a section to INI files that nobody wrote.
    return {key: value for key, value in decrypted.items() if file.format != "ini" or value != {}}


def _check_keyholders(path: str, file: SopsFile) -> None:
    """Refuses a file that would make sops send the operator's token to a server of the author's choice."""
    groups = [file.metadata, *list_of(file.metadata, "key_groups")]
    expected = os.environ.get("VAULT_ADDR", "").rstrip("/")
    for entry in (entry for group in groups for entry in list_of(group, "hc_vault")):
        address = str(entry.get("vault_address") or "").rstrip("/")
        if address != expected:
            raise Denied(
                f"{path} names the Vault server {address}, and VAULT_ADDR is {expected or 'not set'}",
                hint="set VAULT_ADDR where trueup runs, if that server is to get its token",
            )


@hookimpl
def trueup_secret_source() -> SecretSource:
    return SopsSource()
