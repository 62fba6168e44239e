"""Declarations to nodes: forEach, targets, when, and the links between nodes. Called by `load`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.expressions import Expression
from trueup.manifests.fields import Fields
from trueup.manifests.program import ExpressionError
from trueup.manifests.references import NodeIndex, Unresolved
from trueup.manifests.resource import (
    NO_LIFECYCLE,
    Declaration,
    LifecycleBlock,
    check_name,
    read_lifecycle,
    read_rollout,
)
from trueup.manifests.stack_file import StackFile
from trueup.manifests.suggestions import suggest
from trueup.manifests.targets import public_config
from trueup.manifests.templates import Scope
from trueup.model.address import Address
from trueup.model.resource import Node, Rollout, Target
from trueup.model.values import UNKNOWN, Sensitive, Value, map_leaves
from trueup.sdk.contracts import Catalog


@dataclass(frozen=True)
class Expanded:
    """A node with what is needed to link and to check it."""

    node: Node
    declaration: Declaration
    depends_on: tuple[tuple[str, Path], ...]
    triggers: tuple[tuple[str, Path], ...]
    deferred: tuple[Expression, ...]

    @cached_property
    def pure(self) -> Node:
        """The node as the pure methods of its kind may see it: UNKNOWN for what is not known yet."""
        if self.declaration.body.is_static:
            return self.node
        return replace(self.node, body=map_leaves(self.node.body, _known_or_unknown))


@dataclass(frozen=True)
class _Item:
    """One item of forEach; `key` is None in a resource without forEach."""

    key: str | None
    scope: Scope


def _known_or_unknown(leaf: Value) -> Value:
    return UNKNOWN if isinstance(leaf, Expression | Sensitive) else leaf


class Expander:
    """Makes the nodes of one stack. What is wrong goes to `problems`."""

    def __init__(
        self,
        stack_file: StackFile,
        catalog: Catalog,
        read_text: Callable[[str, SourceDocument], str],
        problems: list[Problem],
    ) -> None:
        self._stack = stack_file.stack
        self._data = stack_file.scope.data
        self._read_text = read_text
        self._problems = problems
        self._by_provider: dict[str, list[Target]] = {}
        self._shown: dict[str, Mapping[str, Value]] = {}
        self._lifecycles: dict[int, LifecycleBlock] = {}
        for target in self._stack.targets:
            self._by_provider.setdefault(target.provider, []).append(target)
            schema = catalog.provider(target.provider).config_schema
            self._shown[target.name] = {
                "name": target.name,
                "labels": dict(target.labels),
                "config": public_config(target.config, schema),
            }
        self.index = NodeIndex()

    def expand(self, declaration: Declaration) -> list[Expanded]:
        """The nodes of one document, one for each item and target whose `when` holds."""
        made: list[Expanded] = []
        document = declaration.document
        before = len(self._problems)
        for item in self._items(declaration):
            for target in self._targets(declaration, item.scope):
                names = {"target": self._shown[target.name]}
                scope = item.scope.extended(**names)
                if self._is_wanted(declaration, scope):
                    expanded = self._node(declaration, document, item, target, scope)
                    if expanded is not None:
                        made.append(expanded)
                        self.index.add(expanded.node.address)
        if len(self._problems) > before:
            self.index.add_broken(declaration.kind, declaration.name)
        if not made or any(expanded.node.name != declaration.name for expanded in made):
            addresses = [expanded.node.address for expanded in made]
            self.index.add_declared(declaration.kind, declaration.name, addresses)
        return made

    def _items(self, declaration: Declaration) -> Iterator[_Item]:
        def read_file(name: str) -> str:
            return self._read_text(name, declaration.document)

        scope = Scope(self._data, read_file)
        own = declaration.own.get("forEach")
        if own is None:
            yield _Item(None, scope)
            return
        why = "in forEach: it is needed before anything can be looked up"
        value = own.template.fill(scope, self._problems, why).value
        if value is UNKNOWN:
            return
        document = declaration.document
        pairs: Iterable[tuple[str, Value]]
        if isinstance(value, dict):
            pairs = value.items()
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            pairs = ((item, item) for item in value)
            repeated = (
                {item for item in value if value.count(item) > 1} if len(set(value)) < len(value) else ()
            )
            for item in sorted(repeated):
                self._problems.append(document.problem(f'forEach holds "{item}" twice', own.path, "keep one"))
        else:
            what = (
                "a list with items that are not strings" if isinstance(value, list) else kind_of_value(value)
            )
            hint = "give it a list of strings or a map"
            self._problems.append(
                document.problem(f"forEach must be a list of strings or a map, not {what}", own.path, hint)
            )
            return
        for key, each in dict(pairs).items():
            yield _Item(key, scope.extended(each={"key": key, "value": each}))

    def _targets(self, declaration: Declaration, scope: Scope) -> Sequence[Target]:
        own = declaration.own.get("targets")
        document = declaration.document
        candidates = self._by_provider.get(declaration.provider, [])
        if own is None:
            if len(candidates) == 1:
                return candidates
            if candidates:
                names = ", ".join(target.name for target in candidates)
                message = f"several targets have the provider {declaration.provider}: {names}"
                hint = "say which: targets: {names: [...]} or targets: {matchLabels: {...}}"
            else:
                message = f"no target has the provider {declaration.provider}"
                hint = f"add one to the stack file: - {{name: ..., provider: {declaration.provider}}}"
            self._problems.append(document.problem(message, ("kind",), hint))
            return ()
        value = own.template.fill(
            scope, self._problems, "in targets: they are needed before anything else"
        ).value
        if value is UNKNOWN:
            return ()
        fields = Fields(
            document,
            value,
            own.path,
            self._problems,
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
        return self._labelled(fields, declaration, candidates)

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
            elif target.provider != declaration.provider:
                message = f"{declaration.kind} needs a target of the provider {declaration.provider}"
                hint = suggest(
                    "", [t.name for t in self._by_provider.get(declaration.provider, [])], "targets of it"
                )
                fields.note(f'{message}, and "{name}" is one of {target.provider}', "names", index, hint=hint)
            else:
                found[name] = target
        return list(found.values())

    def _labelled(self, fields: Fields, declaration: Declaration, candidates: list[Target]) -> list[Target]:
        labels = fields.string_map("matchLabels")
        wanted = fields.values["matchLabels"]
        if wanted == {}:
            fields.note("targets.matchLabels is empty", "matchLabels", hint="matchLabels: {role: web}")
        if not labels or not isinstance(wanted, dict) or len(labels) != len(wanted):
            return []
        found = [target for target in candidates if labels.items() <= target.labels.items()]
        if not found:
            text = ", ".join(f"{key}={value}" for key, value in labels.items())
            known = {f"{key}={value}" for target in candidates for key, value in target.labels.items()}
            hint = suggest(text, known, f"labels of the targets of {declaration.provider}")
            hint = hint or f"no target of the provider {declaration.provider} has labels"
            fields.note(
                f"no target of the provider {declaration.provider} has the labels {text}",
                "matchLabels",
                hint=hint,
            )
        return found

    def _is_wanted(self, declaration: Declaration, scope: Scope) -> bool:
        own = declaration.own.get("when")
        if own is None:
            return True
        value = own.template.fill(scope, self._problems, "in when: it is needed before anything else").value
        if value is UNKNOWN:
            return False
        if not isinstance(value, bool):
            message = f"when must be true or false, not {kind_of_value(value)}"
            hint = "write a boolean, or one expression that gives one"
            self._problems.append(declaration.document.problem(message, own.path, hint))
            return False
        return value

    def _node(
        self, declaration: Declaration, document: SourceDocument, item: _Item, target: Target, scope: Scope
    ) -> Expanded | None:
        filled = declaration.body.fill(scope, self._problems)
        body = filled.value
        metadata = body["metadata"]
        name = metadata["name"]
        namespace = metadata.get("namespace") if declaration.is_kubernetes else None
        for key, value in (("name", name), ("namespace", namespace)):
            if isinstance(value, Expression):
                self._problems.append(value.refuse(f"in metadata.{key}, which identifies the resource"))
                return None
            if value is UNKNOWN:
                return None
            if value is not None and not isinstance(value, str):
                message = f"metadata.{key} must be a string, not {kind_of_value(value)}"
                self._problems.append(document.problem(message, ("metadata", key), "quote it"))
                return None
        if item.key is not None and "${{" not in declaration.name:
            name = f"{name}-{item.key}"
            body = {**body, "metadata": {**metadata, "name": name}}
        wrong = check_name(document, name, "name")
        if namespace is not None:
            wrong += check_name(document, namespace, "namespace")
        self._problems.extend(wrong)
        if wrong:
            return None
        block = self._lifecycle(declaration, scope)
        node = Node(
            address=Address(self._stack.name, declaration.kind, name, target.name, namespace or ""),
            api_version=declaration.api_version,
            target=target,
            body=body,
            lifecycle=block.lifecycle,
            place=document.place,
            rollout=self._rollout(declaration, scope),
        )
        dependencies = self._dependencies(declaration, scope)
        return Expanded(node, declaration, dependencies, block.triggers, tuple(filled.deferred))

    def _lifecycle(self, declaration: Declaration, scope: Scope) -> LifecycleBlock:
        own = declaration.own.get("lifecycle")
        if own is None:
            return NO_LIFECYCLE
        known = self._lifecycles.get(id(own))
        if known is not None:
            return known
        value = own.template.fill(scope, self._problems, "in lifecycle").value
        block = read_lifecycle(declaration.document, value, own.path, self._problems)
        if own.template.is_static:
            self._lifecycles[id(own)] = block
        return block

    def _rollout(self, declaration: Declaration, scope: Scope) -> Rollout | None:
        own = declaration.own.get("rollout")
        if own is None:
            return None
        value = own.template.fill(scope, self._problems, "in rollout").value
        return read_rollout(declaration.document, value, own.path, self._problems)

    def _dependencies(self, declaration: Declaration, scope: Scope) -> tuple[tuple[str, Path], ...]:
        own = declaration.own.get("dependsOn")
        if own is None:
            return ()
        value = own.template.fill(scope, self._problems, "in dependsOn: it draws an edge by itself").value
        if value is UNKNOWN:
            return ()
        fields = Fields(
            declaration.document, {"dependsOn": value}, own.path[:-1], self._problems, known=("dependsOn",)
        )
        texts = fields.strings("dependsOn", "list resources: dependsOn: [Package/nginx]")
        return tuple((text, (*own.path, index)) for index, text in enumerate(texts))

    def link(self, expanded: Expanded) -> Node:
        """The node with its expressions bound to nodes and its dependsOn resolved."""
        node = expanded.node
        self.bind(expanded.deferred, node.address)
        if expanded.depends_on:
            node = replace(node, depends_on=self._resolve(expanded.depends_on, expanded))
        if expanded.triggers:
            triggers = self._resolve(expanded.triggers, expanded)
            node = replace(node, lifecycle=replace(node.lifecycle, triggers=triggers))
        return node

    def bind(self, deferred: Iterable[Expression], source: Address) -> None:
        """Binds expressions to the nodes that their `ref()` mean where `source` is."""
        for expression in deferred:
            addresses = {}
            for part in expression.programs:
                for call in part.program.references:
                    argument = call.argument or ""
                    try:
                        addresses[argument] = self.index.one(argument, source)
                    except Unresolved as error:
                        if error.is_consequence:
                            continue
                        offset = call.offset - len("ref")
                        self._problems.append(
                            part.problem(ExpressionError(error.message, offset, error.hint))
                        )
            expression.bind(addresses)

    def _resolve(self, words: Sequence[tuple[str, Path]], expanded: Expanded) -> tuple[Address, ...]:
        """The nodes that the words of dependsOn and triggers mean, each once."""
        found: dict[Address, None] = {}
        for text, path in words:
            try:
                found.update(dict.fromkeys(self.index.all(text, expanded.node.address)))
            except Unresolved as error:
                if not error.is_consequence:
                    document = expanded.declaration.document
                    self._problems.append(document.problem(error.message, path, error.hint))
        return tuple(found)
