"""`trueup fmt`: lays out resource files in one way, without changing what they say."""

from __future__ import annotations

import difflib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import rich_click as click

from trueup.cli import problems
from trueup.cli.exit_codes import CHANGES, ERROR, OK
from trueup.cli.output import count, escape, escape_line
from trueup.errors import ManifestError, Problem, UsageError

# Directories of these files hold templates and charts of another tool.
_FOREIGN = ("Chart.yaml",)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--check", is_flag=True, help="Write nothing; exit code 2 where a file would change.")
@click.option("--diff", is_flag=True, help="Show what changes; with --check, what would.")
@click.pass_context
def fmt(ctx: click.Context, paths: Sequence[str], check: bool, diff: bool) -> None:
    """Lays out the YAML, TOML and JSON files of PATHS, by default of the current directory.

    Only the layout changes: indentation, empty lines, white space at the ends of lines. Comments and values
    stay, which is checked before a file is written. Helm charts and hidden files are left alone.

    \b
    Example:
      trueup fmt ./shop
      trueup fmt --check --diff .
    """
    changed = 0
    wrong: list[Problem] = []
    try:
        for file in _find_files(paths or (".",)):
            try:
                changed += _format(file, is_check=check, is_shown=diff)
            except ManifestError as error:
                wrong += error.problems
    except UsageError as error:
        problems.show(error, "text")
        ctx.exit(ERROR)
    verb = "would change" if check else "changed"
    if changed:
        sys.stderr.write(f"{count(changed, 'file')} {verb}\n")
    if wrong:
        problems.show(ManifestError(wrong), "text")
        ctx.exit(ERROR)
    ctx.exit(CHANGES if check and changed else OK)


def _find_files(paths: Sequence[str]) -> Iterator[Path]:
    """The files to lay out: those that are named, and of a directory those that a stack would read."""
    from trueup.manifests.parse import SUFFIXES

    for text in paths:
        path = Path(text)
        if path.is_dir():
            yield from _walk(path, SUFFIXES)
        elif not path.is_file():
            raise UsageError(f"there is no file or directory {escape(text)}")
        elif path.suffix not in SUFFIXES:
            raise UsageError(f"{escape(text)} is no resource file", hint=f"these are: {', '.join(SUFFIXES)}")
        else:
            yield path


def _walk(directory: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"cannot read {escape(str(error.filename))}: {error.strerror}") from error

    for folder, folders, names in os.walk(directory, onerror=refuse):
        if any(name in names for name in _FOREIGN):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.startswith(".") or path.suffix not in suffixes or path.is_symlink():
                continue
            if path.is_file():  # and no pipe, which would be waited for
                yield path


def _format(file: Path, *, is_check: bool, is_shown: bool) -> bool:
    """Lays out one file; whether it was, or would be, changed."""
    from trueup.manifests.format import format_file

    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {escape(str(file))}: {error.strerror}") from error
    text = format_file(str(file), data)
    if text.encode() == data:
        return False
    if is_shown:
        lines = difflib.unified_diff(
            data.decode("utf-8-sig").splitlines(), text.splitlines(), str(file), str(file), lineterm=""
        )
        sys.stdout.writelines(escape_line(line) + "\n" for line in lines)
    else:
        sys.stdout.write(f"{escape(str(file))}\n")
    if not is_check:
        _replace(file, text)
    return True


def _replace(file: Path, text: str) -> None:
    """Writes the file as a whole or not at all, with the mode that it had. A link stays a link."""
    try:
        file = file.resolve()
        mode = stat.S_IMODE(file.stat().st_mode)
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as stream:  # noqa: PTH123 - a descriptor
                stream.write(text)
            Path(name).chmod(mode)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"cannot write {escape(str(file))}: {error.strerror}") from error
