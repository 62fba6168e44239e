"""CEL's messages in the words of people who write resources. Called by `program`."""

from __future__ import annotations

import re

from trueup.manifests.suggestions import did_you_mean

NO_OVERLOAD = re.compile(r"[Nn]o matching overloads? (?:for|found :) '?([^'(]+)(?:' applied to ')?\((.*?)\)")
CONVERT = "convert with string(), int() or double()"
_ERROR_POSITION = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")

# A message, the offset in the text that it is about, and what to do.
Explanation = tuple[str, int, str]

_RESERVED = re.compile(r"reserved identifier: (\w+)")
_NAMES = ("vars", "each", "target", "git", "ref", "stack", "secret", "file")


def explain_compile_error(text: str, raw: str) -> Explanation:
    """CEL's message without its drawing; the first of its errors, which tends to cause the others."""
    if "recursion depth" in raw or "recursion limit" in raw:
        return "the expression is nested too deeply", 0, "split it"
    match = _ERROR_POSITION.search(raw)
    if match is None:
        return f"the expression is not valid: {plain_message(raw)}", 0, "simplify it"
    line, column, what = int(match[1]), int(match[2]), match[3].removesuffix(" [INVALID_ARGUMENT]")
    offset = 0
    if line > 0:
        lines = text.split("\n")
        offset = sum(len(part) + 1 for part in lines[: line - 1]) + max(0, column - 1)
    if what.startswith("Syntax error: "):
        what = what.removeprefix("Syntax error: ").split(" expecting ")[0].replace("'<EOF>'", "end")
        return f"the expression is not valid CEL: {what}", min(offset, len(text)), ""
    undeclared = {name.removeprefix(".") for name in _UNDECLARED.findall(raw)}
    what = what.replace(" (in container '')", "")
    hint = ""
    if NO_OVERLOAD.search(what):
        return plain_message(what), offset, CONVERT
    if undeclared or "reserved identifier" in what:
        names = [*undeclared, *_RESERVED.findall(what)]
        near = did_you_mean(names[0], _NAMES) if len(names) == 1 else ""
        hint = near or (
            "names: vars, each, target, git, ref(), stack(), secret(), file(), and CEL's own functions;"
            " text goes into quotes"
        )
    return what, offset, hint


def plain_message(raw: str) -> str:
    """CEL's message without the status words around it, and with the operators as they are written."""
    plain = re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", raw)
    index = re.search(r"[Ii]ndex(?: error)?[:=]? ?(?:index=)?(-?\d+) size=(\d+)", plain)
    if index is not None:
        return f"there is no item {index[1]} in a list of {index[2]}"
    match = NO_OVERLOAD.search(plain)
    if match is None:
        return plain
    function, types = match[1], match[2].replace("int64", "int")
    operator = {"_[_]": "[]", "_?_:_": "?:"}.get(function, function.strip("_"))
    return f"{operator} cannot be applied to ({types})"
