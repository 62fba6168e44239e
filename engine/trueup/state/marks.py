"""What this machine remembers of the stores that it used, so that a lost or an old one is noticed.

Called by recovery, with each run that begins. One small file for each stack of each store, away from the
store itself. A mark is a help and no lock: one that cannot be written or read is a warning.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from trueup.state.store import Mark

_log = logging.getLogger("trueup.state")
# Of a mark, in bytes: it holds the name of a store and of a stack.
_LONGEST = 65536
# Of the runs of a store; what a recovery counts on from leaves room for many more.
_LAST_RUN = 2**53


class Marks:
    """The marks of one store, which `name` tells from others, and `is_local` from those of other machines."""

    def __init__(self, name: str, *, is_local: bool) -> None:
        self._name = name
        # Several machines may share a home directory, and each have a store of its own at the same path.
        self._key = f"{_read_machine_id()}:{name}" if is_local else name
        self._has_warned = False

    def read(self, stack: str) -> Mark | None:
        """What is remembered of a stack; None where nothing is, or what there is cannot be read."""
        file = self._file(stack)
        try:
            text = _read_start(file) if file is not None else None
        except OSError as error:
            self._warn(f"the mark {file} cannot be read: {error.strerror}")
            return None
        if text is None:
            return None
        try:
            return _parse(text)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self._warn(f"the mark {file} is damaged, and is written anew by the next run")
            return None

    def write(self, stack: str, mark: Mark) -> None:
        """Remembers the latest run of a stack, in place of what was remembered before."""
        file = self._file(stack)
        if file is None:
            return
        text = json.dumps(
            {
                "store": self._name,
                "stack": stack,
                "installation": mark.installation,
                "run": mark.run,
                "at": mark.at,
            }
        )
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".new", f"{file.name}.", file.parent)  # of mode 0600
            part = Path(name)
            try:
                with os.fdopen(handle, "w") as stream:
                    stream.write(text)
                part.replace(file)
            except OSError:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._warn(
                f"the mark {file} cannot be written ({error.strerror}): that the store is lost or old will"
                " not be noticed by it"
            )

    def forget(self, stack: str) -> None:
        """Drops what is remembered of a stack of which nothing is managed any more."""
        file = self._file(stack)
        try:
            if file is not None:
                file.unlink(missing_ok=True)
        except NotADirectoryError:
            pass  # nothing was ever written there
        except OSError as error:
            self._warn(
                f"the mark {file} cannot be removed ({error.strerror}): remove it, since nothing is left"
            )

    def _file(self, stack: str) -> Path | None:
        try:
            home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
        except RuntimeError:
            # A user that only its number is known of, as in some containers.
            self._warn(
                "neither HOME nor XDG_STATE_HOME says where to remember runs: that the store is lost or old"
                " will not be noticed by it"
            )
            return None
        digest = hashlib.sha256(f"{self._key}\0{stack}".encode("utf-8", "surrogateescape")).hexdigest()
        return Path(home).absolute() / "trueup" / "marks" / f"{digest[:40]}.json"

    def _warn(self, message: str) -> None:
        # A daemon runs for ever, and this is not worth a line a minute.
        tell = _log.debug if self._has_warned else _log.warning
        tell("%s", message)
        self._has_warned = True


def _read_start(file: Path) -> str | None:
    """As much of a file as a mark may be; None where there is none. What is no file is not waited for."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(handle, _LONGEST + 1).decode("utf-8", "replace")
    finally:
        os.close(handle)


def _parse(text: str) -> Mark:
    """Raises ValueError and the like for what is no mark."""
    if len(text) > _LONGEST:
        raise ValueError("too long")
    data = json.loads(text)
    mark = Mark(str(data["installation"]), int(data["run"]), float(data["at"]))
    datetime.fromtimestamp(mark.at, UTC)  # it will be told
    if not 0 < mark.run < _LAST_RUN:
        raise ValueError("no number of a run")
    return mark


def _read_machine_id() -> str:
    """What tells this machine from others, also after it was started anew; empty where nothing does."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except (OSError, ValueError):
        return ""
