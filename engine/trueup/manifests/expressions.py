"""Values that are known only when a stack is reconciled: expressions with `ref()`, `secret()` or `stack()`.

`templates` makes the expressions when a stack is loaded; the loop calls `resolve` for each node, first with
what the plan knows and again right before the node is acted on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from trueup.errors import NOWHERE, ManifestError, Place, Problem
from trueup.manifests.joining import join_texts, text_of
from trueup.manifests.missing_fields import explain_missing
from trueup.manifests.program import ExpressionError, Objects, Program, follow, weigh
from trueup.manifests.selection import FieldPath, Reads, Selector
from trueup.manifests.syntax_tree import Call
from trueup.manifests.text_places import Part, ProgramPart
from trueup.model.address import Address
from trueup.model.resource import OutputReference, Reference, SecretReference
from trueup.model.values import UNKNOWN, Document, Sensitive, Unknown, Value, reveal

_VARS = "use vars instead"
# A variable would put the secret into Git.
_INSTEAD = {"secret": "it would be shown there: put secret() into a field of a resource"}


class Lookup(Protocol):
    """What an expression reads when it is evaluated; UNKNOWN for whatever is not known yet."""

    def node(self, address: Address) -> Document | Unknown:
        """Another node's document."""
        ...

    def secret(self, text: str) -> Value:
        """What `secret(text)` gives: a Sensitive."""
        ...

    def outputs(self, stack: str) -> Mapping[str, Value] | Unknown:
        """The outputs of another stack."""
        ...


class NothingKnown:
    """The look-up for what may be read before anything is known."""

    def node(self, _address: Address) -> Unknown:
        return UNKNOWN

    def secret(self, _text: str) -> Unknown:
        return UNKNOWN

    def outputs(self, _stack: str) -> Unknown:
        return UNKNOWN


NOTHING_KNOWN: Lookup = NothingKnown()


class _Read(NamedTuple):
    """What programs read, whatever the resource in which they stand: known from their texts alone."""

    functions: frozenset[str]
    # The fields that are selected, by function and argument, and those of each variable.
    of_objects: Mapping[tuple[str, str], Reads]
    of_variables: Mapping[str, Reads]


@lru_cache(maxsize=50_000)
def _find_reads(*programs: Program) -> _Read:
    """Remembered as the programs themselves are, for a daemon reads the same ones for ever."""
    functions = frozenset(call.function for program in programs for call in program.needs)
    return _Read(functions, _reads_of_objects(programs), _reads_of_variables(programs))


def _reads_of_objects(programs: Sequence[Program]) -> Mapping[tuple[str, str], Reads]:
    paths: dict[tuple[str, str], list[FieldPath]] = {}
    tests: dict[tuple[str, str], list[FieldPath]] = {}
    for program in programs:
        for call in program.needs:
            key = call.function, call.argument or ""
            paths.setdefault(key, [])
            if call.function == "stack" and call.tested and not call.path:
                # Another output, which may be sensitive, has no say in whether this one is there.
                tests.setdefault(key, []).append((call.tested,))
            else:
                paths[key].append(call.path)
    return {key: Reads.of(found, tests.get(key, ())) for key, found in paths.items()}


def _reads_of_variables(programs: Sequence[Program]) -> Mapping[str, Reads]:
    if len(programs) == 1:
        return programs[0].reads
    found: dict[str, list[Reads]] = {}
    for program in programs:
        for name, reads in program.reads.items():
            found.setdefault(name, []).append(reads)
    return {
        name: Reads.of(
            (path for reads in each for path in reads.paths),
            (path for reads in each for path in reads.tests),
        )
        for name, each in found.items()
    }


class _Needs:
    """What an expression reads, and what the expressions inside its data read, each once."""

    def __init__(self) -> None:
        self.references: dict[Reference, None] = {}
        self.secrets: dict[SecretReference, None] = {}
        self.outputs: dict[OutputReference, None] = {}

    def add(self, other: _Needs) -> None:
        self.references |= other.references
        self.secrets = other.secrets | self.secrets
        self.outputs = other.outputs | self.outputs


