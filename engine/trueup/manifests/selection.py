"""The part of a document that an expression selects. Called by `program` and `expressions`.

What an expression does not select never reaches it: it may be unknown, or sensitive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.model.values import UNKNOWN, PartlyKnown, Sensitive, Value, reveal

FieldPath = tuple[str, ...]
PLAIN_TYPES = frozenset({str, bool, int, float, type(None)})
# A dict, which nearly every map is, is told far quicker than a Mapping.
_MAPS = (dict, Mapping)
_CONTAINERS = (*_MAPS, list, tuple)


@dataclass(frozen=True)
class Reads:
    """The fields of one document that are read, longest first; of `tests` only whether they are there."""

    paths: tuple[FieldPath, ...] = ()
    tests: tuple[FieldPath, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[FieldPath], tests: Iterable[FieldPath] = ()) -> Reads:
        return cls(tuple(_longest_first(paths)), tuple(_longest_first(tests)))


def _longest_first(paths: Iterable[FieldPath]) -> list[FieldPath]:
    """So that a path that contains another one has the last word."""
    return sorted(set(paths), key=lambda path: (-len(path), path))


def narrow(document: Value, reads: Reads) -> Value:
    """The part of a document that is read, as it is. CEL takes over all that it is given, at each call."""
    if () in reads.paths:
        return document
    result: Value = {}
    for path in reads.tests:
        taken, _ = _walk(document, path)
        _put_name(result, taken)
    for path in reads.paths:
        taken, value = _walk(document, path)
        if len(taken) < len(path) and isinstance(value, Mapping):
            _put_name(result, taken)  # the field is missing: what misses it has to be there
        else:
            result = _put(result, taken, value)
    return result


def _walk(document: Value, path: FieldPath) -> tuple[FieldPath, Value]:
    """How far the path leads, and the value there."""
    value = document
    for position, key in enumerate(path):
        if not isinstance(value, Mapping) or key not in value:
            return path[:position], value
        value = value[key]
    return path, value


_MAX_INT = 2**63


class NotPlain(Exception):
    """A value of which CEL would make something else, or nothing."""


def copy_plain(value: Value) -> Value:
    """The value as CEL gives it back, maps sorted by their keys. What is known only later stays as it is.

    Raises NotPlain for what CEL does not take.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int and not -_MAX_INT <= value < _MAX_INT:
        raise NotPlain
    if kind is float and not math.isfinite(value):
        raise NotPlain
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise NotPlain
        return {key: copy_plain(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [copy_plain(item) for item in value]
    return value


def select_plain(value: Value, path: FieldPath) -> Value:
    """What stands at the end of a path, as CEL gives it. Raises NotPlain where CEL has a word to say."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            raise NotPlain
        value = value[key]
    if type(value) in PLAIN_TYPES or isinstance(value, Mapping | list):
        return copy_plain(value)
    raise NotPlain


class _NotKnown(Exception):
    """A selected value is not known."""


class Selector:
    """Selects for one evaluation. `evaluate` gives the value of an expression that stands in the data.

    `is_sensitive` once anything was that it selected.
    """

    def __init__(self, evaluate: Callable[[Value], Value]) -> None:
        self._evaluate = evaluate
        self.is_sensitive = False

    def select(self, document: Value, reads: Reads) -> Value:
        """What is read; UNKNOWN where any of it is not known or may still be added to."""
        result: Value = {}
        try:
            for path in reads.tests:
                result = self._add(result, document, path, is_test=True)
            for path in reads.paths:
                result = self._add(result, document, path, is_test=False)
        except _NotKnown:
            return UNKNOWN
        return result

    def _add(self, result: Value, document: Value, path: FieldPath, *, is_test: bool) -> Value:
        value = self._open(document)
        taken: list[str] = []
        for position, key in enumerate(path):
            if not isinstance(value, _MAPS):
                break
            taken.append(key)
            if key not in value:
                if isinstance(document, PartlyKnown):
                    raise _NotKnown
                self._keep_siblings(result, document, taken)
                return result
            if is_test and position == len(path) - 1:
                _put_name(result, taken)
                return result
            value = self._open(value[key])
        if isinstance(document, PartlyKnown) and isinstance(value, Mapping):
            raise _NotKnown
        return _put(result, taken, self._plain(value))

    def _open(self, value: Value) -> Value:
        """The value itself: what an expression gives, what a sensitive value holds."""
        if type(value) in PLAIN_TYPES or isinstance(value, _CONTAINERS):
            return value
        if value is UNKNOWN:
            raise _NotKnown
        if isinstance(value, Sensitive):
            self.is_sensitive = True
            return reveal(value)
        return self._open(self._evaluate(value))

    def _plain(self, value: Value) -> Value:
        value = self._open(value)
        if type(value) in PLAIN_TYPES:
            return value
        if isinstance(value, Mapping):
            return {key: self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        return value

    def _keep_siblings(self, result: dict[str, Any], document: Value, path: list[str]) -> None:
        """For the message about a missing field: the names beside it, without their values."""
        value, inner = document, result
        for key in path[:-1]:
            if not isinstance(value, Mapping):
                return  # hidden in a sensitive value or in an expression
            value = value[key]
            inner = inner.setdefault(key, {})
        if isinstance(value, Mapping):
            for key in value:
                inner.setdefault(key, {})


def _put_name(result: Value, path: Iterable[str]) -> None:
    for key in path:
        result = result.setdefault(key, {})


def _put(result: Value, path: Sequence[str], value: Value) -> Value:
    if not path:
        return value
    inner = result
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = value
    return result
