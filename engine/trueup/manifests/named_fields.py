"""Which field a problem is about, by its words: `spec.path: ...`. Called by validate and by recheck.

Kinds see bodies and no files, so the field's name is how they say where something is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trueup.errors import Problem
from trueup.manifests.document import Path
from trueup.model.values import Document

_FIELD = re.compile(r"(?:spec|metadata)(?:\.[A-Za-z_][\w-]*|\[\d+\])*(?=[: ])")
_STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+)\]")
_WORD = re.compile(r"[A-Za-z_]\w*(?=[: ])")


def named_field(message: str, body: Document) -> Path:
    """The path of the field that a message about a body begins with; empty where it names none.

    `spec.path: ...`, or one word that is a field of the spec: `FifoQueue is ...`.
    """
    found = _FIELD.match(message)
    if found is not None:
        return tuple(int(index) if index else name for name, index in _STEP.findall(found.group()))
    word, spec = _WORD.match(message), body.get("spec")
    if word is not None and isinstance(spec, Mapping) and word.group() in spec:
        return ("spec", word.group())
    return ()


def join_problems(by_schema: Sequence[Problem], by_kind: Sequence[Problem], body: Document) -> list[Problem]:
    """The problems of one body, less what the schema says of a field that the kind tells about itself."""
    told = {(problem.place, named_field(problem.message, body)) for problem in by_kind}
    kept = []
    for problem in by_schema:
        path = named_field(problem.message, body)
        if not path or (problem.place, path) not in told:
            kept.append(problem)
    return [*kept, *by_kind]
