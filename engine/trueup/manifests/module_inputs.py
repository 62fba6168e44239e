"""What the call of a module gives to its inputs, and whether the module takes it. Called by `modules`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueup.errors import Place, Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.expressions import Expression
from trueup.manifests.module_file import ModuleFile
from trueup.manifests.variables import settle_variables
from trueup.model.values import UNKNOWN, Value


@dataclass(frozen=True)
class _CallInputs:
    """The inputs of a call; every problem with them says where the module declares them."""

    value: Mapping[str, Any]
    document: SourceDocument
    module: ModuleFile

    def problem(self, message: str, path: Path = (), hint: str = "", *, at_key: bool = False) -> Problem:
        if "declared at" not in hint:
            declared = f"declared at {self._declaration(path)}"
            hint = f"{hint}; {declared}" if hint else declared
        return self.document.problem(message, ("spec", "inputs", *path), hint, at_key=at_key)

    def _declaration(self, path: Path) -> Place:
        declared = self.module.inputs.get(str(path[0])) if path else None
        return declared.place if declared else self.module.document.place_of(("spec", "inputs"))


def read_inputs(
    document: SourceDocument, value: Value, module: ModuleFile, problems: list[Problem]
) -> dict[str, Value] | None:
    """What the inputs of a call come to; None where they are wrong."""
    before = len(problems)
    if isinstance(value, Expression):
        problems.append(value.refuse("in spec.inputs as a whole: write the inputs one by one"))
        return None
    if value is UNKNOWN:
        return None
    if value is not None and not isinstance(value, dict):
        message = f"spec.inputs must be a map, not {kind_of_value(value)}"
        problems.append(document.problem(message, ("spec", "inputs"), "inputs: {name: value}"))
        return None
    given = _CallInputs(value or {}, document, module)
    for name, declared in module.inputs.items():
        if not declared.has_default and name not in given.value:
            description = declared.description.strip().split("\n")[0]
            message = f'the module needs the input "{name}"' + (f": {description}" if description else "")
            problems.append(given.problem(message, (name,), f"write spec: {{inputs: {{{name}: ...}}}}"))
    known = {name: item for name, item in given.value.items() if item is not UNKNOWN}
    layer = _CallInputs(known, document, module)
    settled = settle_variables(module.inputs, [layer], problems, str, is_complete=False)
    return settled if len(problems) == before else None
