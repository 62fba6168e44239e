"""Finds what other stacks of the same source say they take over (`lifecycle.movedFrom`). Called by app.

Read as text and not as stacks: one claim too many leaves an object that should go, one too few deletes an
object that somebody counts on. Done only where something is about to be deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from trueup.errors import UnfitFile
from trueup.manifests.parse import SUFFIXES
from trueup.model.address import Address
from trueup.model.tree import Tree

_KEY = "movedFrom"
_MODULE = "Module"
_FILES = (*SUFFIXES, ".tpl")
# One word of YAML, TOML or JSON; an expression of ours or of a template stays in one piece.
_WORD = re.compile(r"(?:\$?\{\{.*?\}\}|[^\s\"',\[\]{}])+", re.DOTALL)
_EXPRESSION = re.compile(r"\$?\{\{.*?\}\}", re.DOTALL)
# What belongs to the key: all up to the next line that begins with another one.
_VALUE = re.compile(_KEY + r"[\"']?\s*[:=](.*?)(?=\n[ \t]*[\"']?\w+[\"']?\s*[:=]\s|\Z)", re.DOTALL)


def find_claims(tree: Tree, addresses: Iterable[Address]) -> dict[Address, str]:
    """The addresses that some file of the whole source claims for another stack, with the file.

    Raises SourceError for a file that cannot be read: what it claims is not known.
    """
    wanted = list(addresses)
    claims: dict[Address, str] = {}
    if not wanted:
        return claims
    for path in tree.source_paths():
        if not path.lower().endswith(_FILES):
            continue
        text = _read_text(tree, path)
        if _KEY in text:
            for address in _claimed(text, wanted):
                claims.setdefault(address, path)
    return claims


def _read_text(tree: Tree, path: str) -> str:
    try:
        return tree.read(path).decode("utf-8", "replace").replace("\\/", "/")
    except UnfitFile:
        return ""


def _claimed(text: str, addresses: Sequence[Address]) -> Iterator[Address]:
    text = _closed(text)
    written = {tuple(_EXPRESSION.split(word)) for word in _WORD.findall(text)}
    written = {literals for literals in written if "/" in "".join(literals)}
    # Nearly all of them are whole: a text is long, and so is a list of addresses.
    whole = {literals[0] for literals in written if len(literals) == 1}
    partial = [literals for literals in written if len(literals) > 1]
    is_open = any(
        _EXPRESSION.sub("", word) == "" for value in _VALUE.findall(text) for word in _WORD.findall(value)
    )
    for address in addresses:
        forms = (f"{address.stack}/{address.reference}", address.text, *_modules_of(address))
        if not whole.isdisjoint(forms) or any(_fits(each, form) for each in partial for form in forms):
            yield address
        elif is_open and (address.kind in text or (_MODULE in text and any(_modules_of(address)))):
            # The whole address comes out of an expression: it could be any of that kind.
            yield address


def _modules_of(address: Address) -> Iterator[str]:
    """The modules that an address may be in; its first part may be a namespace as well."""
    parts = address.reference.split("/")[1:-1]
    for start in range(min(2, len(parts))):
        for end in range(start + 1, len(parts) + 1):
            yield f"{address.stack}/{_MODULE}/{'/'.join(parts[start:end])}"


def _fits(literals: Sequence[str], address: str) -> bool:
    """Whether an address may be written so: between the literal parts, an expression can be anything.

    The first place of each part is the best one; a regular expression would try them all.
    """
    first, *others = literals
    if not others:
        return address == first
    *middle, last = others
    at, end = len(first), len(address) - len(last)
    if not address.startswith(first) or not address.endswith(last):
        return False
    for part in middle:
        found = address.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def _closed(text: str) -> str:
    """The text without what looks like the beginning of an expression and is none: nothing closes it."""
    end = text.rfind("}}") + 2 if "}}" in text else 0
    return text[:end] + text[end:].replace("{{", "  ")
