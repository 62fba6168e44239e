"""Where the expressions of a document stand in its file. Called by `templates` and `expressions`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trueup.errors import Place, Problem
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.program import ExpressionError, Program


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

    @property
    def place(self) -> Place:
        """Where the program stands."""
        return self.find_places()[self.index].place

    def problem(self, error: ExpressionError) -> Problem:
        """An error of the program as a problem in the file."""
        return self.find_places()[self.index].problem(error)


Part = str | ProgramPart
