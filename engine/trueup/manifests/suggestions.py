""" "Did you mean" for every message that names something that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A hint with the nearest candidate; empty where none is near."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f'did you mean "{by_lower[close[0]]}"?' if close else ""


def suggest(name: str, candidates: Iterable[str], what: str) -> str:
    """The nearest candidate, else all of them under `what`."""
    known = sorted(set(candidates))
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return did_you_mean(name, known) or (f"{what}: {shown}" if known else "")
