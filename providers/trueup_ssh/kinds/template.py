"""Renders a File's `template`. Called by kinds.file; Jinja is imported only where a template is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueup.sdk import Document, Invalid

if TYPE_CHECKING:
    from jinja2 import nodes


def render(template: str, data: Document) -> str:
    """The text, from nothing but `data`: a sandbox without files or imports; an unknown name is an error."""
    try:
        from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
        from jinja2.sandbox import SandboxedEnvironment
    except ImportError:
        raise Invalid("a template needs Jinja", hint="pip install 'trueup[ssh]'") from None
    # Plain text, not HTML: quoting characters for a browser would damage configuration files.
    environment = SandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    try:
        return environment.from_string(template).render(data)
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


def _names_what_is_written(message: str, template: nodes.Template) -> bool:
    """Whether the name that the message ends with stands in the template; it could be made of a secret."""
    from jinja2 import nodes

    names = {node.name for node in template.find_all(nodes.Name)}
    names |= {node.attr for node in template.find_all(nodes.Getattr)}
    names |= {node.value for node in template.find_all(nodes.Const) if isinstance(node.value, str)}
    forms = ("{!r} is undefined", " has no attribute {!r}")
    return message.endswith(tuple(form.format(name) for form in forms for name in names))
