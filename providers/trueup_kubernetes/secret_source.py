"""The source `kubernetes`: `secret("kubernetes@prod:shop/db#/password")` is an entry of a cluster's Secret.

Loaded through the entry point `kubernetes` of `trueup.secrets`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from trueup.sdk import (
    Invalid,
    ProviderError,
    SecretAnswer,
    SecretContext,
    SecretSource,
    Sensitive,
    Value,
    answer_each_key,
    decode_secret,
    hookimpl,
    reveal,
    select_secret,
    split_secret_key,
)
from trueup_kubernetes.errors import error_of
from trueup_kubernetes.session import ClusterSession

# From so many Secrets of one namespace on, they are listed; that needs the permission to list.
LISTED_FROM = 5
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_FORM = 'write secret("kubernetes@TARGET:NAMESPACE/NAME#/KEY")'


class KubernetesSource(SecretSource):
    """Secrets of a cluster that is a target of the stack."""

    name: ClassVar[str] = "kubernetes"
    provider: ClassVar[str] = "kubernetes"
    needs_target: ClassVar[bool] = True
    requirement: ClassVar[str] = "trueup[kubernetes]"

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        name, pointer = split_secret_key(key)
        namespace, _, secret = name.partition("/")
        if not _NAME.fullmatch(namespace) or not _NAME.fullmatch(secret):
            raise Invalid(f'"{name}" does not name a Secret', hint=_FORM)
        if pointer is None:
            raise Invalid(f"it names no entry of the Secret {name}", hint=_FORM)

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        session = context.session
        if not isinstance(session, ClusterSession):
            raise Invalid("it is read through a target of provider kubernetes", hint=_FORM)
        by_namespace: dict[str, set[str]] = {}
        for key in keys:
            namespace, _, name = split_secret_key(key)[0].partition("/")
            by_namespace.setdefault(namespace, set()).add(name)
        found = {
            f"{namespace}/{name}": data
            for namespace, names in by_namespace.items()
            for name, data in _read_namespace(session, namespace, sorted(names)).items()
        }

        def answer(key: str) -> SecretAnswer:
            name, pointer = split_secret_key(key)
            data = found[name]
            return data if isinstance(data, ProviderError) else _select(data, pointer or "", name)

        return answer_each_key(keys, answer)


_Data = Mapping[str, Any] | ProviderError


def _read_namespace(session: ClusterSession, namespace: str, names: Sequence[str]) -> dict[str, _Data]:
    """The data of each Secret: one list for many, one get for each of a few, or where listing is denied."""
    listed = _list(session, namespace) if len(names) >= LISTED_FROM else None
    if listed is None:
        return {name: _get(session, namespace, name) for name in names}
    return {name: listed.get(name, _missing(namespace, name)) for name in names}


def _list(session: ClusterSession, namespace: str) -> dict[str, _Data] | None:
    """The data of all Secrets of a namespace, None where they cannot be listed in one go."""
    path = session.resource("v1", "Secret").path(namespace)
    answer = session.client.request("GET", path, query=[("limit", "500")])
    if not answer.is_success or ((answer.body or {}).get("metadata") or {}).get("continue"):
        return None
    return {
        str(item["metadata"]["name"]): item.get("data") or {}
        for item in (answer.body or {}).get("items") or ()
    }


def _get(session: ClusterSession, namespace: str, name: str) -> _Data:
    resource = session.resource("v1", "Secret")
    answer = session.client.request("GET", resource.path(namespace, name))
    if answer.is_success:
        data: Mapping[str, Any] = (answer.body or {}).get("data") or {}
        return data
    if answer.says_not_found("", "secrets", name):
        return _missing(namespace, name)
    return error_of(answer, f"Secret {namespace}/{name}", is_sensitive=True)


def _missing(namespace: str, name: str) -> Invalid:
    hint = "create it first, by hand or by another stack"
    return Invalid(f"the cluster has no Secret {namespace}/{name}", hint=hint)


def _select(data: Mapping[str, Any], pointer: str, name: str) -> SecretAnswer:
    encoded = str(reveal(select_secret(data, pointer, f"Secret {name}")))
    decoded: bytes | None = None
    with contextlib.suppress(binascii.Error, ValueError):
        decoded = base64.b64decode(encoded, validate=True)
    if decoded is None:
        raise Invalid(f"Secret {name} holds no base64 at #{pointer}")
    return Sensitive(decode_secret(decoded, f"what Secret {name} holds at #{pointer}"))


@hookimpl
def trueup_secret_source() -> SecretSource:
    return KubernetesSource()
