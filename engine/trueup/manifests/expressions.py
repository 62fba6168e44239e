"""Values that need other nodes: an expression with a `ref()`, and how it becomes a value.

`templates` makes the expressions when a stack is loaded; the loop calls `resolve` for each node, first with
what the plan knows and again right before the node is acted on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.errors import ManifestError, Place, Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.program import ExpressionError, Program, follow
from trueup.manifests.suggestions import did_you_mean
from trueup.manifests.syntax_tree import Call
from trueup.model.address import Address
from trueup.model.resource import Reference
from trueup.model.values import UNKNOWN, Document, PartlyKnown, Sensitive, Unknown, Value, map_leaves, reveal

_MISSING_KEY = re.compile(r'Key not found in map : ["\'](.*)["\']', re.DOTALL)

Lookup = Callable[[Address], Document | Unknown]


@dataclass(frozen=True)
class TextPlace:
    """Where the text of an expression stands; `indent` is what a block of YAML strips."""

    text: str
    place: Place
    indent: int = 0

    def problem(self, error: ExpressionError) -> Problem:
        """An error in the text as a problem in the file."""
        before = self.text[: error.offset]
        lines = before.count("\n")
        column = self.place.column + len(before)
        if lines:
            column = self.indent + len(before) - before.rfind("\n")
        return Problem(error.message, Place(self.place.file, self.place.line + lines, column), error.hint)


class TextPlaces:
    """Finds where the expressions of one string of a document stand, when it is asked for the first time.

    It refers to the document and to nothing that refers to it, so that both go once they are not needed.
    """

    __slots__ = ("_document", "_path", "_places", "_texts", "_whole")

    def __init__(self, document: SourceDocument, path: Path, whole: str, texts: tuple[str, ...]) -> None:
        self._document = document
        self._path = path
        self._whole = whole
        self._texts = texts
        self._places: Sequence[TextPlace] | None = None

    def __call__(self) -> Sequence[TextPlace]:
        """The places, in the order of the texts."""
        if self._places is None:
            self._places = tuple(self._find_all())
        return self._places

    def _find_all(self) -> Iterator[TextPlace]:
        offset = self._document.offset_of(self._path)
        # Escapes and indentation make the text in the file longer than the string, within limits.
        end = offset + 8 * len(self._whole) + 4096
        for text in self._texts:
            found = self._find(text, offset, end)
            place = self._document.source.place(offset if found is None else found)
            offset = offset if found is None else found + len(text)
            yield TextPlace(text, place, self._indent(text, place.line))

    def _find(self, part: str, start: int, end: int) -> int | None:
        """Where the part of a string stands in the file, unless escapes or folding changed its look."""
        source = self._document.source.text
        found = source.find(part, start, end)
        if found < 0 and "\n" in part:
            found = source.find(part.split("\n")[0], start, end)
        return found if found >= 0 else None

    def _indent(self, text: str, line: int) -> int:
        """How far the second line of a text stands to the right in its file."""
        if "\n" not in text:
            return 0
        second = text.split("\n")[1]
        return max(0, self._document.source.line(line + 1).find(second))


@dataclass(frozen=True)
class ProgramPart:
    """One `${{ ... }}` of a string: its program, and how to find where the string's texts stand.

    Finding them takes longer than reading the string, so it waits for a problem.
    """

    program: Program
    find_places: TextPlaces
    index: int

    def problem(self, error: ExpressionError) -> Problem:
        """An error of the program as a problem in the file."""
        return self.find_places()[self.index].problem(error)


Part = str | ProgramPart


class Expression:
    """A string with at least one `ref()`: a leaf of a body that is known only after other nodes are.

    Implements `trueup.model.resource.Deferred`. `data` holds the names that were known when the stack was
    loaded, `files` the texts of its `file()` calls.
    """

    __slots__ = ("_addresses", "_data", "_files", "_parts", "_paths", "_references")

    def __init__(self, parts: Sequence[Part], data: Mapping[str, Value], files: Mapping[str, str]) -> None:
        self._parts = tuple(parts)
        self._data = data
        self._files = files
        self._addresses: dict[str, Address] = {}
        self._paths: dict[str, set[tuple[str, ...]]] = {}
        for call in self._calls():
            self._paths.setdefault(call.argument or "", set()).add(call.path)
        self._references: tuple[Reference, ...] | None = None

    def __repr__(self) -> str:
        texts = (part if isinstance(part, str) else f"${{{{ {part.program.text} }}}}" for part in self._parts)
        return "".join(texts)

    def __deepcopy__(self, _memo: object) -> Expression:
        return self

    @property
    def programs(self) -> Sequence[ProgramPart]:
        return [part for part in self._parts if isinstance(part, ProgramPart)]

    def bind(self, addresses: Mapping[str, Address]) -> None:
        """Says which nodes the arguments of `ref()` mean; called once, when all nodes are known."""
        self._addresses = dict(addresses)
        self._references = None

    @property
    def references(self) -> tuple[Reference, ...]:
        """The nodes that the expression reads, each with the fields that are selected literally."""
        if self._references is None:
            found = (Reference(self._addresses[call.argument or ""], call.path) for call in self._calls())
            self._references = tuple(dict.fromkeys(found))
        return self._references

    def _calls(self) -> Iterator[Call]:
        for part in self._parts:
            if isinstance(part, ProgramPart):
                yield from (call for call in part.program.references if call.argument is not None)

    def evaluate(self, lookup: Lookup) -> Value:
        """The value, UNKNOWN where any part that it reads is not known, Sensitive where any part is.

        Raises ManifestError where a field does not exist or the expression fails on the values.
        """
        objects: dict[str, Any] = {}
        is_sensitive = False
        for argument, paths in self._paths.items():
            document = lookup(self._addresses[argument])
            selected = _select(document, paths)
            if selected is None:
                return UNKNOWN
            objects[argument], touches_sensitive = selected
            is_sensitive = is_sensitive or touches_sensitive
        value = self._join(objects, is_sensitive)
        return Sensitive(value) if is_sensitive else value

    def _join(self, objects: Mapping[str, Any], is_sensitive: bool) -> Value:
        values: list[Value] = []
        for part in self._parts:
            if isinstance(part, str):
                values.append(part)
                continue
            try:
                value = part.program.evaluate(self._data, self._files.__getitem__, objects)
                values.append(value if len(self._parts) == 1 else text_of(value))
            except ExpressionError as error:
                found = explain_missing(error, part.program, self._data, objects)
                if found is None and is_sensitive:
                    # CEL's message may quote a value.
                    found = ExpressionError("the expression fails on a sensitive value")
                raise ManifestError([part.problem(found or error)]) from None
        return values[0] if len(values) == 1 else "".join(values)


def resolve(body: Document, lookup: Lookup) -> Document:
    """A copy of a body with its expressions replaced by values. Raises ManifestError with all problems."""
    problems: list[Problem] = []

    def change(leaf: Value) -> Value:
        if not isinstance(leaf, Expression):
            return leaf
        try:
            return leaf.evaluate(lookup)
        except ManifestError as error:
            problems.extend(error.problems)
            return UNKNOWN

    result: Document = map_leaves(body, change)
    if problems:
        raise ManifestError(problems)
    return result


def text_of(value: Value) -> str:
    """The value as it stands inside a string. Raises ExpressionError for what has no one text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    kind = "null" if value is None else "a list" if isinstance(value, list) else "a map"
    raise ExpressionError(
        f"the expression gives {kind}, which cannot be put into a string",
        hint="select one of its fields, or make the expression the whole value",
    )


