"""Files and directories for import: found by path or pattern, read as they are. Called by their kinds."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from trueup.sdk import Discovered, Document, Invalid, Missing, ProviderError, has_pattern
from trueup_ssh.kinds.host_kind import HostKind
from trueup_ssh.kinds.listing import Listed, exported, name_for, observe_listed
from trueup_ssh.kinds.paths import CHUNK, Stat, check_path, not_readable, read_stats
from trueup_ssh.ownership import key_of, parse_marker
from trueup_ssh.script import Answer, Script, call, decode
from trueup_ssh.session import HostSession

DEFAULT_FILE_MODE = "0644"
DEFAULT_DIRECTORY_MODE = "0755"
_ROOT = "root"
# Of OpenSSL, OpenSSH and PGP; of PuTTY; of age.
_PRIVATE_KEY = re.compile(r"PRIVATE KEY( BLOCK)?-----|^PuTTY-User-Key-File-|\bAGE-SECRET-KEY-1", re.MULTILINE)
_BY_HAND = (
    "write the resource by hand, with content from secret(...), sensitive: true and lifecycle.adopt: true"
)


def discover_files(kind: HostKind, host: HostSession, ids: Sequence[str]) -> Iterator[Discovered | Missing]:
    """The files at the paths, with their text; a directory stands for the files in it."""
    paths, missing = _find_paths(kind, host, ids, "file")
    yield from missing
    for start in range(0, len(paths), CHUNK):
        yield from _read_files(kind, host, paths[start : start + CHUNK])


def discover_directories(
    kind: HostKind, host: HostSession, ids: Sequence[str]
) -> Iterator[Discovered | Missing]:
    """The directories at the paths."""
    paths, missing = _find_paths(kind, host, ids, "directory")
    yield from missing
    yield from observe_listed(kind, host, {path: Listed({"path": path}) for path in paths}, paths)


def export_file(kind: HostKind, body: Document) -> Document:
    """The resource of a file whose text anybody on the host may read."""
    live, status = body["spec"], body["status"]
    if status.get("refused"):
        raise Invalid(status["refused"])
    if not int(live["mode"], 8) & 0o004:
        why = f"its mode {live['mode']} keeps it from other users, so that it may hold a secret"
        raise Invalid(why, hint=_BY_HAND)
    if status.get("closed"):
        why = f"the directory {status['closed']} keeps it from other users, so that it may hold a secret"
        raise Invalid(why, hint=_BY_HAND)
    if _PRIVATE_KEY.search(live["content"]):
        raise Invalid("it holds a private key", hint=_BY_HAND)
    spec = {"path": live["path"], "content": live["content"], **_attributes(live, DEFAULT_FILE_MODE)}
    return exported(kind, name_for(live["path"]), spec)


def export_directory(kind: HostKind, body: Document) -> Document:
    """The resource of a directory."""
    live = body["spec"]
    spec = {"path": live["path"], **_attributes(live, DEFAULT_DIRECTORY_MODE)}
    return exported(kind, name_for(live["path"]), spec)


def _attributes(live: Document, mode: str) -> dict[str, object]:
    """Mode, owner and group, but for what a new one gets anyway."""
    usual = {"mode": mode, "owner": _ROOT, "group": _ROOT}
    return {key: live[key] for key, value in usual.items() if live[key] != value}


def _find_paths(
    kind: HostKind, host: HostSession, ids: Sequence[str], wanted: str
) -> tuple[list[str], list[Missing]]:
    """What the ids name on the host, and those that name nothing."""
    if not ids:
        raise Invalid(
            f"the kind {kind.name} is imported by paths",
            hint=f"such as: trueup import TARGET {kind.name} /etc/motd '/etc/nginx/conf.d/*.conf'",
        )
    missing: list[Missing] = []
    asked: list[str] = []
    for each in ids:
        path = each.rstrip("/") or each
        fault = check_path(path)
        if fault:
            missing.append(Missing(each, Invalid(f"{kind.name}: {fault}")))
        else:
            asked.append(path)
    calls = [call("list_paths", wanted, str(index), path) for index, path in enumerate(asked)]
    answer = host.run(Script(("import",), calls))
    found: dict[str, None] = {}
    seen: set[int] = set()
    for word in ("path", "unread", "link"):
        for line in answer.of(word):
            number, _, text = line.partition(" ")
            seen.add(int(number))
            if word == "path":
                found[decode(text).decode("utf-8", "surrogateescape")] = None
            elif word == "unread":
                missing.append(Missing(asked[int(number)], not_readable(asked[int(number)], text)))
            elif not has_pattern(asked[int(number)]):
                missing.append(
                    Missing(asked[int(number)], Invalid(f"{asked[int(number)]} is a symbolic link"))
                )
    missing += [
        Missing(path, Invalid(f"there is no {wanted} {path!r}"))
        for index, path in enumerate(asked)
        if index not in seen
    ]
    odd = [path for path in found if check_path(path)]
    missing += [Missing(ascii(path), Invalid(check_path(path))) for path in odd]
    return [path for path in found if path not in odd], missing


def _read_files(kind: HostKind, host: HostSession, paths: Sequence[str]) -> Iterator[Discovered | Missing]:
    calls = [call("show_marker", str(index), key_of(f"file:{path}")) for index, path in enumerate(paths)]
    calls.append(call("probe_paths", *paths))
    calls += [call("probe_file", str(index), path, "", "yes") for index, path in enumerate(paths)]
    folders = list(dict.fromkeys(posixpath.dirname(path) for path in paths))
    calls += [call("say_closed", str(index), folder) for index, folder in enumerate(folders)]
    answer = host.run(Script(("path", "import"), calls))
    said = answer.by_index("closed")
    closed = {folders[index]: decode(text).decode(errors="replace") for index, text in said.items()}
    stats, lines = read_stats(answer), answer.by_index("file")
    for index, path in enumerate(paths):
        try:
            shut = closed.get(posixpath.dirname(path), "")
            found = _read_file(kind, path, lines.get(index, ""), stats, answer, index, shut)
        except ProviderError as error:
            yield Missing(path, error)
        else:
            yield found


def _read_file(
    kind: HostKind, path: str, line: str, stats: Mapping[str, Stat], answer: Answer, index: int, closed: str
) -> Discovered:
    seen, _, rest = line.partition(" ")
    stat = stats.get(path)
    if seen == "unknown":
        raise not_readable(path, rest)
    if seen not in ("content", "large") or stat is None:
        raise Invalid(f"{path} changes while it is looked at", hint="run again")
    marker = answer.by_index("marker").get(index)
    owned = parse_marker(marker) if marker is not None else None
    text, refused = _text_of(seen, rest)
    spec = {"path": path, "content": text, "mode": stat.mode, "owner": stat.owner, "group": stat.group}
    digest = hashlib.sha256(text.encode()).hexdigest()
    status = {
        "compared": "text",
        "size": stat.size,
        "uid": stat.uid,
        "gid": stat.gid,
        "sha256": digest,
        "refused": refused,
        "closed": closed,
    }
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": name_for(path)},
        "spec": spec,
        "status": status,
    }
    owner = owned.owner if owned is not None and owned.kind == kind.name else None
    return Discovered(path, f"file:{path}", body, owner)


def _text_of(seen: str, rest: str) -> tuple[str, str]:
    """The text of a file, or why it cannot stand in a resource."""
    word = rest.partition(" ")[2]
    if seen == "large" or word == "-":
        return "", "it is larger than 256 KiB, too large to be text in a resource file"
    data = decode(word)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "", "it is not UTF-8 text"
    return (text, "") if "\0" not in text else ("", "it is not text: it holds a NUL character")
