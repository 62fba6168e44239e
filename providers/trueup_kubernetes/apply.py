"""Server-side apply of one object, and the removal of what that leaves. Used by `kinds.resource`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trueup.sdk import MISSING, Change, Conflict, Document, FieldChange, Node, Owner, Sensitive, Value, reveal
from trueup_kubernetes.comparison import find_item
from trueup_kubernetes.errors import Answer, describe_conflicts, error_of
from trueup_kubernetes.marker import annotations_of, labels_of
from trueup_kubernetes.objects import Spot
from trueup_kubernetes.ownership import (
    MANAGER,
    below_field,
    below_item,
    created_entry,
    keys_of,
    known_structure,
    token_of,
)
from trueup_kubernetes.secret_values import is_secret
from trueup_kubernetes.session import ClusterSession

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
DISOWNING_TRIES = 5
_IN_BRACKETS = re.compile(r"\[([^\]]*)\]")
_PROPERTY = re.compile(r"[A-Za-z]+=")


def manifest_of(node: Node, body: Document, spot: Spot, owner: Owner, uid: str = "") -> Document:
    """What is sent: the desired body, revealed, at its place and with our marker."""
    given: Mapping[str, Value] = body.get("metadata") or {}
    metadata = {key: value for key, value in given.items() if value is not None and key != "namespace"}
    metadata["name"] = spot.name
    metadata["labels"] = {**(given.get("labels") or {}), **labels_of(owner)}
    metadata["annotations"] = {**(given.get("annotations") or {}), **annotations_of(owner)}
    if spot.namespace:
        metadata["namespace"] = spot.namespace
    if uid:
        metadata["uid"] = uid
    parts = {key: value for key, value in body.items() if key not in ("metadata", "status")}
    sent: Document = reveal(
        {**parts, "apiVersion": node.api_version, "kind": node.kind, "metadata": metadata}
    )
    return sent


def is_sensitive(node: Node) -> bool:
    """Whether the server's words about the object could repeat a secret."""
    return is_secret(node.api_version, node.kind) or _holds_sensitive(node.body)


def send(
    session: ClusterSession, spot: Spot, manifest: Document, *, force: bool = False, is_dry: bool = False
) -> Answer:
    """One apply. The answer may be a refusal. `is_dry`: only to hear it."""
    query = [("fieldManager", MANAGER), ("fieldValidation", "Strict")]
    query += [("force", "true")] if force else []
    query += [("dryRun", "All")] if is_dry else []
    return session.client.request("PATCH", spot.path, query=query, body=manifest, content_type=_APPLY)


def apply_new(session: ClusterSession, spot: Spot, node: Node, manifest: Document) -> Document:
    """Creates the object, which was not there a moment ago.

    By POST, which the server refuses where somebody was quicker: an apply would merge into their object, and
    with our own field manager it would take all of it. The apply that follows says which fields are ours.
    """
    query = [("fieldManager", MANAGER), ("fieldValidation", "Strict")]
    answer = session.client.request("POST", spot.collection, query=query, body=manifest)
    if answer.status == 409:
        raise Conflict(
            f"{spot.what}: somebody else created it at this very moment",
            hint="set lifecycle.adopt: true to take it over, or remove or rename one of them",
        )
    if not answer.is_success or answer.body is None:
        # An apply is refused with the path of each field that is wrong, a POST often without.
        told = send(session, spot, manifest, is_dry=True) if answer.status in (400, 422) else answer
        refused = answer if told.is_success else told
        raise error_of(refused, spot.what, is_sensitive=is_sensitive(node))
    uid = answer.body["metadata"]["uid"]
    applied = send(session, spot, {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}, force=True)
    if not applied.is_success or applied.body is None:
        raise error_of(applied, spot.what, is_sensitive=is_sensitive(node))
    disown_created(session, spot, applied.body)
    return applied.body


