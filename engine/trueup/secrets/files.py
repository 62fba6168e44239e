"""The source `file`: `secret("file:/run/secrets/db")` is a file of the machine that trueup runs on.

Only files below directories that are meant for secrets, so that nobody who may commit to a stack reads the
operator's own files. Loaded through the entry point `file` of `trueup.secrets`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import yaml

from trueup.errors import Denied, Invalid, Transient
from trueup.model.values import Sensitive, Value
from trueup.sdk.hookspecs import hookimpl
from trueup.sdk.secrets import (
    SecretAnswer,
    SecretContext,
    SecretSource,
    answer_each_key,
    decode_secret,
    select_secret,
    select_secret_text,
    split_secret_key,
)

MAX_BYTES = 1024 * 1024
_DEFAULT_FOLDER = "/run/secrets"
# To go through a folder takes no more than the right to search it, where the system can tell.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEVER = ("/proc", "/sys", "/dev")


class FileSource(SecretSource):
    """Files below /run/secrets, $CREDENTIALS_DIRECTORY, and the directories of `[secrets] files`."""

    name = "file"

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        name, _ = split_secret_key(key)
        path = PurePosixPath(name)
        if not path.is_absolute() or "\0" in name:
            raise Invalid(
                f'"{name}" is no absolute path',
                hint='write secret("file:/run/secrets/..."), or file("...") for a file of the stack',
            )
        if ".." in path.parts:
            raise Invalid(f'"{name}" holds ".."', hint="write the path without it")
        _check_place(path, _folders(settings), name)

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        folders = [PurePosixPath(os.path.realpath(folder)) for folder in _folders(context.settings)]
        return answer_each_key(keys, lambda key: _read(key, folders))


def _folders(settings: Mapping[str, Value]) -> list[PurePosixPath]:
    given = os.environ.get("CREDENTIALS_DIRECTORY")  # where systemd puts a service's credentials
    return [
        PurePosixPath(folder) for folder in (_DEFAULT_FOLDER, given, *(settings.get("files") or ())) if folder
    ]


def _check_place(path: PurePosixPath, folders: Sequence[PurePosixPath], name: str) -> None:
    is_special = any(path.is_relative_to(place) for place in _NEVER)
    if is_special or not any(path != folder and path.is_relative_to(folder) for folder in folders):
        raise Denied(
            f"stacks may not read {name}",
            hint=f"secrets are read below {', '.join(map(str, folders))};"
            " add a directory in trueup.toml: [secrets] files",
        )


def _read(key: str, folders: Sequence[PurePosixPath]) -> Sensitive:
    name, pointer = split_secret_key(key)
    text = decode_secret(_read_bytes(name, folders), name)
    # Editors and `echo` end a file with a line break that nobody means.
    text = re.sub(r"\r?\n\Z", "", text)
    if pointer is None:
        return Sensitive(text)
    if text.lstrip().startswith("{"):
        return select_secret_text(text, pointer, name)
    return select_secret(_parse_yaml(text, name), pointer, name)


def _read_bytes(name: str, folders: Sequence[PurePosixPath]) -> bytes:
    try:
        # What it really is, every link followed: that is what has to lie in one of the directories.
        path = PurePosixPath(os.path.realpath(name, strict=True))
        _check_place(path, folders, name)
        descriptor = _open_resolved(path)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Invalid(f"{name} is no regular file", hint="name the file itself")
            with open(descriptor, "rb", closefd=False) as stream:
                data = stream.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise Invalid(
            f"there is no file {name}", hint="mount it where trueup runs, or correct the path"
        ) from error
    except PermissionError as error:
        raise Denied(f"{name} may not be read", hint="let the user that trueup runs as read it") from error
    except OSError as error:
        raise Transient(f"{name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise Invalid(f"{name} is larger than {MAX_BYTES // 1024} KiB", hint="a secret is smaller than that")
    return data


def _open_resolved(path: PurePosixPath) -> int:
    """Opens a path that has no link in it, folder by folder: one that became a link meanwhile is refused."""
    within = os.open("/", _FOLDER)
    try:
        for folder in path.parts[1:-1]:
            below = os.open(folder, _FOLDER, dir_fd=within)
            os.close(within)
            within = below
        return os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=within)
    finally:
        os.close(within)


def _parse_yaml(text: str, name: str) -> Value:
    """The document with every scalar as the text that is written: `0123` stays what it is."""
    try:
        documents = list(_load_all(text))
    except (yaml.YAMLError, RecursionError, _AliasError):
        documents = []
    if len(documents) != 1 or not isinstance(documents[0], dict | list):
        # The library's own message quotes the text.
        hint = "leave out the #; of YAML, one document without aliases is read"
        raise Invalid(f"{name} is neither a JSON nor a YAML document with fields", hint=hint)
    return documents[0]


class _AliasError(Exception):
    """An alias, which may stand for any amount of values."""


def _load_all(text: str) -> Iterator[Value]:
    if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.BaseLoader)):
        raise _AliasError
    yield from yaml.load_all(text, yaml.BaseLoader)  # which builds strings, lists and maps only


@hookimpl
def trueup_secret_source() -> SecretSource:
    return FileSource()
