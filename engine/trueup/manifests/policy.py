"""Policies: rules in CEL that every change of a plan has to fulfil. Reads them, and asks them about a change.

A stack has them under `spec.policies`, the installation in trueup.toml. Called by stack_file, config and
reconcile/enforce.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.program import ExpressionError, Program, compile_expression
from trueup.manifests.selection import FieldPath
from trueup.model.resource import Enforce, Policy
from trueup.model.values import UNKNOWN, PartlyKnown, Sensitive, Value

NAMES = ("change", "vars", "git")
_NAMES_HINT = "names: change, vars, git; see docs/policies.md"
_EXAMPLE = "write {name: ..., rule: '...', enforce: deny}"
_LONGEST_MESSAGE = 500
_MISSING = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)
# A rule that speaks of the values of `change.fields` needs all of them; most look at the paths alone.
_FIELD_VALUES = re.compile(r"(?<!change\.)\b(before|after)\b")


def read_policies(
    document: SourceDocument,
    value: Any,
    path: Path,
    problems: list[Problem],
    *,
    is_installation: bool = False,
) -> tuple[Policy, ...]:
    """The policies in the list at a path; with problems noted, those that make sense."""
    where = ".".join(str(part) for part in path)
    if value is not None and not isinstance(value, list):
        message = f"{where} must be a list, not {kind_of_value(value)}"
        problems.append(document.problem(message, path, _EXAMPLE))
        return ()
    policies: dict[str, Policy] = {}
    for index, item in enumerate(value or ()):
        at = (*path, index)
        if not isinstance(item, dict):
            message = f"{where} holds {kind_of_value(item)} where a policy is needed"
            problems.append(document.problem(message, at, _EXAMPLE))
            continue
        known = ("name", "rule", "enforce", "message")
        fields = Fields(document, item, at, problems, known=known, where=where, example=_EXAMPLE)
        name = fields.text("name", is_required=True, hint="the name stands in plans: name: no-public-buckets")
        rule = fields.text("rule", is_required=True, hint="a CEL expression over change that must be true")
        enforce = fields.choice("enforce", [each.value for each in Enforce])
        message = fields.text("message")
        if "enforce" not in fields.values:
            fields.note(f"{where}.enforce is missing", "enforce", hint="deny, approve or warn")
        if name and (fault := name_fault(name)):
            fields.note(
                f'the name of a policy {fault}: "{name[:80]}"', "name", hint="as in no-public-buckets"
            )
        if name in policies:
            hint = f"the other one: {policies[name].place}"
            fields.note(f'two policies are named "{name}"', "name", hint=hint)
        if len(message) > _LONGEST_MESSAGE:
            fields.note(f"{where}.message is longer than {_LONGEST_MESSAGE} characters", "message")
        if rule:
            _check_rule(rule, fields)
        if name and rule and enforce:
            place = document.place_of(at)
            policies.setdefault(name, Policy(name, rule, Enforce(enforce), message, place, is_installation))
    return tuple(policies.values())


def _check_rule(rule: str, fields: Fields) -> None:
    try:
        program = compile_rule(rule)
    except ExpressionError as error:
        hint = _NAMES_HINT if error.hint.startswith("names:") else error.hint
        fields.note(f"the rule: {error.message}", "rule", hint=hint)
        return
    calls = [f"{call.function}()" for call in (*program.needs, *program.files)]
    foreign = [*calls, *(read.variable for read in program.selections if read.variable not in NAMES)]
    if foreign:
        fields.note(f"the rule: {foreign[0]} cannot be used in it", "rule", hint=_NAMES_HINT)
    elif not any(read.variable == "change" for read in program.selections):
        fields.note("the rule says nothing of the change", "rule", hint=_NAMES_HINT)


def compile_rule(rule: str) -> Program:
    """The program of a policy's rule. Raises ExpressionError."""
    if "${{" in rule:
        raise ExpressionError("a rule is an expression as it is", hint="write it without ${{ }}")
    return compile_expression(rule, "change")


