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
from contextlib import suppress
from pathlib import Path

from trueup.state.store import Mark

_log = logging.getLogger("trueup.state")


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
            text = file.read_text()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._warn(f"the mark {file} cannot be read: {error}")
            return None
        try:
            data = json.loads(text)
            return Mark(str(data["installation"]), int(data["run"]), float(data["at"]))
        except (ValueError, KeyError, TypeError):
            self._warn(f"the mark {file} is damaged, and is written anew by the next run")
            return None

    def write(self, stack: str, mark: Mark) -> None:
        """Remembers the latest run of a stack, in place of what was remembered before."""
        file = self._file(stack)
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
        with suppress(OSError):
            self._file(stack).unlink()

    def _file(self, stack: str) -> Path:
        home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
        digest = hashlib.sha256(f"{self._key}\0{stack}".encode("utf-8", "surrogateescape")).hexdigest()
        return Path(home).absolute() / "trueup" / "marks" / f"{digest[:40]}.json"

    def _warn(self, message: str) -> None:
        # A daemon runs for ever, and this is not worth a line a minute.
        tell = _log.debug if self._has_warned else _log.warning
        tell("%s", message)
        self._has_warned = True


def _read_machine_id() -> str:
    """What tells this machine from others, also after it was started anew; empty where nothing does."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except (OSError, ValueError):
        return ""
