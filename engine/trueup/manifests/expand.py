"""Declarations to nodes: forEach, targets, when, and the links between nodes.

Called by `load` for the documents of a stack, and by `modules` for those of each use of a module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from trueup.errors import ManifestError, Problem
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
from trueup.manifests.suggestions import suggest
from trueup.manifests.syntax_tree import Call
from trueup.manifests.target_selection import TargetSelector
from trueup.manifests.templates import Scope
from trueup.model.address import Address
from trueup.model.resource import Node, Rollout, Stack, Target
from trueup.model.values import UNKNOWN, Document, Sensitive, Value, map_leaves

MAX_NODES = 100_000
# Items, times targets, times uses of a module: each costs an evaluation of `when`.
MAX_TRIES = 1_000_000
# All that the expressions of a stack make, in bytes.
MAX_STACK_TEXT = 512 * 1024**2
# Where there are so many, reading goes no further.
MAX_PROBLEMS = 10_000


@dataclass(frozen=True)
class Mention:
    """A word of `dependsOn` or `triggers`, where it stands, and whose it is: that says what it means."""

    text: str
    document: SourceDocument
    path: Path
    expander: Expander


@dataclass(frozen=True)
class Surroundings:
    """Where documents are expanded: in a stack itself, or in one use of a module.

    `data` are the names in scope, `index` the nodes that can be named. `targets` are for resources that name
    none themselves; `depends_on` is what each resource waits for besides its own words. `vars_on` gives the
    `vars` for one target, where their references mean something else on each.
    """

    data: Mapping[str, Value]
    index: NodeIndex
    targets: tuple[Target, ...] = ()
    depends_on: tuple[Mention, ...] = ()
    vars_on: Callable[[str], Value] | None = None

    def scope_on(self, target: str, scope: Scope) -> Scope:
        """A scope in these surroundings, for one target."""
        return scope if self.vars_on is None else scope.extended(vars=self.vars_on(target))


@dataclass(frozen=True)
class Expanded:
    """A node with what is needed to check it, and to link it by the expander that made it."""

    expander: Expander
    node: Node
    declaration: Declaration
    depends_on: tuple[Mention, ...]
    triggers: tuple[Mention, ...]
    deferred: tuple[Expression, ...]

    @cached_property
    def pure(self) -> Node:
        """The node as the pure methods of its kind may see it: UNKNOWN for what is not known yet."""
        if self.declaration.body.is_static:
            return self.node
        return self.node.with_body(map_leaves(self.node.body, _known_or_unknown))


@dataclass(frozen=True)
class Item:
    """One item of forEach; `key` is None in a document without forEach."""

    key: str | None
    scope: Scope


def _known_or_unknown(leaf: Value) -> Value:
    return UNKNOWN if isinstance(leaf, Expression | Sensitive) else leaf


class Expander:
    """Makes nodes of the documents in one place. What is wrong goes to `problems`."""

    def __init__(
        self,
        stack: Stack,
        selector: TargetSelector,
        surroundings: Surroundings,
        read_text: Callable[[str, SourceDocument], str],
        problems: list[Problem],
    ) -> None:
        self.stack = stack
        self.surroundings = surroundings
        self.problems = problems
        self.selector = selector
        self._read_text = read_text
        self._lifecycles: dict[int, LifecycleBlock] = {}
        self._outermost = surroundings.index.outermost

    @property
    def index(self) -> NodeIndex:
        return self.surroundings.index

    def expand(self, declaration: Declaration) -> list[Expanded]:
        """The nodes of one document, one for each item and target whose `when` holds."""
        made: list[Expanded] = []
        document = declaration.document
        before = len(self.problems)
        for item in self.items(declaration):
            for target in self.targets(declaration, item.scope):
                self.count_try(document)
                scope = self.surroundings.scope_on(target.name, item.scope)
                scope = scope.extended(target=self.selector.shown[target.name])
                if self.is_wanted(declaration, scope):
                    expanded = self._node(declaration, document, item, target, scope)
                    if expanded is not None:
                        made.append(expanded)
                        self.index.add(expanded.node.address)
                        self._check_count(document)
        if len(self.problems) > before:
            self.index.add_broken(declaration.kind, declaration.name)
        if not made or any(expanded.node.name != declaration.name for expanded in made):
            addresses = [expanded.node.address for expanded in made]
            self.index.add_declared(declaration.kind, declaration.name, addresses)
        return made

    def _check_count(self, document: SourceDocument) -> None:
        """Stops before items of forEach, targets and uses of modules multiply beyond the memory."""
        if self._outermost.count > MAX_NODES:
            hint = "divide it into several stacks"
            raise ManifestError([document.problem(f"a stack has at most {MAX_NODES} resources", (), hint)])

    def count_try(self, document: SourceDocument) -> None:
        """Stops before documents are tried for ever, and before problems fill the memory."""
        self._outermost.tries += 1
        if self._outermost.tries > MAX_TRIES:
            message = f"forEach, targets and uses of modules multiply to more than {MAX_TRIES}"
            hint = "leave out what `when` leaves out anyway, or divide it into several stacks"
            raise ManifestError([*self.problems[:MAX_PROBLEMS], document.problem(message, (), hint)])
        if len(self.problems) > MAX_PROBLEMS:
            raise ManifestError(self.problems)

    def count_text(self, document: SourceDocument, size: int) -> None:
        """Stops before what expressions make of little fills the memory."""
        self._outermost.size += size
        if self._outermost.size > MAX_STACK_TEXT:
            message = f"the expressions of a stack make more than {MAX_STACK_TEXT // 1024**2} MiB of text"
            hint = "share what is large, or divide it into several stacks"
            raise ManifestError([document.problem(message, (), hint)])

    def items(self, declaration: Declaration) -> Iterator[Item]:
        """The items of a document's forEach, or the one of a document without it."""

        def read_file(name: str) -> str:
            return self._read_text(name, declaration.document)

        scope = Scope(self.surroundings.data, read_file)
        own = declaration.own.get("forEach")
        if own is None:
            yield Item(None, scope)
            return
        why = "in forEach: it is needed before anything can be looked up"
        value = own.template.fill(scope, self.problems, why).value
        if value is UNKNOWN:
            return
        document = declaration.document
        pairs: Iterable[tuple[str, Value]]
        if isinstance(value, dict):
            pairs = value.items()
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            pairs = ((item, item) for item in value)
            repeated = [item for item, times in Counter(value).items() if times > 1]
            for item in sorted(repeated):
                self.problems.append(document.problem(f'forEach holds "{item}" twice', own.path, "keep one"))
        else:
            what = (
                "a list with items that are not strings" if isinstance(value, list) else kind_of_value(value)
            )
            hint = "give it a list of strings or a map"
            self.problems.append(
                document.problem(f"forEach must be a list of strings or a map, not {what}", own.path, hint)
            )
            return
        for key, each in dict(pairs).items():
            yield Item(key, scope.extended(each={"key": key, "value": each}))

    def targets(self, declaration: Declaration, scope: Scope) -> Sequence[Target]:
        """The targets of a document, for the call of a module those of its resources."""
        own = declaration.own.get("targets")
        if own is None and declaration.is_module:
            return self.surroundings.targets
        if own is None:
            return self.selector.default(declaration, self.surroundings.targets, self.problems)
        why = "in targets: they are needed before anything else"
        value = own.template.fill(scope, self.problems, why).value
        return self.selector.select(declaration, value, self.problems)

    def is_wanted(self, declaration: Declaration, scope: Scope) -> bool:
        """What `when` says."""
        own = declaration.own.get("when")
        if own is None:
            return True
        value = own.template.fill(scope, self.problems, "in when: it is needed before anything else").value
        if value is UNKNOWN:
            return False
        if not isinstance(value, bool):
            message = f"when must be true or false, not {kind_of_value(value)}"
            hint = "write a boolean, or one expression that gives one"
            self.problems.append(declaration.document.problem(message, own.path, hint))
            return False
        return value

    def _node(
        self, declaration: Declaration, document: SourceDocument, item: Item, target: Target, scope: Scope
    ) -> Expanded | None:
        filled = declaration.body.fill(scope, self.problems)
        self.count_text(document, filled.size)
        body = filled.value
        identity = self.identity(declaration, body, item)
        if identity is None:
            return None
        name, namespace = identity
        if body["metadata"]["name"] != name:
            body = {**body, "metadata": {**body["metadata"], "name": name}}
        block = self._lifecycle(declaration, scope)
        local_name = f"{self.index.prefix}{name}"
        node = Node(
            address=Address(self.stack.name, declaration.kind, local_name, target.name, namespace or ""),
            api_version=declaration.api_version,
            target=target,
            body=body,
            lifecycle=block.lifecycle,
            place=document.place,
            rollout=self._rollout(declaration, scope),
        )
        dependencies = (*self.dependencies(declaration, scope), *self.surroundings.depends_on)
        triggers = tuple(Mention(text, document, path, self) for text, path in block.triggers)
        return Expanded(self, node, declaration, dependencies, triggers, tuple(filled.deferred))

    def identity(self, declaration: Declaration, body: Document, item: Item) -> tuple[str, str] | None:
        """The name and the namespace that a filled document gives; None where they are wrong."""
        document = declaration.document
        name = body["metadata"]["name"]
        namespace = body["metadata"].get("namespace") if declaration.is_kubernetes else None
        for key, value in (("name", name), ("namespace", namespace)):
            if isinstance(value, Expression):
                self.problems.append(value.refuse(f"in metadata.{key}, which identifies the resource"))
                return None
            if value is UNKNOWN:
                return None
            if value is not None and not isinstance(value, str):
                message = f"metadata.{key} must be a string, not {kind_of_value(value)}"
                self.problems.append(document.problem(message, ("metadata", key), "quote it"))
                return None
        if item.key is not None and "${{" not in declaration.name:
            name = f"{name}-{item.key}"
        wrong = check_name(document, name, "name")
        if namespace is not None:
            wrong += check_name(document, namespace, "namespace")
        self.problems.extend(wrong)
        return None if wrong else (name, namespace or "")

    def _lifecycle(self, declaration: Declaration, scope: Scope) -> LifecycleBlock:
        own = declaration.own.get("lifecycle")
        if own is None:
            return NO_LIFECYCLE
        known = self._lifecycles.get(id(own))
        if known is not None:
            return known
        value = own.template.fill(scope, self.problems, "in lifecycle").value
        block = read_lifecycle(declaration.document, value, own.path, self.problems)
        if own.template.is_static:
            self._lifecycles[id(own)] = block
        return block

    def _rollout(self, declaration: Declaration, scope: Scope) -> Rollout | None:
        own = declaration.own.get("rollout")
        if own is None:
            return None
        value = own.template.fill(scope, self.problems, "in rollout").value
        return read_rollout(declaration.document, value, own.path, self.problems)

    def dependencies(self, declaration: Declaration, scope: Scope) -> tuple[Mention, ...]:
        """The words of `dependsOn`."""
        own = declaration.own.get("dependsOn")
        if own is None:
            return ()
        value = own.template.fill(scope, self.problems, "in dependsOn: it draws an edge by itself").value
        if value is UNKNOWN:
            return ()
        fields = Fields(
            declaration.document, {"dependsOn": value}, own.path[:-1], self.problems, known=("dependsOn",)
        )
        texts = fields.strings("dependsOn", "list resources: dependsOn: [Package/nginx]")
        document = declaration.document
        return tuple(Mention(text, document, (*own.path, index), self) for index, text in enumerate(texts))

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

    def bind(self, expressions: Iterable[Expression], source: Address) -> None:
        """Says what the references of expressions mean in `source`, a node or the call of a module."""
        for expression in expressions:
            addresses: dict[str, Address] = {}
            documents: dict[str, Document] = {}
            for part in expression.programs:
                for call in part.program.references:
                    argument = call.argument or ""
                    try:
                        found = self.index.module(argument, source)
                        if found is None:
                            addresses[argument] = self.index.one(argument, source)
                        else:
                            _check_output(call, found)
                            documents[argument] = found
                    except Unresolved as error:
                        if error.is_consequence:
                            continue
                        offset = call.offset - len("ref")
                        problem = part.problem(ExpressionError(error.message, offset, error.hint))
                        self.problems.append(problem)
            expression.bind(addresses, documents)

    def _resolve(self, mentions: Sequence[Mention], expanded: Expanded) -> tuple[Address, ...]:
        """The nodes that the words of dependsOn and triggers mean, each once."""
        found: dict[Address, None] = {}
        for mention in mentions:
            try:
                index = mention.expander.index
                found.update(dict.fromkeys(index.all(mention.text, expanded.node.address)))
            except Unresolved as error:
                if not error.is_consequence:
                    problem = mention.document.problem(error.message, mention.path, error.hint)
                    mention.expander.problems.append(problem)
        return tuple(found)


def _check_output(call: Call, document: Document) -> None:
    """Refuses what a module does not give. Raises Unresolved."""
    outputs = document["outputs"]
    key, *rest = call.path or ("",)
    if key != "outputs" and key:
        hint = f"write .outputs.{key}" if key in outputs else "write .outputs.name"
        raise Unresolved(f"{call.argument} has outputs and nothing else", hint)
    if rest and rest[0] not in outputs:
        hint = suggest(rest[0], outputs, "outputs") or "its module declares no outputs"
        raise Unresolved(f'{call.argument} has no output "{rest[0]}"', hint)
