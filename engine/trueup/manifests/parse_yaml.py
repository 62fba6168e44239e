"""YAML to documents: libyaml composes the nodes, and our own builder applies the YAML 1.2 core rules.

PyYAML's own constructors follow YAML 1.1 (`no` is false, `0644` is 420), accept duplicate keys and expand
aliases without bound. Called by `parse`.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import Any, cast

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trueup.errors import Place, Problem
from trueup.manifests.document import (
    MAX_DEPTH,
    MAX_INTEGER,
    MIN_INTEGER,
    Path,
    SourceDocument,
    SourceText,
    shorten,
)
from trueup.manifests.yaml_faults import explain_fault

# How many nodes the aliases of one file may add to the nodes that are written out.
MAX_ALIASED_NODES = 100_000
# libyaml compares each %TAG line with all before it.
_MAX_DIRECTIVES = 100
# Longer than any number of 64 bits that anybody writes out.
_MAX_NUMBER = 1000
# Of one document, so that what is wrong a hundred thousand times is soon told.
_MAX_PROBLEMS = 1000

_PLAIN, _TEXT, _COLLECTION = "plain", "text", "collection"
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# What Kubernetes takes for a boolean, as YAML 1.1 does.
_KUBERNETES_CONSTANTS: dict[str, Any] = {
    **_CONSTANTS,
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_OCTAL = re.compile(r"[-+]?0[0-7]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MAY_BE_NUMBER = frozenset("0123456789+-.")
_MERGE = "<<"
# Line breaks to YAML 1.1, and so to libyaml, which would fold them into blanks; text to YAML 1.2 and to JSON.
_OLD_BREAK = re.compile("[\x85\u2028\u2029]")


class _Composer(CParser):
    """libyaml's composer, which says only whether a scalar is plain: the builder knows the types."""

    def resolve(self, kind: type[Node], _value: str | None, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return _COLLECTION

    def descend_resolver(self, _parent: Node | None, _index: Any) -> None:
        """PyYAML's resolvers by path: there are none."""

    def ascend_resolver(self) -> None:
        """See descend_resolver."""


class _Refused(Exception):
    """The rest of the document makes no sense any more; the problem is noted."""


def parse_yaml(
    source: SourceText, problems: list[Problem], *, as_kubernetes: bool = False
) -> list[SourceDocument]:
    """The documents of a YAML file that are maps; what is wrong goes to `problems`.

    `as_kubernetes`: plain scalars mean what they mean to kubectl and helm, where 0644 is octal and `yes` is
    true. That is for what these tools printed; people who write either are asked what they mean.
    """
    documents: list[SourceDocument] = []
    if not as_kubernetes and _has_old_break(source, problems):
        return documents
    if source.text.count("\n%") > _MAX_DIRECTIVES:
        hint = "remove the lines that begin with %"
        problems.append(
            Problem(
                f"more than {_MAX_DIRECTIVES} directives", source.place(source.text.index("\n%") + 1), hint
            )
        )
        return documents
    try:
        composer = _Composer(source.text)
        while composer.check_node():
            root: Any = composer.get_node()
            if root.tag == _PLAIN and root.value in _CONSTANTS and _CONSTANTS[root.value] is None:
                continue
            if not isinstance(root, MappingNode):
                problems.append(
                    Problem("a document must be a map", _place(source, root), "write `key: value` lines")
                )
                continue
            value = _Builder(source, problems, as_kubernetes).build_document(root)
            if value is not None:
                documents.append(SourceDocument(value, source, _YamlLocator(source, root)))
    except yaml.YAMLError as error:
        problems.append(explain_fault(source, error))
    return documents


def _has_old_break(source: SourceText, problems: list[Problem]) -> bool:
    found = None if source.text.isascii() else _OLD_BREAK.search(source.text)
    if found is None:
        return False
    code = f"{ord(found[0]):04X}"
    message = f"the character U+{code} ends a line for some readers of YAML and not for others"
    hint = f'write it as "\\u{code.lower()}" in double quotes'
    problems.append(Problem(message, source.place(found.start()), hint))
    return True


def parse_flow_value(source: SourceText, problems: list[Problem], text: str) -> Any:
    """One value outside of any document: a list or map in its flow form, a quoted or a plain scalar.

    A plain scalar that is neither a number nor a constant is `text`, whatever marks of YAML it holds.
    """
    first = source.text[:1]
    expected: Any = {"[": SequenceNode, "{": MappingNode, '"': ScalarNode, "'": ScalarNode}.get(first)
    builder = _Builder(source, problems)
    if expected is None:
        return builder.build_plain(source.text, text)
    if _has_old_break(source, problems):
        return None
    try:
        root: Any = _Composer(source.text).get_single_node()
    except yaml.YAMLError as error:
        problems.append(explain_fault(source, error))
        return None
    if not isinstance(root, expected) or (expected is MappingNode and not root.flow_style):
        message = f"there is text after the end of what {first} begins"
        problems.append(Problem(message, source.place(0), "put the whole value into one pair of quotes"))
        return None
    return builder.build_value(root)


class _Builder:
    """Plain values from the nodes of one document."""

    def __init__(self, source: SourceText, problems: list[Problem], as_kubernetes: bool = False) -> None:
        self._source = source
        self._problems = problems
        self._as_kubernetes = as_kubernetes
        self._constants = _KUBERNETES_CONSTANTS if as_kubernetes else _CONSTANTS
        self._seen: set[int] | None = set() if "*" in source.text else None
        self._aliased = 0
        self._noted = 0

    def build_document(self, root: MappingNode) -> dict[str, Any] | None:
        before = len(self._problems)
        try:
            value = self._map(root, 1)
        except _Refused:
            return None
        return value if len(self._problems) == before else None

    def build_value(self, root: Node) -> Any:
        """What stands in a node of any kind; None with a problem where it makes no sense."""
        try:
            return self._build(root, 0)
        except _Refused:
            return None

    def build_plain(self, scalar: str, text: str) -> Any:
        """What a plain scalar means; `text` where it is a string."""
        if scalar not in _CONSTANTS and not _is_number(scalar):
            return text
        start = yaml.Mark("", 0, 0, 0, None, 0)
        return self._scalar(ScalarNode(_PLAIN, scalar, start, start))

    def _build(self, node: Any, depth: int) -> Any:
        if node.__class__ is ScalarNode:
            if node.tag == _TEXT:
                return node.value
            return self._scalar(node)
        return self._map(node, depth + 1) if node.__class__ is MappingNode else self._list(node, depth + 1)

    def _map(self, node: MappingNode, depth: int) -> dict[str, Any]:
        self._enter(node, depth)
        result: dict[str, Any] = {}
        merges: list[Node] = []
        firsts: dict[str, Node] = {}
        build = self._build
        for key_node, value_node in node.value:
            key = key_node.value
            # Most keys are plain words: one test finds them.
            if key_node.tag == _PLAIN and key.isalpha() and key not in _CONSTANTS:
                pass
            elif key_node.tag == _PLAIN and key == _MERGE:
                merges.append(value_node)
                continue
            elif key_node.tag != _TEXT and not self._is_key(key_node):
                continue
            if key in result:
                firsts = firsts or _first_places(node)
                self._duplicate(firsts[key], key_node)
                continue
            result[key] = build(value_node, depth)
        for merged in merges:
            for key, value in self._merged(merged, depth):
                result.setdefault(key, value)
        return result

    def _list(self, node: SequenceNode, depth: int) -> list[Any]:
        self._enter(node, depth)
        build = self._build
        return [build(item, depth) for item in node.value]

    def _enter(self, node: Node, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._problems.append(
                Problem(f"nested deeper than {MAX_DEPTH} levels", _place(self._source, node), "flatten it")
            )
            raise _Refused
        if node.tag != _COLLECTION:
            self._refuse_tag(node)
        if self._seen is not None:
            if id(node) in self._seen:
                self._aliased += 1 + len(node.value)
                if self._aliased > MAX_ALIASED_NODES:
                    message = f"the aliases of this document expand to more than {MAX_ALIASED_NODES} values"
                    self._problems.append(
                        Problem(message, _place(self._source, node), "write the values out, or use variables")
                    )
                    raise _Refused
            self._seen.add(id(node))

    def _merged(self, node: Node, depth: int) -> list[tuple[str, Any]]:
        """The members that a merge key adds: of one map, or of a list of maps where the first one wins."""
        if isinstance(node, MappingNode):
            return list(self._map(node, depth + 1).items())
        if isinstance(node, SequenceNode) and all(isinstance(item, MappingNode) for item in node.value):
            self._enter(node, depth + 1)
            merged: dict[str, Any] = {}
            for item in node.value:
                for key, value in self._map(item, depth + 2).items():
                    merged.setdefault(key, value)
            return list(merged.items())
        self._note(node, "the merge key << takes a map or a list of maps", 'quote it ("<<") for a plain key')
        return []

    def _is_key(self, node: Node) -> bool:
        if not isinstance(node, ScalarNode):
            self._note(
                node, "a key must be a string, not a list or a map", "quote values that hold { } or [ ]"
            )
            return False
        if node.tag != _PLAIN:
            self._refuse_tag(node)
            return False
        text = node.value
        if text in _CONSTANTS or (text[0] in _MAY_BE_NUMBER and _is_number(text)):
            shown = shorten(text) or "(empty)"
            self._note(
                node, f"a key must be a string, and {shown} is not one", f'quote it: "{shorten(text)}"'
            )
            return False
        return True

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag != _PLAIN:
            self._refuse_tag(node)
            return None
        text = node.value
        if text in self._constants:
            return self._constants[text]
        if text[0] not in _MAY_BE_NUMBER or not _is_number(text):
            return text
        if _INTEGER.fullmatch(text):
            if self._as_kubernetes and _OCTAL.fullmatch(text):
                return int(text, 8)
            if _LEADING_ZERO.fullmatch(text):
                self._note(
                    node,
                    f"{shorten(text)} is ambiguous: octal in some readers of YAML, decimal in others",
                    f'write "{shorten(text)}" in quotes for text such as a file mode, or '
                    f"{shorten(text.lstrip('+-0')) or 0} for a number",
                )
                return None
            # Python refuses to read integers of thousands of digits.
            number = int(text, 0) if len(text) <= _MAX_NUMBER else MAX_INTEGER + 1
            if not MIN_INTEGER <= number <= MAX_INTEGER:
                shown = shorten(text)
                self._note(node, f"{shown} does not fit into 64 bits", f'quote it if it is text: "{shown}"')
            return number
        value = float(text) if _FLOAT.fullmatch(text) else float("nan")
        if value - value != 0:
            shown = shorten(text)
            self._note(node, f"{shown} is not a finite number", f'quote it if it is text: "{shown}"')
        return value

    def _duplicate(self, first: Node, again: ScalarNode) -> None:
        self._note(
            again,
            f'duplicate key "{shorten(again.value)}", first at {_place(self._source, first)}',
            "keep one of the two",
        )

    def _refuse_tag(self, node: Node) -> None:
        tag = shorten(node.tag.replace("tag:yaml.org,2002:", "!!"))
        self._note(node, f"the tag {tag} is not supported", "write the value without a tag")

    def _note(self, node: Node, message: str, hint: str) -> None:
        self._problems.append(Problem(message, _place(self._source, node), hint))
        self._noted += 1
        if self._noted > _MAX_PROBLEMS:
            raise _Refused


def _first_places(node: MappingNode) -> dict[str, Node]:
    """Where each key of a map stands first."""
    found: dict[str, Node] = {}
    for key, _ in node.value:
        if isinstance(key.value, str):
            found.setdefault(key.value, key)
    return found


def _is_number(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text))


def _place(source: SourceText, node: Node) -> Place:
    return Place(source.file, node.start_mark.line + 1, node.start_mark.column + 1)


class _YamlLocator:
    """Finds values by composing the document once more; merge keys are followed.

    Keeping the nodes of all documents instead would cost several times the parsing, in garbage collection.
    """

    def __init__(self, source: SourceText, root: MappingNode) -> None:
        self._source = source
        self._root = root.start_mark.index
        self._start = root.start_mark.index - root.start_mark.column
        self._end = root.end_mark.index

    def value_offset(self, path: Path) -> int | None:
        if not path:
            return self._root
        found = self._find(path)
        return self._start + found[1].start_mark.index if found else None

    def key_offset(self, path: Path) -> int | None:
        found = self._find(path)
        return self._start + found[0].start_mark.index if found and found[0] is not None else None

    @cached_property
    def _text(self) -> str:
        return self._source.text[self._start : self._end]

    def _find(self, path: Path) -> tuple[Node | None, Node] | None:
        found: tuple[Node | None, Node] = (None, _compose(self._text))
        for step in path:
            member = _member(found[1], step)
            if member is None:
                return None
            found = member
        return found


@lru_cache(maxsize=4)
def _compose(text: str) -> Node:
    """The nodes of a document that was composed before; those of the last few are kept."""
    return cast(Node, _Composer(text).get_single_node())


def _member(node: Node, step: str | int) -> tuple[Node | None, Node] | None:
    if isinstance(node, SequenceNode) and isinstance(step, int):
        return (None, node.value[step]) if step < len(node.value) else None
    if not isinstance(node, MappingNode):
        return None
    for key, value in node.value:
        if key.value == step and not (key.tag == _PLAIN and step == _MERGE):
            return key, value
    for key, value in node.value:
        if key.tag == _PLAIN and key.value == _MERGE:
            for merged in [value] if isinstance(value, MappingNode) else value.value:
                found = _member(merged, step)
                if found is not None:
                    return found
    return None
