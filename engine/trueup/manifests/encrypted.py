"""Files that SOPS encrypted and that lie among the resource files. Called by `load` and `modules`."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.errors import Problem
from trueup.manifests.document import SourceDocument


def drop_encrypted(documents: Sequence[SourceDocument], problems: list[Problem]) -> list[SourceDocument]:
    """The documents without those that SOPS encrypted, which are data for `secret("sops:...")`.

    An encrypted resource is a problem: its values would be applied as they stand.
    """
    kept = []
    for document in documents:
        if not _is_encrypted(document):
            kept.append(document)
        elif "kind" in document.value:
            message = "this resource is encrypted with SOPS, and would be applied as it stands here"
            hint = 'encrypt a file with its values alone, and read them with secret("sops:FILE#/pointer")'
            problems.append(document.problem(message, ("sops",), hint, at_key=True))
    return kept


def _is_encrypted(document: SourceDocument) -> bool:
    metadata = document.value.get("sops")
    return isinstance(metadata, dict) and "mac" in metadata
