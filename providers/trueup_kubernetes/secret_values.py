"""The values of Secrets: one form for all, and sealed. Called by `kinds.resource` and `apply`. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from trueup.sdk import UNKNOWN, Document, Sensitive, Value, reveal


def is_secret(api_version: str, kind: str) -> bool:
    return api_version == "v1" and kind == "Secret"


def seal_secret(body: Document) -> Document:
    """The Secret with every value sealed; the names of its keys are no secret."""
    sealed = {key: _sealed(value) if key in ("data", "stringData") else value for key, value in body.items()}
    metadata = sealed.get("metadata")
    if isinstance(metadata, Mapping) and "annotations" in metadata:
        # Where kubectl's client-side apply was used, it left the whole Secret in an annotation.
        last = "kubectl.kubernetes.io/last-applied-configuration"
        annotations = {
            key: Sensitive(value) if key == last else value
            for key, value in (metadata["annotations"] or {}).items()
        }
        sealed["metadata"] = {**metadata, "annotations": annotations}
    return sealed


def fold_string_data(body: Document) -> Document:
    """The Secret as the server keeps it: `stringData` encoded into `data`, where it wins over equal keys."""
    data = {key: _canonical(value) for key, value in _entries(body.get("data")).items()}
    text = {key: _encoded(value) for key, value in _entries(body.get("stringData")).items()}
    folded = {key: value for key, value in body.items() if key != "stringData"}
    return {**folded, "data": {**data, **text}} if data or text or "data" in body else folded


def _entries(value: Value) -> Mapping[str, Value]:
    if isinstance(value, Sensitive):
        value = reveal(value)
    return value if isinstance(value, Mapping) else {}


def _sealed(value: Value) -> Value:
    if not isinstance(value, Mapping):
        return Sensitive(value) if value not in (None, UNKNOWN) else value
    return {key: item if item is UNKNOWN else Sensitive(item) for key, item in value.items()}


def _encoded(value: Value) -> Value:
    if value is UNKNOWN or value is None:
        return value
    plain = reveal(value)
    if not isinstance(plain, str):
        return Sensitive(plain)  # the server says which field has the wrong type
    return Sensitive(base64.b64encode(plain.encode()).decode())


def _canonical(value: Value) -> Value:
    """Base64 as the server writes it back: line breaks are allowed in what it reads."""
    plain = reveal(value) if value is not UNKNOWN else value
    if not isinstance(plain, str):
        return value
    try:
        decoded = base64.b64decode(plain.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return Sensitive(plain)
    return Sensitive(base64.b64encode(decoded).decode())
