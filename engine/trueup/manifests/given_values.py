"""What the variables of a stack are given from outside of its file: values files and `--set`.

Both are plain data: nothing in them is ever evaluated. Called by `load` and `stack_file`.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trueup.errors import Place, Problem, SourceError
from trueup.manifests.document import MAX_DEPTH, Path, SourceDocument, SourceText
from trueup.manifests.parse import SUFFIXES, parse_data
from trueup.manifests.parse_yaml import parse_flow_value
from trueup.manifests.suggestions import did_you_mean
from trueup.manifests.value_types import Type
from trueup.manifests.variables import Given, Variable, merge, name_problem
from trueup.model.tree import Tree
from trueup.model.values import Value, digest_of

_RELATIVE = "values files are named relative to the stack's directory"
_SET_HINT = "write --set name=value, or --set name.key=value for one key of a map"
_UTF8_HINT = 'write other characters as "\\u00e9"'
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class ValuesRequest:
    """Which values a stack is to be read with: `files` of its source, in order, and over them `sets`.

    A file is named relative to the stack's directory. A set is the text of a `--set`: `replicas=3`.
    """

    files: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    @property
    def normal_files(self) -> tuple[str, ...]:
        """The files as the tree names them."""
        return tuple(posixpath.normpath(file) if file else file for file in self.files)


NO_VALUES = ValuesRequest()


@dataclass(frozen=True)
class GivenFiles:
    """The values files that were read. `is_complete` is false where one of them could not be."""

    documents: tuple[SourceDocument, ...] = ()
    is_complete: bool = True


NO_FILES = GivenFiles()


@dataclass(frozen=True)
class SetValue:
    """One `--set`, as a map with one variable in it."""

    text: str
    value: Mapping[str, Any] = field(default_factory=dict)

    def problem(self, message: str, _path: Path = (), hint: str = "", *, at_key: bool = False) -> Problem:
        del at_key
        shown = self.text.split("\n")[0]
        shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 3]}..."
        return Problem(message, Place(f"--set {shown}"), hint)


def read_values_files(request: ValuesRequest, tree: Tree, problems: list[Problem]) -> GivenFiles:
    """The values files of the request, in their order. Raises what the tree raises for a file that exists."""
    before = len(problems)
    documents = []
    for file, path in zip(request.files, request.normal_files, strict=True):
        data = _read_file(file, path, tree, problems)
        document = None if data is None else parse_data(path, data, problems, "values file")
        if document is None:
            continue
        if "apiVersion" in document.value and "kind" in document.value:
            kind = document.value["kind"]
            message = f"{path} is no values file: it is a {kind}" if isinstance(kind, str) else ""
            message = message or f"{path} is no values file: it is a resource"
            problems.append(document.problem(message, (), "a values file is a map: name: value"))
            continue
        documents.append(document)
    return GivenFiles(tuple(documents), len(problems) == before)


def _read_file(file: str, path: str, tree: Tree, problems: list[Problem]) -> bytes | None:
    place = Place(f"--values {file}")
    if not file or path.startswith("/") or "\0" in path or "\\" in path:
        message = f'"{file}" is no path of a file in the source'
        problems.append(Problem(message, place, f"{_RELATIVE}, with /"))
        return None
    if not path.endswith(SUFFIXES):
        message = f'the values file "{file}" is in no language that is known by its name'
        problems.append(Problem(message, place, f"known: {', '.join(SUFFIXES)}"))
        return None
    try:
        return tree.read(path)
    except SourceError:
        known = tree.source_paths()
        if path in known:
            raise
        problems.append(Problem(f'there is no values file "{file}"', place, _missing_hint(path, known)))
        return None


def _missing_hint(path: str, known: Sequence[str]) -> str:
    """The file that is meant; somebody may have named it relative to where he stands."""
    parts = path.split("/")
    there = set(known)
    for index in range(1, len(parts)):
        shorter = "/".join(parts[index:])
        if shorter in there:
            return f'did you mean "{shorter}"? {_RELATIVE}'
    near = did_you_mean(path, [name for name in known if name.endswith(SUFFIXES)])
    return f"{near} {_RELATIVE}" if near else f"{_RELATIVE}, and are read at the same commit"


def read_sets(
    sets: Iterable[str], variables: Mapping[str, Variable], problems: list[Problem]
) -> list[SetValue]:
    """The `--set` texts as values. A variable whose type is string takes the text as it stands."""
    found = []
    for text in sets:
        name, equals, value_text = text.partition("=")
        keys = tuple(name.split("."))
        if not equals or not all(keys) or name_problem(keys[0]) is not None:
            hint = f"{_SET_HINT}; a list is given as a whole: sites=[a, b]" if "[" in name else _SET_HINT
            problems.append(SetValue(text).problem("this is not name=value", hint=hint))
            continue
        if len(keys) > MAX_DEPTH:
            problems.append(
                SetValue(text).problem(f"nested deeper than {MAX_DEPTH} levels", hint="flatten it")
            )
            continue
        if not is_unicode(text):
            problems.append(SetValue(text).problem("this is not UTF-8", hint=_UTF8_HINT))
            continue
        variable = variables.get(keys[0])
        kind = variable.type.at(keys[1:]) if variable is not None and variable.type is not None else None
        wrong: list[Problem] = []
        value = parse_set_value(value_text, kind, wrong)
        if wrong:
            message, hint = wrong[0].message, wrong[0].hint
            if message.startswith("not YAML: "):
                message, hint = f"the value is {message}", "put it into quotes if it is text"
            problems.append(SetValue(text).problem(message, hint=hint))
            continue
        for key in reversed(keys):
            value = {key: value}
        found.append(SetValue(text, value))
    return found


def is_unicode(text: str) -> bool:
    """Whether a text of the command line or of a terminal was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_set_value(text: str, kind: Type | None, problems: list[Problem]) -> Value:
    """The value of a `--set`.

    What begins with a bracket, a brace or a quote is YAML in its flow form. Anything else is a number, true,
    false or null where YAML says so and the type is not string, and text otherwise.
    """
    stripped = text.strip()
    is_flow = stripped[:1] in ("[", "{", '"', "'")
    if not is_flow and kind is not None and kind.word == "string":
        return text
    return parse_flow_value(SourceText("the value", stripped), problems, text)


def set_text(name: str, value: Value) -> str:
    """The `--set` text that gives a variable this value, whatever its type."""
    if isinstance(value, str) and value and value == value.strip():
        wrong: list[Problem] = []
        if parse_set_value(value, None, wrong) == value and not wrong:
            return f"{name}={value}"
    text = json.dumps(value, ensure_ascii=False)
    shown = "".join(character if character.isprintable() else _escape(character) for character in text)
    return f"{name}={shown}"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def describe_values(request: ValuesRequest, given: Sequence[Given]) -> str:
    """The request in a few words that tell it from others, without the values; empty for none."""
    words = []
    if request.files:
        words.append(f"values {', '.join(request.normal_files)}")
    if given:
        merged: dict[str, Value] = {}
        for layer in given:
            merged = merge(merged, dict(layer.value))
        digest = digest_of(merged).removeprefix("sha256:")[:8]
        words.append(f"set {', '.join(sorted(merged))} ({digest})")
    return "; ".join(words)
