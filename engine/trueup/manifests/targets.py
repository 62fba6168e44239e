"""The targets of a stack: `spec.targets` of its file. Called by `stack_file` and `expand`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.schema import LATER, CompiledSchema
from trueup.manifests.suggestions import suggest
from trueup.manifests.templates import Scope, Template
from trueup.manifests.value_types import is_plain
from trueup.model.resource import Target
from trueup.model.values import UNKNOWN, Value, has_unknown, map_leaves
from trueup.sdk.contracts import Catalog

_REFUSAL = "in a target: it is needed before anything else"
NAME_HINT = 'names hold no "/", "@" or white space'


def read_targets(
    document: SourceDocument, value: Value, scope: Scope, catalog: Catalog, problems: list[Problem]
) -> tuple[Target, ...]:
    """The targets, with their expressions filled; a secret in a config stays an expression."""
    targets: dict[str, Target] = {}
    schemas: dict[str, CompiledSchema] = {}
    filled = {"targets": _fill(document, value, scope, problems)}
    spec = Fields(document, filled, ("spec",), problems, known=("targets",), where="spec")
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
            fields.note(f'the name of a target {fault}: "{name[:80]}"', "name", hint=NAME_HINT)
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
            plain = map_leaves(config, lambda leaf: leaf if is_plain(leaf) else LATER)
            problems.extend(schemas[provider].check(plain, document, (*at, "config")))
            _refuse_secrets(fields, config, catalog.provider(provider).config_schema)
        labels = fields.string_map("labels")
        if name:
            targets[name] = Target(name, provider, labels, config, document.place_of(at))
    return tuple(targets.values())


def _refuse_secrets(fields: Fields, config: Mapping[str, Value], schema: Mapping[str, Any]) -> None:
    """Notes the secrets in properties that show up in messages and records: `x-plain` says which."""
    properties = schema.get("properties")
    for key, rule in properties.items() if isinstance(properties, Mapping) else ():
        if isinstance(rule, Mapping) and rule.get("x-plain") and not is_plain(config.get(key)):
            message = f"config.{key} is shown in messages and records, so it cannot hold a secret"
            fields.note(message, "config", key, hint="write what may be shown, or use vars for it")


def _fill(document: SourceDocument, value: Value, scope: Scope, problems: list[Problem]) -> Value:
    def fill(part: Value, path: Path, *allowed: str) -> Value:
        return Template(document, part, path, problems).fill(scope, problems, _REFUSAL, allowed).value

    path: Path = ("spec", "targets")
    if not isinstance(value, list):
        return fill(value, path)
    targets = []
    for index, target in enumerate(value):
        if not isinstance(target, dict) or "config" not in target:
            targets.append(fill(target, (*path, index)))
            continue
        rest = {key: item for key, item in target.items() if key != "config"}
        config = fill(target["config"], (*path, index, "config"), "secret")
        targets.append({**fill(rest, (*path, index)), "config": config})
    return targets


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
