"""Makes a workload roll out again, as `kubectl rollout restart` does. Used by `resource`.

It changes annotations of the pod template, as a field manager of its own: our applies neither take them for
ours nor drop them, and the comparison leaves what another manager set alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from trueup.sdk import Blocked, Conflict, Document, Done, Intent, Node
from trueup_kubernetes.apply import is_sensitive
from trueup_kubernetes.errors import error_of
from trueup_kubernetes.kinds.health import describe_deletion
from trueup_kubernetes.marker import read_owner
from trueup_kubernetes.objects import Spot, read_object
from trueup_kubernetes.session import ClusterSession

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
# The token of the step, by which a repeated call sees that the first one arrived.
RESTARTED_BY = "trueup.dev/restarted-by"
MANAGER = "trueup-restart"
# An object that changes between the check and the patch is checked again, this many times in all.
TRIES = 5


def restart(cluster: ClusterSession, spot: Spot, node: Node, intent: Intent) -> Done:
    """One new rollout of the very object that the node means. Raises Conflict for any other."""
    for left in reversed(range(TRIES)):
        found = read_object(cluster, spot)
        uid = _check(spot, node, intent, found)
        if found is None or _annotations(found).get(RESTARTED_BY) == intent.token:
            return Done(uid)
        answer = cluster.client.request(
            "PATCH",
            spot.path,
            query=[("fieldManager", MANAGER)],
            body=_patch(node, found, intent),
            content_type="application/merge-patch+json",
        )
        if answer.is_success:
            return Done(uid)
        if answer.status != 409 or not left:
            break
    raise error_of(answer, spot.what, is_sensitive=is_sensitive(node))


def _check(spot: Spot, node: Node, intent: Intent, found: Document | None) -> str:
    """The uid of the object, which is the recorded one, carries our marker, and may be rolled out."""
    if found is None:
        raise Conflict(f"{spot.what} is gone since it was observed")
    uid = str(found["metadata"]["uid"])
    if node.external_id and node.external_id != uid:
        raise Conflict(f"{spot.what}: it is another object than the one that was observed")
    if read_owner(found) != intent.owner:
        raise Conflict(f"{spot.what}: the object does not carry our marker, so it is not restarted")
    if found["metadata"].get("deletionTimestamp"):
        raise Blocked(f"{spot.what}: {describe_deletion(found)}", by="its deletion")
    if (found.get("spec") or {}).get("paused"):
        raise Blocked(
            f"{spot.what} is paused, so it cannot be restarted",
            by="spec.paused",
            hint="set spec.paused: false; the restart is owed until then",
        )
    return uid


def _patch(node: Node, found: Document, intent: Intent) -> Document:
    metadata = found["metadata"]
    marks = {RESTARTED_BY: intent.token}
    # A manifest that sets it says itself when to restart; we would only take turns with it.
    if RESTARTED_AT not in _annotations(node.body):
        marks[RESTARTED_AT] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "spec": {"template": {"metadata": {"annotations": marks}}},
    }


def _annotations(body: Document) -> Mapping[str, object]:
    """The annotations of the pod template."""
    value: object = body
    for key in ("spec", "template", "metadata", "annotations"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}
