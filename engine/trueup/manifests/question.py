"""An expression that somebody asks about a stack, in the scope that its resources have. Called by `load`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from trueup.errors import Place, Problem
from trueup.manifests.document import Path, SourceDocument, SourceText
from trueup.manifests.given_values import is_unicode
from trueup.manifests.interpolation import has_expression
from trueup.manifests.program import ExpressionError, compile_expression
from trueup.manifests.suggestions import suggest
from trueup.manifests.templates import NO_TARGET, Filled, Scope, Template
from trueup.manifests.text_places import TextPlace
from trueup.model.values import UNKNOWN, Value

FILE = "expression"


@dataclass(frozen=True)
class Question:
    """The text: an expression, or a text with `${{ ... }}` in it. `target` is the name of one, or empty."""

    text: str
    target: str = ""


class _Asked(SourceText):
    """The text of a question, which is an expression although it stands in no braces."""

    has_expressions = True


class _Start:
    """The only place that the parts of a question have: its beginning."""

    def value_offset(self, _path: Path) -> int:
        return 0

    def key_offset(self, _path: Path) -> None:
        return None


def read_question(
    question: Question,
    data: Mapping[str, Value],
    targets: Mapping[str, Mapping[str, Value]],
    read_text: Callable[[str, SourceDocument], str],
    problems: list[Problem],
) -> Filled:
    """The value as far as it is known without a live system; what is left of it has still to be bound.

    `targets` are what expressions may see of each target, by name.
    """
    if not is_unicode(question.text):
        problems.append(Problem("the expression is not UTF-8", Place(FILE), 'write "\\u00e9", for one'))
        return Filled(UNKNOWN)
    text = question.text
    if not has_expression(text):
        try:
            compile_expression(text)  # for an error that knows of no braces
        except ExpressionError as error:
            problems.append(TextPlace(text, Place(FILE, 1, 1)).problem(error))
            return Filled(UNKNOWN)
        text = f"${{{{ {text}\n}}}}"  # its last line may be a comment
    document = SourceDocument({}, _Asked(FILE, question.text), _Start())
    scope = Scope(data, lambda name: read_text(name, document))
    if question.target:
        if question.target not in targets:
            hint = suggest(question.target, targets, "targets")
            problems.append(Problem(f'there is no target "{question.target}"', Place(FILE), hint))
            return Filled(UNKNOWN)
        scope = scope.extended(target=targets[question.target])
    before = len(problems)
    filled = Template(document, text, (), problems).fill(scope, problems)
    if not question.target:
        known = ", ".join(targets)
        hint = (
            f"say which one with --target NAME; there are: {known}" if known else "the stack has no targets"
        )
        problems[before:] = [
            replace(each, hint=hint) if each.message.startswith(f"{NO_TARGET}") else each
            for each in problems[before:]
        ]
    return filled
