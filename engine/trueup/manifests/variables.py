"""Variables: what is declared, what each is given, and whether that is allowed.

A stack declares variables under `spec.variables`; the inputs of a module are declared in the same way.
Called by `stack_file`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trueup.errors import Place, Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.fields import Fields
from trueup.manifests.program import ExpressionError, compile_expression
from trueup.manifests.suggestions import suggest
from trueup.manifests.value_types import TYPES, Type, is_plain, read_type
from trueup.model.values import UNKNOWN, Value, leaves

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words that CEL reserves: `vars.in` would not compile.
_RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let",
     "loop", "namespace", "null", "package", "return", "true", "var", "void", "while")
)  # fmt: skip
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_TYPE_HINT = f"{', '.join(TYPES)}, or with what is inside: list(string), map(integer)"
_LONGEST_DESCRIPTION = 100


class Given(Protocol):
    """Values from one origin, by the name of their variable: a values file, a `--set`, a module's call."""

    @property
    def value(self) -> Mapping[str, Any]: ...

    def problem(self, message: str, path: Path = (), hint: str = "", *, at_key: bool = False) -> Problem: ...


@dataclass(frozen=True)
class Variable:
    """One declaration, which stands at `path` of `document`. `what` is its word: variable or input."""

    name: str
    document: SourceDocument
    path: Path
    type: Type | None = None
    has_default: bool = False
    default: Value = None
    description: str = ""
    check: str = ""
    what: str = "variable"

    @property
    def title(self) -> str:
        return f'{self.what} "{self.name}"'

    @property
    def place(self) -> Place:
        return self.document.place_of_key(self.path)


def name_problem(name: str) -> tuple[str, str] | None:
    """What is wrong with a name that expressions use, and what to do about it; None for a good one."""
    if name in _RESERVED:
        return "is a reserved word", "choose another name"
    if not _NAME.fullmatch(name):
        hint = "use letters, digits and _, beginning with a letter"
        return "is not a name that an expression can use", hint
    return None


def read_variables(
    document: SourceDocument, value: Any, path: Path, problems: list[Problem], what: str = "variable"
) -> dict[str, Variable]:
    """The declarations in the map at `path`, those with problems among them as far as they make sense."""
    where = ".".join(str(part) for part in path)
    if value is not None and not isinstance(value, dict):
        message = f"{where} must be a map, not {kind_of_value(value)}"
        problems.append(document.problem(message, path, "name: {type: string, default: ...}"))
    result: dict[str, Variable] = {}
    for name, declared in (value if isinstance(value, dict) else {}).items():
        at = (*path, name)
        wrong = name_problem(name)
        if wrong is not None:
            problems.append(document.problem(f'{what} "{name}" {wrong[0]}', at, wrong[1], at_key=True))
            continue
        known = ("type", "default", "description", "check")
        fields = Fields(document, declared, at, problems, known=known, where=f"{where}.{name}")
        result[name] = Variable(
            name,
            document,
            at,
            type=_read_type(fields),
            has_default="default" in fields.values,
            default=fields.values.get("default"),
            description=fields.text("description"),
            check=fields.text("check"),
            what=what,
        )
    return result


def _read_type(fields: Fields) -> Type | None:
    text = fields.text("type", hint=_TYPE_HINT)
    found = read_type(text) if text else None
    if text and found is None:
        hint = suggest(text, TYPES, "types") if "(" not in text else ""
        hint = hint if hint.startswith("did") else f"types: {_TYPE_HINT}"
        fields.note(f'{fields.name("type")} cannot be "{text[:80]}"', "type", hint=hint)
    return found


def settle_variables(
    variables: Mapping[str, Variable],
    given: Sequence[Given],
    problems: list[Problem],
    how_to_give: Callable[[str], str],
    *,
    is_complete: bool = True,
) -> dict[str, Value]:
    """The value of each variable: its default, and what is given for it in this order, later over earlier.

    A value takes the place of the one before as a whole, except that maps merge key by key. What is wrong is
    UNKNOWN. `how_to_give` says how a variable is given a value, for the error about one that has none;
    `is_complete` is false where something that is given could not be read.
    """
    for layer in given:
        for name in layer.value:
            if name not in variables:
                problems.append(_unknown(layer, name, variables))
    return {
        name: _settle(variable, given, problems, how_to_give, is_complete)
        for name, variable in variables.items()
    }


