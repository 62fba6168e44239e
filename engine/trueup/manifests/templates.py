"""Documents with `${{ ... }}`: found once per document, filled once per node. Called by `expand`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.expressions import Expression, Part, ProgramPart, TextPlaces, explain_missing, text_of
from trueup.manifests.interpolation import has_expression, split_expressions
from trueup.manifests.program import ExpressionError, compile_expression
from trueup.model.values import UNKNOWN, Value


@dataclass(frozen=True)
class Scope:
    """The names that are known when a stack is loaded: `vars`, `git`, and where they apply `each`, `target`.

    `read_file` gives the text of a file of the tree, named relative to the manifest.
    """

    data: Mapping[str, Value]
    read_file: Callable[[str], str]

    def extended(self, **names: Value) -> Scope:
        return Scope({**self.data, **names}, self.read_file)


@dataclass
class Filled:
    """A value with its expressions replaced: those with a `ref()` are left in it as `deferred`."""

    value: Value
    deferred: list[Expression] = field(default_factory=list)


@dataclass(frozen=True)
class _TextTemplate:
    parts: tuple[Part, ...]
    has_reference: bool


@dataclass(frozen=True)
class _Static:
    value: Value


_ESCAPES = {
    "each": ("each exists only in a resource with forEach", "add forEach, or use vars"),
    "target": ("target is not known here", "use vars"),
    "self": ("self exists only in the check of a variable", "use ref() for another resource"),
}


class Template:
    """A value of a document; `is_static` when there is no expression in it at all."""

    def __init__(self, document: SourceDocument, value: Value, path: Path, problems: list[Problem]) -> None:
        self._document = document
        self._problems = problems
        is_static = not (document.source.has_expressions and has_marker(value))
        self._tree = _Static(value) if is_static else self._read(value, path)

    @property
    def is_static(self) -> bool:
        return isinstance(self._tree, _Static)

    def fill(self, scope: Scope, problems: list[Problem], no_references: str = "") -> Filled:
        """The value in a scope. `no_references` says why `ref()` is refused here; what fails is UNKNOWN."""
        filled = Filled(None)
        filled.value = _fill(self._tree, scope, filled, problems, no_references)
        return filled

    def _read(self, value: Value, path: Path) -> Any:
        if isinstance(value, dict):
            for key in value:
                if has_expression(key):
                    message = "a key cannot hold an expression"
                    self._problems.append(
                        self._document.problem(message, (*path, key), "write the key out", at_key=True)
                    )
            tree: Any = {key: self._read(item, (*path, key)) for key, item in value.items()}
            return _Static(value) if _are_static(tree.values()) else tree
        if isinstance(value, list):
            tree = [self._read(item, (*path, index)) for index, item in enumerate(value)]
            return _Static(value) if _are_static(tree) else tree
        if isinstance(value, str) and has_expression(value):
            return self._read_text(value, path)
        return _Static(value)

    def _read_text(self, text: str, path: Path) -> Any:
        try:
            split = split_expressions(text)
        except ExpressionError as error:
            (at,) = TextPlaces(self._document, path, text, (text[error.offset :],))()
            self._problems.append(Problem(error.message, at.place, error.hint))
            return _Static(UNKNOWN)
        texts = tuple(part.text for part in split if not isinstance(part, str))
        find_places = TextPlaces(self._document, path, text, texts)
        parts: list[Part] = []
        has_reference = False
        index = 0
        for part in split:
            if isinstance(part, str):
                parts.append(part)
                continue
            try:
                program = compile_expression(part.text)
            except ExpressionError as error:
                self._problems.append(find_places()[index].problem(error))
                return _Static(UNKNOWN)
            parts.append(ProgramPart(program, find_places, index))
            has_reference = has_reference or bool(program.references)
            index += 1
        if not index:
            return _Static("".join(part for part in parts if isinstance(part, str)))
        return _TextTemplate(tuple(parts), has_reference)


def has_marker(value: Value) -> bool:
    """Whether there is an expression, or its escape, anywhere in a value."""
    if isinstance(value, str):
        return "${{" in value
    if isinstance(value, dict):
        return any(has_marker(item) or "${{" in key for key, item in value.items())
    if isinstance(value, list):
        return any(has_marker(item) for item in value)
    return False


def _are_static(trees: Any) -> bool:
    return all(isinstance(tree, _Static) and not _is_changed(tree) for tree in trees)


def _is_changed(tree: _Static) -> bool:
    """Whether the tree differs from the document: an escape that was taken out, a part that failed."""
    return tree.value is UNKNOWN or (isinstance(tree.value, str) and "${{" in tree.value)


def _fill(tree: Any, scope: Scope, filled: Filled, problems: list[Problem], no_references: str) -> Value:
    if isinstance(tree, _Static):
        return tree.value
    if isinstance(tree, dict):
        return {k: _fill(item, scope, filled, problems, no_references) for k, item in tree.items()}
    if isinstance(tree, list):
        return [_fill(item, scope, filled, problems, no_references) for item in tree]
    if tree.has_reference and no_references:
        part = next(p for p in tree.parts if isinstance(p, ProgramPart) and p.program.references)
        offset = part.program.references[0].offset - len("ref")
        problems.append(
            part.problem(ExpressionError(f"ref() cannot be used {no_references}", offset, "use vars instead"))
        )
        return UNKNOWN
    return _fill_text(tree, scope, filled, problems)


def _fill_text(tree: _TextTemplate, scope: Scope, filled: Filled, problems: list[Problem]) -> Value:
    values: list[Value] = []
    files: dict[str, str] = {}
    for part in tree.parts:
        if isinstance(part, str):
            values.append(part)
            continue
        try:
            _check_names(part, scope)
            if tree.has_reference:
                files.update(_read_files(part, scope))
                continue
            value = part.program.evaluate(scope.data, scope.read_file)
            values.append(value if len(tree.parts) == 1 else text_of(value))
        except ExpressionError as error:
            found = explain_missing(error, part.program, scope.data, {})
            problems.append(part.problem(found or error))
            return UNKNOWN
    if not tree.has_reference:
        return values[0] if len(tree.parts) == 1 else "".join(values)
    expression = Expression(tree.parts, scope.data, files)
    filled.deferred.append(expression)
    return expression


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
                "the argument of file() must be a string literal beside a ref()", call.offset, "write it out"
            )
        files[call.argument] = scope.read_file(call.argument)
    return files
