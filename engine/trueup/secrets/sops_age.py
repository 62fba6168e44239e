"""Decrypts files of SOPS that are encrypted for age, for machines without the `sops` binary.

Used by `sops`. The data key is decrypted with the operator's age identities, each value with the data key and
its own path, and the MAC over all of them is checked. Needs pyrage and cryptography.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

from trueup.errors import Denied, Invalid
from trueup.model.values import Value
from trueup.secrets.sops_file import SopsFile, list_of

_ENCRYPTED = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]*),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z]+)\]"
)
# What the format puts before the values where the MAC covers the encrypted ones alone: sha256("sops").
_ONLY_ENCRYPTED = hashlib.sha256(b"sops").digest()
# A comment that was encrypted, which SOPS keeps as a value of a list: no part of the document.
_COMMENT: Final = object()
_LARGEST_EXACT = 2**53
_BINARY_HINT = "install the `sops` binary where trueup runs"
_IDENTITIES_HINT = (
    "set SOPS_AGE_KEY or SOPS_AGE_KEY_FILE where trueup runs, or put the identity into"
    " ~/.config/sops/age/keys.txt"
)


class _Cipher(Protocol):
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


def decrypt_file(path: str, file: SopsFile) -> tuple[Mapping[str, Value], ...]:
    """The documents of the file in plain values.

    Raises Invalid for a file that was damaged or tampered with, or that needs the binary; Denied where no
    identity fits.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data_key = _decrypt_data_key(path, file.metadata)
    try:
        reader = _Reader(path, AESGCM(data_key), _is_true(file.metadata.get("mac_only_encrypted")))
    except ValueError as error:
        raise Invalid(f"{path}: the data key has a wrong length") from error
    documents = tuple(reader.read(document, ()) for document in file.documents)
    modified = str(file.metadata.get("lastmodified"))
    stored, _ = reader.decrypt(str(file.metadata["mac"]), modified, "the MAC")
    if not hmac.compare_digest(stored.decode("ascii", "replace"), reader.mac):
        raise Invalid(
            f"{path}: its MAC does not fit its content: it was changed without sops",
            hint="restore it, or look at each value and encrypt it again",
        )
    return documents


class _Reader:
    """Goes through a tree in the order of the file, decrypts, and computes the MAC on the way."""

    def __init__(self, path: str, cipher: _Cipher, is_mac_partial: bool) -> None:
        self._path = path
        self._cipher = cipher
        self._is_mac_partial = is_mac_partial
        self._hash = hashlib.sha512(_ONLY_ENCRYPTED if is_mac_partial else b"")

    @property
    def mac(self) -> str:
        return self._hash.hexdigest().upper()

    def read(self, value: Value, path: tuple[str, ...]) -> Any:
        """The value in plain, with every leaf added to the MAC."""
        if isinstance(value, Mapping):
            entries = ((key, self.read(item, (*path, key))) for key, item in value.items())
            return {key: item for key, item in entries if item is not _COMMENT}
        if isinstance(value, list):
            # The items of a list all have the path of the list.
            return [item for item in (self.read(each, path) for each in value) if item is not _COMMENT]
        # Whether a value should have been encrypted need not be known: one that was exchanged for another,
        # encrypted or not, gives another MAC.
        if isinstance(value, str) and value.startswith("ENC["):
            where = "/".join(("", *path))
            data, kind = self.decrypt(value, "".join(f"{part}:" for part in path), where)
            if kind == "comment":
                return _COMMENT
            self._hash.update(data)
            return self._typed(data, kind, where)
        if value is not None and not self._is_mac_partial:
            self._hash.update(_bytes_of(value))
        return value

    def decrypt(self, text: str, additional: str, where: str) -> tuple[bytes, str]:
        """The bytes and the type of one encrypted value."""
        from cryptography.exceptions import InvalidTag

        match = _ENCRYPTED.fullmatch(text)
        if match is None:
            raise Invalid(f"{self._path}: the value of {where} is not in the form of SOPS")
        try:
            data, nonce, tag = (base64.b64decode(part, validate=True) for part in match.groups()[:3])
            return self._cipher.decrypt(nonce, data + tag, additional.encode()), match[4]
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise Invalid(
                f"{self._path}: the value of {where} cannot be decrypted: it was changed without sops",
                hint="restore the file, or encrypt the value again",
            ) from error

    def _typed(self, data: bytes, kind: str, where: str) -> Value:
        value: Value = None
        # The exception quotes the value, so it must not become the context of the next one.
        with contextlib.suppress(ValueError):
            value = _convert(data.decode(), kind)
        if value is None:
            message = f"{self._path}: the value of {where} is not UTF-8 text, or no {kind}"
            raise Invalid(message, hint="keep binary data as base64")
        return value