def _unknown(layer: Given, name: str, variables: Mapping[str, Variable]) -> Problem:
    what = next((variable.what for variable in variables.values()), "variable")
    hint = suggest(name, variables, f"{what}s") or f"no {what} is declared: declare it first"
    return layer.problem(f'there is no {what} "{name[:80]}"', (name,), hint, at_key=True)


def _settle(
    variable: Variable,
    given: Sequence[Given],
    problems: list[Problem],
    how_to_give: Callable[[str], str],
    is_complete: bool,
) -> Value:
    name = variable.name
    before = len(problems)
    value: Value = None
    origin: tuple[Given, Path] | None = None
    if variable.has_default:
        value = variable.default
        origin = variable.document, (*variable.path, "default")
        _check_type(variable, value, *origin, problems)
    for layer in given:
        if name not in layer.value:
            continue
        _check_type(variable, layer.value[name], layer, (name,), problems)
        value = layer.value[name] if origin is None else merge(value, layer.value[name])
        origin = layer, (name,)
    if origin is None:
        if is_complete:
            message, hint = f"{variable.title} has no value", how_to_give(name)
            if variable.description:
                message += f": {_first_line(variable.description)}"
            problems.append(variable.document.problem(message, variable.path, hint, at_key=True))
        return UNKNOWN
    if len(problems) == before and variable.check:
        _check_value(variable, value, *origin, problems)
    return value if len(problems) == before else UNKNOWN


def merge(below: Value, above: Value) -> Value:
    """`above` in the place of `below`; two maps are merged key by key."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    merged = dict(below)
    for key, item in above.items():
        merged[key] = merge(below[key], item) if key in below else item
    return merged


def _check_type(variable: Variable, value: Value, layer: Given, path: Path, problems: list[Problem]) -> None:
    if variable.type is None:
        return
    for inner, what in variable.type.mismatches(value):
        inside = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in inner)
        subject = f"{variable.title}: {variable.name}{inside}" if inside else variable.title
        found = _follow(value, inner)
        hint = _quotes_hint(what, found) if not isinstance(found, dict | list) else ""
        problems.append(layer.problem(f"{subject} {what}", (*path, *inner), hint))


def _follow(value: Value, path: Path) -> Value:
    for key in path:
        value = value[key]
    return value


def _quotes_hint(what: str, value: Value) -> str:
    if "must be a string" in what and value is not None:
        return "put it into quotes"
    if isinstance(value, str) and (value in ("true", "false") or _NUMBER.fullmatch(value)):
        return "remove the quotes" if "must be a list" not in what and "must be a map" not in what else ""
    return ""


def _check_value(variable: Variable, value: Value, layer: Given, path: Path, problems: list[Problem]) -> None:
    # What is known later cannot be checked now; CEL would take it for something else.
    if not all(is_plain(leaf) or leaf in ({}, []) for _, leaf in leaves(value)):
        return
    at = (*variable.path, "check")
    document, check = variable.document, variable.check
    try:
        program = compile_expression(check)
        foreign = [f"{call.function}()" for call in (*program.needs, *program.files)]
        foreign += [read.variable for read in program.selections if read.variable != "self"]
        if foreign:
            raise ExpressionError(f"{foreign[0]} cannot be used in it", hint="compare something with self")
        result = program.evaluate({"self": value})
    except ExpressionError as error:
        message = f"the check of {variable.title}: {error.message}"
        problems.append(document.problem(message, at, error.hint))
        return
    if result is False:
        hint = _first_line(variable.description) or "change the value"
        if layer is not document:
            hint = f"declared at {variable.place}" + (f": {hint}" if variable.description else "")
        problems.append(layer.problem(f"{variable.title} fails its check: {check}", path, hint))
    elif result is not True:
        message = f"the check of {variable.title} gives {kind_of_value(result)}, not true or false"
        problems.append(document.problem(message, at, "compare something with self"))


def _first_line(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if len(line) <= _LONGEST_DESCRIPTION else f"{line[: _LONGEST_DESCRIPTION - 3]}..."
