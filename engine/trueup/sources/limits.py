"""What a source may hold: sizes, names, links, and files that only look like content."""

from __future__ import annotations

from pathlib import PurePosixPath

from trueup.errors import SourceError, UnfitFile

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_FILES = 50_000
MAX_TOTAL_BYTES = 256 * 1024 * 1024
MAX_LINKS = 40
# Of a whole source, of which a stack is a part.
MAX_SOURCE_FILES = 1_000_000
# What Linux takes for a path.
MAX_PATH = 4096
_LONGEST_SHOWN = 200

# What a symbolic link must not leave: for the files of a stack, and for those outside of its directory.
OWN = "the directory of the stack"
WHOLE = "the source"

_LFS_MARK = b"version https://git-lfs.github.com/spec/"


def is_hidden(path: str) -> bool:
    """Whether a directory on the way to the file is hidden: `.git`, `.github`, `.venv` hold no resources."""
    return any(part.startswith(".") for part in path.split("/")[:-1])


def show_path(path: str) -> str:
    """The path for a message: what cannot be printed is escaped."""
    if len(path) > _LONGEST_SHOWN:
        path = f"{path[: _LONGEST_SHOWN // 2]}...{path[-_LONGEST_SHOWN // 2 :]}"
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def check_name(path: str) -> None:
    """Raises SourceError for a name that is not UTF-8 or would garble every message about it."""
    if not path.isprintable():
        raise SourceError(
            f"the name of the file {show_path(path)} is not printable UTF-8",
            hint="rename it, or move it out of the directory of the stack",
        )


def overlong(path: str) -> SourceError:
    return SourceError(
        f"the path {show_path(path)} is longer than {MAX_PATH} bytes",
        hint="no system can hold such a file: shorten it",
    )


def check_count(count: int, where: str, most: int | None = None) -> None:
    most = MAX_FILES if most is None else most
    if count > most:
        raise SourceError(
            f"{where} holds more than {most} files",
            hint="name the subdirectory in which the stack's files are",
        )


def check_total(total: int, where: str) -> None:
    if total > MAX_TOTAL_BYTES:
        raise SourceError(
            f"the files of {where} come to more than {MAX_TOTAL_BYTES // 1024**2} MiB",
            hint="name the subdirectory in which the stack's files are",
        )


def oversized(path: str) -> UnfitFile:
    return UnfitFile(f"the file {show_path(path)} is larger than {MAX_FILE_BYTES // 1024**2} MiB")


def check_content(path: str, content: bytes) -> None:
    """Raises UnfitFile for the pointer that Git LFS leaves in place of a file."""
    if content.startswith(_LFS_MARK):
        raise UnfitFile(
            f"the file {show_path(path)} is a Git LFS pointer, not the content itself",
            hint="keep the file in Git itself: files kept by LFS are not fetched",
        )


def leaving_link(path: str, what: str = OWN) -> SourceError:
    return SourceError(
        f"the symbolic link {show_path(path)} leaves {what}",
        hint=f"copy the file into {what}, or remove the link",
    )


def broken_link(path: str, what: str = OWN) -> SourceError:
    return SourceError(f"the symbolic link {show_path(path)} does not lead to a file of {what}")


def clean_path(path: str) -> str:
    """The path below a source, normalised and empty for the root. Refuses one that leaves it."""
    if any(not char.isprintable() for char in path):
        raise SourceError(f"the path {show_path(path)} has characters that cannot be printed")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if PurePosixPath(path).is_absolute() or ".." in parts or path.startswith("-"):
        raise SourceError(f"the path {path!r} has to be relative to the root of the source, without '..'")
    return "/".join(parts)
