"""Renders a File's `template`. Called by kinds.file; Jinja is imported only where a template is used."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from trueup.sdk import Document, Invalid

if TYPE_CHECKING:
    from jinja2 import Template, nodes
    from jinja2.sandbox import SandboxedEnvironment

# A file's text has 4 MiB at most; what a template makes on the way to it stays within this.
MAX_SIZE = 4 * 1024 * 1024
MAX_PIECES = 1_000_000
# How often the bodies of all loops and macros may be gone through, whether or not they print anything.
MAX_STEPS = 1_000_000
# What makes a text longer than what it is made of.
_PADDING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
# A width of millions, as `%` and as `format` have it; and a width that is a value itself.
_LONG_PERCENT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*[\d*]*\.?\d{7}")
_LONG_FIELD = re.compile(r"\{[^{}]*:[^{}]*\d{7}")
_FIELD_IN_FIELD = re.compile(r"\{[^{}]*\{")
# All that is made on the way, whether or not it is kept.
MAX_SPENT = 512 * 1024 * 1024
_STEP = "_trueup_step"
_JOIN = "_trueup_join"


def render(template: str, data: Document) -> str:
    """The text, from nothing but `data`: a sandbox without files or imports; an unknown name is an error."""
    try:
        from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
    except ImportError:
        raise Invalid("a template needs Jinja", hint="pip install 'trueup[ssh]'") from None
    environment = _environment()
    try:
        _spent.size = 0
        own = {_STEP: _count_steps(), _JOIN: _join_values}
        return _join(_compile(environment, template).generate({**data, **own}))
    except TemplateSyntaxError as error:
        # Its words are a piece of the template.
        where = f"line {error.lineno}: {type(error).__name__}"
        raise Invalid(f"the template cannot be rendered: {where}: {error.message}") from None
    except TemplateError as error:
        message = error.message or ""
        is_safe = isinstance(error, UndefinedError) and _names_what_is_written(
            message, environment.parse(template)
        )
        words = f": {message}" if is_safe else ""
        raise Invalid(f"the template cannot be rendered: {type(error).__name__}{words}") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError, AttributeError) as error:
        # The words of these errors may hold values, and values may be secrets.
        raise Invalid(f"the template cannot be rendered: {type(error).__name__}") from None


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class Bounded(SandboxedEnvironment):
        """Multiplies nothing to a size that would fill the memory of whoever renders it."""

        intercepted_binops = frozenset({"*", "**", "%", "+"})
        concat = staticmethod(_concat)  # of blocks and macros

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and abs(right) > 64:
                raise OverflowError("the exponent is too large")
            if operator == "%" and isinstance(left, str):
                _check_percent(left, right)
                _check_size(len(left) + left.count("%") * _weigh(right))
            if operator == "+" and isinstance(left, str | list | tuple):
                _check_size(len(left) + (len(right) if isinstance(right, str | list | tuple) else 0))
            for text, times in ((left, right), (right, left)):
                is_series = isinstance(text, str | list | tuple) and isinstance(times, int)
                if operator == "*" and is_series and len(text) * times > MAX_SIZE:
                    raise OverflowError("the product is too large")
            return super().call_binop(context, operator, left, right)

        def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
            wrapped = super().wrap_str_format(value)
            if wrapped is None:
                return None

            def formatted(*args: Any, **kwargs: Any) -> str:
                _check_fields(value.__self__, [args, kwargs])
                _check_size(len(value.__self__) + value.__self__.count("{") * _weigh([args, kwargs]))
                return wrapped(*args, **kwargs)

            return formatted

        def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            text = getattr(function, "__self__", None)
            if isinstance(text, str):
                args = tuple(_unroll(args))
                _check_method(text, getattr(function, "__name__", ""), args, kwargs)
            return super().call(context, function, *args, **kwargs)

    # Plain text, not HTML: quoting characters for a browser would damage configuration files.
    environment = Bounded(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=_finalize
    )
    del environment.globals["lipsum"]
    for name, original in environment.filters.items():
        environment.filters[name] = _bounded_filter(original, name)
    return environment


def _compile(environment: SandboxedEnvironment, template: str) -> Template:
    """The template, with a step counted in the body of each loop and macro."""
    from jinja2 import nodes

    tree = environment.parse(template)
    found: list[nodes.For | nodes.Macro | nodes.CallBlock] = []
    for kind in (nodes.For, nodes.Macro, nodes.CallBlock):
        found += tree.find_all(kind)
    for each in found:
        call = nodes.Call(nodes.Name(_STEP, "load"), [], [], None, None)
        step = nodes.ExprStmt(call, lineno=each.lineno)
        for node in (step, call, call.node):
            node.set_lineno(each.lineno)
            node.set_environment(environment)
        each.body.insert(0, step)
    for joined in tree.find_all(nodes.Concat):
        # Jinja joins them by itself, to any size.
        call = nodes.Call(nodes.Name(_JOIN, "load"), joined.nodes, [], None, None)
        for node in (call, call.node):
            node.set_lineno(joined.lineno)
            node.set_environment(environment)
        joined.nodes = [call]
    return environment.template_class.from_code(environment, environment.compile(tree), environment.globals)


def _count_steps() -> Callable[[], None]:
    steps = itertools.count(1)

    def step() -> None:
        if next(steps) > MAX_STEPS:
            raise OverflowError("too many steps")

    return step


class _Spent(threading.local):
    """What the rendering in this thread has made so far, whether or not it is still there."""

    size = 0


_spent = _Spent()


def _check_size(size: int) -> None:
    _spent.size += size
    if size > MAX_SIZE or _spent.size > MAX_SPENT:
        raise OverflowError("the text is too long")


def _check_spent(size: int) -> None:
    _spent.size += size
    if _spent.size > MAX_SPENT:
        raise OverflowError("too much was made on the way")


def _weigh(value: Any) -> int:
    """About how long a value is as a text. Raises OverflowError for one that is too long."""
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, list | tuple | Mapping):
        return 1
    size = 0
    for item in (*value.keys(), *value.values()) if isinstance(value, Mapping) else value:
        size += 2 + _weigh(item)
        if size > MAX_SIZE:
            raise OverflowError("the text is too long")
    return size


def _concat(pieces: Iterable[str]) -> str:
    found = list(pieces)
    _check_size(sum(map(len, found)))
    return "".join(found)


def _join_values(*values: Any) -> str:
    """What `~` gives."""
    _check_size(sum(map(_weigh, values)))
    return "".join(map(str, values))


def _finalize(value: Any) -> Any:
    _weigh(value)
    return value


def _unroll(args: Iterable[Any]) -> list[Any]:
    """The arguments, with a list for each that can be gone through only once: its length counts."""
    return [list(each) if isinstance(each, Iterator) else each for each in args]


def _check_percent(text: str, values: Any) -> None:
    """Refuses a width of millions, which makes them of nothing; with `*` it is one of the values."""
    if _LONG_PERCENT.search(text) or ("*" in text and _has_large(values)):
        raise OverflowError("a width is too large")


def _check_fields(text: str, values: Any) -> None:
    """As for `%`, for a text in which fields stand in braces."""
    if _LONG_FIELD.search(text) or (_FIELD_IN_FIELD.search(text) and _has_large(values)):
        raise OverflowError("a width is too large")


def _has_large(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_large, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_large, value))
    if isinstance(value, str):
        return value.isdigit() and len(value) > 6
    return isinstance(value, int) and abs(value) > MAX_SIZE


def _check_method(text: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuses the call of a method of a text that could fill the memory."""
    values = [*args, *kwargs.values()]
    if name in _PADDING:
        _check_size(max((each for each in values if isinstance(each, int)), default=0))
        if name == "expandtabs":
            _check_size(
                len(text)
                + text.count("\t") * max((each for each in values if isinstance(each, int)), default=8)
            )
    elif name == "replace" and len(values) > 1 and isinstance(values[1], str):
        _check_replace(text, str(values[0]), values[1])
    elif name == "join" and values:
        _check_join(text, values[0])
    elif name == "__mod__":
        _check_percent(text, values)
    elif name == "translate":
        _check_size(len(text) * max((len(str(each)) for each in values), default=1))


