"""Picks what the ids of `trueup import` name from what a kind can list. Called by `Kind.discover`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from trueup.errors import Invalid
from trueup.model.observation import Missing

T = TypeVar("T")


def choose(ids: Sequence[str], known: Mapping[str, T], noun: str) -> tuple[dict[str, T], list[Missing]]:
    """What the ids name of what is known by its own id, and the ids that name nothing; no ids: all of it.

    An id with `*`, `?` or `[...]` that is none as it stands is a pattern. `noun` is one object in messages.
    """
    if not ids:
        return dict(known), []
    chosen: dict[str, T] = {}
    missing = []
    for each in ids:
        found = [each] if each in known else [key for key in known if is_pattern(each, key)]
        if not found:
            missing.append(Missing(each, Invalid(f"there is no {noun} {each!r}")))
        chosen.update((key, known[key]) for key in found)
    return chosen, missing


def has_pattern(text: str) -> bool:
    """Whether an id may stand for several objects."""
    return any(sign in text for sign in "*?[")


def is_pattern(pattern: str, text: str) -> bool:
    """Whether the id is a pattern that the text matches."""
    return has_pattern(pattern) and fnmatchcase(text, pattern)
