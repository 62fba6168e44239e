"""Which field an expression reads that does not exist. Called by `expressions` and `templates`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trueup.manifests.document import kind_of_value
from trueup.manifests.program import NO_OBJECTS, ExpressionError, Objects, Program, follow
from trueup.manifests.suggestions import did_you_mean
from trueup.model.values import Value

UNDECLARED = "declare it in the stack file, under spec.variables"
_MISSING_KEY = re.compile(r'Key not found in map : ["\'](.*)["\']', re.DOTALL)


def explain_missing(
    error: ExpressionError, program: Program, data: Mapping[str, Value], objects: Objects = NO_OBJECTS
) -> ExpressionError | None:
    """For an error about a missing field: which of the fields that are named literally it is."""
    missing = _MISSING_KEY.search(error.message)
    if missing is None and "SELECT to non-message" not in error.message:
        return None
    reads = [
        (
            f'{call.function}("{call.argument}")',
            objects.get(call.function, {}).get(call.argument or ""),
            call.path,
            call.offset - len(call.function),
        )
        for call in program.needs
    ]
    reads += [
        (selection.variable, data.get(selection.variable), selection.path, selection.offset)
        for selection in program.selections
    ]
    for name, value, path, offset in reads:
        for position, key in enumerate(path):
            container = follow(value, path[:position])
            where = ".".join((name, *path[:position]))
            if not isinstance(container, Mapping):
                if missing is not None:
                    break
                message = f'{where} is {kind_of_value(container)}, which has no field "{key}"'
                return ExpressionError(message, offset, "look at what it holds")
            if key not in container and missing is not None and missing[1] == key:
                return _missing(where, key, list(container), offset)
    return None


def _missing(where: str, key: str, there: list[str], offset: int) -> ExpressionError:
    if where == "vars":
        message = f'there is no variable "{key}"'
        hint = did_you_mean(key, there) or UNDECLARED
        return ExpressionError(message, offset, hint)
    known = f"what is there: {', '.join(sorted(there)[:20])}; " if there else ""
    hint = did_you_mean(key, there) or f"{known}has() tells whether a field exists"
    return ExpressionError(f'{where} has no field "{key}"', offset, hint)
