"""Kind Directory: shared with whoever else uses it, removed only when trueup made it and it is empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from posixpath import dirname

from trueup.sdk import (
    Absent,
    Change,
    Discovered,
    Document,
    Done,
    Failed,
    Intent,
    Missing,
    Node,
    Observation,
    Observed,
    ProviderError,
    Session,
    Traits,
    Transient,
    Value,
)
from trueup_ssh.kinds.found_paths import discover_directories, export_directory
from trueup_ssh.kinds.host_kind import host_of, observation, spec_of
from trueup_ssh.kinds.paths import (
    GROUP_SCHEMA,
    MODE_PATTERN,
    OWNER_SCHEMA,
    PATH_SCHEMA,
    PathKind,
    Stat,
    account_word,
    chmod_word,
    full_mode,
    in_the_way,
    not_readable,
    put_accounts,
    read_stats,
)
from trueup_ssh.ownership import Marker, owner_text
from trueup_ssh.script import Answer, call


class Directory(PathKind):
    name = "Directory"
    traits = Traits(shared=True)
    schema = {
        "description": "A directory. What is in it is left alone.",
        "examples": [{"path": "/srv/shop", "mode": "0755"}],
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "path": PATH_SCHEMA,
            "mode": {
                "type": "string",
                "pattern": MODE_PATTERN,
                "description": 'Octal, in quotes: "0750". Left out: 0755 for a new one, else as it is.',
            },
            "owner": OWNER_SCHEMA,
            "group": GROUP_SCHEMA,
        },
    }

    def normal_spec(self, node: Node, observed: Observed | None) -> Document:
        spec = spec_of(node)
        desired: dict[str, Value] = {"path": spec.get("path")}
        mode = spec.get("mode")
        if mode is not None:
            desired["mode"] = full_mode(mode) if isinstance(mode, str) else mode
        put_accounts(desired, spec, observed)
        return desired

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        return discover_directories(self, host_of(session), ids)

    def export(self, body: Document) -> Document:
        return export_directory(self, body)

    def probe_one(self, index: int, node: Node) -> str:
        return call("probe_directory", str(index), self.path(node))

    def read(
        self, nodes: Sequence[tuple[int, Node]], answer: Answer, owners: Mapping[int, Marker]
    ) -> Iterator[Observation]:
        stats = read_stats(answer)
        lines = answer.by_index("directory")
        for index, node in nodes:
            try:
                yield self._read_one(node, lines.get(index, ""), stats, owners.get(index))
            except ProviderError as error:
                yield Failed(node.address, error)

    def _read_one(
        self, node: Node, line: str, stats: Mapping[str, Stat], marker: Marker | None
    ) -> Observation:
        path = self.path(node)
        seen, _, rest = line.partition(" ")
        if seen == "none":
            return Absent(node.address)
        if seen == "unknown":
            raise not_readable(path, rest)
        if seen != "directory":
            if not seen:
                raise Transient(f"the host did not say anything about {path}")
            raise in_the_way(path, seen, "a directory")
        stat = stats.get(path)
        if stat is None:
            raise Transient(f"{path} changes while it is looked at")
        spec: dict[str, object] = {
            "path": path,
            "mode": stat.mode,
            "owner": stat.owner,
            "group": stat.group,
        }
        created = marker is not None and marker.created
        status: dict[str, object] = {"uid": stat.uid, "gid": stat.gid, "created": created}
        version = f"{stat.mode} {stat.uid}:{stat.gid}"
        return observation(node, self, spec, status, marker, version)

    def create(self, session: Session, node: Node, intent: Intent) -> Done:
        path = self.path(node)
        marker = self.marker_words(node, intent)
        words = (dirname(path), path, *marker, self.take_word(node), *_attributes(node))
        return self.change(session, node, "create_directory", *words)

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done:
        node = self.live_node(node)
        marker = self.marker_words(node, intent)
        expected = self.expected_word(node, change, intent)
        words = (self.path(node), *marker, expected, *_attributes(node))
        return self.change(session, node, "update_directory", *words)

    def delete(self, session: Session, node: Node, intent: Intent) -> Done:
        node = self.live_node(node)
        path = self.path(node)
        words = (dirname(path), path, self.key(node), owner_text(intent.owner))
        return self.change(session, node, "delete_directory", *words)


def _attributes(node: Node) -> tuple[str, str, str]:
    spec = spec_of(node)
    return chmod_word(spec.get("mode")), account_word(spec.get("owner")), account_word(spec.get("group"))
