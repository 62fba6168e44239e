"""The command line: one file per command; output.py renders."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, TextIO

from trueup.cli.exit_codes import ERROR, INTERRUPTED, OK

if TYPE_CHECKING:
    import click

_BUG = (
    "This is a bug in trueup. Please report it with the lines above and with what `trueup version` prints;\n"
    "look through them first for anything that must stay private."
)


def main() -> NoReturn:
    """The entry point of `trueup`."""
    for stream in (sys.stdout, sys.stderr):
        _print_anything(stream)
    sys.exit(run())


def run(arguments: Sequence[str] | None = None, *, engine: object = None) -> int:
    """Runs one command and gives the exit code. `engine` makes the App; see `options.EngineFactory`."""
    import click

    from trueup.cli.program import program

    try:
        code = program.main(arguments, prog_name="trueup", standalone_mode=False, obj=engine)
    except click.ClickException as error:
        _show_usage(error)
        return ERROR
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: nothing was done", file=sys.stderr)
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the last place where a bug of ours can be told as one
        from trueup.redaction import redact

        print(redact(traceback.format_exc()), _BUG, sep="", file=sys.stderr)
        return ERROR
    return code if isinstance(code, int) else OK


def _show_usage(error: click.ClickException) -> None:
    """An error of usage has exit code 1: 2 is `plan`'s word for changes."""
    context = getattr(error, "ctx", None)
    if context is not None:
        pieces = " ".join(context.command.collect_usage_pieces(context))
        print(f"Usage: {context.command_path} {pieces}", file=sys.stderr)
        print(f"Try `{context.command_path} --help`.\n", file=sys.stderr)
    print(f"Error: {error.format_message()}", file=sys.stderr)


def _print_anything(stream: TextIO) -> None:
    """A character that the terminal's encoding lacks is printed escaped instead of ending the program."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
