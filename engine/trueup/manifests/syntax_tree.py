"""What an expression refers to, read from the tree that CEL's own compiler serialises.

The tree is a protobuf message (cel.expr.CheckedExpr); only its fixed field numbers are needed, so a small
reader of the wire format does, without the protobuf library. Called by `program`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# CheckedExpr: the tree, and where its nodes stand in the text.
_CHECKED_EXPR, _CHECKED_SOURCE = 4, 5
_SOURCE_POSITIONS = 4
# Expr: an id and one of these.
_ID, _CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(2, 10)
_CONST_STRING = 6
_SELECT_OPERAND, _SELECT_FIELD, _SELECT_TEST_ONLY = 1, 2, 3
_CALL_TARGET, _CALL_FUNCTION, _CALL_ARGUMENT = 1, 2, 3
_INDEX = "_[_]"
_ADD = "_+_"

Message = dict[int, list[bytes | int]]

# Words that mean something to CEL by themselves, or are kept for it.
RESERVED_WORDS = frozenset(
    {
        *(
            "as",
            "break",
            "const",
            "continue",
            "else",
            "false",
            "for",
            "function",
            "if",
            "import",
            "in",
            "let",
        ),
        *("loop", "namespace", "null", "package", "return", "true", "var", "void", "while"),
    }
)


@dataclass(frozen=True)
class Call:
    """One call of a function of ours: its literal argument (None: not a literal), its offset, and the fields
    that are selected from it literally.

    `tested` is the field below them that `has()` asks for.
    """

    function: str
    argument: str | None
    offset: int
    path: tuple[str, ...] = ()
    tested: str = ""


@dataclass(frozen=True)
class Selection:
    """A variable with the fields that are selected from it literally, and its offset.

    `is_test`: `has()` asks only whether the last field is there.
    """

    variable: str
    path: tuple[str, ...]
    offset: int
    is_test: bool = False


@dataclass
class Tree:
    """What the engine has to know of an expression: what it reads, and what bounds its cost.

    `plain` is the one selection that the whole expression consists of, as in `vars.name` and
    `ref("Queue/a").status.url`.
    """

    calls: list[Call] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)
    plain: Selection | Call | None = None
    loop_depth: int = 0
    additions: int = 0
    elements: int = 0


def read_tree(serialized: bytes, functions: frozenset[str], variables: frozenset[str]) -> Tree:
    """The calls of the functions and the uses of the variables in a serialised checked expression."""
    wrapper = _fields(serialized)
    checked = _fields(_bytes(wrapper, 2))
    source = _fields(_bytes(checked, _CHECKED_SOURCE)) if _CHECKED_SOURCE in checked else {}
    positions = {}
    for data in source.get(_SOURCE_POSITIONS, ()):
        entry = _as_bytes(data)
        if len(entry) == 4 and entry[0] == 0x08 and entry[2] == 0x10:
            positions[entry[1]] = entry[3]  # both small, as nearly always
            continue
        pair = _fields(entry)
        positions[_number(pair, 1)] = _number(pair, 2)
    reader = _Reader(functions, variables, positions)
    root = _bytes(checked, _CHECKED_EXPR)
    reader.visit(root, (), frozenset(), 0)
    return reader.tree


_PLAIN_TEXT = re.compile(
    r"""(?P<name>[a-z]+)(?:\(\s*(?P<literal>"[^"\\\n]*"|'[^'\\\n]*')\s*\))?(?P<path>(?:\.[A-Za-z_]\w*){0,16})""",
    re.ASCII,
)


def read_plain(text: str, functions: frozenset[str], variables: frozenset[str]) -> Tree | None:
    """The tree of a text that only selects fields, which are most; None for any other.

    It is the one that the compiler would give, which takes much longer.
    """
    match = _PLAIN_TEXT.fullmatch(text)
    if match is None:
        return None
    name, literal, path = match["name"], match["literal"], tuple(match["path"].split(".")[1:])
    if not RESERVED_WORDS.isdisjoint(path):
        return None
    if literal is None and name in variables:
        selection = Selection(name, path, 0)
        return Tree(selections=[selection], plain=selection)
    if literal is not None and name in functions:
        call = Call(name, literal[1:-1], len(name), path)
        return Tree(calls=[call], plain=call)
    return None


class _Reader:
    def __init__(
        self, functions: frozenset[str], variables: frozenset[str], positions: dict[int, int]
    ) -> None:
        self.tree = Tree()
        self._functions = functions
        self._variables = variables
        self._positions = positions

    def visit(
        self,
        data: bytes,
        path: tuple[str, ...],
        bound: frozenset[str],
        loops: int,
        *,
        is_test: bool = False,
    ) -> None:
        """`path` are the fields selected from this node; `bound` are the names of enclosing loops.

        `is_test`: `has()` asks for the last of the fields.
        """
        node = _fields(data)
        offset = self._positions.get(_number(node, _ID), 0)
        if _IDENT in node:
            name = _text(_fields(_bytes(node, _IDENT)), 1)
            if name in self._variables and name not in bound:
                self.tree.selections.append(Selection(name, path, offset, is_test))
        elif _SELECT in node:
            select = _fields(_bytes(node, _SELECT))
            fields = (_text(select, _SELECT_FIELD), *path)
            is_test = is_test or bool(_number(select, _SELECT_TEST_ONLY))
            self.visit(_bytes(select, _SELECT_OPERAND), fields, bound, loops, is_test=is_test)
        elif _CALL in node:
            call = _fields(_bytes(node, _CALL))
            self._visit_call(call, offset, path, bound, loops, is_test=is_test)
        elif _LIST in node:
            for element in _fields(_bytes(node, _LIST)).get(1, ()):
                self.tree.elements += 1
                self.visit(_as_bytes(element), (), bound, loops)
        elif _STRUCT in node:
            self._visit_struct(_fields(_bytes(node, _STRUCT)), bound, loops)
        elif _COMPREHENSION in node:
            self._visit_loop(_fields(_bytes(node, _COMPREHENSION)), bound, loops + 1)

    def _visit_call(
        self,
        call: Message,
        offset: int,
        path: tuple[str, ...],
        bound: frozenset[str],
        loops: int,
        *,
        is_test: bool,
    ) -> None:
        function = _text(call, _CALL_FUNCTION)
        arguments = [_as_bytes(argument) for argument in call.get(_CALL_ARGUMENT, ())]
        if function in self._functions:
            # has(a.b) reads b only to see whether it is there: of another object the value that matters is a.
            read, tested = (path[:-1], path[-1]) if is_test else (path, "")
            self.tree.calls.append(Call(function, _string_constant(arguments[0]), offset, read, tested))
        if function == _ADD:
            self.tree.additions += 1
        if _CALL_TARGET in call:
            self.visit(_bytes(call, _CALL_TARGET), (), bound, loops)
        key = _string_constant(arguments[1]) if function == _INDEX and len(arguments) == 2 else None
        for position, argument in enumerate(arguments):
            is_container = key is not None and position == 0
            fields = (key, *path) if key is not None and position == 0 else ()
            self.visit(argument, fields, bound, loops, is_test=is_test and is_container)

    def _visit_struct(self, struct: Message, bound: frozenset[str], loops: int) -> None:
        for data in struct.get(2, ()):
            entry = _fields(_as_bytes(data))
            self.tree.elements += 1
            for part in (3, 4):  # a map's key, a value
                if part in entry:
                    self.visit(_bytes(entry, part), (), bound, loops)

    def _visit_loop(self, loop: Message, bound: frozenset[str], loops: int) -> None:
        self.tree.loop_depth = max(self.tree.loop_depth, loops)
        names = bound | {_text(loop, part) for part in (1, 3, 8) if part in loop}
        # The range of a loop counts as nested: what an inner loop grew, the outer one goes over.
        self.visit(_bytes(loop, 2), (), bound, loops)
        for part in (4, 5, 6, 7):
            if part in loop:
                self.visit(_bytes(loop, part), (), names, loops)


def _string_constant(data: bytes) -> str | None:
    node = _fields(data)
    if _CONST not in node:
        return None
    constant = _fields(_bytes(node, _CONST))
    return _text(constant, _CONST_STRING) if _CONST_STRING in constant else None


def _bytes(message: Message, number: int) -> bytes:
    return _as_bytes(message[number][-1])


def _as_bytes(value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("the syntax tree of CEL has a form that is not known")
    return value


def _text(message: Message, number: int) -> str:
    return _bytes(message, number).decode() if number in message else ""


def _number(message: Message, number: int) -> int:
    value = message.get(number, [0])[-1]
    if not isinstance(value, int):
        raise TypeError("the syntax tree of CEL has a form that is not known")
    return value


def _fields(data: bytes) -> Message:
    """A protobuf message as its fields by number."""
    message: Message = {}
    position, end = 0, len(data)
    while position < end:
        key = data[position]
        position += 1
        if key >= 0x80:
            key, position = _varint(data, position - 1)
        wire_type = key & 7
        if wire_type == 2 or wire_type == 0:
            number = data[position]
            position += 1
            if number >= 0x80:
                number, position = _varint(data, position - 1)
            if wire_type == 0:
                message.setdefault(key >> 3, []).append(number)
                continue
        else:
            number = 8 if wire_type == 1 else 4
        message.setdefault(key >> 3, []).append(data[position : position + number])
        position += number
    return message


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
