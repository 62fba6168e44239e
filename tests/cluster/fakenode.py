"""Stands in for nodes: marks pending pods Running and Ready. Started by the fixture `fakenode`.

Pods labelled `fake: never` stay Pending, `fake: fail` become Failed and `fake: done` Succeeded.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping
from typing import Any

PAUSE = 0.2
_ENDS = {"fail": "Failed", "done": "Succeeded"}


class FakeNode:
    """A thread that looks at all pods again and again. `request` is `Cluster.request`."""

    def __init__(self, request: Callable[..., Mapping[str, Any]]) -> None:
        self._request = request
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fakenode", daemon=True)
        self._failure: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Raises what went wrong in it."""
        self._ending.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._ending.wait(PAUSE):
                for pod in self._request("GET", "/api/v1/pods")["items"]:
                    self._mark(pod)
        except Exception as error:  # noqa: BLE001 - told by stop
            self._failure = error

    def _mark(self, pod: Mapping[str, Any]) -> None:
        metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase") or "Pending"
        wish = (metadata.get("labels") or {}).get("fake", "")
        if phase != "Pending" or metadata.get("deletionTimestamp") or wish == "never":
            return
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        try:
            self._request(
                "PATCH", path, {"status": _status(pod, wish)}, content_type="application/merge-patch+json"
            )
        except AssertionError as refused:
            if "404" not in str(refused) and "409" not in str(refused):  # it went away at this moment
                raise


def _status(pod: Mapping[str, Any], wish: str) -> Mapping[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if wish in _ENDS:
        return {"phase": _ENDS[wish], "startTime": now}
    conditions = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "startTime": now,
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": name, "status": "True", "lastTransitionTime": now} for name in conditions],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for container in pod["spec"]["containers"]
        ],
    }
