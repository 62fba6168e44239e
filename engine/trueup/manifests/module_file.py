"""module.yaml: what a module takes and what it gives. Called by `modules`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trueup.errors import Problem
from trueup.manifests.document import SourceDocument
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.resource import MODULE
from trueup.manifests.variables import Variable, read_variables
from trueup.manifests.vocabulary import API_VERSION
from trueup.model.values import Value

MODULE_FILES = ("module.yaml", "module.yml", "module.toml", "module.json")


@dataclass(frozen=True)
class ModuleFile:
    """What the file of a module says. `outputs` are as they are written: each use fills them anew."""

    document: SourceDocument
    name: str
    inputs: Mapping[str, Variable]
    outputs: Value


def read_module_file(document: SourceDocument, problems: list[Problem]) -> ModuleFile | None:
    """The declaration of a module, None where there are problems."""
    before = len(problems)
    for key, value in {"apiVersion": API_VERSION, "kind": MODULE}.items():
        if document.value.get(key) != value:
            message = (
                f"{document.source.file.rpartition('/')[2]} declares a module, which needs {key}: {value}"
            )
            hint = f"write {key}: {value}, or give the file another name"
            problems.append(document.problem(message, (key,), hint))
    if len(problems) > before:
        return None
    known = ("apiVersion", "kind", "metadata", "spec")
    top = Fields(document, document.value, (), problems, known=known, where="the module")
    metadata = Fields(
        document,
        top.mapping("metadata"),
        ("metadata",),
        problems,
        known=("name", "labels", "annotations"),
        where="metadata",
    )
    name = metadata.text("name", is_required=True, hint="metadata: {name: ...} names the module")
    if name and (fault := name_fault(name)):
        metadata.note(f'the name of the module {fault}: "{name[:80]}"', "name")
    spec = top.mapping("spec")
    if "source" in spec:
        message = "this is the call of a module, in a file whose name is for the declaration of one"
        problems.append(
            document.problem(message, ("spec", "source"), "give the file another name", at_key=True)
        )
        return None
    Fields(document, spec, ("spec",), problems, known=("inputs", "outputs"), where="spec of a module")
    inputs = read_variables(document, spec.get("inputs"), ("spec", "inputs"), problems, "input")
    if len(problems) > before:
        return None
    return ModuleFile(document, name, inputs, spec.get("outputs"))
