"""Resources as the text of a YAML file, in the layout of `trueup fmt`. Pure. Called by reconcile.

YAML's readers disagree about what a plain word is (`no`, `0644`, `1e3`): what could be anything but text to
any of them stands in quotes. Texts of several lines are written as blocks, so that reviews show their lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from trueup.manifests.interpolation import ESCAPED, OPEN
from trueup.model.values import Document, Value

_FIRST = ("apiVersion", "kind", "metadata", "targets", "dependsOn", "lifecycle")
_FIRST_OF_METADATA = ("name", "namespace", "labels", "annotations")

# Words, paths, names: nothing that begins like a number, a date or one of YAML's own signs.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.,+=@%~^()$;-]*(?:[ :][A-Za-z0-9_/.,+=@%~^()$;-]+)*", re.ASCII)
# What some reader of YAML 1.1 or 1.2 takes for a truth value or for nothing.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
# What no reader of YAML takes as it is, and what is not seen in a text.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_HIDDEN_IN_BLOCK = re.compile(_HIDDEN.pattern.replace("[\x00-\x1f", "[\x00-\x09\x0b-\x1f"))
_LONGEST_KEY = 1000


def print_documents(documents: Iterable[Document]) -> str:
    """The text of one file with the documents, in order. `${{` is written as the text that it is."""
    return "---\n".join("\n".join(_map_lines(_sorted(document), 0)) + "\n" for document in documents)


def _sorted(document: Document) -> Document:
    """What a reader looks for first, first; all else in its own order, with `spec` at the end."""
    metadata = document.get("metadata")
    ordered = {key: document[key] for key in _FIRST if key in document}
    if isinstance(metadata, Mapping):
        first = {key: metadata[key] for key in _FIRST_OF_METADATA if key in metadata}
        ordered["metadata"] = {**first, **metadata}
    rest = {key: value for key, value in document.items() if key not in ordered and key != "spec"}
    spec = {"spec": document["spec"]} if "spec" in document else {}
    return {**ordered, **rest, **spec}


def _map_lines(value: Mapping[str, Value], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, item in value.items():
        name = _key(key)
        if isinstance(item, Mapping) and item:
            yield f"{indent}{name}:"
            yield from _map_lines(item, depth + 1)
        elif isinstance(item, list | tuple) and item:
            yield f"{indent}{name}:"
            yield from _list_lines(item, depth + 1)
        else:
            first, *block = _scalar(item, depth + 1)
            yield f"{indent}{name}: {first}"
            yield from block


def _list_lines(value: Iterable[Value], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for item in value:
        if isinstance(item, Mapping) and item:
            # The first line of a map stands beside the dash.
            lines = list(_map_lines(item, depth + 1))
            yield f"{indent}- {lines[0][2 * (depth + 1) :]}"
            yield from lines[1:]
        elif isinstance(item, list | tuple) and item:
            yield f"{indent}-"
            yield from _list_lines(item, depth + 1)
        else:
            first, *block = _scalar(item, depth + 1)
            yield f"{indent}- {first}"
            yield from block


def _scalar(value: Value, depth: int) -> list[str]:
    """What stands behind the key or the dash, and the lines of a block below it."""
    if value is None:
        return ["null"]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, Mapping):
        return ["{}"]
    if isinstance(value, list | tuple):
        return ["[]"]
    if isinstance(value, int | float):
        return [json.dumps(value, allow_nan=False)]
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no value of a resource file")
    text = value.replace(OPEN, ESCAPED)
    return _block(text, depth) or [_word(text)]


def _key(key: str) -> str:
    if len(key) > _LONGEST_KEY:
        raise ValueError(f"a key of {len(key)} characters")
    return _word(key)


def _word(text: str) -> str:
    """The text in one line: plain where nobody can take it for anything else, else in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _block(text: str, depth: int) -> list[str]:
    """The text as a block of its lines; empty where it has but one, or would not come back unchanged."""
    if "\n" not in text or text[0] in " \t\n" or not text.strip("\n") or _HIDDEN_IN_BLOCK.search(text):
        return []
    if text.endswith("\n\n"):
        return []
    lines = text.removesuffix("\n").split("\n")
    if any(line != line.rstrip(" \t") for line in lines):
        return []  # blanks at the ends of lines are not seen, and editors remove them
    indent = "  " * depth
    return ["|" if text.endswith("\n") else "|-", *(indent + line if line else "" for line in lines)]