@dataclass(frozen=True)
class Facts:
    """What a rule is about: the change as a document, and what the stack was read with."""

    change: Mapping[str, Value]
    variables: Mapping[str, Value]
    git: Mapping[str, Value]


def find_breach(policy: Policy, facts: Facts) -> str | None:
    """Why a change does not fulfil a policy, empty if the rule just is not true; None if it is.

    What is not known yet, or sensitive, is not there for a rule: one that needs it to be true is not
    fulfilled, and one that is true without it is.
    """
    hidden: list[tuple[str, FieldPath, str]] = []
    try:
        program = compile_rule(policy.rule)
        change = _without_values(facts.change, program)
        data: dict[str, Value] = {"change": change, "vars": facts.variables, "git": facts.git}
        hidden = list(_find_hidden(program, data))
        asked = {(test.variable, test.path) for test in program.selections if test.is_test}
        for name, path, why in hidden:
            if (name, path) in asked:
                # Without it, has() would say that there is no such field.
                return f"{_show(name, path)} {why}"
            data[name] = _leave_out(data[name], path)
        result = program.evaluate(data)
    except ExpressionError as error:
        return _explain(error, hidden)
    if result is True:
        return None
    return "" if result is False else f"the rule gives {kind_of_value(result)}, not true or false"


def _explain(error: ExpressionError, hidden: Sequence[tuple[str, FieldPath, str]]) -> str:
    """Why a rule could not be evaluated; what it missed may be what was hidden from it."""
    missing = _MISSING.search(error.message)
    if missing is None:
        return error.message
    for name, path, why in hidden:
        if (name, *path)[-1] == missing[1]:
            return f"{_show(name, path)} {why}"
    return f"there is no {missing[1]} in what the rule reads: let it ask has() first"


def _without_values(change: Mapping[str, Value], program: Program) -> Mapping[str, Value]:
    """The change whose `fields` have only their paths, where the rule does not speak of their values."""
    if "fields" not in program.text or _FIELD_VALUES.search(program.text):
        return change
    return {**change, "fields": [{"path": field["path"]} for field in change["fields"]]}


def _find_hidden(program: Program, data: Mapping[str, Value]) -> Iterator[tuple[str, FieldPath, str]]:
    """What the rule reads and may not see: the variable, the path as far as it leads, and why.

    Of what is only tested with `has()` the value does not matter.
    """
    found: dict[tuple[str, FieldPath], str] = {}
    for read in program.selections:
        path = read.path[:-1] if read.is_test else read.path
        value, length = data[read.variable], 0
        while length < len(path) and isinstance(value, Mapping) and path[length] in value:
            value, length = value[path[length]], length + 1
        # Only asked whether a field is there, or the field is missing: what is beside it does not matter.
        is_beside = read.is_test or length < len(path)
        why = _why_hidden(value, is_deep=not is_beside)
        if why:
            found.setdefault((read.variable, path[:length]), why)
    # Whole maps after their parts, so that a part is still there to be left out.
    for (name, path), why in sorted(found.items(), key=lambda item: -len(item[0][1])):
        yield name, path, why


def _why_hidden(value: Value, *, is_deep: bool = True) -> str:
    if isinstance(value, Sensitive):
        return "is sensitive"
    if value is UNKNOWN or isinstance(value, PartlyKnown):
        return "is known only after something else is applied"
    inner: Iterable[Value] = ()
    if is_deep and isinstance(value, Mapping):
        inner = value.values()
    elif is_deep and isinstance(value, list | tuple):
        inner = value
    return next(filter(None, map(_why_hidden, inner)), "")


def _leave_out(document: Value, path: FieldPath) -> Value:
    """The document without what stands at a path; where all of it is hidden, nothing is left."""
    if not path:
        return {}
    key, *rest = path
    if not isinstance(document, Mapping) or key not in document:
        return document
    if rest:
        return {**document, key: _leave_out(document[key], tuple(rest))}
    return {name: item for name, item in document.items() if name != key}


def _show(name: str, path: FieldPath) -> str:
    return ".".join((name, *path))