class Expression:
    """A string whose value is known only later: a leaf of a body, or of the data of other expressions.

    Implements `trueup.model.resource.Deferred`. `data` holds the names that were known when the stack was
    loaded; it may hold expressions itself, which are evaluated first. `files` are the texts of the `file()`
    calls.
    """

    def __init__(self, parts: Sequence[Part], data: Mapping[str, Value], files: Mapping[str, str]) -> None:
        self._parts = tuple(parts)
        self.programs = [part for part in self._parts if isinstance(part, ProgramPart)]
        self._data = data
        self._files = files
        self._addresses: Mapping[str, Address] = {}
        self._documents: Mapping[str, Document] = {}
        self._needs: _Needs | None = None
        self._is_collecting = False
        self._functions: frozenset[str] | None = None
        self._read = _find_reads(*[part.program for part in self.programs])

    def __repr__(self) -> str:
        texts = (part if isinstance(part, str) else f"${{{{ {part.program.text} }}}}" for part in self._parts)
        return "".join(texts)

    def __deepcopy__(self, _memo: object) -> Expression:
        return self

    @property
    def makes_text(self) -> bool:
        """Whether its value is a new one, and not a part of another that is there anyway."""
        return len(self._parts) > 1 or self.programs[0].program.tree.plain is None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return next((part.place for part in self.programs), NOWHERE)

    def bind(self, addresses: Mapping[str, Address], documents: Mapping[str, Document] | None = None) -> None:
        """Says what the arguments of its `ref()` mean; called once, when all nodes are known.

        An argument means either a node or a document of values whose leaves may be expressions: what is
        known of a module, as in `{"outputs": {...}}`.
        """
        self._addresses = dict(addresses)
        self._documents = dict(documents or {})
        self._needs = None

    @property
    def references(self) -> tuple[Reference, ...]:
        """The nodes that it reads, each with the fields that are selected literally."""
        return tuple(self._collect().references)

    @property
    def secrets(self) -> tuple[SecretReference, ...]:
        """The secrets that it reads."""
        return tuple(self._collect().secrets)

    @property
    def outputs(self) -> tuple[OutputReference, ...]:
        """The outputs of other stacks that it reads."""
        return tuple(self._collect().outputs)

    @property
    def functions(self) -> frozenset[str]:
        """Which of `ref`, `secret` and `stack` its value comes from; known before it is bound."""
        if self._functions is None:
            inside = [inner.functions for inner in self._inside_data()]
            self._functions = self._read.functions.union(*inside)
        return self._functions

    def _inside_data(self) -> Iterator[Expression]:
        for variable, reads in self._read.of_variables.items():
            yield from expressions_at(self._data.get(variable), reads)

    def _collect(self) -> _Needs:
        """Raises ManifestError where its value would need itself, by way of the outputs of modules."""
        if self._needs is not None:
            return self._needs
        if self._is_collecting:
            message = f"this value needs itself: {self!r}"
            raise ManifestError([Problem(message, self.place, "break the circle between the modules")])
        self._is_collecting = True
        try:
            needs = _Needs()
            for part in self.programs:
                for call in part.program.needs:
                    self._add_need(needs, part, call)
            for inner in self._inside_data():
                needs.add(inner._collect())
        finally:
            self._is_collecting = False
        self._needs = needs
        return needs

    def _add_need(self, needs: _Needs, part: ProgramPart, call: Call) -> None:
        argument = call.argument or ""
        if call.function == "secret":
            needs.secrets.setdefault(SecretReference(argument, part.place))
        elif call.function == "stack":
            output = call.path[0] if call.path else ""
            needs.outputs.setdefault(OutputReference(argument, output, part.place))
        elif argument in self._documents:
            for inner in expressions_at(self._documents[argument], Reads((call.path,))):
                needs.add(inner._collect())
        else:
            needs.references.setdefault(Reference(self._addresses[argument], call.path))

    def evaluate(self, lookup: Lookup) -> Value:
        """The value, UNKNOWN where any part that it reads is not known, Sensitive where any part is.

        Raises ManifestError where a field does not exist or the expression fails on the values.
        """
        return self._evaluate(lookup, {})

    def _evaluate(self, lookup: Lookup, done: dict[Expression, Value]) -> Value:
        """`done` holds what was evaluated along the way: modules in modules read the same inputs again."""
        if self not in done:
            done[self] = self._compute(lookup, done)
        return done[self]

    def _compute(self, lookup: Lookup, done: dict[Expression, Value]) -> Value:
        selector = Selector(lambda inner: inner._evaluate(lookup, done))
        objects: dict[str, dict[str, Value]] = {}
        for (function, argument), reads in self._read.of_objects.items():
            found = selector.select(self._find(function, argument, reads, lookup), reads)
            if found is UNKNOWN:
                return UNKNOWN
            objects.setdefault(function, {})[argument] = found
        data: dict[str, Value] = {}
        for variable, reads in self._read.of_variables.items():
            data[variable] = selector.select(self._data[variable], reads)
            if data[variable] is UNKNOWN:
                return UNKNOWN
        value = self._join(data, objects, selector.is_sensitive)
        return Sensitive(value) if selector.is_sensitive else value

    def _find(self, function: str, argument: str, reads: Reads, lookup: Lookup) -> Value:
        if function == "secret":
            return lookup.secret(argument)
        if function == "stack":
            outputs = lookup.outputs(argument)
            if isinstance(outputs, Mapping) and any(path and path[0] not in outputs for path in reads.paths):
                return UNKNOWN  # that stack has still to be reconciled with this output
            return outputs
        if argument in self._documents:
            return self._documents[argument]
        return lookup.node(self._addresses[argument])

    def _join(self, data: Mapping[str, Value], objects: Objects, is_sensitive: bool) -> Value:
        values: list[Value] = []
        for part in self._parts:
            if isinstance(part, str):
                values.append(part)
                continue
            try:
                value = part.program.evaluate(data, self._files.__getitem__, objects)
                values.append(value if len(self._parts) == 1 else text_of(value))
            except ExpressionError as error:
                found = explain_missing(error, part.program, data, objects)
                if found is None and is_sensitive:
                    # CEL's message may quote a value.
                    found = ExpressionError("the expression fails on a sensitive value")
                raise ManifestError([part.problem(found or error)]) from None
        if len(values) == 1:
            return values[0]
        try:
            return join_texts(values)
        except ExpressionError as error:
            raise ManifestError([self.programs[0].problem(error)]) from None

    def refuse(self, where: str) -> Problem:
        """That it cannot be used somewhere: `in metadata.name, which ...`."""
        for part in self.programs:
            for call in part.program.needs:
                offset = call.offset - len(call.function)
                message = f"{call.function}() cannot be used {where}"
                return part.problem(ExpressionError(message, offset, _INSTEAD.get(call.function, _VARS)))
        names = " and ".join(f"{name}()" for name in sorted(self.functions))
        hint = f"its value comes from {names}" if names else "its value is sensitive"
        for part in self.programs:
            for read in part.program.selections:
                if has_special(follow(self._data.get(read.variable), read.path)):
                    name = ".".join((read.variable, *read.path))
                    message = f"{name} cannot be used {where}"
                    return part.problem(ExpressionError(message, read.offset, hint))
        return Problem(f"{self!r} cannot be used {where}", self.place, hint)


