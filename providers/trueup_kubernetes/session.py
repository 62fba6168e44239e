"""A connection to one cluster: client, identity, and what the cluster serves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from trueup.sdk import Denied, Invalid, Session, Transient
from trueup_kubernetes.discovery import ACCEPT, ROOTS, Discovery, Resource, group_of
from trueup_kubernetes.errors import Answer, error_of

if TYPE_CHECKING:
    from trueup_kubernetes.client import Client


class NotServed(Invalid):
    """The cluster knows for sure that it has no such kind, in no version: so there is no object of it."""


class NotKnown(Transient):
    """The cluster does not say at present whether it serves the kind."""


class ClusterSession(Session):
    """One cluster, as one user. `namespace` is where objects go that name none, `owner_key` the stack's."""

    def __init__(self, client: Client, namespace: str, owner_key: str) -> None:
        self.client = client
        self.namespace = namespace
        self.owner_key = owner_key
        self._lock = threading.Lock()
        self._fingerprint = self._read_fingerprint()
        self._discovery: Discovery | None = None

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        self.client.close()

    def get(self, path: str, what: str, **options: Any) -> Answer:
        """A successful answer. Raises the error that any other stands for."""
        answer = self.client.request("GET", path, **options)
        if not answer.is_success:
            raise error_of(answer, what)
        return answer

    def discovery(self) -> Discovery:
        """What the cluster serves now."""
        return self._refresh(self._discovery)

    def resource(self, api_version: str, kind: str) -> Resource:
        """How the cluster serves the kind; discovery is read again, once, for a kind that it did not know.

        Raises NotServed, Invalid for what can never be served, Transient where the cluster does not know.
        """
        known = self._discovery
        found = known.find(api_version, kind) if known else None
        if found is None:
            discovery = self._refresh(known)
            found = discovery.find(api_version, kind)
            if found is None:
                error = _not_served(discovery, api_version, kind)
                if isinstance(error, NotServed):
                    self._check_not_served(api_version, kind)
                raise error
        return found

    def _check_not_served(self, api_version: str, kind: str) -> None:
        """Raises NotKnown unless the group version itself confirms that it lacks the kind.

        An API server that has just started answers discovery before it has read its
        CustomResourceDefinitions; the path of a group version says 503 until then, and 404 only afterwards.
        """
        answer = self.client.request("GET", f"/apis/{api_version}")
        if answer.status == 404:
            return
        body = answer.body or {}
        served = body.get("resources")
        is_list = answer.status == 200 and body.get("kind") == "APIResourceList" and isinstance(served, list)
        if not is_list or any(one.get("kind") == kind for one in served or ()):
            raise NotKnown(f"the cluster does not know at present what {api_version} serves")

    def _refresh(self, outdated: Discovery | None) -> Discovery:
        with self._lock:
            # Another thread may have read it while this one waited for the lock.
            if self._discovery is None or self._discovery is outdated:
                self._discovery = self._discover()
            return self._discovery

    def _discover(self) -> Discovery:
        documents = []
        for root in ROOTS:
            document = self.get(root, "discovery", accept=ACCEPT).body
            if not document or document.get("kind") != "APIGroupDiscoveryList" or "items" not in document:
                raise Invalid(
                    "the cluster has no aggregated discovery", hint="trueup needs Kubernetes 1.27 or newer"
                )
            documents.append(document)
        return Discovery(documents)

    def _read_fingerprint(self) -> str:
        answer = self.client.request("GET", "/api/v1/namespaces/kube-system")
        if not answer.is_success:
            error = error_of(answer, "namespace kube-system, whose uid identifies the cluster")
            if isinstance(error, Denied):
                error.hint = "the user needs `get` on the namespace kube-system"
            raise error
        uid = ((answer.body or {}).get("metadata") or {}).get("uid")
        if not uid:
            raise Transient("the namespace kube-system has no uid: this is no Kubernetes API server")
        return str(uid)


def _not_served(discovery: Discovery, api_version: str, kind: str) -> Invalid | Transient:
    if discovery.is_stale(api_version):
        return Transient(f"the cluster does not know at present what {api_version} serves")
    others = discovery.versions(api_version, kind)
    if others:
        return Invalid(
            f"the cluster does not serve {kind} in {api_version}", hint=f"it serves {', '.join(others)}"
        )
    message = f"the cluster serves no kind {kind} in {api_version}"
    if "." not in group_of(api_version):
        # No CustomResourceDefinition can add to these groups, so it is a slip of the pen.
        return Invalid(message, hint=_similar(kind, discovery.kinds(api_version)))
    return NotServed(message, hint="its CustomResourceDefinition is missing")


def _similar(kind: str, kinds: tuple[str, ...]) -> str:
    import difflib

    close = difflib.get_close_matches(kind, kinds, n=1)
    return f"did you mean {close[0]}?" if close else ""
