"""`trueup explain`: the fields of a kind, and an example."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from trueup.cli import problems
from trueup.cli.exit_codes import ERROR
from trueup.cli.kinds import find_kind, live_schema, takes_cluster
from trueup.cli.output import columns, escape
from trueup.errors import TrueupError, UsageError

if TYPE_CHECKING:
    from trueup.sdk.contracts import Catalog

_WIDTH = 100


@click.command()
@click.argument("name", metavar="KIND[.FIELD]")
@takes_cluster
@click.pass_context
def explain(ctx: click.Context, name: str, source: str, target: str) -> None:
    """Shows the fields of a kind: types, defaults, what is create-only, and an example.

    KIND may be written with its provider or its apiVersion, as in ssh/Service. Stack and Module explain the
    files of stacks and modules. For the kinds of a cluster, --source and --target say which cluster to ask.

    \b
    Example:
      trueup explain File
      trueup explain AWS::SQS::Queue.spec.RedrivePolicy
      trueup explain Deployment.spec.strategy --source . --target prod
    """
    from trueup.plugins.load import InstalledProviders

    try:
        for line in render(InstalledProviders(), name, source, target):
            sys.stdout.write(escape(line) + "\n")
    except TrueupError as error:
        problems.show(error, "text")
        ctx.exit(ERROR)


def render(catalog: Catalog, text: str, source: str = "", target: str = "") -> Iterator[str]:
    """The lines about a kind or about one field of it."""
    from trueup.manifests.explain import find_field, type_of

    prefix, slash, rest = text.rpartition("/")
    name, *path = rest.split(".")
    title, root, is_open = _document(catalog, f"{prefix}{slash}{name}", source, target)
    part = find_field(root, path)
    if part is None:
        raise UsageError(f"{name} has no field {'.'.join(path)}", hint=_near(root, path, is_open=is_open))
    yield title
    if path:
        yield f"FIELD: {'.'.join(path)}   {type_of(part, root)}"
    if part.get("description"):
        yield ""
        yield from _wrapped(str(part["description"]), "  ")
    spec = None if path else find_field(root, ["spec"])
    if spec is not None:
        yield from _fields(spec, root, "FIELDS OF SPEC")
    if is_open and not path:
        yield ""
        yield from _wrapped(
            "Its other fields are known to the cluster alone: add --source and --target to ask it.", "  "
        )
    yield from _fields(part, root, "FIELDS")
    if not path:
        yield ""
        yield "EXAMPLE"
        yield from (f"  {line}" for line in _example(root))


def _fields(part: Mapping[str, Any], root: Mapping[str, Any], title: str) -> Iterator[str]:
    """The fields directly below, each with what is said about it; `>` has fields of its own."""
    from trueup.manifests.explain import list_fields

    fields = list(list_fields(part, root))
    if not fields:
        return
    yield ""
    yield title
    rows = [
        [each.name + (" >" if each.has_fields else ""), each.type, ", ".join(each.words)] for each in fields
    ]
    for row, field in zip(columns(rows), fields, strict=True):
        yield f"  {'  '.join(row)}".rstrip()
        yield from _wrapped(field.description, "      ")
    choices = [" and ".join(choice["required"]) for choice in part.get("oneOf") or () if "required" in choice]
    if choices:
        yield f"  One of: {', '.join(choices)}"


def _document(catalog: Catalog, name: str, source: str, target: str) -> tuple[str, dict[str, Any], bool]:
    """The title, the schema of the document, and whether only a live system knows the rest of it."""
    from trueup.manifests import editor_schema as schemas

    if name.lower() == "stack":
        return "FILE: stack.yaml", schemas.stack_document(catalog), False
    if name.lower() == "module":
        return "KIND: Module (trueup.dev/v1)", schemas.module_call_document(), False
    found = find_kind(catalog, name)
    live = live_schema(catalog, found, source, target)
    title = f"KIND: {found.kind.name} ({found.kind.api_version}), provider {found.provider}"
    return title, schemas.kind_document(found.kind, live), found.kind.schema is None and live is None


def _near(root: dict[str, Any], path: list[str], *, is_open: bool) -> str:
    """Which fields there are instead of the one that is not there."""
    from trueup.manifests.explain import find_field, list_fields
    from trueup.manifests.suggestions import suggest

    if is_open:
        return "only the cluster knows it: add --source and --target to ask it"
    for length in range(len(path)):
        part = find_field(root, path[: length + 1])
        if part is None:
            above = find_field(root, path[:length])
            known = [field.name for field in list_fields(above, root)] if above else []
            return suggest(path[length], known, "fields there")
    return ""


def _wrapped(text: str, indent: str) -> Iterator[str]:
    for paragraph in text.split("\n"):
        yield from textwrap.wrap(paragraph, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _example(root: dict[str, Any]) -> Iterator[str]:
    """The smallest document of the kind, in YAML."""
    import yaml

    from trueup.manifests.explain import example_of

    document = example_of(root, root)
    document["metadata"] = {"name": "example"}
    spec = root["properties"].get("spec")
    if spec is not None:
        # A cluster requires it of few kinds, and yet nothing goes without it.
        document.setdefault("spec", example_of(spec, root))
    yield from yaml.safe_dump(document, sort_keys=False, allow_unicode=True).splitlines()
