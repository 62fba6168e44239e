"""Why libyaml does not take a text, with its place and what usually helps. Called by `parse_yaml`."""

from __future__ import annotations

import yaml

from trueup.errors import Place, Problem
from trueup.manifests.document import MAX_DEPTH, SourceText


def explain_fault(source: SourceText, error: yaml.YAMLError) -> Problem:
    """The problem that an exception of the parser is, with what usually helps."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        position = getattr(error, "position", None)
        place = source.place(position) if isinstance(position, int) else Place(source.file)
        return Problem(f"not YAML: {getattr(error, 'reason', error)}", place, "remove the character")
    place = Place(source.file, mark.line + 1, mark.column + 1)
    what = getattr(error, "problem", None) or "syntax error"
    context = getattr(error, "context", None)
    message = f"not YAML: {context}: {what}" if context else f"not YAML: {what}"
    begin = getattr(error, "context_mark", None)
    if begin is not None and begin.line != mark.line:
        message += f" (it begins on line {begin.line + 1})"
    return Problem(message, place, _syntax_hint(source.line(mark.line + 1), what))


def _syntax_hint(line: str, what: str) -> str:
    if "${{" in line:
        return "put the whole value with the expression into quotes"
    if line[: len(line) - len(line.lstrip())].count("\t"):
        return "indent with spaces: YAML takes no tabs"
    if "nesting depth" in what:
        return f"at most {MAX_DEPTH} levels are allowed"
    if "mapping values" in what:
        return 'quote a value that holds ": ", and check the indentation'
    if "undefined alias" in what:
        return "define the anchor with & above, or quote a value that begins with *"
    return "check the indentation and the quotes around here"
