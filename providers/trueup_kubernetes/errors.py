"""Answers of the API server that are no success, as errors of trueup.

Called by everything that sends a request. Nothing that the server echoes of a sensitive object is repeated:
for those, only the names of the fields and the reasons are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trueup.sdk import Blocked, Conflict, Denied, Invalid, ProviderError, Throttled, Transient

# Faults of the manifest that the server reports as its own failure (500).
_TYPE_FAULT = re.compile(r"failed to create typed patch object|failed to convert .* to proper version")
_FIELD_FAULT = re.compile(
    r"(\.[\w.\-/\[\]=,\"]+): (field not declared in schema|expected [a-z]+|duplicate entries)"
)
# 403 is also how admission says no, where more permissions would not help.
_ADMISSION = re.compile(
    r"admission webhook|violates PodSecurity|exceeded quota|denied the request|ValidatingAdmission"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said. `body` is None where it is no JSON object."""

    status: int
    body: Mapping[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300 and self.body is not None

    @property
    def details(self) -> Mapping[str, Any]:
        return (self.body or {}).get("details") or {}

    @property
    def causes(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self.details.get("causes") or ())

    @property
    def reason(self) -> str:
        return str((self.body or {}).get("reason") or "")

    @property
    def message(self) -> str:
        return str((self.body or {}).get("message") or "")

    @property
    def is_status(self) -> bool:
        """Whether a Kubernetes API server wrote it, not something on the way."""
        return self.body is not None and self.body.get("kind") == "Status"

    def says_not_found(self, group: str, plural: str, name: str) -> bool:
        """Whether the API server itself says that this very object does not exist."""
        return (
            self.status == 404
            and self.is_status
            and self.reason == "NotFound"
            and self.details.get("group", "") == group
            and self.details.get("kind") == plural
            and self.details.get("name") == name
        )

    @property
    def field_conflicts(self) -> tuple[tuple[str, str], ...]:
        """The fields that other managers hold, each with the server's words on who."""
        return tuple(
            (str(cause.get("field", "")), str(cause.get("message", "")))
            for cause in self.causes
            if cause.get("reason") == "FieldManagerConflict"
        )

    @property
    def is_uid_mismatch(self) -> bool:
        if self.status == 422:
            return any(cause.get("field") == "metadata.uid" for cause in self.causes)
        return self.status == 409 and ("uid mismatch" in self.message or "UID in" in self.message)


def error_of(answer: Answer, what: str, *, is_sensitive: bool = False) -> ProviderError:
    """The error that the answer stands for.

    `what` names the object of the call. `is_sensitive`: the server's words may repeat a secret.
    """
    said = _explain(answer, is_sensitive)
    status = answer.status
    if status == 401:
        return Denied(
            f"{what}: the cluster does not accept the credentials", hint="see the target's kubeconfig"
        )
    if status == 429:
        return Throttled(f"{what}: the cluster asks for fewer requests", retry_after=_retry_after(answer))
    if status >= 500 and _TYPE_FAULT.search(answer.message):
        return Invalid(f"{what}: the cluster refuses it: {said}")
    if status in (408, 410) or status >= 500:
        return Transient(f"{what}: the cluster answers {status}: {said}", retry_after=_retry_after(answer))
    if not answer.is_status:
        return Transient(
            f"{what}: the answer ({status}) is not that of a Kubernetes API server",
            hint="something on the way answered instead of the cluster, such as a proxy",
        )
    if status == 403:
        return _forbidden(answer, what, said)
    if status == 404:
        return _not_found(answer, what, said)
    if status == 409 or answer.is_uid_mismatch:
        return _conflict(answer, what, said)
    return Invalid(f"{what}: the cluster refuses it: {said}")


def _forbidden(answer: Answer, what: str, said: str) -> ProviderError:
    for cause in answer.causes:
        if cause.get("reason") == "NamespaceTerminating":
            return Blocked(
                f"{what}: its namespace is being deleted", by=f"Namespace/{cause.get('field', '')}"
            )
    if _ADMISSION.search(answer.message):
        return Invalid(f"{what}: the cluster's admission refuses it: {said}")
    return Denied(f"{what}: not allowed: {said}")


def _not_found(answer: Answer, what: str, said: str) -> ProviderError:
    if answer.details.get("kind") == "namespaces":
        name = answer.details.get("name", "")
        return Blocked(f"{what}: there is no namespace {name}", by=f"Namespace/{name}")
    return Conflict(f"{what}: it is gone: {said}")


def _conflict(answer: Answer, what: str, said: str) -> ProviderError:
    if answer.field_conflicts:
        return Conflict(
            f"{what}: {describe_conflicts(answer.field_conflicts)}",
            hint="remove the fields from the manifest, or set lifecycle.adopt: true to take them over",
        )
    if answer.is_uid_mismatch:
        return Conflict(f"{what}: it is no longer the object that was observed")
    if "apply your changes to the latest version" in answer.message:
        return Transient(f"{what}: it is being changed by others at this moment", retry_after=1.0)
    return Conflict(f"{what}: {said}")


def describe_conflicts(conflicts: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{path.lstrip('.')}: {said}" for path, said in conflicts)


def _explain(answer: Answer, is_sensitive: bool) -> str:
    if not is_sensitive:
        return answer.message or answer.reason or "no reason given"
    parts = [f"{cause.get('field', '')} ({cause.get('reason', '')})" for cause in answer.causes]
    parts += [f"{path}: {fault}" for path, fault in _FIELD_FAULT.findall(answer.message)]
    reason = answer.reason or "no reason given"
    return (
        f"{reason}: {', '.join(parts)}"
        if parts
        else f"{reason} (its message may hold a secret and is not shown)"
    )


def _retry_after(answer: Answer) -> float | None:
    stated = answer.headers.get("Retry-After") or answer.details.get("retryAfterSeconds")
    try:
        return float(stated) if stated else None
    except (TypeError, ValueError):
        return None
