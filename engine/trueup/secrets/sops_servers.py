"""Which Vault servers a file of SOPS names: sops would send the operator's token to each of them.

Used by `sops`. What sops takes a file for is not in every detail what we take it for: its parsers know upper
case, merge keys and quotes in names. So a name that is not written as sops itself writes it is refused, and
where no server is named, sops gets no token that it could send.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from trueup.errors import Denied, Invalid
from trueup.model.values import Value
from trueup.secrets.sops_file import METADATA, SopsFile

_NAME = re.compile(r"[a-z0-9_]+", re.ASCII)
_VAULT = "hc_vault"
_ADDRESS = "vault_address"
_CONTEXT = "context"
# sops looks into ~/.vault-token only where this variable is empty.
_NO_TOKEN: Mapping[str, str] = {"VAULT_TOKEN": "none"}


def environment_for(path: str, file: SopsFile) -> Mapping[str, str]:
    """The environment to run sops in for the file.

    Raises Invalid for metadata that sops did not write, Denied for another server than that of VAULT_ADDR.
    """
    for document in file.documents:
        if any(key == "<<" or key.casefold() == METADATA for key in document):
            raise Invalid(f"{path} has its metadata in a form that sops does not write")
    names = [key for key, _ in _entries(file.metadata)]
    odd = next((name for name in names if not _NAME.fullmatch(name)), None)
    if odd is not None:
        raise Invalid(f"{path} has a name in its metadata that sops does not write: {odd!a}")
    addresses = [value for key, value in _entries(file.metadata) if key == _ADDRESS]
    if not addresses and any(value for key, value in _entries(file.metadata) if key == _VAULT):
        addresses = [""]
    expected = os.environ.get("VAULT_ADDR", "").rstrip("/")
    for address in (str(each or "").rstrip("/") for each in addresses):
        if address != expected:
            raise Denied(
                f"{path} names the Vault server {address}, which is not that of VAULT_ADDR",
                hint="set VAULT_ADDR where trueup runs, if that server is to get its token",
            )
    return os.environ if addresses else {**os.environ, **_NO_TOKEN}


def _entries(value: Value) -> Iterator[tuple[str, Any]]:
    """Every name in the metadata with its value, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key), item
            # The names in an encryption context of KMS are the author's own, and mean nothing to sops.
            yield from () if key == _CONTEXT else _entries(item)
    elif isinstance(value, list):
        for item in value:
            yield from _entries(item)
