"""Finds the line that one field of a resource is written in, for people who ask.

Called by `trueup blame` and by suggest.
"""

from __future__ import annotations

from collections.abc import Sequence

from trueup.errors import Place, SourceError
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.parse import parse_file
from trueup.model.tree import Tree
from trueup.model.values import Value


def find_field_place(tree: Tree, place: Place, field: str) -> Place:
    """Where a field (`spec.ports.0.name`) of the resource that begins at a place is written.

    That, or the nearest thing around it; the place itself where the files do not say, as with a template.
    """
    document = find_document(tree, place)
    return document.place_of_key(_find_path(document.value, field.split("."))) if document else place


def find_document(tree: Tree, place: Place) -> SourceDocument | None:
    """The document that begins at a place; None where no file of the tree says so, as with a rendered one."""
    try:
        data = tree.read(place.file)
    except SourceError:
        # A module of another repository.
        return None
    return next((each for each in parse_file(place.file, data, []) if each.place == place), None)


def _find_path(value: Value, keys: Sequence[str]) -> Path:
    """As far as the document has the field; keys may hold dots themselves."""
    if isinstance(value, list) and keys and keys[0].isdecimal() and int(keys[0]) < len(value):
        index = int(keys[0])
        return (index, *_find_path(value[index], keys[1:]))
    for end in range(1, len(keys) + 1) if isinstance(value, dict) else ():
        key = ".".join(keys[:end])
        if key in value:
            return (key, *_find_path(value[key], keys[end:]))
    return ()
