"""Documents with `${{ ... }}`: found once per document, filled once per node. Called by `expand`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from trueup.errors import ManifestError, Problem
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.expressions import NOTHING_KNOWN, Expression
from trueup.manifests.interpolation import has_expression, split_expressions
from trueup.manifests.joining import join_texts, text_of
from trueup.manifests.missing_fields import explain_missing
from trueup.manifests.program import NOTHING, ExpressionError, compile_expression, follow, weigh
from trueup.manifests.selection import PLAIN_TYPES
from trueup.manifests.text_places import Part, ProgramPart, TextPlaces
from trueup.model.values import UNKNOWN, Sensitive, Value

# What the expressions of one resource may make, in bytes: far more than any system takes.
MAX_RESOURCE_TEXT = 64 * 1024 * 1024


@dataclass(frozen=True)
class Scope:
    """The names that are known when a stack is loaded: `vars`, `git`, and where they apply `each`, `target`.

    The values may hold expressions, which are known later, and Sensitive or UNKNOWN values: what reads one
    of them becomes so itself. `read_file` gives the text of a file of the tree, named relative to the
    manifest.
    """

    data: Mapping[str, Value]
    read_file: Callable[[str], str]

    def extended(self, **names: Value) -> Scope:
        return Scope({**self.data, **names}, self.read_file)


@dataclass
class Filled:
    """A value with its expressions replaced: those that are known only later are left in it.

    `deferred` are those of this value itself, which `Expression.bind` still has to be called for. `size` is
    how much text the others made, and how much these keep, in bytes.
    """

    value: Value
    deferred: list[Expression] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True)
class _TextTemplate:
    parts: tuple[Part, ...]
    is_later: bool

    @property
    def programs(self) -> list[ProgramPart]:
        return [part for part in self.parts if isinstance(part, ProgramPart)]


@dataclass(frozen=True, slots=True)
class _MapTemplate:
    items: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _ListTemplate:
    items: list[Any]


_TEMPLATES = frozenset({_TextTemplate, _MapTemplate, _ListTemplate})


NO_TARGET = "target is not known here"
_ESCAPES = {
    "each": ("each exists only in a resource with forEach", "add forEach, or use vars"),
    "target": (NO_TARGET, "use vars"),
    "git": ("git is not known here", "use vars"),
    "self": ("self exists only in the check of a variable", "use ref() for another resource"),
}


class Template:
    """A value of a document; `is_static` when there is no expression in it at all.

    An expression that does not compile is noted, and stands in the value as UNKNOWN.
    """

    def __init__(self, document: SourceDocument, value: Value, path: Path, problems: list[Problem]) -> None:
        self._document = document
        self._problems = problems
        is_static = not (document.source.has_expressions and has_marker(value))
        before = len(problems)
        # What holds no expression stands in it as it is.
        self._tree = value if is_static else self._read(value, path)
        self._is_sound = len(problems) == before

    @property
    def is_static(self) -> bool:
        return self._is_sound and type(self._tree) not in _TEMPLATES

    def fill(
        self,
        scope: Scope,
        problems: list[Problem],
        refusal: str = "",
        allowed: Collection[str] = (),
    ) -> Filled:
        """The value in a scope; what fails is UNKNOWN.

        `refusal` says where this is, and why only what is known at once can be used here: no `ref()`,
        `secret()` or `stack()`, save those of `allowed`, and nothing that comes from one.
        """
        filling = _Filling(scope, problems, refusal, frozenset(allowed))
        return Filled(filling.fill(self._tree), filling.deferred, filling.size)

    def _read(self, value: Value, path: Path) -> Any:
        kind = type(value)
        if kind is str:
            return self._read_text(value, path) if has_expression(value) else value
        if kind is dict:
            items = {}
            is_changed = is_template = False
            for key, item in value.items():
                if has_expression(key):
                    message = "a key cannot hold an expression"
                    self._problems.append(
                        self._document.problem(message, (*path, key), "write the key out", at_key=True)
                    )
                read = items[key] = self._read(item, (*path, key))
                is_changed = is_changed or read is not item
                is_template = is_template or type(read) in _TEMPLATES
            return _MapTemplate(items) if is_template else items if is_changed else value
        if kind is list:
            read_items = [self._read(item, (*path, index)) for index, item in enumerate(value)]
            if any(type(read) in _TEMPLATES for read in read_items):
                return _ListTemplate(read_items)
            is_changed = any(read is not item for read, item in zip(read_items, value, strict=True))
            return read_items if is_changed else value
        return value

    def _read_text(self, text: str, path: Path) -> Any:
        try:
            split = split_expressions(text)
        except ExpressionError as error:
            (at,) = TextPlaces(self._document, path, text, (text[error.offset :],))()
            self._problems.append(Problem(error.message, at.place, error.hint))
            return UNKNOWN
        texts = tuple(part.text for part in split if not isinstance(part, str))
        find_places = TextPlaces(self._document, path, text, texts)
        parts: list[Part] = []
        is_later = False
        index = 0
        for part in split:
            if isinstance(part, str):
                parts.append(part)
                continue
            try:
                program = compile_expression(part.text)
            except ExpressionError as error:
                self._problems.append(find_places()[index].problem(error))
                return UNKNOWN
            parts.append(ProgramPart(program, find_places, index))
            is_later = is_later or bool(program.needs)
            index += 1
        if not index:
            return "".join(part for part in parts if isinstance(part, str))
        return _TextTemplate(tuple(parts), is_later)


def has_marker(value: Value) -> bool:
    """Whether there is an expression, or its escape, anywhere in a value."""
    if isinstance(value, str):
        return "${{" in value
    if isinstance(value, dict):
        return any(has_marker(item) or "${{" in key for key, item in value.items())
    if isinstance(value, list):
        return any(has_marker(item) for item in value)
    return False


class _Filling:
    """One filling of a template: the scope, and what comes of it beside the value."""

    def __init__(self, scope: Scope, problems: list[Problem], refusal: str, allowed: frozenset[str]) -> None:
        self.deferred: list[Expression] = []
        self.size = 0
        self._scope = scope
        self._problems = problems
        self._refusal = refusal
        self._allowed = allowed

    def fill(self, tree: Any) -> Value:
        kind = type(tree)
        if kind is _TextTemplate:
            return self._fill_text(tree)
        if kind is _MapTemplate:
            return {key: self.fill(item) for key, item in tree.items.items()}
        if kind is _ListTemplate:
            return [self.fill(item) for item in tree.items]
        return tree

    def _fill_text(self, text: _TextTemplate) -> Value:
        scope = self._scope
        values: list[Value] = []
        for part in text.parts:
            if isinstance(part, str):
                values.append(part)
                continue
            try:
                value = part.program.recall(scope.data)
                if value is NOTHING:
                    _check_names(part, scope)
                    if text.is_later or _find_special(part, scope):
                        return self._fill_later(text)
                    value = self._evaluate(part)
                    part.program.remember(scope.data, value)
                values.append(value if len(text.parts) == 1 else text_of(value))
            except ExpressionError as error:
                found = explain_missing(error, part.program, scope.data)
                self._problems.append(part.problem(found or error))
                return UNKNOWN
        if len(text.parts) == 1:
            return values[0]
        try:
            joined = join_texts(values)
        except ExpressionError as error:
            self._problems.append(text.programs[0].problem(error))
            return UNKNOWN
        self._count(text.programs[0], len(joined))
        return joined

    def _evaluate(self, part: ProgramPart) -> Value:
        """The value of a program. What it only selects is no new text."""
        value = part.program.select(self._scope.data)
        if value is not NOTHING:
            return value
        value = part.program.evaluate(self._scope.data, self._scope.read_file)
        if isinstance(value, str | dict | list):
            self._count(part, weigh(value)[0])
        return value

    def _count(self, part: ProgramPart, size: int) -> None:
        """Stops before a small file fills the memory. Raises ManifestError."""
        self.size += size
        if self.size > MAX_RESOURCE_TEXT:
            message = f"the expressions here make more than {MAX_RESOURCE_TEXT // 1024**2} MiB of text"
            hint = "put large data into the system itself, and a reference to it here"
            raise ManifestError([part.problem(ExpressionError(message, hint=hint))])

    def _fill_later(self, text: _TextTemplate) -> Value:
        """A string that reads what is known only later, or what is sensitive or unknown already."""
        scope = self._scope
        special: set[type] = set()
        files: dict[str, str] = {}
        for part in text.programs:
            try:
                _check_names(part, scope)
                special |= _find_special(part, scope)
                found = _read_files(part, scope)
                files.update(found)
                self._count(part, sum(map(len, found.values())))
            except ExpressionError as error:
                self._problems.append(part.problem(error))
                return UNKNOWN
        expression = Expression(text.parts, scope.data, files)
        sources = expression.functions | ({"secret"} if Sensitive in special else set())
        if self._refusal and sources - self._allowed:
            self._problems.append(expression.refuse(self._refusal))
            return UNKNOWN
        if len(text.parts) == 1:
            value = text.programs[0].program.select(scope.data)
            if value is not NOTHING:
                return value
        if expression.functions:
            self.deferred.append(expression)
            return expression
        try:
            return expression.evaluate(NOTHING_KNOWN)
        except ManifestError as error:
            self._problems.extend(error.problems)
            return UNKNOWN


def _find_special(part: ProgramPart, scope: Scope) -> set[type]:
    """The types of the values that the program reads and that are no plain data."""
    found: set[type] = set()
    for read in part.program.selections:
        value = follow(scope.data[read.variable], read.path[:-1] if read.is_test else read.path)
        if type(value) not in PLAIN_TYPES and not (read.is_test and isinstance(value, Mapping | list)):
            _add_special(value, found)
    return found


def _add_special(value: Value, found: set[type]) -> None:
    kind = type(value)
    if kind in PLAIN_TYPES:
        return
    if isinstance(value, Mapping):
        for item in value.values():
            _add_special(item, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _add_special(item, found)
    else:
        found.add(kind)


def _check_names(part: ProgramPart, scope: Scope) -> None:
    for selection in part.program.selections:
        if selection.variable not in scope.data:
            message, hint = _ESCAPES[selection.variable]
            raise ExpressionError(message, selection.offset, hint)


def _read_files(part: ProgramPart, scope: Scope) -> dict[str, str]:
    """The texts of the files that a deferred expression needs: the tree is closed when it is evaluated."""
    files = {}
    for call in part.program.files:
        if call.argument is None:
            raise ExpressionError(
                "the argument of file() must be a string literal in an expression that is evaluated later",
                call.offset,
                "write it out",
            )
        files[call.argument] = scope.read_file(call.argument)
    return files
