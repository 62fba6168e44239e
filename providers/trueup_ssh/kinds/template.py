"""Renders a File's `template`. Called by kinds.file; Jinja is imported only where a template is used."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from trueup.sdk import Document, Invalid

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

# A file's text has 4 MiB at most; what a template makes on the way to it stays within this.
MAX_SIZE = 4 * 1024 * 1024
MAX_PIECES = 1_000_000


def render(template: str, data: Document) -> str:
    """The text, from nothing but `data`: a sandbox without files or imports; an unknown name is an error."""
    try:
        from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
    except ImportError:
        raise Invalid("a template needs Jinja", hint="pip install 'trueup[ssh]'") from None
    environment = _environment()
    try:
        return _join(environment.from_string(template).generate(data))
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

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and abs(right) > 64:
                raise OverflowError("the exponent is too large")
            for text, times in ((left, right), (right, left)):
                is_series = isinstance(text, str | list | tuple) and isinstance(times, int)
                if is_series and len(text) * times > MAX_SIZE:
                    raise OverflowError("the product is too large")
            return super().call_binop(context, operator, left, right)

    # Plain text, not HTML: quoting characters for a browser would damage configuration files.
    return Bounded(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)


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
