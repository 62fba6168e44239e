"""`trueup import`: writes resource files for what lives already, and takes it over."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import rich_click as click

from trueup.cli.exit_codes import ERROR, INTERRUPTED, OK
from trueup.cli.import_text import import_document, render_import, render_refusals
from trueup.cli.interruption import Interruption
from trueup.cli.options import Call, takes_directory, takes_output
from trueup.cli.output import make_console, print_json, print_lines
from trueup.cli.progress import Progress
from trueup.cli.running import ask
from trueup.errors import UsageError
from trueup.reconcile.imports import ImportReport, ImportRequest, Wanted

if TYPE_CHECKING:
    from rich.console import Console

_QUESTION = "Write these files, and take the objects over as they are? [y/N]"
_ANSWERS = ("y", "Y", "yes", "Yes", "YES")


@click.command(name="import")
@click.argument("target", required=False, default="")
@click.argument("kind", required=False, default="")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "is_all", is_flag=True, help="Every kind whose objects can be listed.")
@click.option("--file", default="", metavar="FILE", help="One new file for all resources, inside of DIR.")
@click.option(
    "--dry-run", "is_dry_run", is_flag=True, help="Print the resources, and write nothing anywhere."
)
@takes_directory
@takes_output("text", "json")
@click.option("--yes", "-y", is_flag=True, help="Import what was found without asking.")
@click.pass_context
def import_(
    ctx: click.Context,
    call: Call,
    target: str,
    kind: str,
    ids: Sequence[str],
    is_all: bool,
    file: str,
    is_dry_run: bool,
    output: str,
    yes: bool,
) -> None:
    """Writes resource files for what lives on TARGET already, and takes it over without changing it.

    KIND is a kind of TARGET's provider, such as Deployment, AWS::SQS::Queue (or Queue) or File. An ID is what
    its users call an object: a name, namespace/name, a path; patterns with * and ? work. Without one all
    objects of KIND are imported, but for those that the system itself made. With --all and no TARGET every
    target of the stack is searched.

    Only an object in which a plan would then change nothing is imported. One with secrets in it is not: they
    would stay in Git for ever. Files that exist are never touched.

    Exit code 0: done, or nothing to do. 1: something that was asked for was not imported, or the answer was
    no. 130: interrupted.

    \b
    Example:
      trueup import prod Deployment shop/web shop/api
      trueup import eu Queue 'orders-*' --dry-run
      trueup import web-1 File '/etc/nginx/conf.d/*.conf'
      trueup import --all --yes
    """
    wanted = _read_wanted(target, kind, ids, is_all)
    _check_file(file)
    if not (yes or is_dry_run):
        _check_conversation(output)
    console = make_console(sys.stderr if output == "json" or is_dry_run else sys.stdout)
    interruption = Interruption()

    def confirm(report: ImportReport) -> bool:
        if not yes:
            print_lines(console, render_import(report))
            if not ask(_QUESTION, _ANSWERS):
                return False
        interruption.begin()
        return True

    is_live = output == "text" and sys.stdout.isatty() and not call.verbose
    progress = Progress(console, lambda _plan: None, is_live, is_silent=not is_live)
    with interruption, progress, call.open_app(may_create=not is_dry_run) as app:
        request = ImportRequest(wanted, confirm, progress, interruption.stop, file, is_dry_run)
        report = app.import_objects(call.source, request)
    is_told = (report.is_done or report.is_declined) and not yes
    _show(report, console, output, is_dry_run=is_dry_run, is_told=is_told)
    ctx.exit(_code_of(report))


def _read_wanted(target: str, kind: str, ids: Sequence[str], is_all: bool) -> Wanted:
    if is_all and kind:
        raise UsageError("--all is for every kind", hint="leave out --all, or KIND and everything after it")
    if not is_all and not kind:
        if target:
            hint = f"`{shlex.join(('trueup', 'import', target, '--all'))}` looks for everything there"
            raise UsageError("KIND is missing", hint=hint)
        raise UsageError("TARGET and KIND are missing", hint="`trueup import --all` looks for everything")
    return Wanted((target,) if target else (), kind, tuple(ids))


def _check_file(file: str) -> None:
    if not file:
        return
    path = PurePosixPath(file)
    hidden = any(part.startswith(".") for part in path.parts)
    if path.is_absolute() or hidden or str(path) != file or path.suffix not in (".yaml", ".yml"):
        raise UsageError(
            f"--file cannot be {file!r}",
            hint="name a new .yaml file by its path in the stack's directory, such as prod.yaml",
        )


def _check_conversation(output: str) -> None:
    hint = "pass --yes to import what is found, or --dry-run to look at it"
    if output == "json":
        raise UsageError("with --output json nobody is asked", hint=hint)
    if not sys.stdin.isatty():
        raise UsageError("standard input is no terminal, so nobody can be asked", hint=hint)


def _show(report: ImportReport, console: Console, output: str, *, is_dry_run: bool, is_told: bool) -> None:
    """Prints the end. `is_told`: all but what went wrong since then stands above the question."""
    if output == "json":
        print_json(import_document(report))
    elif is_dry_run:
        for index, (path, text) in enumerate(report.files.items()):
            sys.stdout.write(("---\n" if index else "") + f"# {path}\n{text}")
        sys.stdout.flush()
        print_lines(console, render_refusals(report))
    elif is_told:
        print_lines(console, render_refusals(report, only_failures=True))
    else:
        print_lines(console, render_import(report))


def _code_of(report: ImportReport) -> int:
    if report.is_interrupted:
        return INTERRUPTED
    return ERROR if report.has_failures or report.is_declined else OK
