"""Values put into a string, as `${{ a }}-${{ b }}` asks for. Called by `templates` and `expressions`."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.manifests.program import ExpressionError
from trueup.model.values import Value

# The largest string that expressions may be joined to: a file of the stack has 4 MiB at most.
MAX_TEXT = 16 * 1024 * 1024


def join_texts(texts: Sequence[str]) -> str:
    """One string of many. Raises ExpressionError for one that no system would take."""
    if sum(map(len, texts)) > MAX_TEXT:
        raise ExpressionError(f"the text would have more than {MAX_TEXT // 1024**2} MiB", hint="divide it")
    return "".join(texts)


def text_of(value: Value) -> str:
    """The value as it stands inside a string. Raises ExpressionError for what has no one text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    kind = "null" if value is None else "a list" if isinstance(value, list) else "a map"
    raise ExpressionError(
        f"the expression gives {kind}, which cannot be put into a string",
        hint="select one of its fields, or make the expression the whole value",
    )
