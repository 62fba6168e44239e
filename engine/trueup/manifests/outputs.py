"""Outputs: what a stack gives to others. Called by `stack_file`; those of a module have the same form."""

from __future__ import annotations

from typing import Any

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.expressions import Expression
from trueup.manifests.fields import Fields
from trueup.manifests.templates import Filled, Scope, Template
from trueup.manifests.variables import name_problem
from trueup.model.values import UNKNOWN, Value

_FORM = "url: '${{ ... }}', or url: {value: ..., description: ...}"


def read_outputs(
    document: SourceDocument,
    value: Any,
    scope: Scope,
    problems: list[Problem],
    path: Path = ("spec", "outputs"),
) -> Filled:
    """The outputs in the map at `path`, by name, filled like a resource's body.

    An output is a value, or a map of `value` and `description`: a map that is the value itself needs the
    long form, so that the two are never mixed up.
    """
    where = ".".join(str(part) for part in path)
    if value is not None and not isinstance(value, dict):
        problems.append(document.problem(f"{where} must be a map, not {kind_of_value(value)}", path, _FORM))
    outputs: dict[str, Value] = {}
    size = 0
    deferred: list[Expression] = []
    for name, declared in (value if isinstance(value, dict) else {}).items():
        at = (*path, name)
        wrong = name_problem(name)
        if wrong is not None:
            problems.append(document.problem(f'output "{name}" {wrong[0]}', at, wrong[1], at_key=True))
            continue
        inner: Value = declared
        if isinstance(declared, dict):
            if "value" not in declared:
                hint = f"write {name}: {{value: ...}}, also for a map"
                problems.append(document.problem(f'output "{name}" has no value', at, hint, at_key=True))
                continue
            known = ("value", "description")
            fields = Fields(document, declared, at, problems, known=known, where=f"{where}.{name}")
            fields.text("description")
            inner, at = declared["value"], (*at, "value")
        elif declared is None:
            problems.append(document.problem(f'output "{name}" has no value', at, _FORM, at_key=True))
            continue
        filled = Template(document, inner, at, problems).fill(scope, problems)
        if filled.value is not UNKNOWN:
            outputs[name] = filled.value
            deferred.extend(filled.deferred)
            size += filled.size
    return Filled(outputs, deferred, size)
