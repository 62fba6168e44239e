"""CEL's own conformance tests: whatever the library makes of them, an expression in a resource gives too.

Left out are tests that bind what data of a stack cannot hold: messages of protobuf, unsigned numbers, bytes,
and names with dots. Results that JSON has no form for are errors here, and nothing else may differ.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cel_expr_python import cel

from trueup.manifests.parse import parse_file
from trueup.manifests.program import read_no_file
from trueup.manifests.templates import Scope, Template

# In a resource it is no variable of its own, so it has no name that begins with a dot.
LEFT_OUT = {("namespace", "comprehension_shadowing_disambiguation")}
# Standard CEL; the other files are about extensions and about messages of protobuf.
AT_LEAST = {
    "basic": 36,
    "comparisons": 450,
    "conversions": 95,
    "fields": 40,
    "fp_math": 28,
    "integer_math": 45,
    "lists": 30,
    "logic": 16,
    "macros": 38,
    "parse": 170,
    "string": 50,
    "timestamps": 65,
    "type_deduction": 24,
}


class _NotData(Exception):
    """A value that data of a stack cannot hold."""


@dataclass(frozen=True)
class Case:
    file: str
    name: str
    text: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """`kind`: refused by the compiler, an error, or a value; `other` is a value that JSON has no form for."""

    kind: str
    value: Any = None


def read_cases(file: Path) -> Iterator[Case]:
    for line in file.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        for section in document["tests"].get("section", ()):
            for test in section.get("test", ()):
                try:
                    bound = test.get("bindings", {})
                    data = {
                        name: read_value(item["value"]) for name, item in bound.items() if check_name(name)
                    }
                except _NotData:
                    continue
                if (document["file"], test["name"]) not in LEFT_OUT:
                    yield Case(document["file"], f"{section['name']}/{test['name']}", test["expr"], data)


def check_name(name: str) -> bool:
    if not name.isidentifier() or name in ("true", "false", "null"):
        raise _NotData
    return True


def read_value(message: dict[str, Any]) -> Any:
    ((kind, value),) = message.items()
    if kind == "nullValue":
        return None
    if kind in ("boolValue", "stringValue"):
        return value
    if kind == "int64Value":
        return int(value)
    if kind == "doubleValue":
        return float(value)
    if kind == "listValue":
        return [read_value(item) for item in value.get("values", [])]
    if kind == "mapValue":
        entries = [(read_value(each["key"]), each["value"]) for each in value.get("entries", [])]
        if all(isinstance(key, str) for key, _ in entries):
            return {key: read_value(item) for key, item in entries}
    raise _NotData


def ask_the_library(case: Case) -> Outcome:
    names = dict.fromkeys(case.data, cel.Type.DYN)
    try:
        program = cel.NewEnv(variables=names).compile(case.text)
    except RuntimeError:
        return Outcome("refused")
    try:
        result = program.eval(data=case.data)
        value = result.plain_value()
    except RuntimeError:
        return Outcome("error")
    if result.type().name() in ("ERROR", "UNKNOWN"):
        return Outcome("error")
    return Outcome("value", value) if is_json(value) else Outcome("other")


def is_json(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(is_json(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | str)


def ask_trueup(case: Case) -> Outcome:
    """What the expression gives as the value of a field; its names are variables of the stack."""
    text = case.text
    for name in case.data:
        text = f"[vars.{name}].map({name}, {text}\n)[0]"
    problems: list[Any] = []
    (document,) = parse_file("a.json", json.dumps({"field": f"${{{{ {text} }}}}"}).encode(), problems)
    template = Template(document, document.value, (), problems)
    if problems:
        return Outcome("refused")
    value = template.fill(Scope({"vars": case.data}, read_no_file), problems).value["field"]
    if problems:
        return Outcome("other" if problems[0].message.startswith("the result is ") else "error")
    return Outcome("value", value)


def describe(outcome: Outcome) -> str:
    """With its type: to Python 1, 1.0 and True are the same."""
    return f"{outcome.kind} {type(outcome.value).__name__} {outcome.value!r}"


@pytest.fixture(scope="module")
def cases(cel_conformance_tests: Path) -> list[Case]:
    return list(read_cases(cel_conformance_tests))


def test_every_result_of_the_library_comes_through_unchanged(cases: list[Case]) -> None:
    values: Counter[str] = Counter()
    different = []
    for case in cases:
        expected, found = ask_the_library(case), ask_trueup(case)
        if expected.kind in ("value", "other"):
            values[case.file] += 1
        is_same = found == expected and type(found.value) is type(expected.value)
        if not is_same:
            different.append(
                f"{case.file}/{case.name}: {case.text}: {describe(expected)}, not {describe(found)}"
            )
    assert different == []
    assert {file: values[file] for file in AT_LEAST if values[file] < AT_LEAST[file]} == {}
