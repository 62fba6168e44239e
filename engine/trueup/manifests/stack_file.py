"""stack.yaml: the settings of a stack, its variables and its targets. Called by `load`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trueup.errors import Problem
from trueup.manifests.document import SourceDocument, kind_of_value
from trueup.manifests.expressions import Expression
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.given_values import (
    NO_FILES,
    NO_VALUES,
    GivenFiles,
    ValuesRequest,
    describe_values,
    read_sets,
)
from trueup.manifests.outputs import read_outputs
from trueup.manifests.policy import read_policies
from trueup.manifests.program import read_no_file
from trueup.manifests.rendering.settings import NO_RENDER, RenderSettings, read_render
from trueup.manifests.targets import NAME_HINT, read_targets
from trueup.manifests.templates import Scope, Template
from trueup.manifests.variables import read_variables, settle_variables
from trueup.model.resource import Drift, Guards, Revision, Stack
from trueup.model.values import UNKNOWN, Value
from trueup.sdk.contracts import Catalog

_DEFAULT_INTERVAL = 300.0
_COUNT = re.compile(r"\d{1,9}%?", re.ASCII)


@dataclass(frozen=True)
class StackFile:
    """What stack.yaml says. `allow_empty`: a stack without resources is meant; `exclude`: globs of files.

    `given` says in a few words with which values it was read; `deferred` are the expressions of its outputs,
    which are still to be bound to nodes.
    """

    stack: Stack
    scope: Scope
    allow_empty: bool
    exclude: tuple[str, ...]
    given: str = ""
    deferred: tuple[Expression, ...] = ()
    render: RenderSettings = NO_RENDER


def read_stack(
    document: SourceDocument,
    catalog: Catalog,
    revision: Revision,
    read_file: Callable[[str], str],
    problems: list[Problem],
    request: ValuesRequest = NO_VALUES,
    files: GivenFiles = NO_FILES,
) -> StackFile:
    """The settings; with problems noted, as much of them as makes sense.

    `files` are the values files that `request` names.
    """
    top = Fields(
        document,
        document.value,
        (),
        problems,
        known=("apiVersion", "kind", "metadata", "spec"),
        where="Stack",
    )
    metadata = Fields(
        document,
        top.mapping("metadata"),
        ("metadata",),
        problems,
        known=("name", "labels", "annotations"),
        where="metadata",
    )
    spec_value = top.mapping("spec")
    variables, given = _settle(document, spec_value.get("variables"), request, files, problems)
    name = _read_name(document, metadata, variables, problems)
    git = {"commit": revision.commit, "branch": revision.branch}
    scope = Scope({"vars": variables, "git": git}, read_file)
    spec = _read_spec(document, spec_value, scope, problems)
    outputs = read_outputs(document, spec_value.get("outputs"), scope, problems)
    stack = Stack(
        name=name,
        interval=spec.duration("interval") or _DEFAULT_INTERVAL,
        drift=Drift(spec.choice("drift", [drift.value for drift in Drift]) or Drift.CORRECT),
        prune=spec.boolean("prune", True),
        depends_on=spec.strings("dependsOn", "list the names of other stacks: dependsOn: [network]"),
        variables=variables,
        targets=read_targets(document, spec_value.get("targets", []), scope, catalog, problems),
        guards=_read_guards(document, spec, problems),
        place=document.place,
        outputs=outputs.value,
        policies=read_policies(document, spec_value.get("policies"), ("spec", "policies"), problems),
    )
    allow_empty = spec.boolean("allowEmpty", False)
    render = read_render(document, spec.values, problems)
    exclude, deferred = spec.strings("exclude"), tuple(outputs.deferred)
    return StackFile(stack, scope, allow_empty, exclude, given, deferred, render)


KNOWN = (
    "interval",
    "drift",
    "prune",
    "dependsOn",
    "variables",
    "targets",
    "guards",
    "allowEmpty",
    "exclude",
    "outputs",
    "render",
    "policies",
)
# Their values are no part of the one template of all settings.
_READ_APART = ("variables", "targets", "outputs", "policies")


def _settle(
    document: SourceDocument,
    declarations: Value,
    request: ValuesRequest,
    files: GivenFiles,
    problems: list[Problem],
) -> tuple[dict[str, Value], str]:
    """The values of the variables, and in a few words what they were given."""
    declared = read_variables(document, declarations, ("spec", "variables"), problems)
    sets = read_sets(request.sets, declared, problems)
    variables = settle_variables(
        declared,
        (*files.documents, *sets),
        problems,
        lambda name: _how_to_give(name, request),
        is_complete=files.is_complete and len(sets) == len(request.sets),
    )
    return variables, describe_values(request, sets)


def _read_spec(
    document: SourceDocument, value: dict[str, Value], scope: Scope, problems: list[Problem]
) -> Fields:
    """The settings with their expressions filled, all but those that are read apart."""
    rest = {key: item for key, item in value.items() if key not in _READ_APART}
    filled = Template(document, rest, ("spec",), problems).fill(scope, problems, "in the stack file").value
    apart = {key: value[key] for key in _READ_APART if key in value}
    return Fields(
        document,
        {**filled, **apart},
        ("spec",),
        problems,
        known=KNOWN,
        where="spec",
    )


def _how_to_give(name: str, request: ValuesRequest) -> str:
    if request.files:
        return f"give it one: --set {name}=..., or {name}: ... in {request.normal_files[-1]}"
    return f"give it one: --set {name}=..., --values FILE, or {name}: {{default: ...}}"


def _read_name(
    document: SourceDocument, metadata: Fields, variables: Mapping[str, Value], problems: list[Problem]
) -> str:
    """The name, which may depend on variables and on nothing else: an address begins with it."""
    text = metadata.text("name", is_required=True, hint="metadata: {name: ...} names the stack")
    if not text:
        return ""
    template = Template(document, text, ("metadata", "name"), problems)
    name = template.fill(Scope({"vars": variables}, read_no_file), problems, "in the name of a stack").value
    if name is UNKNOWN:
        return ""
    if not isinstance(name, str):
        hint = "put text around the expression, or use string()"
        metadata.note(f"metadata.name must be a string, not {kind_of_value(name)}", "name", hint=hint)
        return ""
    if fault := name_fault(name):
        metadata.note(f'the name of the stack {fault}: "{name[:80]}"', "name", hint=NAME_HINT)
    return name


def _read_guards(document: SourceDocument, spec: Fields, problems: list[Problem]) -> Guards:
    fields = Fields(
        document,
        spec.values.get("guards"),
        ("spec", "guards"),
        problems,
        known=("maxDeletes",),
        where="spec.guards",
    )
    value = fields.values.get("maxDeletes")
    if value is None or value is UNKNOWN:
        return Guards()
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not _COUNT.fullmatch(text) or (text.endswith("%") and int(text[:-1]) > 100):
        hint = "write a count such as 5, or a share such as 20%"
        fields.note("spec.guards.maxDeletes is neither a count nor a share", "maxDeletes", hint=hint)
        return Guards()
    return Guards(max_deletes=text)
