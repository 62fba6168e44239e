"""`trueup schema`: JSON Schemas for editors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from trueup.cli import problems
from trueup.cli.exit_codes import ERROR
from trueup.cli.kinds import find_kind, live_schema, takes_cluster
from trueup.cli.output import escape, print_json
from trueup.errors import TrueupError, UsageError

if TYPE_CHECKING:
    from trueup.sdk.contracts import Catalog

FILES = ("stack", "module", "resources")


@click.command()
@click.argument("kinds", nargs=-1, metavar="[KIND|stack|module|resources]...")
@click.option(
    "--output-dir",
    type=click.Path(),
    default="",
    metavar="DIR",
    help="Write stack.json, module.json, resources.json, and a file for each KIND into DIR.",
)
@takes_cluster
@click.pass_context
def schema(ctx: click.Context, kinds: Sequence[str], output_dir: str, source: str, target: str) -> None:
    """Prints the JSON Schema of a kind, of a stack file, of a module file, or of all resources together.

    `module` is the file of a module, and `Module` the kind of the resource that uses one.

    An editor that uses it completes and checks files while they are written; docs/editors.md shows how. For
    the kinds of a cluster, --source and --target say which cluster to ask.

    \b
    Example:
      trueup schema --output-dir .schemas
      trueup schema ssh/File
    """
    from trueup.plugins.load import InstalledProviders

    try:
        catalog = InstalledProviders()
        if output_dir:
            _write(catalog, [*FILES, *kinds], Path(output_dir), source, target)
        elif len(kinds) == 1:
            print_json(make_schema(catalog, kinds[0], source, target))
        else:
            hint = "several are written with --output-dir DIR"
            raise UsageError("name one: a kind, stack, module or resources", hint=hint)
    except TrueupError as error:
        problems.show(error, "text")
        ctx.exit(ERROR)


def make_schema(catalog: Catalog, name: str, source: str = "", target: str = "") -> dict[str, Any]:
    """The schema of one of FILES, or of a kind."""
    from trueup.manifests import editor_schema as schemas

    if name in ("stack", "Stack"):
        made = schemas.schema_of(schemas.stack_document(catalog))
    elif name == "Module":
        made = schemas.schema_of(schemas.module_call_document())
    elif name == "module":
        made = schemas.schema_of(schemas.module_document())
    elif name == "resources":
        names = catalog.names()
        made = schemas.resources_schema(kind for each in names for kind in catalog.provider(each).kinds())
    else:
        found = find_kind(catalog, name)
        live = live_schema(catalog, found, source, target)
        made = schemas.schema_of(schemas.kind_document(found.kind, live))
    return {"$schema": schemas.DIALECT, **made}


def _write(catalog: Catalog, names: Sequence[str], folder: Path, source: str, target: str) -> None:
    import json

    made = {name: make_schema(catalog, name, source, target) for name in names}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in made.items():
            file = folder / f"{name.replace('/', '_').replace('::', '_')}.json"
            file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            click.echo(escape(str(file)))
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from error
