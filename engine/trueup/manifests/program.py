"""Compiled CEL: the text of one expression to a program, and a program with its data to a value.

The only user of the CEL library, which is imported when the first expression is met. Called by
`expressions` and `stack_file`.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

from trueup.manifests.cel_messages import CONVERT, NO_OVERLOAD, explain_compile_error, plain_message
from trueup.manifests.selection import PLAIN_TYPES, FieldPath, NotPlain, Reads, narrow, select_plain
from trueup.manifests.syntax_tree import Call, Selection, Tree, read_plain, read_tree
from trueup.model.values import Value

MAX_EXPRESSION = 4096
# What one evaluation may cost at worst, in bytes that it copies: about a second.
MAX_COST = 256 * 1024 * 1024
_MAX_ITERATIONS = 10_000  # CEL's own budget
_LEAF_BYTES = 16

# What other resources, secret sources and other stacks give: known only when a stack is reconciled.
# For each function the variable that holds what it gives, in programs only: no one can write it.
LATER = {"ref": "trueup_objects", "secret": "trueup_secrets", "stack": "trueup_outputs"}
LATER_FUNCTIONS = frozenset(LATER)
FUNCTIONS = LATER_FUNCTIONS | {"file"}
VARIABLES = frozenset({"vars", "each", "target", "git", "self"})


class ExpressionError(Exception):
    """An expression that does not compile or cannot be evaluated; `offset` points into its text."""

    def __init__(self, message: str, offset: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint


# What there is where nothing is, not even null.
NOTHING = object()
# What the functions of LATER give: by function, then by argument.
Objects = Mapping[str, Mapping[str, Value]]
NO_OBJECTS: Objects = MappingProxyType({})
_LITERAL_CALL = re.compile(
    r"""\(\s*(?:"""
    r"""[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')|"""
    r"""\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
    r""")\s*\)""",
    re.DOTALL,
)
_LITERAL_HINTS = {
    "ref": 'write it out, as in ref("Queue/orders"): it draws an edge of the graph',
    "secret": 'write it out, as in secret("env:DB_PASSWORD"): it is read before the run',
    "stack": 'write it out, as in stack("network").vpcId: that stack comes first',
}
_SECRET = re.compile(r"[A-Za-z][\w-]*(@[^:@]+)?:.+", re.DOTALL)


def read_no_file(name: str) -> str:
    """For places where file() cannot be used: nothing there has files."""
    raise ExpressionError(f'file("{name}") cannot be used here')


class Program:
    """An expression. `tree` says what it reads.

    `needs` are the calls whose values are known only when a stack is reconciled, `references` those of them
    that name other resources; `reads` is what is read of each variable. `more` are names that it may use
    besides the usual ones.
    """

    def __init__(self, text: str, tree: Tree, compiled: Any = None, more: tuple[str, ...] = ()) -> None:
        self.text = text
        self._more = more
        self.tree = tree
        self.needs = [call for call in tree.calls if call.function in LATER]
        self.references = [call for call in self.needs if call.function == "ref"]
        self.reads = _read_of(tree.selections)
        # The value is the same for every resource if nothing is read but these.
        self._is_constant = not tree.calls and self.reads.keys() <= {"vars", "git"}
        self._compiled = compiled
        self._memory: tuple[Value, Value, Value] | None = None

    def recall(self, data: Mapping[str, Value]) -> Value:
        """What was remembered for the very same variables; NOTHING for any other."""
        memory = self._memory
        if memory is not None and memory[0] is data.get("vars") and memory[1] is data.get("git"):
            return memory[2]
        return NOTHING

    def remember(self, data: Mapping[str, Value], value: Value) -> None:
        """Keeps a value for those who ask with the very same variables, if all of them get the same."""
        if self._is_constant and type(value) in PLAIN_TYPES:
            self._memory = (data.get("vars"), data.get("git"), value)

    @property
    def files(self) -> list[Call]:
        return [call for call in self.tree.calls if call.function == "file"]

    @property
    def selections(self) -> list[Selection]:
        return self.tree.selections

    def evaluate(
        self,
        data: Mapping[str, Value],
        read_file: Callable[[str], str] = read_no_file,
        objects: Objects = NO_OBJECTS,
    ) -> Value:
        """The value; `objects` are what `ref()`, `secret()` and `stack()` give. Raises ExpressionError.

        Errors of `read_file` pass through as they are.
        """
        for call in self.needs:
            if call.argument not in objects.get(call.function, ()):
                offset = call.offset - len(call.function)
                raise ExpressionError(f"{call.function}() cannot be used here", offset)
        value = self.select(data, objects)
        if value is not NOTHING:
            return value
        names = {name: narrow(data[name], reads) for name, reads in self.reads.items() if name in data}
        self._check_cost(names, objects)
        functions: dict[str, Callable[[str], Value]] = {"file": self._bound(read_file)}
        if objects:
            names |= {LATER[function]: found for function, found in objects.items()}
            functions |= {function: found.__getitem__ for function, found in objects.items()}
        _calls.functions, _calls.raised = functions, None
        try:
            result = self._compile().eval(data=names)
            kind = result.type().name()
            value = result.plain_value()
        except RuntimeError as error:
            if "Iteration budget exceeded" in str(error):
                message = f"the expression takes more than {_MAX_ITERATIONS} steps"
                raise ExpressionError(message, hint="go over shorter lists") from None
            raise ExpressionError(plain_message(str(error))) from None
        finally:
            raised, _calls.functions = _calls.raised, {}
        if raised is not None:
            raise raised
        if kind in ("ERROR", "UNKNOWN"):
            hint = CONVERT if NO_OVERLOAD.search(value) else ""
            raise ExpressionError(plain_message(value), hint=hint)
        return _json_value(value)

    def select(self, data: Mapping[str, Value], objects: Objects = NO_OBJECTS) -> Value:
        """The value of an expression that only selects, such as `vars.name`, without CEL's help.

        A map or a list keeps its shape, with what is known only later in its place. NOTHING where the
        expression does more than that, or where CEL has a word to say.
        """
        plain = self.tree.plain
        if plain is None:
            return NOTHING
        try:
            if isinstance(plain, Selection):
                return select_plain(data[plain.variable], plain.path) if plain.variable in data else NOTHING
            found, argument = objects.get(plain.function, {}), plain.argument or ""
            return select_plain(found[argument], plain.path) if argument in found else NOTHING
        except NotPlain:
            return NOTHING

    def _bound(self, read_file: Callable[[str], str]) -> Callable[[str], str]:
        """Ends an evaluation that reads files again and again: what they hold is known only now."""
        total = 0

        def read(name: str) -> str:
            nonlocal total
            text = read_file(name)
            total += len(text)
            if total * (1 + self.tree.additions) > MAX_COST:
                raise ExpressionError(
                    "the expression is too expensive for the files that it reads",
                    hint="read each file once, and no large one in a loop",
                )
            return text

        return read

    def _compile(self) -> Any:
        """What CEL evaluates: made when it is needed, which for most references is long after the load."""
        if self._compiled is None:
            text = _name_objects(self.text, self.tree)
            later = LATER.values() if text != self.text else ()
            self._compiled = _environment(*self._more, *later).compile(text)
        return self._compiled

    def _check_cost(self, data: Mapping[str, Value], objects: Objects) -> None:
        """Refuses what could fill the memory: CEL's own budget counts steps, not what each step copies."""
        tree = self.tree
        if not tree.loop_depth and not tree.additions:
            return
        size = items = 0
        inputs = [follow(data.get(read.variable), read.path) for read in self.selections]
        inputs += [value for found in objects.values() for value in found.values()]
        for value in {id(value): value for value in inputs}.values():
            more_size, more_items = weigh(value)
            size, items = size + more_size, items + more_items
        size += len(self.text)
        steps = (
            min(_MAX_ITERATIONS, max(1, items + tree.elements) ** tree.loop_depth) if tree.loop_depth else 1
        )
        if size * steps * (1 + tree.additions) ** max(1, tree.loop_depth) > MAX_COST:
            raise ExpressionError(
                "the expression is too expensive for the data that it goes over",
                hint="go over shorter lists, or do not nest the loops",
            )


def _read_of(selections: Sequence[Selection]) -> Mapping[str, Reads]:
    if len(selections) == 1 and not selections[0].is_test:
        return {selections[0].variable: Reads((selections[0].path,))}
    values: dict[str, list[FieldPath]] = {selection.variable: [] for selection in selections}
    tests: dict[str, list[FieldPath]] = {selection.variable: [] for selection in selections}
    for selection in selections:
        (tests if selection.is_test else values)[selection.variable].append(selection.path)
    return {name: Reads.of(paths, tests[name]) for name, paths in values.items()}


class _Calls(threading.local):
    """What the functions mean for the evaluation that runs in this thread.

    CEL binds functions when the environment is made, so they reach their evaluation through here.
    """

    functions: Mapping[str, Callable[[str], Value]] = {}
    raised: Exception | None = None

    def call(self, name: str, argument: str) -> Value:
        try:
            return self.functions[name](argument)
        except Exception as error:  # carried past CEL, which would flatten it to a text
            self.raised = error
            raise


_calls = _Calls()


@lru_cache(maxsize=50_000)
def compile_expression(text: str, *more: str) -> Program:
    """The program of an expression's text, which may use `more` names. Raises ExpressionError."""
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(f"the expression is longer than {MAX_EXPRESSION} characters", hint="split it")
    if not text.strip():
        raise ExpressionError("the expression is empty", hint="write something between ${{ and }}")
    tree = read_plain(text, LATER_FUNCTIONS, VARIABLES.union(more))
    compiled = None
    if tree is None:
        try:
            compiled = _environment(*more).compile(text)
        except RuntimeError as error:
            raise ExpressionError(*explain_compile_error(text, str(error))) from None
        tree = read_tree(compiled.serialize(), FUNCTIONS, VARIABLES.union(more))
    _check_arguments(tree)
    return Program(text, tree, None if tree.calls else compiled, more)


def _check_arguments(tree: Tree) -> None:
    """Raises ExpressionError for an argument that could not be known before anything is evaluated."""
    for call in tree.calls:
        if call.function not in LATER:
            continue
        if call.argument is None:
            raise ExpressionError(
                f"the argument of {call.function}() must be a string literal",
                call.offset,
                _LITERAL_HINTS[call.function],
            )
        if call.function == "secret" and not _SECRET.fullmatch(call.argument):
            raise ExpressionError(
                f'"{call.argument}" does not name a secret',
                call.offset,
                'write source:key, as in secret("env:DB_PASSWORD")',
            )
        if call.function == "stack" and not call.argument:
            raise ExpressionError('"" does not name a stack', call.offset, _LITERAL_HINTS["stack"])


def _name_objects(text: str, tree: Tree) -> str:
    """The text with each `ref("a")` written as a variable's item, `trueup_objects["a"]`.

    The library never frees a map that a function gives to it, and a daemon evaluates for ever; what comes in
    a variable is freed. A call with a comment in it stays a call.
    """
    for call in sorted(tree.calls, key=lambda call: call.offset, reverse=True):
        variable = LATER.get(call.function)
        start = call.offset - len(call.function)
        found = _LITERAL_CALL.match(text, call.offset)
        if variable and found and text[start : call.offset] == call.function:
            item = json.dumps(call.argument, ensure_ascii=False)
            text = f"{text[:start]}{variable}[{item}]{text[found.end() :]}"
    return text


@cache
def _environment(*more: str) -> Any:
    from cel_expr_python import cel

    kinds = cel.Type
    data = kinds.Map(kinds.STRING, kinds.DYN)
    names = ("vars", "each", "target", "git", *more)
    return cel.NewEnv(
        variables={**dict.fromkeys(names, data), "self": kinds.DYN},
        functions=[
            cel.FunctionDecl(
                name,
                [
                    cel.Overload(
                        f"{name}_string",
                        return_type=result,
                        parameters=[kinds.STRING],
                        impl=lambda argument, name=name: _calls.call(name, argument),
                    )
                ],
            )
            for name, result in (*((name, kinds.DYN) for name in LATER), ("file", kinds.STRING))
        ],
    )


def follow(value: Value, path: tuple[str, ...]) -> Value:
    """The value under a path, as far as the path leads through maps."""
    for key in path:
        if not isinstance(value, Mapping):
            return value
        value = value.get(key)
    return value


def weigh(value: Value) -> tuple[int, int]:
    """The size of a value in bytes, about, and how many elements it has."""
    if isinstance(value, str):
        return _LEAF_BYTES + len(value), 1
    if isinstance(value, Mapping):
        size = items = 0
        for key, item in value.items():
            more_size, more_items = weigh(item)
            size, items = size + more_size + len(str(key)), items + more_items
        return size + _LEAF_BYTES, items + 1
    if isinstance(value, list | tuple):
        size = items = 0
        for item in value:
            more_size, more_items = weigh(item)
            size, items = size + more_size, items + more_items
        return size + _LEAF_BYTES, items + 1
    return _LEAF_BYTES, 1


def _json_value(value: Any) -> Value:
    """The result as a value of a document. Raises ExpressionError for what JSON does not have."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError("the result is not a finite number")
        return value
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ExpressionError(
                "the result is a map with keys that are not strings", hint="use string keys"
            )
        # The library goes over a map in an order of its own, another one in each process.
        return {key: _json_value(value[key]) for key in sorted(value)}
    kinds = {"bytearray": "bytes", "bytes": "bytes", "datetime": "a timestamp", "timedelta": "a duration"}
    kind = kinds.get(type(value).__name__, "a type")
    raise ExpressionError(f"the result is {kind}, which a document cannot hold", hint="wrap it in string()")
