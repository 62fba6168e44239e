"""Which targets a resource is for: those it names, its module's, or the only one there is.

Called by `expand`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trueup.errors import Problem
from trueup.manifests.fields import Fields
from trueup.manifests.resource import Declaration
from trueup.manifests.suggestions import suggest
from trueup.manifests.targets import public_config
from trueup.model.resource import Stack, Target
from trueup.model.values import UNKNOWN, Value
from trueup.sdk.contracts import Catalog


class TargetSelector:
    """The targets of one stack. `shown` is what `${{ target }}` is for each of them, by name."""

    def __init__(self, stack: Stack, catalog: Catalog) -> None:
        self._stack = stack
        self._by_provider: dict[str, list[Target]] = {}
        self.shown: dict[str, Mapping[str, Value]] = {}
        for target in stack.targets:
            self._by_provider.setdefault(target.provider, []).append(target)
            schema = catalog.provider(target.provider).config_schema
            self.shown[target.name] = {
                "name": target.name,
                "labels": dict(target.labels),
                "config": public_config(target.config, schema),
            }

    def default(
        self, declaration: Declaration, inherited: Sequence[Target], problems: list[Problem]
    ) -> Sequence[Target]:
        """The targets of a resource that names none: its module's, or the only one of its provider."""
        candidates = self._candidates(declaration)
        chosen = [target for target in inherited if target.provider == declaration.provider]
        if chosen or len(candidates) == 1:
            return chosen or candidates
        if candidates:
            names = ", ".join(target.name for target in candidates)
            message = f"several targets have the provider {declaration.provider}: {names}"
            hint = "say which: targets: {names: [...]} or targets: {matchLabels: {...}}"
        else:
            message = f"no target has the provider {declaration.provider}"
            hint = f"add one to the stack file: - {{name: ..., provider: {declaration.provider}}}"
        problems.append(declaration.document.problem(message, ("kind",), hint))
        return ()

    def select(self, declaration: Declaration, value: Value, problems: list[Problem]) -> Sequence[Target]:
        """The targets that the filled `targets` of a document names; a module's call may name any."""
        if value is UNKNOWN:
            return ()
        fields = Fields(
            declaration.document,
            value,
            declaration.own["targets"].path,
            problems,
            known=("names", "matchLabels"),
            where="targets",
            example="targets: {names: [web-1]}",
        )
        if len(fields.values.keys() & {"names", "matchLabels"}) != 1:
            if (isinstance(value, dict) or value is None) and not fields.has_unknown_keys:
                fields.note("targets needs either names or matchLabels", hint="targets: {names: [web-1]}")
            return ()
        if "names" in fields.values:
            return self._named(fields, declaration)
        return self._labelled(fields, declaration)

    def _candidates(self, declaration: Declaration) -> Sequence[Target]:
        if declaration.is_module:
            return self._stack.targets
        return self._by_provider.get(declaration.provider, [])

    def _named(self, fields: Fields, declaration: Declaration) -> list[Target]:
        names = fields.strings("names", "targets: {names: [web-1]}")
        if not names and fields.values["names"] == []:
            fields.note("targets.names is empty", "names", hint="name at least one target")
        found: dict[str, Target] = {}
        for index, name in enumerate(names):
            target = self._stack.target_by_name.get(name)
            if target is None:
                hint = suggest(name, self._stack.target_by_name, "targets")
                fields.note(f'there is no target "{name}"', "names", index, hint=hint)
            elif target.provider != declaration.provider and not declaration.is_module:
                message = f"{declaration.kind} needs a target of the provider {declaration.provider}"
                hint = suggest("", [t.name for t in self._candidates(declaration)], "targets of it")
                fields.note(f'{message}, and "{name}" is one of {target.provider}', "names", index, hint=hint)
            else:
                found[name] = target
        return list(found.values())

    def _labelled(self, fields: Fields, declaration: Declaration) -> list[Target]:
        labels = fields.string_map("matchLabels")
        wanted = fields.values["matchLabels"]
        if wanted == {}:
            fields.note("targets.matchLabels is empty", "matchLabels", hint="matchLabels: {role: web}")
        if not labels or not isinstance(wanted, dict) or len(labels) != len(wanted):
            return []
        candidates = self._candidates(declaration)
        found = [target for target in candidates if labels.items() <= target.labels.items()]
        if not found:
            text = ", ".join(f"{key}={value}" for key, value in labels.items())
            known = {f"{key}={value}" for target in candidates for key, value in target.labels.items()}
            of = "" if declaration.is_module else f" of the provider {declaration.provider}"
            which = "the targets" if declaration.is_module else f"the targets of {declaration.provider}"
            hint = suggest(text, known, f"labels of {which}") or f"no target{of} has labels"
            fields.note(f"no target{of} has the labels {text}", "matchLabels", hint=hint)
        return found
