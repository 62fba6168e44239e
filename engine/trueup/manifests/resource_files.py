"""Which files of a directory hold resources. Called by `load` for a stack, and by `modules` for a module."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from trueup.errors import Place, Problem
from trueup.manifests.glob import read_glob
from trueup.manifests.module_file import MODULE_FILES
from trueup.manifests.vocabulary import STACK_FILES

# The settings of whoever runs trueup, who may well be in the directory of the stack: see trueup.config.
SETTINGS_FILE = "trueup.toml"
_IS_RESOURCE = re.compile(rb"""^\s*["']?(apiVersion|kind)["']?\s*=(?!=)""", re.MULTILINE)
_IS_STACK = re.compile(rb"""\bkind["']?\s*[:=]\s*["']?Stack\b""")


@dataclass(frozen=True)
class ResourceFiles:
    """The files that may hold resources, and those that make a directory one of a module or a stack."""

    paths: Sequence[str]
    module_files: Sequence[str]
    stack_files: Sequence[str]


def select_resource_files(
    paths: Collection[str], exclude: Sequence[str] = (), left_out: Collection[str] = ()
) -> ResourceFiles:
    """The files that are not hidden, not excluded, and not of a stack or a module further down.

    Paths are relative to the directory.
    """
    globs = [read_glob(text) for text in exclude]
    nested = {
        directory
        for directory, _, name in (path.rpartition("/") for path in paths)
        if directory and (name in STACK_FILES or name in MODULE_FILES) and not _is_hidden(directory)
    }
    chosen: list[str] = []
    module_files: list[str] = []
    stack_files: list[str] = []
    for path in sorted(paths):
        is_own = path not in STACK_FILES and path not in left_out and not _is_hidden(path)
        if not is_own or any(glob.matches(path) for glob in globs):
            continue
        parents = _parents(path) if nested else ()
        if not any(parent in nested for parent in parents):
            chosen.append(path)
        elif not any(parent in nested for parent in parents[:-1]):
            name = path.rpartition("/")[2]
            module_files += [path] if name in MODULE_FILES else []
            stack_files += [path] if name in STACK_FILES else []
    return ResourceFiles(chosen, module_files, stack_files)


def check_stack_file(name: str, content: bytes) -> Iterator[Problem]:
    """Whether a file with the name of a stack file is one: what stands beside it is left out for it.

    Read as text: what else is wrong with it is for the stack that it declares.
    """
    if not _IS_STACK.search(content):
        message = "the files beside this one are left out for its name, and it declares no stack"
        hint = "give it another name, or name its directory in spec.exclude of the stack"
        yield Problem(message, Place(name), hint)


def check_settings_file(content: bytes) -> Iterator[Problem]:
    """Whether the file with the name of the settings holds a resource, which nobody would apply."""
    if _IS_RESOURCE.search(content):
        message = f"{SETTINGS_FILE} holds the settings of trueup and is no resource file"
        yield Problem(message, Place(SETTINGS_FILE), "give the file another name")


def _is_hidden(path: str) -> bool:
    return "." in path and (path.startswith(".") or "/." in path)


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]