def _convert(text: str, kind: str) -> Value:
    """The value of an encrypted text by its type. Raises ValueError for what does not fit it."""
    if kind in ("str", "bytes", "time"):
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower())
    if kind == "int":
        return int(text)
    if kind == "float":
        # JSON has one kind of number, so SOPS calls each of them a float.
        is_whole = re.fullmatch(r"-?[0-9]{1,16}", text) and abs(int(text)) <= _LARGEST_EXACT
        return int(text) if is_whole else float(text)
    return None


def _bytes_of(value: Value) -> bytes:
    """What a value that is not encrypted adds to the MAC."""
    if isinstance(value, bool):
        return b"True" if value else b"False"
    if isinstance(value, int) and abs(value) <= _LARGEST_EXACT:
        return str(value).encode()
    if isinstance(value, int | float):
        text = format(Decimal(repr(float(value))), "f")
        return (text.rstrip("0").rstrip(".") if "." in text else text).encode()
    return str(value).encode()


def _decrypt_data_key(path: str, metadata: Mapping[str, Any]) -> bytes:
    import pyrage

    if len(list_of(metadata, "key_groups")) > 1:
        raise Invalid(f"{path} is encrypted for several key groups", hint=_BINARY_HINT)
    groups = [metadata, *list_of(metadata, "key_groups")]
    keys = [str(entry.get("enc") or "") for group in groups for entry in list_of(group, "age")]
    if not keys:
        raise Invalid(
            f"{path} is not encrypted for age, which is all that works without sops", hint=_BINARY_HINT
        )
    identities = list(_find_identities())
    if not identities:
        raise Denied(f"there is no age identity to decrypt {path} with", hint=_IDENTITIES_HINT)
    for key in keys:
        try:
            data_key: bytes = pyrage.decrypt(key.encode(), identities)
        except pyrage.DecryptError:
            continue
        return data_key
    raise Denied(f"none of the age identities fits {path}", hint=_IDENTITIES_HINT)


def _find_identities() -> Iterator[Any]:
    """The identities where sops looks for them too."""
    import pyrage

    for place, text in _find_key_texts():
        for line in text.splitlines():
            if line.startswith("AGE-SECRET-KEY-1"):
                try:
                    yield pyrage.x25519.Identity.from_str(line.strip())
                except pyrage.IdentityError as error:
                    raise Denied(f"{place} holds an age identity that is damaged") from error
    home = Path("~").expanduser()
    given = os.environ.get("SOPS_AGE_SSH_PRIVATE_KEY_FILE")
    for file in (Path(given) if given else None, home / ".ssh" / "id_ed25519", home / ".ssh" / "id_rsa"):
        # A key with a passphrase is of no use here, and there may be another one.
        if file is not None and file.is_file():
            with contextlib.suppress(pyrage.IdentityError, OSError):
                yield pyrage.ssh.Identity.from_buffer(file.read_bytes())


def _find_key_texts() -> Iterator[tuple[str, str]]:
    if text := os.environ.get("SOPS_AGE_KEY"):
        yield "SOPS_AGE_KEY", text
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    for file in (os.environ.get("SOPS_AGE_KEY_FILE"), folder / "sops" / "age" / "keys.txt"):
        if not file or (isinstance(file, Path) and not file.is_file()):
            continue
        try:
            yield str(file), Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise Denied(f"the age identities in {file} cannot be read: {why}") from None


def _is_true(value: object) -> bool:
    return value is True or value == "true"
