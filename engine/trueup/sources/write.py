"""Writes new files into the directory of a stack, and takes them out again. Called by reconcile."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from trueup.errors import SourceError
from trueup.sources.limits import show_path


class NewFiles:
    """Files that are all written, or none of them. What is there already is never opened for writing."""

    def __init__(self, directory: Path) -> None:
        self._top = directory.resolve()
        self._files: list[Path] = []
        self._folders: list[Path] = []

    def write(self, files: Mapping[str, str]) -> None:
        """Writes each text to its path. Raises SourceError, and then nothing of it is left."""
        try:
            for path, text in files.items():
                self._make_folder((self._top / path).parent)
                self._write_one(self._top / path, text)
        except OSError as error:
            self.undo()
            if isinstance(error, FileExistsError):
                raise SourceError(
                    f"{show_path(str(error.filename))} is there already", hint="name another file with --file"
                ) from error
            raise SourceError(f"cannot write {show_path(str(error.filename))}: {error.strerror}") from error
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Removes what was written, and the folders that were made for it and hold nothing else."""
        while self._files:
            self._files.pop().unlink(missing_ok=True)
        while self._folders:
            with contextlib.suppress(OSError):
                self._folders.pop().rmdir()

    def rewrite(self, files: Mapping[str, str]) -> None:
        """Replaces files that were written here, and removes those without a text. Raises SourceError."""
        for path, text in files.items():
            file = self._top / path
            try:
                if text:
                    self._replace_one(file, text)
                else:
                    file.unlink(missing_ok=True)
            except OSError as error:
                raise SourceError(f"cannot write {show_path(str(file))}: {error.strerror}") from error

    def _replace_one(self, file: Path, text: str) -> None:
        # A name that nobody can know, so that no link of a repository lies in wait there.
        part = file.with_name(f".{file.name}.{secrets.token_hex(8)}.part")
        written = len(self._files)
        try:
            self._write_one(part, text)
            part.replace(file)
        finally:
            del self._files[written:]
            part.unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        # A symbolic link on the way must not lead what is written out of the stack.
        if not folder.resolve().is_relative_to(self._top):
            raise SourceError(f"{show_path(str(folder))} is not in the directory of the stack")
        for each in reversed(missing):
            each.mkdir()
            self._folders.append(each)

    def _write_one(self, file: Path, text: str) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        self._files.append(file)
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:  # noqa: PTH123 - a descriptor
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