def expressions_at(document: Value, reads: Reads) -> Iterator[Expression]:
    """The expressions that have to be evaluated for what is read of a document."""
    for path in reads.paths:
        yield from expressions_in(follow(document, path))
    for path in reads.tests:
        found = follow(document, path[:-1])
        if isinstance(found, Expression):
            yield found


def expressions_in(value: Value) -> Iterator[Expression]:
    """Every expression in a value."""
    kind = type(value)
    if kind is str or kind is int or kind is bool:
        return
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from expressions_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from expressions_in(item)


def has_special(value: Value) -> bool:
    """Whether anything in a value is no plain data: an expression, sensitive, or not known."""
    if isinstance(value, Mapping):
        return any(has_special(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_special(item) for item in value)
    return not isinstance(value, str | int | float | None)


def resolve(body: Document, lookup: Lookup, count: Callable[[int], None] | None = None) -> Document:
    """A copy of a body with its expressions replaced by values. Raises ManifestError with all problems.

    `count` is told how many bytes of text they made.
    """
    resolving = _Resolving(lookup)
    result: Document = resolving.replace(body)
    if resolving.problems:
        raise ManifestError(dict.fromkeys(resolving.problems))
    if count is not None:
        count(resolving.size)
    return result


class _Resolving:
    """One body on its way. No closure: one that calls itself would live on until the garbage is collected."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._done: dict[Expression, Value] = {}
        self.problems: list[Problem] = []
        self.size = 0

    def replace(self, value: Value) -> Value:
        """As `map_leaves`, past the strings, of which there are most."""
        if isinstance(value, Expression):
            try:
                made = value._evaluate(self._lookup, self._done)
                if value.makes_text:
                    self.size += weigh(reveal(made))[0]
                return made
            except ManifestError as error:
                self.problems.extend(error.problems)
                return UNKNOWN
        if type(value) is dict or isinstance(value, Mapping):
            return {key: item if type(item) is str else self.replace(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.replace(item) for item in value]
        return value
