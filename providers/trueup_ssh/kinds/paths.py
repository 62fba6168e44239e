"""What files and directories have in common: paths, modes, owners, and the metadata of many in one go."""

from __future__ import annotations

import posixpath
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trueup.sdk import Conflict, Denied, Document, Node, Observed, Problem, Transient, Value
from trueup_ssh.kinds.host_kind import HostKind, spec_of
from trueup_ssh.script import Answer, call, decode, printable

MODE_PATTERN = "^0?[0-7]{3,4}$"
ACCOUNT_PATTERN = "^([A-Za-z_][A-Za-z0-9_.-]{0,63}|[0-9]{1,10})$"
# How many paths one `stat` is given, below the limit of a command line.
CHUNK = 400

PATH_SCHEMA = {
    "type": "string",
    "pattern": "^/",
    "maxLength": 4095,
    "description": "Absolute path, without `..`, `//` or a slash at its end. It identifies the object.",
    "x-immutable": True,
}
OWNER_SCHEMA = {
    "type": "string",
    "pattern": ACCOUNT_PATTERN,
    "description": "Name or number of the user who owns it. Left out: as it is, or the user who creates it.",
}
GROUP_SCHEMA = {
    "type": "string",
    "pattern": ACCOUNT_PATTERN,
    "description": "Name or number of its group. Left out: as it is, or that of the user who creates it.",
}
_KERNEL = ("/proc", "/sys", "/dev")


@dataclass(frozen=True)
class Stat:
    """The metadata of one path on the host."""

    mode: str
    uid: str
    gid: str
    owner: str
    group: str
    size: int
    changed: str


class PathKind(HostKind):
    """A kind that lives at a path."""

    functions = "path"

    def validate(self, node: Node) -> Iterable[Problem]:
        path = spec_of(node).get("path")
        if isinstance(path, str):
            problem = check_path(path)
            if problem:
                yield Problem(f"spec.path: {problem}", node.place)

    def identity(self, node: Node) -> str:
        path = self.path(node)
        return f"file:{path}" if path else ""

    def identity_spec(self, identity: str) -> dict[str, object]:
        return {"path": identity.removeprefix("file:")}

    def provides(self, node: Node) -> Iterable[str]:
        path = self.path(node)
        if path:
            yield f"path:{path}"

    def needs(self, node: Node) -> Iterable[str]:
        path = self.path(node)
        if path:
            yield from (f"path:{parent}" for parent in ancestors(path))
        for field, token in (("owner", "user"), ("group", "group")):
            name = spec_of(node).get(field)
            if isinstance(name, str) and not name.isdigit():
                yield f"{token}:{name}"

    def path(self, node: Node) -> str:
        """The node's path, empty where it is not known. A wrong one never gets as far as a script."""
        path = spec_of(node).get("path")
        return path if isinstance(path, str) and not check_path(path) else ""

    def probe(self, nodes: Sequence[tuple[int, Node]]) -> Iterable[str]:
        for start in range(0, len(nodes), CHUNK):
            chunk = nodes[start : start + CHUNK]
            yield call("probe_paths", *(self.path(node) for _, node in chunk))
            yield from (self.probe_one(index, node) for index, node in chunk)
            yield "check_files"

    @abstractmethod
    def probe_one(self, index: int, node: Node) -> str:
        """The shell call that looks at one node."""


def check_path(path: str) -> str:
    """What is wrong with a path; empty for a good one."""
    if not path.startswith("/"):
        return f"{path!r} is not absolute"
    if any(not char.isprintable() for char in path):
        return f"{path!r} has characters that cannot be printed"
    if path == "/" or path != posixpath.normpath(path) or path.startswith("//"):
        return f"{path!r} is not in its normal form (no `..`, `.`, `//` or final slash, and not `/` itself)"
    if any(len(part.encode("utf-8", "replace")) > 255 for part in path.split("/")):
        return "a part of it is longer than 255 bytes"
    if any(path == root or path.startswith(f"{root}/") for root in _KERNEL):
        return f"{path!r} is part of the kernel's own file systems"
    return ""


def ancestors(path: str) -> Iterator[str]:
    """`/etc/nginx/a` gives `/etc/nginx` and `/etc`."""
    parent = posixpath.dirname(path)
    while parent != "/":
        yield parent
        parent = posixpath.dirname(parent)


def full_mode(mode: str) -> str:
    """A mode with four digits."""
    return mode.lstrip("0").rjust(4, "0")


def chmod_word(mode: Value) -> str:
    """A mode for chmod: five digits, so that it clears a setgid bit of a directory too."""
    return "0" + full_mode(mode) if isinstance(mode, str) else ""


def account_word(name: Value) -> str:
    return name if isinstance(name, str) else ""


def put_accounts(desired: dict[str, Value], spec: Document, observed: Observed | None) -> None:
    """Owner and group as the host names them: a number that means the live one counts as its name."""
    for field, number in (("owner", "uid"), ("group", "gid")):
        if field not in spec:
            continue
        wanted = spec[field]
        if observed is not None and isinstance(wanted, str) and wanted.isdigit():
            status, live = observed.body.get("status") or {}, observed.body["spec"]
            wanted = live[field] if status.get(number) == str(int(wanted)) else wanted
        desired[field] = wanted


def read_stats(answer: Answer) -> Mapping[str, Stat]:
    """The metadata by path."""
    found: dict[str, Stat] = {}
    for line in answer.of("stat"):
        try:
            bits, uid, gid, size, changed, rest = line.split(" ", 5)
            # Names of a directory service have spaces; a colon is in none.
            owner, group, path = rest.split(":", 2)
            mode = format(int(bits, 16) & 0o7777, "04o")
            stat = Stat(mode, uid, gid, _name(owner, uid), _name(group, gid), int(size), changed)
        except ValueError:
            # The path that it was about has no metadata then, and counts as unknown.
            continue
        found[path] = stat
    return found


def _name(name: str, number: str) -> str:
    """`stat` says UNKNOWN for a number that no account has."""
    return number if name == "UNKNOWN" else name


def in_the_way(path: str, seen: str, wanted: str) -> Conflict:
    """Something of another type at the path: never followed, never replaced."""
    words = {"link": "a symbolic link", "directory": "a directory", "file": "a file"}
    name = words.get(seen, "a special file")
    return Conflict(
        f"{path} is {name}, not {wanted}", hint="move it away; trueup never follows or replaces it"
    )


def not_readable(path: str, word: str) -> Denied | Transient:
    """Why a path could not be looked at, from the tool's own words."""
    why = printable(decode(word).decode("utf-8", "replace"))
    if "Permission denied" in why or why.startswith("cannot read"):
        return Denied(f"cannot look at {path}: {why}", hint="log in as a user who may, or set sudo: true")
    return Transient(f"cannot look at {path}: {why}")
