"""The form of a file that SOPS wrote: its metadata, and its tree with the values still encrypted.

Used by `sops` and `sops_age`. Decrypts nothing. Scalars become what SOPS takes them for, because its MAC is
made of them.
"""

from __future__ import annotations

import configparser
import datetime
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from trueup.errors import Invalid
from trueup.model.values import Value

MAX_BYTES = 4 * 1024 * 1024
METADATA = "sops"
_FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv", ".ini": "ini"}
_WORDS: Mapping[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:[Tt]|\s+)(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d+)?\s*(Z|[-+]\d\d:\d\d)?)?"
)


@dataclass(frozen=True)
class SopsFile:
    """A file as SOPS sees it. `documents` are more than one only in YAML."""

    format: str
    metadata: Mapping[str, Any]
    documents: tuple[Mapping[str, Value], ...]


def format_of(path: str) -> str:
    """The format that SOPS takes a file for by its name."""
    name = path.rpartition("/")[2]
    return next((form for suffix, form in _FORMATS.items() if name.endswith(suffix)), "binary")


def parse_sops_file(path: str, content: bytes) -> SopsFile:
    """Reads the file. Raises Invalid for anything that SOPS did not write."""
    if len(content) > MAX_BYTES:
        raise Invalid(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB", hint="split it")
    form = format_of(path)
    documents: tuple[dict[str, Value], ...] = ()
    # The parsers' own messages quote the file, which may hold secrets that nobody encrypted.
    fault = ""
    try:
        documents = tuple(_PARSERS[form](content.decode()))
        json.dumps(documents, ensure_ascii=False).encode()  # fails for half of a character, as in "\ud800"
    except (ValueError, RecursionError, yaml.YAMLError, configparser.Error) as error:
        fault = type(error).__name__
    if fault:
        raise Invalid(f"{path} cannot be read as {form} ({fault})", hint="encrypt it again with sops")
    if form == "dotenv":
        documents = tuple(map(_nest_metadata, documents))
    metadata = documents[0].get(METADATA) if documents else None
    if form == "ini" and isinstance(metadata, dict):
        metadata = _nest(metadata)
    if not isinstance(metadata, dict) or "mac" not in metadata:
        raise Invalid(f"{path} is not encrypted with SOPS", hint="encrypt it: sops --encrypt --in-place FILE")
    without = ({key: value for key, value in each.items() if key != METADATA} for each in documents)
    return SopsFile(form, metadata, tuple(without))


def _parse_json(text: str) -> list[dict[str, Value]]:
    return [_as_map(json.loads(text, object_pairs_hook=_unique))]


def _parse_yaml(text: str) -> list[dict[str, Value]]:
    seen: set[int] = set()
    return [_as_map(_from_yaml(node, seen)) for node in yaml.compose_all(text, yaml.SafeLoader)]


def _parse_dotenv(text: str) -> list[dict[str, Value]]:
    lines = (line for line in text.split("\n") if line and not line.startswith("#"))
    pairs = [line.partition("=") for line in lines]
    if not all(mark for _, mark, _ in pairs):
        raise ValueError("a line without =")
    return [_unique([(key, value.replace("\\n", "\n")) for key, _, value in pairs])]


def _parse_ini(text: str) -> list[dict[str, Value]]:
    if any(line[:1].isspace() for line in text.split("\n") if line.strip()):
        raise ValueError("an indented line")  # a key to SOPS, and a part of the value above to our parser
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="\0")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return [{section: dict(parser.items(section)) for section in parser.sections()}]


_PARSERS: Mapping[str, Callable[[str], list[dict[str, Value]]]] = {
    "binary": _parse_json,
    "dotenv": _parse_dotenv,
    "ini": _parse_ini,
    "json": _parse_json,
    "yaml": _parse_yaml,
}


def _as_map(value: Value) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise ValueError("not a map")  # noqa: TRY004 - it is the content of a file
    return value


def _unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _from_yaml(node: Any, seen: set[int]) -> Value:
    """A YAML node as plain values, by the rules of the library that SOPS uses."""
    if id(node) in seen:
        raise ValueError("an alias")  # which SOPS writes out, and which may hide a bomb
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        if any(not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":binary") for key, _ in node.value):
            raise ValueError("a key that is no text")  # or another one to SOPS than to us
        return _unique([(str(key.value), _from_yaml(value, seen)) for key, value in node.value])
    if isinstance(node, yaml.SequenceNode):
        return [_from_yaml(item, seen) for item in node.value]
    return _plain_scalar(node.value) if node.style is None else node.value


def _plain_scalar(text: str) -> Value:
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
        return int(f"{octal[1]}0o{octal[2]}" if octal else digits, 0)
    if _FLOAT.fullmatch(digits):
        return float(digits)
    date = _DATE.fullmatch(text)
    return _to_rfc3339(date) if date else text


def _to_rfc3339(date: re.Match[str]) -> str:
    year, month, day, hour, minute, second = (int(part or 0) for part in date.groups()[:6])
    moment = datetime.datetime(year, month, day, hour, minute, second)
    return f"{moment.isoformat()}{(date[7] or '').rstrip('0').rstrip('.')}{date[8] or 'Z'}"


def _nest_metadata(document: dict[str, Value]) -> dict[str, Value]:
    """A dotenv file has its metadata in variables that begin with sops_."""
    prefix = f"{METADATA}_"
    flat = {key.removeprefix(prefix): value for key, value in document.items() if key.startswith(prefix)}
    rest = {key: value for key, value in document.items() if not key.startswith(prefix)}
    return {**rest, METADATA: _nest(flat)}


def _nest(flat: Mapping[str, Value]) -> dict[str, Value]:
    """The metadata of a flat format as in the others: `age__list_0__map_enc` is `age[0].enc`.

    Lists become maps by position.
    """
    nested: dict[str, Value] = {}
    for key, value in flat.items():
        *above, last = re.split(r"__(?:map|list)_", key)
        inner = nested
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = str(value).replace("\\n", "\n")
    return nested


def list_of(metadata: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The entries of one list of the metadata, whichever form the format gives it."""
    found = metadata.get(key) or ()
    entries = found.values() if isinstance(found, Mapping) else found
    return [entry for entry in entries if isinstance(entry, Mapping)] if not isinstance(found, str) else []