def disown_created(session: ClusterSession, spot: Spot, live: Document) -> None:
    """Takes our name off what the POST set, defaults of the server included: our apply holds what is ours.

    Best effort, for a field that keeps our name as its creator only stays when the manifest drops it; the
    next update tries again.
    """
    for _ in range(DISOWNING_TRIES):
        metadata = live["metadata"]
        index = created_entry(live)
        if index is None:
            return
        operations = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "remove", "path": f"/metadata/managedFields/{index}"},
        ]
        query = [("fieldManager", MANAGER)]
        answer = session.client.request(
            "PATCH", spot.path, query=query, body=operations, content_type=_JSON_PATCH
        )
        if answer.is_success:
            return
        found = session.client.request("GET", spot.path)
        if not found.is_success or found.body is None or found.body["metadata"]["uid"] != metadata["uid"]:
            return
        live = found.body


def apply_over(
    session: ClusterSession, spot: Spot, node: Node, manifest: Document, fields: Sequence[FieldChange]
) -> Document:
    """Applies to the very object that the manifest's uid names.

    What others hold is overwritten only where the plan showed that it differs, or to adopt the object.
    """
    answer = send(session, spot, manifest)
    if answer.status == 409 and answer.field_conflicts:
        # A field that the plan found free and that is taken now belongs to whoever took it.
        shown = [_field_path(field.path) for field in fields if field.before is not MISSING]
        unforeseen = [
            (path, said)
            for path, said in answer.field_conflicts
            if not node.lifecycle.adopt and not _is_shown(_conflict_path(path), shown)
        ]
        if unforeseen:
            raise Conflict(
                f"{spot.what}: {describe_conflicts(unforeseen)}",
                hint="remove the fields from the manifest, or set lifecycle.adopt: true to take them over",
            )
        answer = send(session, spot, manifest, force=True)
    if not answer.is_success:
        raise error_of(answer, spot.what, is_sensitive=is_sensitive(node))
    return answer.body or {}


def _field_path(pointer: str) -> str:
    return pointer.replace("/", ".").replace("~1", "/").replace("~0", "~")


def _conflict_path(path: str) -> str:
    """The server's `.spec.containers[name="web"].image` like our paths: `.spec.containers.web.image`."""
    return _IN_BRACKETS.sub(
        lambda match: "." + _PROPERTY.sub("", match[1]).lstrip("=").replace('"', ""), path
    )


def _is_shown(path: str, shown: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in shown)


def remove_leftovers(session: ClusterSession, spot: Spot, change: Change, live: Document) -> None:
    """Removes what the plan removes and the apply left: fields that a person took from us with kubectl."""
    pointers = [
        pointer
        for field in change.fields
        if field.after is MISSING and (pointer := _resolve(live, field.path)) is not None
    ]
    if not pointers:
        return
    metadata = live["metadata"]
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ]
    # From the back, so that an index still means the same item when its turn comes.
    operations += [
        {"op": "remove", "path": pointer} for pointer in sorted(pointers, key=_order, reverse=True)
    ]
    answer = session.client.request(
        "PATCH", spot.path, query=[("fieldManager", MANAGER)], body=operations, content_type=_JSON_PATCH
    )
    if not answer.is_success:
        raise error_of(answer, spot.what, is_sensitive=True)


def _order(pointer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in pointer.split("/")]


def _resolve(live: Document, path: str) -> str | None:
    """The JSON pointer, with indexes, of one of our paths; None where nothing is there."""
    value: Value = live
    tree = known_structure(live)
    pointer = ""
    for part in path.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            if name not in value:
                return None
            value, tree, pointer = value[name], below_field(tree, name) or {}, f"{pointer}/{part}"
        elif isinstance(value, list):
            index = _index_of(value, name, keys_of(tree))
            if index is None:
                return None
            tree, value = below_item(tree, value[index]) or {}, value[index]
            pointer = f"{pointer}/{index}"
        else:
            return None
    return pointer


def _index_of(items: list[Value], token: str, keys: tuple[str, ...]) -> int | None:
    if not keys:
        return int(token) if token.isdigit() and int(token) < len(items) else None
    for item in items:
        if isinstance(item, Mapping) and token_of(item, keys) == token:
            return find_item(items, item, keys)
    return None


def _holds_sensitive(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_sensitive, value.values()))
    return (
        any(map(_holds_sensitive, value)) if isinstance(value, list | tuple) else isinstance(value, Sensitive)
    )
