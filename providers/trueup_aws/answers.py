"""Whether an answer is one of AWS itself. Called by `client` with each answer that says success.

botocore takes a body that it cannot read for one without fields: half an answer, or the page of a gateway,
would be an empty list, and what is in it would be absent.
"""

from __future__ import annotations

import json
from typing import Any, Protocol
from xml.etree import ElementTree

from trueup.sdk import Transient

_IN_BODY = frozenset({None, "body"})
# What S3 calls the whole of an answer, where it is neither the name of a field nor that of the operation.
_ROOTS = {
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "ListBuckets": "ListAllMyBucketsResult",
}
# The first element begins within so many bytes.
_HEAD = 64 * 1024


class Response(Protocol):
    """An HTTP answer, as botocore has it."""

    status_code: int
    headers: Any
    content: bytes


def check_answer(http_response: Response, model: Any, **_more: object) -> None:
    """A handler of botocore's event `after-call`. Raises Transient where something else than AWS answered."""
    if http_response.status_code >= 300:
        return
    protocol = str(getattr(model.service_model, "resolved_protocol", model.service_model.protocol))
    if not _is_sound(http_response, model, is_json="json" in protocol):
        service = model.service_model.signing_name
        raise Transient(
            f"{service}:{model.name}: the answer is damaged, or not one of AWS",
            hint="something on the way may have answered instead, such as a proxy",
        )


def _is_sound(response: Response, model: Any, *, is_json: bool) -> bool:
    content = response.content
    if not content:
        is_head = model.http.get("method") == "HEAD"
        return is_head or not _has_body(model)
    if not is_json:
        if "html" in str(response.headers.get("Content-Type") or ""):
            return False
        # botocore refuses XML that it cannot read, and of other XML it reads nothing.
        return not _has_body(model) or _root_of(content) in _roots_of(model)
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


def _has_body(model: Any) -> bool:
    """Whether the operation answers with something that stands in the body."""
    shape = model.output_shape
    if shape is None:
        return False
    return any(member.serialization.get("location") in _IN_BODY for member in shape.members.values())


def _root_of(content: bytes) -> str:
    """The name of the element that an answer in XML consists of; empty where there is none."""
    parser: Any = ElementTree.XMLPullParser(("start",))
    try:
        parser.feed(content[:_HEAD])
        for _event, element in parser.read_events():
            return str(element.tag).rpartition("}")[2]
    except ElementTree.ParseError:
        pass  # so it is none of AWS
    return ""


def _roots_of(model: Any) -> frozenset[str]:
    """The names that the answer of an operation can have. Servers that are like S3 use some of their own."""
    names = {f"{model.name}Response"}
    if model.service_model.protocol == "rest-xml":
        payload = model.output_shape.serialization.get("payload")
        if payload:
            names |= {payload, model.output_shape.members[payload].name}
        names |= {f"{model.name}Result", f"{model.name}Output", _ROOTS.get(model.name, "")}
    return frozenset(names - {""})
