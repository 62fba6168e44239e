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
@click.argument("name", metavar="[KIND[.FIELD]]", required=False, default="")
@takes_cluster
@click.pass_context
def explain(ctx: click.Context, name: str, source: str, target: str) -> None:
    """Shows the fields of a kind: types, defaults, what is create-only, and an example.

    Without KIND it lists all kinds. KIND may be written with its provider or its apiVersion, as in
    ssh/Service. Stack explains stack.yaml, Module the file of a module and the resource that uses one. For
    the kinds of a cluster, --source and --target say which cluster to ask.

    \b
    Example:
      trueup explain
      trueup explain File
      trueup explain AWS::SQS::Queue.spec.RedrivePolicy
      trueup explain Deployment.spec.strategy --source . --target prod
    """
    from trueup.plugins.load import InstalledProviders

    try:
        catalog = InstalledProviders()
        for line in render(catalog, name, source, target) if name else render_kinds(catalog):
            sys.stdout.write(escape(line) + "\n")
    except TrueupError as error:
        problems.show(error, "text")
        ctx.exit(ERROR)


def render_kinds(catalog: Catalog) -> Iterator[str]:
    """All kinds, each under its provider and its apiVersion."""
    yield "trueup"
    yield "  trueup.dev/v1"
    yield "    Stack, Module"
    for name in catalog.names():
        by_version: dict[str, list[str]] = {}
        for kind in catalog.provider(name).kinds():
            by_version.setdefault(kind.api_version, []).append(kind.name)
        yield ""
        yield name
        for version, names in by_version.items():
            yield f"  {version}"
            yield from _wrapped(", ".join(sorted(names)), "    ")


def render(catalog: Catalog, text: str, source: str = "", target: str = "") -> Iterator[str]:
    """The lines about a kind or about one field of it; Module is a file as well as a kind."""
    from trueup.manifests.explain import find_field

    prefix, slash, rest = text.rpartition("/")
    name, *path = rest.split(".")
    documents = list(_documents(catalog, f"{prefix}{slash}{name}", source, target))
    found = [each for each in documents if find_field(each[1], path) is not None]
    if not found:
        _, root, is_open = documents[-1]
        raise UsageError(f"{name} has no field {'.'.join(path)}", hint=_near(root, path, is_open=is_open))
    for index, (title, root, is_open) in enumerate(found):
        if index:
            yield ""
        yield from _render_document(title, root, path, is_open=is_open)


def _render_document(title: str, root: dict[str, Any], path: list[str], *, is_open: bool) -> Iterator[str]:
    from trueup.manifests.explain import describe_field, find_field

    part = find_field(root, path)
    if part is None:
        return
    yield title
    if path:
        yield f"FIELD: {'.'.join(path)}   {describe_field(root, path)}"
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


def _documents(
    catalog: Catalog, name: str, source: str, target: str
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """The title, the schema of the document, and whether only a live system knows the rest of it."""
    from trueup.manifests import editor_schema as schemas
    from trueup.manifests.vocabulary import API_VERSION

    word = name.removeprefix(f"{API_VERSION}/").lower()
    if word == "stack":
        yield "FILE: stack.yaml", schemas.stack_document(catalog), False
        return
    if word == "module":
        yield "FILE: module.yaml, what a module takes and gives", schemas.module_document(), False
        yield "KIND: Module (trueup.dev/v1), a use of a module", schemas.module_call_document(), False
        return
    found = find_kind(catalog, name)
    live = live_schema(catalog, found, source, target)
    title = f"KIND: {found.kind.name} ({found.kind.api_version}), provider {found.provider}"
    yield title, schemas.kind_document(found.kind, live), found.kind.schema is None and live is None


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
    from trueup.manifests.explain import example_of
    from trueup.manifests.interpolation import ESCAPED, OPEN
    from trueup.manifests.print_yaml import print_documents

    document = example_of(root, root)
    document["metadata"] = {"name": "example"}
    spec = root["properties"].get("spec")
    if spec is not None:
        # A cluster requires it of few kinds, and yet nothing goes without it.
        document.setdefault("spec", example_of(spec, root))
    # In an example an expression is one.
    yield from print_documents([document]).replace(ESCAPED, OPEN).splitlines()
