"""Who it is that types a command, for the history. Called by commands that let something pass."""

from __future__ import annotations

import getpass
import os
import socket


def this_person() -> str:
    """`user@host`: what the machine knows of the person. A name for the record, not a proof."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A user id without an entry, as in many containers.
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"
