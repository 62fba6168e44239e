"""Says who gave drifted fields their live values, where the system knows. Pure. Called by plan and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trueup.model.change import Change, FieldChange
from trueup.model.observation import Observed
from trueup.reconcile.boundary import writers_of
from trueup.sdk.contracts import Kind


def attribute(change: Change, kind: Kind, provider: str) -> Change:
    """The change, its fields with who gave them their live values where they drifted."""
    if not change.is_drift or change.observed is None:
        return change
    return replace(change, fields=name_writers(change.fields, change.observed, kind, provider))


def name_writers(
    fields: Sequence[FieldChange], observed: Observed, kind: Kind, provider: str
) -> tuple[FieldChange, ...]:
    """The fields, each with whom the kind names for it."""
    if not fields:
        return ()
    writers = writers_of(kind, observed, provider)
    return tuple(replace(each, by=find_writer(each.path, writers)) if writers else each for each in fields)


def find_writer(path: str, writers: Mapping[str, str]) -> str:
    """Who is named for a field, or for the nearest thing around it; empty where nobody is."""
    while path not in writers:
        if not path:
            return ""
        path = path.rpartition("/")[0]
    return writers[path]
