"""Whether an answer is one of AWS itself. Called by `client` with each answer that says success.

botocore takes a body that it cannot read for one without fields: half an answer, or the page of a gateway,
would be an empty list, and what is in it would be absent.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from trueup.sdk import Transient

_IN_BODY = frozenset({None, "body"})


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
        # botocore refuses XML that it cannot read.
        return "html" not in str(response.headers.get("Content-Type") or "")
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
