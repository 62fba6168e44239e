"""Renders a File's `template`. Called by kinds.file; Jinja is imported only where a template is used."""

from __future__ import annotations

from trueup.sdk import Document, Invalid


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
    except TemplateError as error:
        # Only these two have words without values in them: a name, or a piece of the template.
        words = f": {error.message}" if isinstance(error, UndefinedError | TemplateSyntaxError) else ""
        line = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
        raise Invalid(f"the template cannot be rendered: {line}{type(error).__name__}{words}") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError, AttributeError) as error:
        # The words of these errors may hold values, and values may be secrets.
        raise Invalid(f"the template cannot be rendered: {type(error).__name__}") from None
