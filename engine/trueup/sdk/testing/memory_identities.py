"""Kinds of the memory provider whose objects have no name: the system gives each its id. Used by `memory`.

They differ in how an object is found again after a crash in the middle of a create: Tagged by its marker,
Tokened by the idempotency token of the create, Nameless by neither.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trueup.sdk import (
    Absent,
    Change,
    Document,
    Done,
    Intent,
    Kind,
    Node,
    Observation,
    Owned,
    Pending,
    Session,
    Traits,
    reveal,
)
from trueup.sdk.testing.memory_kinds import MemorySession, Thing, marker, owner_of, world_of
from trueup.sdk.testing.memory_world import Entry


class Tagged(Thing):
    """Carries our marker from the moment it exists, and is found by it."""

    name = "Tagged"
    traits = Traits(identity="tagged", settle=0.5)

    def identity(self, node: Node) -> str:
        return ""

    # -- reading

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        found = self._scan(session, "observe")
        for node in nodes:
            entry = self._find(session, node, found)
            yield Absent(node.address) if entry is None else self._observed(node, entry)

    def find_owned(self, session: Session, owner_key: str) -> Iterable[Owned]:
        for entry in self._scan(session, "find_owned").values():
            owner = owner_of(entry)
            if owner is not None and owner.has_key(owner_key):
                yield Owned(owner, entry["id"], self._body(entry.get("name", entry["id"]), "", entry))

    # Nothing of ours leads to an object that somebody else has made.
    discover = Kind.discover
    export = Kind.export

    def _scan(self, session: Session, verb: str) -> Mapping[str, Entry]:
        scanned = world_of(session).scan(verb, f"{self.name}/")
        return {entry["id"]: entry for entry in scanned.values()}

    def _find(self, session: Session, node: Node, found: Mapping[str, Entry]) -> Entry | None:
        if node.external_id:
            return found.get(node.external_id)
        return self._find_unknown(session, node, found)

    def _find_unknown(self, session: Session, node: Node, found: Mapping[str, Entry]) -> Entry | None:
        """The object of a node of which no id is known."""
        addresses = {address.text for address in (node.address, *node.former_addresses)}
        for entry in found.values():
            owner = owner_of(entry)
            is_ours = isinstance(session, MemorySession) and owner and owner.key == session.owner_key
            if owner and is_ours and owner.address in addresses:
                return entry
        return None

    # -- writing

    def create(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        old = self._find_unknown(session, node, self._scan(session, "find_owned"))
        if old is not None:
            return Done(old["id"])
        entry = self._make(node, intent, uuid.uuid4().hex)
        world_of(session).change("create", f"{self.name}/{entry['id']}", lambda _old: entry)
        return Done(entry["id"])

    def _make(self, node: Node, intent: Intent, new_id: str) -> dict[str, Any]:
        spec = reveal(node.spec)
        return {"id": new_id, "name": node.name, "version": 1, "owner": marker(intent.owner), "spec": spec}

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done | Pending:
        observed = change.observed
        live = node.with_body(node.body, observed.external_id if observed else node.external_id)
        return super().update(session, live, change, intent)

    def key(self, node: Node) -> str:
        return f"{self.name}/{node.external_id}"


class Tokened(Tagged):
    """A create with the token of an earlier one gives what that one made; nothing else leads to it."""

    name = "Tokened"
    traits = Traits(identity="token")

    def _find_unknown(self, session: Session, node: Node, found: Mapping[str, Entry]) -> Entry | None:
        return None

    def create(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        new_id = uuid.uuid5(uuid.NAMESPACE_OID, intent.token).hex
        entry = self._make(node, intent, new_id)
        world_of(session).change("create", f"{self.name}/{new_id}", lambda old: old or entry)
        return Done(new_id)


class Nameless(Tokened):
    """Every create makes another one, and is marked only after it."""

    name = "Nameless"
    traits = Traits(identity="none")

    def create(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        new_id = uuid.uuid4().hex
        key = f"{self.name}/{new_id}"
        entry: Document = self._make(node, intent, new_id)
        world_of(session).change("create", key, lambda _old: {**entry, "owner": None})
        world_of(session).change("mark", key, lambda old: {**old, "owner": entry["owner"]} if old else None)
        return Done(new_id)
