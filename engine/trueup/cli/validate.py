"""`trueup validate`: checks a stack's files without looking at any live system."""

from __future__ import annotations

import rich_click as click

from trueup.cli.options import Call, takes_output, takes_source
from trueup.cli.output import count, escape, make_console, plain, print_json
from trueup.cli.problems import FORMAT_VERSION


@click.command()
@takes_source
@takes_output("text", "json")
def validate(call: Call, output: str) -> None:
    """Checks the files of a stack; contacts no target and no store.

    All problems are shown at once, each with its file, line and column.

    \b
    Example:
      trueup validate ./shop
    """
    with call.open_app() as app:
        loaded = app.load(call.source)
    resources = len(loaded.graph.nodes)
    targets = len({address.target for address in loaded.graph.nodes})
    if output == "json":
        print_json(
            {
                "formatVersion": FORMAT_VERSION,
                "stack": loaded.stack.name,
                "commit": loaded.revision.commit,
                "resources": resources,
                "targets": targets,
                "problems": [],
            }
        )
        return
    verb = "is" if resources == 1 else "are"
    make_console().print(
        plain(
            (escape(loaded.stack.name), "bold"),
            (f": {count(resources, 'resource')} on {count(targets, 'target')} {verb} ", ""),
            ("valid", "bold green"),
        )
    )
