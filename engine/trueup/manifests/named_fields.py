"""Which field a problem is about, by its words: `spec.path: ...`. Called by validate and by recheck.

Kinds see bodies and no files, so the field's name is how they say where something is wrong.
"""

from __future__ import annotations

import re

from trueup.manifests.document import Path

_FIELD = re.compile(r"(?:spec|metadata)(?:\.[A-Za-z_][\w-]*|\[\d+\])*(?=[: ])")
_STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+)\]")


def named_field(message: str) -> Path:
    """The path of the field that a message begins with; empty where it names none."""
    found = _FIELD.match(message)
    if found is None:
        return ()
    return tuple(int(index) if index else name for name, index in _STEP.findall(found.group()))
