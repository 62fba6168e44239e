"""The source `sops`: `secret("sops:secrets.yaml#/db/password")` is a value of an encrypted file of the stack.

The file lies in Git beside the manifests, its path counts from the stack's directory. Decrypted once for all
keys, by the `sops` binary where it is installed, else by `sops_age`. Loaded through the entry point `sops` of
`trueup.secrets`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence

from trueup.errors import Invalid, ProviderError
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
from trueup.secrets.sops_file import parse_sops_file
from trueup.secrets.sops_servers import environment_for


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
        # A grant of "sops:shop/*" is for the files below shop, and what is granted is the text.
        below = list(itertools.dropwhile(lambda part: part == "..", name.split("/")))
        if not below or any(part in ("", ".", "..") for part in below):
            raise Invalid(f'"{name}" goes round about', hint="write the path without . and .. in its middle")

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
    environment = environment_for(path, file)
    from trueup.secrets.sops_binary import find_sops, run_sops

    binary = find_sops()
    if binary is None:
        from trueup.secrets.sops_age import decrypt_file

        document: Value = decrypt_file(path, file)[0]
        return document["data"] if file.format == "binary" else document
    text = decode_secret(run_sops(binary, path, content, file.format, environment), path)
    if file.format == "binary":
        return text
    decrypted = json.loads(text)
    # sops adds a section to INI files that nobody wrote.
    return {key: value for key, value in decrypted.items() if file.format != "ini" or value != {}}


@hookimpl
def trueup_secret_source() -> SecretSource:
    return SopsSource()
