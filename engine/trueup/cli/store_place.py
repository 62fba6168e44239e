"""Which store a command works on: a command that only reads makes none. Called by options.Call.open_app."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from trueup.cli.output import escape
from trueup.errors import UsageError
from trueup.state.open import NO_STORE, file_of

_log = logging.getLogger("trueup.cli")


def require_store(url: str) -> None:
    """Raises UsageError where there is no store: what the command is about cannot be there."""
    file = file_of(url)
    if file is not None and not _is_there(file):
        raise UsageError(
            f"there is no store at {file}",
            hint="--store, TRUEUP_STORE or `store` of trueup.toml names the one that the runs use",
        )


def place_store(url: str, *, is_named: bool, may_create: bool) -> str:
    """The store's URL, or NO_STORE with its file where there is none and none may be made.

    `is_named`: the command line or the environment says where it is, so a mistake there is told.
    """
    file = file_of(url)
    if file is None or _is_there(file):
        return url
    if may_create:
        if is_named and not file.parent.is_dir():
            raise UsageError(
                f"there is no directory {file.parent} for the store",
                hint="make the directory, or name another place with --store or TRUEUP_STORE",
            )
        return url
    notice = f"there is no store yet at {escape(str(file))} (a run creates it)"
    if is_named:
        sys.stderr.write(f"{notice}\n")
    else:
        _log.info("%s", notice)
    return NO_STORE + str(file)


def _is_there(file: Path) -> bool:
    """Whether there is a store, or what is left of one: a link to nowhere, or the log of one that is gone.

    Opening it says what is wrong.
    """
    return os.path.lexists(file) or Path(f"{file}-wal").exists()
