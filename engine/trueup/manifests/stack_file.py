"""stack.yaml: the settings of a stack, its variables and its targets. Called by `load`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.program import ExpressionError, compile_expression
from trueup.manifests.schema import CompiledSchema
from trueup.manifests.suggestions import suggest
from trueup.manifests.templates import Scope, Template
from trueup.model.resource import Drift, Guards, Revision, Stack, Target
from trueup.model.values import UNKNOWN, Value, has_unknown
from trueup.sdk.contracts import Catalog

API_VERSION = "trueup.dev/v1"
STACK_FILES = ("stack.yaml", "stack.yml", "stack.toml", "stack.json")

_DEFAULT_INTERVAL = 300.0
_TYPES: dict[str, Callable[[Value], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
}
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words that CEL reserves: `vars.in` would not compile.
_RESERVED = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    }
)
_COUNT = re.compile(r"\d{1,9}%?", re.ASCII)


@dataclass(frozen=True)
class StackFile:
    """What stack.yaml says. `allow_empty`: a stack without resources is meant; `exclude`: globs of files."""

    stack: Stack
    scope: Scope
    allow_empty: bool
    exclude: tuple[str, ...]


def read_stack(
    document: SourceDocument,
    catalog: Catalog,
    revision: Revision,
    read_file: Callable[[str], str],
    problems: list[Problem],
) -> StackFile:
    """The settings; with problems noted, as much of them as makes sense."""
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
    name = metadata.text("name", is_required=True, hint="metadata: {name: ...} names the stack")
    if name and (fault := name_fault(name)):
        metadata.note(f'the name of the stack {fault}: "{name[:80]}"', "name", hint=_NAME_HINT)
    spec_value = top.mapping("spec")
    variables = _read_variables(document, spec_value.get("variables"), problems)
    git = {"commit": revision.commit, "branch": revision.branch}
    scope = Scope({"vars": variables, "git": git}, read_file)
    rest = {key: value for key, value in spec_value.items() if key != "variables"}
    template = Template(document, rest, ("spec",), problems)
    filled = template.fill(scope, problems, "in the stack file").value
    spec = Fields(
        document,
        {**filled, **({"variables": {}} if "variables" in spec_value else {})},
        ("spec",),
        problems,
        known=_KNOWN,
        unsupported=("policies", "outputs", "render"),
        where="spec",
    )
    stack = Stack(
        name=name,
        interval=spec.duration("interval") or _DEFAULT_INTERVAL,
        drift=Drift(spec.choice("drift", [drift.value for drift in Drift]) or Drift.CORRECT),
        prune=spec.boolean("prune", True),
        depends_on=spec.strings("dependsOn", "list the names of other stacks: dependsOn: [network]"),
        variables=variables,
        targets=_read_targets(document, spec, catalog, problems),
        guards=_read_guards(document, spec, problems),
        place=document.place,
    )
    return StackFile(stack, scope, spec.boolean("allowEmpty", False), spec.strings("exclude"))


_NAME_HINT = 'names hold no "/", "@" or white space'
_KNOWN = (
    "interval",
    "drift",
    "prune",
    "dependsOn",
    "variables",
    "targets",
    "guards",
    "allowEmpty",
    "exclude",
)


def _read_variables(document: SourceDocument, value: Any, problems: list[Problem]) -> dict[str, Value]:
    path: Path = ("spec", "variables")
    if value is not None and not isinstance(value, dict):
        message = f"spec.variables must be a map, not {kind_of_value(value)}"
        problems.append(document.problem(message, path, "name: {type: string, default: ...}"))
    result: dict[str, Value] = {}
    for name, declared in (value if isinstance(value, dict) else {}).items():
        where = f"spec.variables.{name}"
        at = (*path, name)
        if not _VARIABLE_NAME.fullmatch(name) or name in _RESERVED:
            reason = "is a reserved word" if name in _RESERVED else "is not a name that an expression can use"
            hint = "use letters, digits and _, beginning with a letter"
            hint = "choose another name" if name in _RESERVED else hint
            problems.append(document.problem(f'variable "{name}" {reason}', at, hint, at_key=True))
            continue
        known = ("type", "default", "description", "check")
        fields = Fields(document, declared, at, problems, known=known, where=where)
        result[name] = _read_variable(document, fields, name, at, problems)
    return result


def _read_variable(
    document: SourceDocument, fields: Fields, name: str, at: Path, problems: list[Problem]
) -> Value:
    kind = fields.choice("type", _TYPES)
    fields.text("description")
    check = fields.text("check")
    if "default" not in fields.values:
        message = f'variable "{name}" has no value'
        problems.append(document.problem(message, at, f"give it one: {name}: {{default: ...}}", at_key=True))
        return UNKNOWN
    value = fields.values["default"]
    if kind and not _TYPES[kind](value):
        article = "an" if kind == "integer" else "a"
        fields.note(
            f'variable "{name}" must be {article} {kind}, and its default is {kind_of_value(value)}',
            "default",
        )
        return UNKNOWN
    if check:
        _check_variable(document, name, value, check, (*at, "check"), problems)
    return value


def _check_variable(
    document: SourceDocument, name: str, value: Value, check: str, at: Path, problems: list[Problem]
) -> None:
    try:
        result = compile_expression(check).evaluate({"self": value})
    except ExpressionError as error:
        problems.append(document.problem(f'the check of variable "{name}": {error.message}', at, error.hint))
        return
    if result is False:
        problems.append(
            document.problem(
                f'variable "{name}" fails its check: {check}', (*at[:-1], "default"), "change the value"
            )
        )
    elif result is not True:
        message = f'the check of variable "{name}" gives {kind_of_value(result)}, not true or false'
        problems.append(document.problem(message, at, "compare something with self"))


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


def _read_targets(
    document: SourceDocument, spec: Fields, catalog: Catalog, problems: list[Problem]
) -> tuple[Target, ...]:
    targets: dict[str, Target] = {}
    schemas: dict[str, CompiledSchema] = {}
    for index, value in enumerate(spec.items("targets")):
        at: Path = ("spec", "targets", index)
        if value is UNKNOWN:
            continue
        known = ("name", "provider", "labels", "config")
        fields = Fields(document, value, at, problems, known=known, where=f"spec.targets[{index}]")
        if not isinstance(value, dict):
            continue
        name = fields.text("name", is_required=True, hint="- {name: ..., provider: ..., config: {...}}")
        provider = fields.text("provider", is_required=True, hint=f"installed: {', '.join(catalog.names())}")
        if name and (fault := name_fault(name)):
            fields.note(f'the name of a target {fault}: "{name[:80]}"', "name", hint=_NAME_HINT)
            continue
        if name in targets:
            first = targets[name].place
            fields.note(f'two targets are named "{name}", the first at {first}', "name", hint="rename one")
            continue
        config = fields.mapping("config")
        if provider and provider not in catalog.names():
            hint = suggest(provider, catalog.names(), "installed")
            fields.note(f'there is no provider "{provider}"', "provider", hint=hint)
            # Kept, so that what names the target is not reported as well.
        elif provider and not has_unknown(config):
            if provider not in schemas:
                schema = catalog.provider(provider).config_schema
                schemas[provider] = CompiledSchema(schema, f"the config of provider {provider}")
            problems.extend(schemas[provider].check(config, document, (*at, "config")))
        labels = fields.string_map("labels")
        if name:
            targets[name] = Target(name, provider, labels, config, document.place_of(at))
    return tuple(targets.values())


def public_config(config: Mapping[str, Value], schema: Mapping[str, Any]) -> dict[str, Value]:
    """The part of a target's config that `${{ target }}` shows: nothing that the provider calls sensitive."""
    properties = schema.get("properties")
    known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    shown: dict[str, Value] = {}
    for key, value in config.items():
        rule = known.get(key)
        if not isinstance(rule, Mapping) or rule.get("x-sensitive"):
            continue
        shown[key] = public_config(value, rule) if isinstance(value, dict) and "properties" in rule else value
    return shown
