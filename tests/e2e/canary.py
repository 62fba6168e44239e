"""Secrets that are looked for where they must not be, and a watch over the processes of the machine."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class Canary:
    """A secret whose every form is known. The letters and digits in it stand in all but encoded forms."""

    value: str

    @classmethod
    def make(cls) -> Canary:
        return cls(f'kanari{os.urandom(6).hex()}"/&ü')

    def forms(self) -> dict[str, bytes]:
        """What gives the secret away: itself in any quoting, in base64 at any offset, in hex, its hash."""
        core = self.value[: self.value.index('"')].encode()
        value = self.value.encode()
        found = {"the value": core, "hex": core.hex().encode(), "backwards": core[::-1]}
        found["hex in capitals"] = core.hex().upper().encode()
        for offset in range(3):
            # The first and the last characters depend on what stands around.
            whole = base64.b64encode(b"\0" * offset + core).rstrip(b"=")
            found[f"base64 at offset {offset}"] = whole[4 if offset else 0 : -2]
        for text in (
            value,
            json.dumps(self.value).encode(),
            json.dumps(self.value, ensure_ascii=False).encode(),
        ):
            for name in ("sha1", "sha256", "sha512", "md5"):
                found[f"{name} of {len(text)} bytes"] = hashlib.new(name, text).hexdigest().encode()
        return found

    def leaks(self, places: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Where one of the forms stands, and in which surroundings."""
        forms = self.forms()
        for place, content in places:
            # What is encoded is broken into lines, by tools and by the formats that it is written in.
            joined = content.replace(b"\\n", b"").translate(None, b" \t\r\n")
            for form, needle in forms.items():
                for text in (content, joined):
                    at = text.find(needle)
                    if at >= 0:
                        yield f"{form} in {place}: ...{text[max(0, at - 80) : at + 80]!r}..."
                        break


class Watch:
    """Looks at the command line of every process of this machine, those of test hosts too, all the time.

    And at the environment of those that `python -m trueup` starts.
    """

    def __init__(self) -> None:
        self.seen: dict[bytes, None] = {}
        self.environments: dict[bytes, bytes] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def places(self) -> Iterator[tuple[str, bytes]]:
        for command in list(self.seen):
            yield "a command line", command
        for command, environment in list(self.environments.items()):
            yield f"the environment of {command[:80]!r}", environment

    def saw(self, word: bytes) -> bool:
        return any(word in command for command in self.seen)

    def _look(self) -> None:
        known: dict[str, bytes] = {}
        while not self._end.is_set():
            alive = [entry.name for entry in os.scandir("/proc") if entry.name.isdigit()]
            for name in alive:
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{name}/cmdline").read_bytes()
                    if known.get(name) == command:
                        continue
                    known[name] = command
                    self.seen[command] = None
                    self.environments.setdefault(command, Path(f"/proc/{name}/environ").read_bytes())
            known = {name: known[name] for name in alive if name in known}
            time.sleep(0.001)


def files_below(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every regular file below the folders, links not followed."""
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place) / name
                with contextlib.suppress(OSError):
                    if path.is_file() and not path.is_symlink():
                        yield str(path), path.read_bytes()
