"""The command `trueup` itself: its commands by name, each imported when it is used. Run by `cli.run`."""

from __future__ import annotations

from importlib import import_module

import rich_click as click

import trueup
from trueup.cli.exit_codes import ERROR

COMMANDS = (
    "validate",
    "plan",
    "reconcile",
    "approve",
    "reject",
    "status",
    "drift",
    "outputs",
    "history",
    "events",
    "show",
    "diff",
    "blame",
    "why",
    "graph",
    "destroy",
    "forget",
    "suspend",
    "resume",
    "rollback",
    "recover",
    "import",
    "daemon",
    "eval",
    "explain",
    "schema",
    "fmt",
    "version",
)


class LazyGroup(click.RichGroup):
    """Imports the module of a command when the command is used or listed: starting stays cheap."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        # `import` is no name for a function.
        name = "import_" if cmd_name == "import" else cmd_name
        command = getattr(import_module(f"trueup.cli.{name}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"trueup.cli.{cmd_name} has no command {cmd_name!r}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, 1)
            ctx.fail(f"there is no command {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(trueup.__version__, message="trueup %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Keeps infrastructure true to Git: one plan across clusters, clouds and hosts.

    SOURCE is a directory or a Git URL that holds a stack. Settings are read from ./trueup.toml if there is
    one.

    \b
    Example:
      trueup plan ./shop
      trueup reconcile ./shop
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(ERROR)
