"""Real systems as the invariants see them: what lives there, whoever made it, and what was written to them.

Used by `invariants`, which says how. Each system is read past the engine: moto by its own log, the cluster by
its audit log, a host by its disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.fixtures import Cluster
from tests.hosts.fixtures import Host
from tests.moto.fixtures import Moto

from trueup.sdk import Discovered, Kind, Owner, Provider, Session, Target
from trueup.state.store import Record
from trueup_aws.provider import AwsProvider
from trueup_kubernetes.provider import KubernetesProvider
from trueup_ssh.provider import SshProvider

# What an administrator of a host cares about. The rest is written by the host itself all the time.
FOLDERS = ("etc", "opt", "srv", "usr/local", "usr/lib/systemd", "var/lib/trueup", "var/www")
# systemd writes these by itself.
NOISE = frozenset({"etc/.updated", "etc/machine-id", "etc/resolv.conf", "etc/adjtime", "etc/mtab"})
OWNERS = "var/lib/trueup/owners"


@dataclass(frozen=True)
class Thing:
    """An object of a system: `content` changes whenever anything of it does."""

    name: str
    owner: Owner | None
    content: str


class System(ABC):
    """One place. `provider` and `target` lead trueup there."""

    def __init__(self, provider: Provider, target: Target) -> None:
        self.provider = provider
        self.target = target

    def connect(self, owner_key: str) -> Session:
        return self.provider.connect(self.target, owner_key)

    def kinds(self, session: Session, records: Collection[Record]) -> Sequence[Kind]:
        """Every kind of which an object may carry a marker."""
        return self.provider.kinds()

    @abstractmethod
    def objects(self) -> Mapping[str, Thing]:
        """Every object that lives, whoever it belongs to, by its external id."""

    @abstractmethod
    def mark(self) -> None:
        """From here on `writes` and `deletes` count."""

    @abstractmethod
    def writes(self) -> list[str]:
        """What was written since the mark."""

    @abstractmethod
    def deletes(self) -> list[str]:
        """The objects that were deleted since the mark, as the log names them."""

    def is_named(self, deleted: str, names: Collection[str]) -> bool:
        """Whether what `deletes` gave is one of those names of things."""
        return deleted in names


class Aws(System):
    """moto, with all objects of the kinds that the provider has."""

    def __init__(self, moto: Moto, name: str = "eu") -> None:
        super().__init__(AwsProvider(), moto.target(name))
        self._moto = moto

    def objects(self) -> Mapping[str, Thing]:
        session = self.connect("the tests/look")
        try:
            kinds = self.provider.kinds()
            return dict(_as_thing(kind, each) for kind in kinds for each in kind.discover(session, []))
        finally:
            session.close()

    def mark(self) -> None:
        self._moto.mark()

    def writes(self) -> list[str]:
        return self._moto.writes()

    def deletes(self) -> list[str]:
        return [
            request.subject
            for request in self._moto.requests()
            if request.is_write and request.action.partition(":")[2] in DELETIONS
        ]


DELETIONS = frozenset({"DeleteQueue", "DeleteTopic", "DeleteParameter", "DeleteParameters", "DeleteBucket"})


class ClusterPart(System):
    """The cluster, with the namespaces of the test and all that people have made in them."""

    def __init__(self, cluster: Cluster, *namespaces: str, name: str = "prod") -> None:
        super().__init__(KubernetesProvider(), cluster.target(name))
        self._cluster = cluster
        self._namespaces = namespaces

    def kinds(self, session: Session, records: Collection[Record]) -> Sequence[Kind]:
        found = {(kind.api_version, kind.name): kind for kind in self.provider.discoverable(session)}
        for record in records:
            key = record.api_version, record.address.kind
            kind = self.provider.kind(*key)
            if record.target["name"] == self.target.name and kind is not None:
                found.setdefault(key, kind)
        return list(found.values())

    def objects(self) -> Mapping[str, Thing]:
        session = self.connect("the tests/look")
        try:
            kinds = self.provider.discoverable(session)
            found = [(kind, each) for kind in kinds for each in kind.discover(session, [])]
        finally:
            session.close()
        return dict(_as_thing(kind, each) for kind, each in found if self._is_mine(each))

    def _is_mine(self, found: object) -> bool:
        if not isinstance(found, Discovered) or found.is_system:
            return False
        metadata = found.body["metadata"]
        is_namespace = found.body["kind"] == "Namespace" and metadata["name"] in self._namespaces
        return is_namespace or metadata.get("namespace") in self._namespaces

    def mark(self) -> None:
        self._cluster.mark()

    def writes(self) -> list[str]:
        return [f"{event['verb']} {_subject(event)}" for event in self._cluster.writes()]

    def deletes(self) -> list[str]:
        return [_subject(event) for event in self._cluster.audit("delete", "deletecollection")]

    def is_named(self, deleted: str, names: Collection[str]) -> bool:
        plural, _, rest = deleted.partition("/")
        named = [name.partition("/") for name in names]
        return any(rest == name and plural == plural_of(kind) for kind, _, name in named)


class Machine(System):
    """A host, with the files below the folders that people write to, and the services that run."""

    def __init__(self, host: Host, target: Target | None = None) -> None:
        super().__init__(SshProvider(), target or host.target())
        self._host = host
        self._marked: Mapping[str, str] = {}

    def objects(self) -> Mapping[str, Thing]:
        owners = self._owners()
        files = self._files()
        return {
            path: Thing(path, owners.get(path), content)
            for path, content in files.items()
            if not path.startswith(f"/{OWNERS.rpartition('/')[0]}")
        }

    def _owners(self) -> Mapping[str, Owner]:
        folder = self._host.disk / OWNERS
        found = [json.loads(file.read_text()) for file in folder.glob("*")] if folder.is_dir() else []
        return {each["identity"].removeprefix("file:"): Owner(**each["owner"]) for each in found}

    def _files(self) -> Mapping[str, str]:
        disk = self._host.disk
        return {f"/{path.relative_to(disk)}": _stamp(path) for path in _paths_below(disk)}

    def _state(self) -> Mapping[str, str]:
        # Each start of a unit has an invocation of its own.
        show = (
            "systemctl show --type=service --property=Id,InvocationID '*'; cat /var/lib/dpkg/status | sha1sum"
        )
        units = self._host.run(show).split("\n\n")
        return {**self._files(), **dict.fromkeys(units, "")}

    def mark(self) -> None:
        self._marked = self._state()

    def writes(self) -> list[str]:
        before, now = self._marked, self._state()
        return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))

    def deletes(self) -> list[str]:
        return sorted(path for path in self._marked.keys() - self._files().keys() if path.startswith("/"))


def _as_thing(kind: Kind, found: object) -> tuple[str, Thing]:
    assert isinstance(found, Discovered), found
    text = json.dumps(found.body, sort_keys=True, default=str)
    return found.external_id, Thing(
        found.id if kind.api_version.startswith("aws") else f"{kind.name}/{found.id}",
        found.owner,
        hashlib.sha256(text.encode()).hexdigest(),
    )


def plural_of(kind: str) -> str:
    """How the API server names the objects of a kind."""
    word = kind.lower()
    if word.endswith(("s", "ss", "x", "ch")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


def _subject(event: Mapping[str, Any]) -> str:
    """The object of a request as `_as_thing` names it, but for the kind, which is its plural."""
    subject = event.get("objectRef", {})
    parts = [subject.get("resource", ""), subject.get("namespace", ""), subject.get("name", "")]
    if parts[0] == "namespaces":
        del parts[1]
    return "/".join(part for part in parts if part)


def _paths_below(disk: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for place, folders, names in os.walk(disk / folder):
            for name in (*folders, *names):
                path = Path(place) / name
                if str(path.relative_to(disk)) not in NOISE:
                    yield path


def _stamp(path: Path) -> str:
    """What changes when a file does. Not of the times of folders: those tell of what lies in them."""
    try:
        seen = path.lstat()
    except FileNotFoundError:
        return "gone"
    if stat.S_ISDIR(seen.st_mode):
        return f"{seen.st_mode} {seen.st_uid} {seen.st_gid} {seen.st_ino}"
    return f"{seen.st_mode} {seen.st_uid} {seen.st_gid} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"
