"""The kinds of the memory provider: Thing, and what is made from it. Used by `memory`.

They differ in what they demand of the engine: Thing is plain, Vault holds data, Slow answers Pending,
Secretive has secrets, Shared may be there without us, Runner can be refreshed, Named is named by its spec.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from trueup.sdk import (
    READY,
    Absent,
    Change,
    Conflict,
    Discovered,
    Document,
    Done,
    Health,
    Intent,
    Kind,
    Missing,
    Node,
    Observation,
    Observed,
    Owned,
    Owner,
    Pending,
    Session,
    Traits,
    choose,
    progressing,
    reveal,
)
from trueup.sdk.testing.memory_world import Entry, World

API_VERSION = "memory.trueup.dev/v1"
PROVIDER = "memory"


class MemorySession(Session):
    """A connection to a world."""

    def __init__(self, world: World, owner_key: str) -> None:
        self.world = world
        self.owner_key = owner_key

    @property
    def fingerprint(self) -> str:
        return self.world.identity

    def close(self) -> None:
        """Nothing is held open."""


def world_of(session: Session) -> World:
    """The world behind a session of this provider."""
    if not isinstance(session, MemorySession):
        raise TypeError(f"not a session of the memory provider: {session!r}")
    return session.world


class Thing(Kind):
    """An object with free fields. `zone` cannot be changed, `tags` have no order, `size` falls back to 1."""

    name = "Thing"
    api_version = API_VERSION
    schema: Mapping[str, Any] | None = {
        "type": "object",
        "properties": {
            "zone": {"type": "string", "x-immutable": True},
            "size": {"type": "integer", "minimum": 0, "x-reset-to": 1},
            "tags": {"type": "array", "items": {"type": "string"}, "x-unordered": True},
            "value": {},
        },
    }
    write_only: ClassVar[frozenset[str]] = frozenset()

    def key(self, node: Node) -> str:
        """The object's key in the world."""
        return f"{self.name}/{node.namespace}/{node.name}" if node.namespace else f"{self.name}/{node.name}"

    # -- reading

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        found = world_of(session).read("observe", [self.key(node) for node in nodes])
        for node in nodes:
            entry = found[self.key(node)]
            yield Absent(node.address) if entry is None else self._observed(node, entry)

    def _observed(self, node: Node, entry: Entry) -> Observed:
        return Observed(
            node.address,
            self._body(node.name, node.namespace, entry),
            external_id=entry["id"],
            owner=owner_of(entry),
            version=str(entry["version"]),
        )

    def _body(self, name: str, namespace: str, entry: Entry) -> Document:
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        spec = entry["spec"]
        if self.write_only:
            spec = {key: value for key, value in spec.items() if key not in self.write_only}
        return {
            "apiVersion": self.api_version,
            "kind": self.name,
            "metadata": metadata,
            "spec": spec,
            "status": {
                "id": entry["id"],
                "phase": "creating" if entry.get("pending") else "ready",
                **({"writers": entry["writers"]} if "writers" in entry else {}),
            },
        }

    def find_owned(self, session: Session, owner_key: str) -> Iterable[Owned]:
        for key, entry in world_of(session).scan("find_owned", f"{self.name}/").items():
            owner = owner_of(entry)
            if owner is not None and owner.has_key(owner_key):
                _, *namespace, name = key.split("/")
                yield Owned(owner, entry["id"], self._body(name, "".join(namespace), entry))

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        scanned = world_of(session).scan("discover", f"{self.name}/")
        found, missing = choose(
            ids, {key.partition("/")[2]: entry for key, entry in scanned.items()}, self.name
        )
        yield from missing
        for each, entry in found.items():
            namespace, _, name = each.rpartition("/")
            body = self._body(name, namespace, entry)
            is_system = name.startswith("system-")
            yield Discovered(each, entry["id"], body, owner_of(entry), str(entry["version"]), is_system)

    def export(self, body: Document) -> Document:
        return {key: value for key, value in body.items() if key != "status"}

    def writers(self, observed: Observed) -> Mapping[str, str]:
        """As someone else's hand noted them on the object, until the next change through the provider."""
        writers: Mapping[str, str] = observed.body["status"].get("writers", {})
        return writers

    def health(self, observed: Observed) -> Health:
        return READY if observed.body["status"]["phase"] == "ready" else progressing("it is being made")

    # -- writing

    def create(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        def make(old: Entry | None) -> Entry:
            if old is None:
                return {
                    "id": uuid.uuid4().hex,
                    "version": 1,
                    "owner": marker(intent.owner),
                    "spec": reveal(node.spec),
                    **self._begin(),
                }
            if owner_of(old) == intent.owner:
                return old
            if not (node.lifecycle.adopt or (self.traits.shared and owner_of(old) is None)):
                raise Conflict(f"{self.name} {node.name} is there already and is not managed by this stack")
            return self._changed(old, {**old["spec"], **reveal(node.spec)}, intent.owner)

        return self._done(node, world_of(session).change("create", self.key(node), make))

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done | Pending:
        def alter(old: Entry | None) -> Entry:
            observed = change.observed
            if old is None or observed is None or old["id"] != observed.external_id:
                raise Conflict(f"{self.name} {node.name} is not the object that was observed")
            owner = owner_of(old)
            if owner not in (None, intent.owner) and not node.lifecycle.adopt:
                raise Conflict(f"{self.name} {node.name} belongs to another owner")
            return self._changed(old, self._merged(old["spec"], node, change), intent.owner)

        return self._done(node, world_of(session).change("update", self.key(node), alter))

    def _merged(self, live: Document, node: Node, change: Change) -> Document:
        """The live spec with the node's fields, and without those that the manifest no longer sets."""
        merged = {**live, **reveal(node.spec)} if change.fields else dict(live)
        for field in change.fields:
            name = field.path.removeprefix("/spec/")
            if name in node.spec or "/" in name:
                continue
            properties = (self.schema or {}).get("properties", {})
            if "x-reset-to" in properties.get(name, {}):
                merged[name] = properties[name]["x-reset-to"]
            else:
                merged.pop(name, None)
        return merged

    def delete(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        def check(old: Entry | None) -> None:
            if old is None:
                return
            if node.external_id and old["id"] != node.external_id:
                raise Conflict(f"{self.name} {node.name} is another object than the one that was recorded")
            if owner_of(old) != intent.owner:
                raise Conflict(f"{self.name} {node.name} does not carry our marker")

        world_of(session).change("delete", self.key(node), check)
        return Done(node.external_id)

    def release(self, session: Session, node: Node, intent: Intent) -> Done:
        def let_go(old: Entry | None) -> Entry | None:
            if old is None or owner_of(old) != intent.owner:
                return old
            return self._changed(old, old["spec"], None)

        world_of(session).change("release", self.key(node), let_go)
        return Done()

    # -- how a change takes its time

    def _begin(self) -> Entry:
        """What a new object carries while it is being made."""
        return {}

    def _done(self, node: Node, entry: Entry | None) -> Done | Pending:
        return Done(entry["id"] if entry else "")

    @staticmethod
    def _changed(old: Entry, spec: Document, owner: Owner | None) -> Entry:
        kept = {key: value for key, value in old.items() if key != "writers"}
        return {**kept, "spec": spec, "owner": marker(owner), "version": old["version"] + 1}


class Vault(Thing):
    """Holds data that a delete would lose."""

    name = "Vault"
    traits = Traits(stateful=True)


class Shared(Thing):
    """May be there without us, as a package is."""

    name = "Shared"
    traits = Traits(shared=True)


class Secretive(Thing):
    """Has a secret that can be read back (`token`) and one that cannot (`password`)."""

    name = "Secretive"
    schema = {
        "type": "object",
        "properties": {
            "user": {"type": "string"},
            "token": {"type": "string", "x-sensitive": True},
            "password": {"type": "string", "x-sensitive": True, "x-write-only": True},
        },
        "required": ["user"],
    }
    write_only = frozenset({"password"})


class Slow(Thing):
    """Is made and changed over a number of polls; `observe` shows it as it comes to be."""

    name = "Slow"
    polls: ClassVar[int] = 2

    def _begin(self) -> Entry:
        return {"pending": self.polls}

    def _done(self, node: Node, entry: Entry | None) -> Done | Pending:
        if entry is None or not entry.get("pending"):
            return super()._done(node, entry)
        return self._pending(self.key(node), entry)

    @staticmethod
    def _pending(key: str, entry: Entry) -> Pending:
        return Pending({"key": key, "id": entry["id"]}, f"{entry['pending']} steps are left", after=0.01)

    def poll(self, session: Session, operation: Document) -> Done | Pending:
        def go_on(old: Entry | None) -> Entry:
            if old is None or old["id"] != operation["id"]:
                raise Conflict(f"{operation['key']} is gone while it was being made")
            return {**old, "pending": old["pending"] - 1} if old.get("pending") else old

        entry = world_of(session).change("poll", operation["key"], go_on)
        if entry is None or not entry.get("pending"):
            return Done(operation["id"])
        return self._pending(operation["key"], entry)


class Runner(Thing):
    """Runs with what it read at its start; `refreshes` of the entry counts how often it did so again."""

    name = "Runner"
    traits = Traits(refreshable=True)

    def refresh(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        def restart(old: Entry | None) -> Entry:
            if old is None or (node.external_id and old["id"] != node.external_id):
                raise Conflict(f"{self.name} {node.name} is not the object that was observed")
            if owner_of(old) != intent.owner:
                raise Conflict(f"{self.name} {node.name} does not carry our marker")
            return {**old, "refreshes": old.get("refreshes", 0) + 1}

        return self._done(node, world_of(session).change("refresh", self.key(node), restart))


class Named(Thing):
    """Is called by `spec.name`, which cannot be changed, as a file is by its path."""

    name = "Named"
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "x-immutable": True},
            "size": {"type": "integer", "x-reset-to": 1},
            "value": {},
        },
        "required": ["name"],
    }

    def identity(self, node: Node) -> str:
        name = node.spec.get("name")
        return f"{self.name}/{name}" if isinstance(name, str) else ""

    def key(self, node: Node) -> str:
        return self.identity(node)

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        """Where an id is known, the object that has it: the manifest may call it otherwise by now."""
        found = world_of(session).scan("observe", f"{self.name}/")
        by_id = {entry["id"]: entry for entry in found.values()}
        for node in nodes:
            entry = by_id.get(node.external_id) if node.external_id else found.get(self.key(node))
            yield Absent(node.address) if entry is None else self._observed(node, entry)

    def delete(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        return super().delete(session, self._live(session, node), intent)

    def release(self, session: Session, node: Node, intent: Intent) -> Done:
        return super().release(session, self._live(session, node), intent)

    def _live(self, session: Session, node: Node) -> Node:
        """The node under the name that the object has."""
        for entry in world_of(session).scan("observe", f"{self.name}/").values():
            if entry["id"] == node.external_id:
                return node.with_body({**node.body, "spec": {**node.spec, "name": entry["spec"]["name"]}})
        return node


def owner_of(entry: Entry) -> Owner | None:
    """The marker on an object."""
    return Owner(*entry["owner"]) if entry["owner"] else None


def marker(owner: Owner | None) -> list[str] | None:
    """A marker as it is kept on an object."""
    return [owner.installation, owner.stack, owner.address] if owner else None