def explain_missing(
    error: ExpressionError, program: Program, data: Mapping[str, Value], objects: Mapping[str, Value]
) -> ExpressionError | None:
    """For an error about a missing field: which of the fields that are named literally it is."""
    missing = _MISSING_KEY.search(error.message)
    if missing is None and "SELECT to non-message" not in error.message:
        return None
    reads = [
        (f'ref("{call.argument}")', objects.get(call.argument or ""), call.path, call.offset - len("ref"))
        for call in program.references
    ]
    reads += [
        (selection.variable, data.get(selection.variable), selection.path, selection.offset)
        for selection in program.selections
    ]
    for name, value, path, offset in reads:
        for position, key in enumerate(path):
            container = follow(value, path[:position])
            where = ".".join((name, *path[:position]))
            if not isinstance(container, Mapping):
                if missing is not None:
                    break
                message = f'{where} is {kind_of_value(container)}, which has no field "{key}"'
                return ExpressionError(message, offset, "look at what it holds")
            if key not in container and missing is not None and missing[1] == key:
                return _missing(where, key, list(container), offset)
    return None


def _missing(where: str, key: str, there: list[str], offset: int) -> ExpressionError:
    if where == "vars":
        message = f'there is no variable "{key}"'
        hint = did_you_mean(key, there) or "declare it in the stack file, under spec.variables"
        return ExpressionError(message, offset, hint)
    known = ", ".join(sorted(there)[:20]) or "nothing"
    hint = did_you_mean(key, there) or f"what is there: {known}; has() tells whether a field exists"
    return ExpressionError(f'{where} has no field "{key}"', offset, hint)


_Selected = tuple[Any, bool]


def _select(document: Document | Unknown, paths: set[tuple[str, ...]]) -> _Selected | None:
    """The part of a document under the paths, in plain values, and whether any of it is sensitive.

    None where any of it is not known, or where the system may still add to it. What the expression does not
    select never reaches it.
    """
    result: Any = {}
    is_sensitive = False
    # The longest first, so that a path that contains another one has the last word.
    for path in sorted(paths, key=lambda path: (-len(path), path)):
        value: Any = document
        taken: list[str] = []
        is_missing = False
        for key in path:
            if isinstance(value, Sensitive):
                value, is_sensitive = reveal(value), True
            if not isinstance(value, Mapping):
                break
            taken.append(key)
            if key not in value:
                is_missing = True
                break
            value = value[key]
        if _is_unknown(value) or (isinstance(document, PartlyKnown) and isinstance(value, Mapping)):
            return None
        if is_missing:
            _keep_siblings(result, document, taken)
            continue
        if _has_sensitive(value):
            value, is_sensitive = reveal(value), True
        result = _put(result, taken, map_leaves(value, lambda leaf: leaf))
    return result, is_sensitive


def _put(result: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    inner = result
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = value
    return result


def _keep_siblings(result: dict[str, Any], document: Any, path: list[str]) -> None:
    """For the message about a missing field: the names beside it, without their values."""
    value, inner = document, result
    for key in path[:-1]:
        value = value[key]
        inner = inner.setdefault(key, {})
        if isinstance(value, Sensitive):
            return
    for key in value:
        inner.setdefault(key, {})


def _is_unknown(value: Any) -> bool:
    if type(value) is str:
        return False
    if isinstance(value, Mapping):
        return any(_is_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_is_unknown(item) for item in value)
    if isinstance(value, Sensitive):
        return _is_unknown(reveal(value))
    return value is UNKNOWN or isinstance(value, Expression)


def _has_sensitive(value: Any) -> bool:
    if type(value) is str:
        return False
    if isinstance(value, Mapping):
        return any(_has_sensitive(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_sensitive(item) for item in value)
    return isinstance(value, Sensitive)
