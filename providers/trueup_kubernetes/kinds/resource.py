"""The one kind class: every kind that a cluster serves is managed in the same way.

Made by `provider.kind`. What differs between kinds stands in the tables beside this file.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from trueup.sdk import (
    Absent,
    Action,
    Blocked,
    Change,
    Conflict,
    Denied,
    Discovered,
    Document,
    Done,
    Failed,
    Health,
    Intent,
    Kind,
    Missing,
    Node,
    Observation,
    Observed,
    Owned,
    Pending,
    Problem,
    ProviderError,
    Session,
    Traits,
    Value,
    change_of,
    creation,
)
from trueup_kubernetes.apply import (
    apply_new,
    apply_over,
    disown_created,
    is_sensitive,
    manifest_of,
    remove_leftovers,
)
from trueup_kubernetes.comparison import comparable, compare_bodies, keys_at
from trueup_kubernetes.discovery import Resource
from trueup_kubernetes.errors import Answer, error_of
from trueup_kubernetes.kinds.catalog import (
    CLUSTER_SCOPED,
    ROLLED_OUT,
    STATEFUL,
    WORKLOADS,
    is_builtin,
    is_immutable,
)
from trueup_kubernetes.kinds.discover import discover_objects
from trueup_kubernetes.kinds.edges import tokens_needed, tokens_provided
from trueup_kubernetes.kinds.export import export_object
from trueup_kubernetes.kinds.health import describe_deletion, health_of
from trueup_kubernetes.kinds.restart import restart
from trueup_kubernetes.kinds.validation import problems_of
from trueup_kubernetes.marker import ADDRESS, OWNER, read_owner, selector_of
from trueup_kubernetes.objects import Spot, among, find_strays, list_objects, locate, pick, read_object
from trueup_kubernetes.ownership import MANAGER, owned_by_us, project, token_of, writers_of
from trueup_kubernetes.secret_values import fold_string_data, is_secret, seal_secret
from trueup_kubernetes.session import ClusterSession, NotKnown, NotServed

# A kind is served a moment after its CustomResourceDefinition says so.
SERVED_TRIES = 10
SERVED_PAUSE = 0.5
# An object that changes between the check and its deletion is checked again, this many times in all.
DELETE_TRIES = 5


class KubernetesKind(Kind):
    """A kind of a cluster, known by nothing but its apiVersion and name."""

    # -- pure

    def validate(self, node: Node) -> Iterable[Problem]:
        return problems_of(node)

    def identity(self, node: Node) -> str:
        namespace = self._namespace(node)
        return f"{self.api_version}/{self.name}/{namespace}/{node.name}"

    def provides(self, node: Node) -> Iterable[str]:
        return tokens_provided(node, self._namespace(node))

    def needs(self, node: Node) -> Iterable[str]:
        return tokens_needed(node, self._namespace(node))

    def normalize(self, node: Node, observed: Observed | None) -> Document:
        return fold_string_data(node.body) if self._is_secret else node.body

    def seal(self, body: Document) -> Document:
        return seal_secret(body) if self._is_secret else body

    def diff(self, node: Node, observed: Observed | Absent, recorded: Document | None) -> Change:
        desired = self.seal(self.normalize(node, None))
        if isinstance(observed, Absent):
            declared = comparable(desired)
            return creation(node, declared, {}) if declared else Change(node.address, Action.CREATE)
        live = self.seal(observed.body)
        builtin = is_builtin(self.api_version)
        is_frozen = live.get("immutable") is True and builtin

        def is_fixed(path: tuple[str, ...]) -> bool:
            return builtin and is_immutable(self.name, is_frozen, path)

        if recorded and self._is_secret and "stringData" in recorded:
            known = {**(recorded.get("data") or {}), **(recorded["stringData"] or {})}
            recorded = {**{key: recorded[key] for key in recorded if key != "stringData"}, "data": known}
        return change_of(node, observed, compare_bodies(desired, live, recorded, is_fixed, builtin))

    def find_item(
        self, observed: Observed, path: Sequence[str], items: Sequence[Value], token: str
    ) -> int | None:
        keys = keys_at(observed.body, path)
        if not keys:
            return int(token) if token.isdigit() and int(token) < len(items) else None
        named = (
            index
            for index, item in enumerate(items)
            if isinstance(item, Mapping) and token_of(item, keys) == token
        )
        return next(named, None)

    def writers(self, observed: Observed) -> Mapping[str, str]:
        return writers_of(observed.body)

    def health(self, observed: Observed) -> Health:
        return health_of(observed.body)

    # -- reading

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        cluster = _cluster(session)
        try:
            resource = cluster.resource(self.api_version, self.name)
        except NotServed:
            return [Absent(node.address) for node in nodes]
        spots: dict[tuple[str, str], list[Node]] = {}
        answers: list[Observation] = []
        for node in nodes:
            try:
                spot = locate(cluster, resource, node.namespace, node.name)
            except ProviderError as error:
                answers.append(Failed(node.address, error))
            else:
                spots.setdefault((spot.namespace, spot.name), []).append(node)
        found = self._read(cluster, resource, list(spots))
        missing = [node for key, each in spots.items() for node in each if found[key] is None]
        strays = find_strays(cluster, resource, missing)
        for key, each in spots.items():
            answers += [_observation(node, strays.get(node.external_id, found[key])) for node in each]
        return answers

    def _read(
        self, cluster: ClusterSession, resource: Resource, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Document | ProviderError | None]:
        """Each object, None where it does not exist, or why it cannot be read. As few requests as can be."""
        if len(keys) == 1:
            return {keys[0]: read_object(cluster, Spot(resource, *keys[0]))}
        namespaces = sorted({namespace for namespace, _ in keys})
        if len(namespaces) == 1:
            return pick(keys, list_objects(cluster, resource, namespaces[0], is_wanted=among(keys)))
        try:
            return pick(keys, list_objects(cluster, resource, is_wanted=among(keys)))
        except Denied:
            pass  # allowed in some namespaces only: ask in each
        found: dict[tuple[str, str], Document | ProviderError | None] = {}
        for namespace in namespaces:
            mine = [key for key in keys if key[0] == namespace]
            try:
                found.update(pick(mine, list_objects(cluster, resource, namespace, is_wanted=among(mine))))
            except ProviderError as error:
                found.update((key, error) for key in mine)
        return found

    def find_owned(self, session: Session, owner_key: str) -> Iterable[Owned]:
        cluster = _cluster(session)
        try:
            resource = cluster.resource(self.api_version, self.name)
        except NotServed:
            return []
        found = []
        for body in list_objects(cluster, resource, selector=selector_of(owner_key)):
            owner = read_owner(body)
            if owner is not None and owner.has_key(owner_key):
                found.append(Owned(owner, body["metadata"]["uid"], body))
        return found

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        cluster = _cluster(session)
        return discover_objects(cluster, cluster.resource(self.api_version, self.name), ids)

    def export(self, body: Document) -> Document:
        return export_object(body)

    # -- writing

    def create(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        cluster = _cluster(session)
        spot = self._locate(cluster, node, is_new=True)
        found = read_object(cluster, spot)
        body = self.normalize(node, None)
        if found is None:
            made = apply_new(cluster, spot, node, manifest_of(node, body, spot, intent.owner))
            return Done(made["metadata"]["uid"])
        uid = found["metadata"]["uid"]
        if found["metadata"].get("deletionTimestamp"):
            raise Blocked(f"{spot.what}: {describe_deletion(found)}", by="the deletion of the old object")
        owner = read_owner(found)
        if owner != intent.owner and not node.lifecycle.adopt:
            whose = f"belongs to {owner.address} of {owner.key}" if owner else "is not managed by trueup"
            raise Conflict(
                f"{spot.what}: an object that {whose} is in the way",
                hint="set lifecycle.adopt: true to take it over, or remove or rename one of them",
            )
        apply_over(cluster, spot, node, manifest_of(node, body, spot, intent.owner, uid), ())
        return Done(uid)

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done | Pending:
        cluster = _cluster(session)
        spot = self._locate(cluster, node)
        uid = change.observed.external_id if change.observed else node.external_id
        if not uid:
            raise Conflict(f"{spot.what}: it is not known which object was observed")
        found = read_object(cluster, spot)
        owner = read_owner(found) if found else None
        planned = change.observed.owner if change.observed else None
        if owner not in (None, intent.owner, planned) and not node.lifecycle.adopt:
            raise Conflict(f"{spot.what}: another stack or address took it over since the plan was made")
        manifest = manifest_of(node, self.normalize(node, change.observed), spot, intent.owner, uid)
        live = apply_over(cluster, spot, node, manifest, change.fields)
        remove_leftovers(cluster, spot, change, live)
        disown_created(cluster, spot, live)
        return Done(uid)

    def delete(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        cluster = _cluster(session)
        try:
            spot = self._locate(cluster, node)
        except NotServed:
            return Done(node.external_id)
        for left in reversed(range(DELETE_TRIES)):
            found = read_object(cluster, spot)
            if found is None:
                strays = find_strays(cluster, spot.resource, [node])
                if strays:
                    raise strays[node.external_id]
                return Done(node.external_id)
            uid = self._check_ours(spot, node, intent, found)
            if found["metadata"].get("deletionTimestamp"):
                return _waiting(spot, found)
            answer = self._send_delete(cluster, spot, found)
            if answer.status != 409 or not left:
                break
        if not answer.is_success and answer.status != 404:
            raise error_of(answer, spot.what, is_sensitive=is_sensitive(node))
        rest = read_object(cluster, spot)
        return Done(uid) if rest is None or rest["metadata"]["uid"] != uid else _waiting(spot, rest)

    def _send_delete(self, cluster: ClusterSession, spot: Spot, found: Document) -> Answer:
        """Deletes exactly what was read: anything that changed since, the marker too, is a 409."""
        metadata = found["metadata"]
        policy = "Foreground" if is_builtin(self.api_version) and self.name in WORKLOADS else "Background"
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "propagationPolicy": policy,
        }
        return cluster.client.request("DELETE", spot.path, body=options)

    def release(self, session: Session, node: Node, intent: Intent) -> Done:
        cluster = _cluster(session)
        try:
            spot = self._locate(cluster, node)
        except NotServed:
            return Done(node.external_id)
        found = read_object(cluster, spot)
        if found is None or read_owner(found) != intent.owner:
            return Done(node.external_id)
        uid = found["metadata"]["uid"]
        if node.external_id and node.external_id != uid:
            return Done(node.external_id)
        marker = {"uid": uid, "labels": {OWNER: None}, "annotations": {OWNER: None, ADDRESS: None}}
        answer = cluster.client.request(
            "PATCH",
            spot.path,
            query=[("fieldManager", MANAGER)],
            body={"metadata": marker},
            content_type="application/merge-patch+json",
        )
        if not answer.is_success:
            raise error_of(answer, spot.what, is_sensitive=is_sensitive(node))
        return Done(uid)

    def refresh(self, session: Session, node: Node, intent: Intent) -> Done:
        cluster = _cluster(session)
        return restart(cluster, self._locate(cluster, node), node, intent)

    def poll(self, session: Session, operation: Document) -> Done | Pending:
        """How a deletion goes: it is the only thing that is Pending."""
        cluster = _cluster(session)
        uid = str(operation["uid"])
        try:
            resource = cluster.resource(self.api_version, self.name)
        except NotServed:
            return Done(uid)
        spot = Spot(resource, str(operation["namespace"]), str(operation["name"]))
        found = read_object(cluster, spot)
        return Done(uid) if found is None or found["metadata"]["uid"] != uid else _waiting(spot, found)

    # -- parts

    @property
    def _is_secret(self) -> bool:
        return is_secret(self.api_version, self.name)

    def _namespace(self, node: Node) -> str:
        """The namespace as far as it is known without the cluster."""
        if is_builtin(self.api_version) and self.name in CLUSTER_SCOPED:
            return ""
        return node.namespace or str(node.target.config.get("namespace") or "")

    def _locate(self, cluster: ClusterSession, node: Node, is_new: bool = False) -> Spot:
        for left in reversed(range(SERVED_TRIES if is_new else 1)):
            try:
                resource = cluster.resource(self.api_version, self.name)
            except (NotServed, NotKnown):
                if not left:
                    raise
                time.sleep(SERVED_PAUSE)
            else:
                return locate(cluster, resource, node.namespace, node.name)
        raise AssertionError("unreachable: the last try raises")

    def _check_ours(self, spot: Spot, node: Node, intent: Intent, found: Document) -> str:
        """The uid of the object, which is the recorded one and carries our marker."""
        uid = str(found["metadata"]["uid"])
        if node.external_id and node.external_id != uid:
            raise Conflict(f"{spot.what}: it is another object than the one that was recorded")
        owner = read_owner(found)
        if owner != intent.owner:
            whose = f"belongs to {owner.address} of {owner.key}" if owner else "carries no marker of trueup"
            raise Conflict(f"{spot.what}: the object {whose}, so it is not deleted")
        return uid


@lru_cache(maxsize=4096)
def kind_of(api_version: str, name: str) -> KubernetesKind:
    """The kind of that apiVersion and name; one instance each."""
    is_stateful = is_builtin(api_version) and name in STATEFUL
    traits = Traits(stateful=is_stateful, refreshable=is_builtin(api_version) and name in ROLLED_OUT)
    members = {"api_version": api_version, "name": name, "traits": traits}
    kind: KubernetesKind = type(f"{name}Kind", (KubernetesKind,), members)()
    return kind


def _cluster(session: Session) -> ClusterSession:
    if not isinstance(session, ClusterSession):
        raise TypeError("a session of another provider")
    return session


def _observation(node: Node, found: Document | ProviderError | None) -> Observation:
    if found is None:
        return Absent(node.address)
    if isinstance(found, ProviderError):
        return Failed(node.address, found)
    return Observed(
        address=node.address,
        body=found,
        external_id=found["metadata"]["uid"],
        owner=read_owner(found),
        version=_version_of(found),
    )


def _version_of(body: Document) -> str:
    """A hash of the fields that are ours; of all that is declared, where none are."""
    ours = owned_by_us(body)
    what = project(body, ours) if ours else comparable(body)
    is_going = bool(body["metadata"].get("deletionTimestamp"))
    text = json.dumps([body["metadata"]["uid"], is_going, what], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _waiting(spot: Spot, body: Document) -> Pending:
    operation = {"namespace": spot.namespace, "name": spot.name, "uid": body["metadata"]["uid"]}
    return Pending(operation, why=describe_deletion(body), after=1.0)
