"""Reading objects of one kind from a cluster: one, or a list with all its pages. Used by `kinds.resource`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.sdk import Conflict, Denied, Document, Invalid, Node, ProviderError, TooLarge, Transient
from trueup_kubernetes.discovery import Resource, group_of
from trueup_kubernetes.errors import error_of
from trueup_kubernetes.marker import OWNER, label_of
from trueup_kubernetes.session import ClusterSession

PAGE = 500
# For a list whose objects are so large that a page of 500 is too much.
SMALL_PAGE = 50
# A cluster has a few hundred thousand objects of one kind at most.
MAX_OBJECTS = 2_000_000
MAX_PAGES = 2 * MAX_OBJECTS // SMALL_PAGE
# A list whose continue token expires is started again this many times.
RESTARTS = 1


@dataclass(frozen=True)
class Spot:
    """Where one object is, or would be."""

    resource: Resource
    namespace: str
    name: str

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def collection(self) -> str:
        """Where objects of its kind are created."""
        return self.resource.path(self.namespace)

    @property
    def what(self) -> str:
        """The object in messages."""
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.resource.kind} {where}{self.name}"


def locate(session: ClusterSession, resource: Resource, namespace: str, name: str) -> Spot:
    """The object's place; a namespaced object without a namespace goes to the session's."""
    if resource.is_namespaced:
        return Spot(resource, namespace or session.namespace, name)
    if namespace:
        raise Invalid(f"a {resource.kind} belongs to no namespace", hint="remove metadata.namespace")
    return Spot(resource, "", name)


def read_object(session: ClusterSession, spot: Spot) -> Document | None:
    """The object, None where the API server says that it does not exist."""
    answer = session.client.request("GET", spot.path)
    resource = spot.resource
    if answer.says_not_found(group_of(resource.api_version), resource.plural, spot.name):
        return None
    if not answer.is_success:
        raise error_of(answer, spot.what)
    body = answer.body or {}
    metadata = body.get("metadata") or {}
    if body.get("kind") != resource.kind or metadata.get("name") != spot.name or not metadata.get("uid"):
        raise Transient(f"{spot.what}: the cluster answered with something else")
    return body


def list_objects(
    session: ClusterSession,
    resource: Resource,
    namespace: str = "",
    selector: str = "",
    is_wanted: Callable[[Document], bool] = lambda _: True,
) -> list[Document]:
    """The wanted objects of the kind, in one namespace or all. Raises unless every page was read."""
    what = f"the list of {resource.plural}" + (f" in namespace {namespace}" if namespace else "")
    restarts, token, size, count = 0, "", PAGE, 0
    wanted: list[Document] = []
    for _ in range(MAX_PAGES):
        query = [("limit", str(size))]
        query += [("continue", token)] if token else []
        query += [("labelSelector", selector)] if selector else []
        try:
            answer = session.client.request("GET", resource.path(namespace), query=query)
        except TooLarge:
            if size == SMALL_PAGE:
                raise
            size = SMALL_PAGE
            continue
        if answer.status == 410 and token and restarts < RESTARTS:
            restarts, token, count = restarts + 1, "", 0
            wanted.clear()
            continue
        if not answer.is_success:
            raise error_of(answer, what)
        last = token
        items, token = _read_page(answer.body or {}, resource, what)
        count += len(items)
        if count > MAX_OBJECTS or (token and token == last):
            break
        wanted.extend(item for item in items if is_wanted(item))
        if not token:
            return wanted
    raise Transient(f"{what}: it does not come to an end", hint="look at what answers for the cluster")


def find_strays(
    session: ClusterSession, resource: Resource, missing: Sequence[Node]
) -> dict[str, ProviderError]:
    """By uid, those of the missing that live in another namespace: the target's default is no longer theirs.

    A user of some namespaces only cannot know that they do not, so they are all refused then.

    Only nodes that name no namespace can be affected. Asked for rarely: when something that was recorded is
    missing.
    """
    uids = {node.external_id for node in missing if node.external_id and not node.namespace}
    if not uids or not resource.is_namespaced:
        return {}
    selector = f"{OWNER}={label_of(session.owner_key)}"
    try:
        found = list_objects(
            session, resource, selector=selector, is_wanted=lambda body: body["metadata"]["uid"] in uids
        )
    except Denied as error:
        error.hint = f"write metadata.namespace, or let the user list {resource.plural} in all namespaces"
        return dict.fromkeys(uids, error)  # not found here, and not to be looked for elsewhere: not known
    return {
        body["metadata"]["uid"]: Conflict(
            f"{resource.kind} {body['metadata']['name']} lives in namespace {body['metadata']['namespace']}, "
            f"but the target's namespace is {session.namespace} now",
            hint="set the target's namespace back, or write metadata.namespace",
        )
        for body in found
    }


def key_of(body: Document) -> tuple[str, str]:
    """The namespace and the name of an object."""
    metadata = body["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def among(keys: Sequence[tuple[str, str]]) -> Callable[[Document], bool]:
    """Tells the objects with those keys from all others."""
    wanted = set(keys)
    return lambda body: key_of(body) in wanted


def pick(
    keys: Sequence[tuple[str, str]], found: Sequence[Document]
) -> dict[tuple[str, str], Document | ProviderError | None]:
    """For each of the keys its object, None where there is none."""
    by_key = {key_of(body): body for body in found}
    return {key: by_key.get(key) for key in keys}


def _read_page(body: Mapping[str, Any], resource: Resource, what: str) -> tuple[Sequence[Document], str]:
    items = body.get("items")
    if not str(body.get("kind", "")).endswith("List") or not isinstance(items, list):
        raise Transient(f"{what}: the cluster answered with something else")
    if not all(isinstance(item, dict) and (item.get("metadata") or {}).get("uid") for item in items):
        raise Transient(f"{what}: the cluster answered with objects that have no identity")
    # The items of a list do not say what they are.
    named = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**named, **item} for item in items], str((body.get("metadata") or {}).get("continue") or "")