def _check_replace(text: str, old: str, new: str) -> None:
    _check_size(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _check_join(mark: str, items: Any) -> None:
    if isinstance(items, Sequence | Mapping):
        _check_size(sum(len(mark) + (len(item) if isinstance(item, str) else 1) for item in items))


def _bounded_filter(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A filter of Jinja that refuses what would make too long a text."""

    @wraps(original)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        if name in ("batch", "slice"):
            _check_size(max((each for each in (*args, *kwargs.values()) if isinstance(each, int)), default=0))
        elif name == "sum":
            args = tuple(_unroll(args))
            if not isinstance(kwargs.get("start", args[3] if len(args) > 3 else 0), int | float):
                # Lists are copied for each that is added.
                _check_spent(len(args[1]) * _weigh(args[1]) // 16)
        elif name == "join":
            args = tuple(_unroll(args))
        elif name in ("string", "e", "escape", "forceescape", "safe"):
            _weigh(args[0] if args else "")
        # Some are given the context, the environment or the like before the value.
        given = [
            each for each in (*args, *kwargs.values()) if isinstance(each, str | int | Sequence | Mapping)
        ]
        value = given[0] if given else None
        if name in ("center", "indent", "wordwrap", "tojson", "pprint"):
            lines = value.count("\n") + 1 if isinstance(value, str) and name == "indent" else 1
            _check_size(
                lines
                * max(
                    (len(e) if isinstance(e, str) else e for e in given[1:] if isinstance(e, str | int)),
                    default=0,
                )
            )
        elif name == "format" and isinstance(value, str):
            _check_percent(value, [*args, *kwargs.values()])
        elif name == "replace" and isinstance(value, str) and len(given) > 2:
            _check_replace(value, str(given[1]), str(given[2]))
        elif name == "join":
            _check_join(next((each for each in given[1:] if isinstance(each, str)), ""), value)
        result = original(*args, **kwargs)
        if isinstance(result, str | list | tuple):
            _check_spent(len(result))
        return result

    return bounded


def _join(pieces: Iterable[str]) -> str:
    """The pieces of a rendered text as one. Raises Invalid where there are too many, or they are too long."""
    found: list[str] = []
    size = 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > MAX_SIZE or len(found) > MAX_PIECES:
            raise Invalid("the template cannot be rendered: its text is too long", hint="4 MiB at most")
    return "".join(found)


def _names_what_is_written(message: str, template: nodes.Template) -> bool:
    """Whether the name that the message ends with stands in the template; it could be made of a secret."""
    from jinja2 import nodes

    names = {node.name for node in template.find_all(nodes.Name)}
    names |= {node.attr for node in template.find_all(nodes.Getattr)}
    names |= {node.value for node in template.find_all(nodes.Const) if isinstance(node.value, str)}
    forms = ("{!r} is undefined", " has no attribute {!r}")
    return message.endswith(tuple(form.format(name) for form in forms for name in names))
