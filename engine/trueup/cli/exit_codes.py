"""The exit codes of all commands; docs/cli.md promises them to scripts."""

from __future__ import annotations

from typing import Final

OK: Final = 0
# Also wrong usage, for which other programs take 2.
ERROR: Final = 1
CHANGES: Final = 2
HELD: Final = 3
INTERRUPTED: Final = 130
